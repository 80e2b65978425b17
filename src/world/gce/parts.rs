//! What a machine type is billed as: so many vCPUs, so much memory, GPUs, local disks, each with a price of its own. Types
//! of which that is not known for certain have none here.

/// How Google's catalogue calls the local disks that some types come with.
pub(super) const LOCAL_DISK: &str = "SSD backed Local Storage";

/// What a machine type is billed as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    /// What the catalogue calls its family: its vCPUs are the family's `Core`, its memory the family's `Ram`.
    pub(super) family: &'static str,
    /// vCPUs in hundredths: of the smallest types a part is billed.
    pub(super) vcpu: u32,
    /// Memory in tenths of a MiB.
    pub(super) memory: u32,
    /// What the catalogue calls its GPUs, and how many there are.
    pub(super) gpus: Option<(&'static str, u32)>,
    /// GiB of local disks that it always comes with.
    pub(super) local_disk: u32,
}

const MIB: u32 = 10;
const GIB: u32 = 1_024 * MIB;

type Shapes = &'static [(&'static str, u32)];

/// Memory of each vCPU, as most families have it.
const USUAL: Shapes = &[("standard", 4 * GIB), ("highmem", 8 * GIB), ("highcpu", GIB)];
const TWICE: Shapes = &[("standard", 4 * GIB), ("highmem", 8 * GIB), ("highcpu", 2 * GIB)];
const STANDARD: Shapes = &[("standard", 4 * GIB)];

/// Families whose types tell their vCPUs by name.
const FAMILIES: [(&str, &str, Shapes); 14] = [
    ("n1", "N1 Predefined Instance", &[("standard", 3_840 * MIB), ("highmem", 6_656 * MIB), ("highcpu", 9_216)]),
    ("e2", "E2 Instance", USUAL),
    ("n2", "N2 Instance", USUAL),
    ("n2d", "N2D AMD Instance", USUAL),
    ("n4", "N4 Instance", TWICE),
    ("c2", "Compute optimized", STANDARD),
    ("c2d", "C2D AMD Instance", TWICE),
    ("c3", "C3 Instance", TWICE),
    ("c3d", "C3D Instance", TWICE),
    ("c4", "C4 Instance", &[("standard", 3_840 * MIB), ("highmem", 7_936 * MIB), ("highcpu", 2 * GIB)]),
    ("c4a", "C4A Arm Instance", TWICE),
    ("t2d", "T2D AMD Instance", STANDARD),
    ("t2a", "T2A Arm Instance", STANDARD),
    ("g2", "G2 Instance", STANDARD),
];

/// Types that a part of a vCPU is billed of.
const SHARED: [(&str, u32, u32); 3] = [("e2-micro", 25, GIB), ("e2-small", 50, 2 * GIB), ("e2-medium", 100, 4 * GIB)];

/// Types that tell their GPUs by name: what the catalogue calls these, and vCPUs, GiB of memory and GiB of local disks of
/// each; whatever begins so.
const BY_GPU: [(&str, &str, &str, u32, u32, u32); 4] = [
    ("a2-highgpu-", "A2 Instance", "Nvidia Tesla A100 GPU", 12, 85, 0),
    ("a2-megagpu-", "A2 Instance", "Nvidia Tesla A100 GPU", 6, 85, 0),
    ("a2-ultragpu-", "A2 Instance", "Nvidia Tesla A100 80GB GPU", 12, 170, 375),
    ("a3-highgpu-", "A3 Instance", "Nvidia H100 80GB GPU", 26, 234, 750),
];

/// GPUs that are attached to a machine, by the name that settings have.
const ATTACHED: [(&str, &str); 6] = [
    ("nvidia-tesla-k80", "Nvidia Tesla K80 GPU"),
    ("nvidia-tesla-p4", "Nvidia Tesla P4 GPU"),
    ("nvidia-tesla-p100", "Nvidia Tesla P100 GPU"),
    ("nvidia-tesla-t4", "Nvidia Tesla T4 GPU"),
    ("nvidia-tesla-v100", "Nvidia Tesla V100 GPU"),
    ("nvidia-l4", "Nvidia L4 GPU"),
];

/// Families of which a person chooses vCPUs and memory, a step apart from the others.
const CUSTOM: [(&str, &str); 5] = [
    ("custom", "Custom Instance"),
    ("n1-custom", "Custom Instance"),
    ("n2-custom", "N2 Custom Instance"),
    ("n2d-custom", "N2D AMD Custom Instance"),
    ("n4-custom", "N4 Custom Instance"),
];

