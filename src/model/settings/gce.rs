//! What a machine of Compute Engine is made of, beside what every machine has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where the names of access scopes begin.
const SCOPES_BEGIN: &str = "https://www.googleapis.com/auth/";

/// The families of machine types that have GPUs of their own.
const WITH_GPUS: [&str; 6] = ["a2-", "a3-", "a4-", "a4x-", "g2-", "g4-"];

/// What a machine of Compute Engine is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GceSettings {
    /// This or `machine_image` is required for `gce`. See [`image_path`](Self::image_path).
    pub image: Option<String>,
    /// A whole machine's image, with its disks.
    pub machine_image: Option<String>,
    /// GPUs that are attached to a machine type that has none of its own.
    pub gpu_type: Option<String>,
    /// How many of them; `None`: one.
    pub gpu_count: Option<u32>,
    pub disk_kind: Option<DiskKind>,
    /// Tags that firewalls and routes go by.
    pub network_tags: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub metadata: BTreeMap<String, String>,
    /// An address, or `default`; `None`: none, and the machine may do nothing in the cloud.
    pub service_account: Option<String>,
    /// Whole, or by their last part.
    pub scopes: Vec<String>,
    pub provisioning: Provisioning,
}

/// What the boot disk is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskKind {
    PdStandard,
    PdBalanced,
    PdSsd,
    HyperdiskBalanced,
}

impl DiskKind {
    pub const WORDS: &'static [&'static str] = &["pd-standard", "pd-balanced", "pd-ssd", "hyperdisk-balanced"];

    /// As Google and the settings write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::PdStandard => "pd-standard",
            Self::PdBalanced => "pd-balanced",
            Self::PdSsd => "pd-ssd",
            Self::HyperdiskBalanced => "hyperdisk-balanced",
        }
    }

    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        [Self::PdStandard, Self::PdBalanced, Self::PdSsd, Self::HyperdiskBalanced]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// How machines of the spot market are bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provisioning {
    #[default]
    Spot,
    /// What came before Spot: never for longer than a day.
    Preemptible,
}

impl GceSettings {
    /// The image as the call names it: a whole path as it stands, else one of the project's own, by name or as
    /// `family/NAME`.
    #[must_use]
    pub fn image_path(&self) -> Option<String> {
        self.image.as_deref().map(|image| path("images", image))
    }

    /// The machine image, likewise.
    #[must_use]
    pub fn machine_image_path(&self) -> Option<String> {
        self.machine_image.as_deref().map(|image| path("machineImages", image))
    }

    /// GPUs that are attached to each machine.
    #[must_use]
    pub fn attached_gpus(&self) -> u32 {
        if self.gpu_type.is_some() { self.gpu_count.unwrap_or(1) } else { 0 }
    }

    /// The access scopes, whole.
    pub fn whole_scopes(&self) -> impl Iterator<Item = String> {
        self.scopes
            .iter()
            .map(|scope| if scope.starts_with("https://") { scope.clone() } else { format!("{SCOPES_BEGIN}{scope}") })
    }

    /// Whether a machine of this type has GPUs, which no machine takes along when it is moved to another host.
    #[must_use]
    pub fn has_gpus(&self, machine_type: &str) -> bool {
        self.attached_gpus() > 0 || has_own_gpus(machine_type)
    }
}

/// Whether machines of the type come with GPUs.
pub(super) fn has_own_gpus(machine_type: &str) -> bool {
    WITH_GPUS.iter().any(|family| machine_type.starts_with(family))
}

fn path(folder: &str, name: &str) -> String {
    if name.contains("projects/") || name.starts_with("global/") {
        name.to_owned()
    } else {
        format!("global/{folder}/{name}")
    }
}

/// vCPUs and GPUs, where the name of a machine type tells them: `n1-standard-4`, `e2-custom-8-16384`, `a2-highgpu-2g`.
#[must_use]
pub fn size_of(machine_type: &str) -> Option<(u32, u32)> {
    let place = if machine_type.starts_with("custom-") { 1 } else { 2 };
    let count = machine_type.split('-').nth(place)?;
    if let Ok(vcpu) = count.parse::<u32>() {
        let gpu = match (machine_type.get(..3)?, vcpu) {
            ("g2-", 24 | 48 | 96) => vcpu / 12,
            ("g2-", _) => 1,
            ("g4-", _) => (vcpu / 48).max(1),
            _ => 0,
        };
        return Some((vcpu, gpu));
    }
    let gpu: u32 = count.strip_suffix('g')?.parse().ok()?;
    let vcpus = [("a2-megagpu-", 6), ("a2-", 12), ("a3-ultragpu-", 28), ("a3-", 26), ("a4-", 28)];
    let (_, of_each) = vcpus.iter().find(|(family, _)| machine_type.starts_with(family))?;
    Some((gpu.saturating_mul(*of_each), gpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_whole_or_by_name() {
        for (text, path) in [
            ("tasks-3", "global/images/tasks-3"),
            ("family/tasks", "global/images/family/tasks"),
            ("global/images/tasks-3", "global/images/tasks-3"),
            (
                "projects/debian-cloud/global/images/family/debian-12",
                "projects/debian-cloud/global/images/family/debian-12",
            ),
        ] {
            let settings = GceSettings { image: Some(text.to_owned()), ..GceSettings::default() };
            assert_eq!(settings.image_path().as_deref(), Some(path));
        }
    }

    #[test]
    fn a_type_tells_its_size_where_its_name_does() {
        for (machine_type, size) in [
            ("n1-standard-4", Some((4, 0))),
            ("e2-custom-8-16384", Some((8, 0))),
            ("n2-custom-8-16384-ext", Some((8, 0))),
            ("custom-6-20480", Some((6, 0))),
            ("g2-standard-4", Some((4, 1))),
            ("g2-standard-32", Some((32, 1))),
            ("g2-standard-24", Some((24, 2))),
            ("g2-standard-96", Some((96, 8))),
            ("g4-standard-96", Some((96, 2))),
            ("a2-highgpu-2g", Some((24, 2))),
            ("a2-megagpu-16g", Some((96, 16))),
            ("a3-highgpu-8g", Some((208, 8))),
            ("a3-ultragpu-8g", Some((224, 8))),
            ("e2-micro", None),
            ("f1", None),
            ("", None),
        ] {
            assert_eq!(size_of(machine_type), size, "{machine_type}");
        }
    }
}