impl Parts {
    /// Of a machine type, or of a GPU that is attached to one. `None`: it is not known.
    pub(super) fn of(name: &str) -> Option<Self> {
        let plain = |family, vcpu: u32, memory| Self { family, vcpu, memory, gpus: None, local_disk: 0 };
        if let Some((_, gpu)) = ATTACHED.iter().find(|(kind, _)| *kind == name) {
            return Some(Self { gpus: Some((gpu, 1)), ..plain("", 0, 0) });
        }
        if let Some((_, vcpu, memory)) = SHARED.iter().find(|(kind, ..)| *kind == name) {
            return Some(plain("E2 Instance", *vcpu, *memory));
        }
        if let Some((begins, family, gpu, vcpu, gib, disk)) =
            BY_GPU.iter().find(|(begins, ..)| name.starts_with(begins))
        {
            let count: u32 = name.strip_prefix(begins)?.strip_suffix('g')?.parse().ok().filter(|count| *count <= 16)?;
            let parts = plain(family, count * vcpu * 100, count * gib * GIB);
            return Some(Self { gpus: Some((gpu, count)), local_disk: count * disk, ..parts });
        }
        let small = |text: &str, most: u32| text.parse::<u32>().ok().filter(|count| (1..=most).contains(count));
        let (head, last) = name.rsplit_once('-')?;
        if let Some((begin, vcpu)) = head.rsplit_once('-')
            && let Some((_, family)) = CUSTOM.iter().find(|(custom, _)| *custom == begin)
        {
            return Some(plain(family, small(vcpu, 1_000)? * 100, small(last, 10_000_000)? * MIB));
        }
        let (family, shape) = head.split_once('-')?;
        let vcpu = small(last, 1_000)?;
        let (_, called, shapes) = FAMILIES.iter().find(|(known, ..)| *known == family)?;
        let (_, each) = shapes.iter().find(|(known, _)| *known == shape)?;
        if family == "c4" && vcpu == 2 {
            // It has less memory than its vCPUs say.
            return None;
        }
        let gpus = match (family, vcpu) {
            ("g2", 24 | 48 | 96) => Some(("Nvidia L4 GPU", vcpu / 12)),
            ("g2", _) => Some(("Nvidia L4 GPU", 1)),
            _ => None,
        };
        Some(Self { gpus, ..plain(called, vcpu * 100, each * vcpu) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::size_of;
    use proptest::prelude::*;

    #[test]
    fn a_type_is_so_many_vcpus_so_much_memory_and_its_gpus() {
        for (name, vcpu, gib, gpus, disk) in [
            ("n1-standard-8", 8.0, 30.0, None, 0),
            ("n1-highcpu-4", 4.0, 3.6, None, 0),
            ("e2-micro", 0.25, 1.0, None, 0),
            ("e2-highmem-4", 4.0, 32.0, None, 0),
            ("c4-standard-4", 4.0, 15.0, None, 0),
            ("g2-standard-96", 96.0, 384.0, Some(("Nvidia L4 GPU", 8)), 0),
            ("a2-highgpu-2g", 24.0, 170.0, Some(("Nvidia Tesla A100 GPU", 2)), 0),
            ("a2-megagpu-16g", 96.0, 1360.0, Some(("Nvidia Tesla A100 GPU", 16)), 0),
            ("a2-ultragpu-8g", 96.0, 1360.0, Some(("Nvidia Tesla A100 80GB GPU", 8)), 3_000),
            ("a3-highgpu-8g", 208.0, 1872.0, Some(("Nvidia H100 80GB GPU", 8)), 6_000),
            ("n2-custom-6-20480", 6.0, 20.0, None, 0),
            ("custom-2-4096", 2.0, 4.0, None, 0),
            ("nvidia-tesla-t4", 0.0, 0.0, Some(("Nvidia Tesla T4 GPU", 1)), 0),
        ] {
            let parts = Parts::of(name).unwrap();
            let told =
                (f64::from(parts.vcpu) / 100.0, f64::from(parts.memory) / f64::from(GIB), parts.gpus, parts.local_disk);
            assert_eq!(told, (vcpu, gib, gpus, disk), "{name}");
            let size = (parts.vcpu / 100, parts.gpus.map_or(0, |(_, count)| count));
            assert!(size_of(name).is_none_or(|told| told == size), "{name}");
        }
    }

    #[test]
    fn what_is_not_certain_is_not_known() {
        for name in [
            "",
            "n1",
            "n1-standard",
            "n1-standard-0",
            "n1-standard-x",
            "c3-standard-8-lssd",
            "c4-standard-2",
            "n2-custom-8-16384-ext",
            "a3-ultragpu-8g",
            "a2-highgpu-99g",
            "m3-ultramem-32",
            "x9-standard-4",
            "t2d-highcpu-4",
        ] {
            assert_eq!(Parts::of(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_known_or_not(name in ".*", shape in "[acegnt][1-4][ad]?-(standard|highcpu|custom|highgpu)-[0-9]{0,11}(-[0-9]{1,11})?g?") {
            let _ = (Parts::of(&name), Parts::of(&shape));
        }
    }
}
