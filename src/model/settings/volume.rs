//! Disks, and how they are written: `/dev/sdf size=200 type=io2 iops=8000 encrypted`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Largest disk that EC2 makes, in GiB.
pub const LARGEST_GB: u32 = 65_536;

/// What a disk is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeKind {
    Gp3,
    Gp2,
    Io1,
    Io2,
    St1,
    Sc1,
    Standard,
}

impl VolumeKind {
    /// As EC2 names them.
    pub const WORDS: &[&str] = &["gp3", "gp2", "io1", "io2", "st1", "sc1", "standard"];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Gp3 => "gp3",
            Self::Gp2 => "gp2",
            Self::Io1 => "io1",
            Self::Io2 => "io2",
            Self::St1 => "st1",
            Self::Sc1 => "sc1",
            Self::Standard => "standard",
        }
    }

    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        let kinds = [Self::Gp3, Self::Gp2, Self::Io1, Self::Io2, Self::St1, Self::Sc1, Self::Standard];
        kinds.into_iter().find(|kind| kind.word() == word)
    }

    /// Operations in a second that can be asked for; `None`: none can.
    #[must_use]
    pub fn iops(self) -> Option<RangeInclusive<u32>> {
        match self {
            Self::Gp3 => Some(3_000..=80_000),
            Self::Io1 => Some(100..=64_000),
            Self::Io2 => Some(100..=256_000),
            _ => None,
        }
    }

    /// MiB/s that can be asked for; `None`: none can.
    #[must_use]
    pub fn throughput(self) -> Option<RangeInclusive<u32>> {
        (self == Self::Gp3).then_some(125..=2_000)
    }

    /// What does not go with this kind of disk.
    #[must_use]
    pub fn complaint(self, iops: Option<u32>, throughput: Option<u32>) -> Option<(Speed, String)> {
        let out_of = |what, asked: Option<u32>, range: Option<RangeInclusive<u32>>| {
            let asked = asked?;
            match range {
                None => Some(format!("`{asked}`: {} takes no {what}", self.word())),
                Some(range) if !range.contains(&asked) => Some(format!(
                    "`{asked}` is not in {}..{}, the {what} of {}",
                    range.start(),
                    range.end(),
                    self.word()
                )),
                Some(_) => None,
            }
        };
        let iops_needed = iops.is_none() && matches!(self, Self::Io1 | Self::Io2);
        if iops_needed {
            return Some((Speed::Iops, format!("{} needs its iops", self.word())));
        }
        out_of("iops", iops, self.iops())
            .map(|said| (Speed::Iops, said))
            .or_else(|| out_of("throughput", throughput, self.throughput()).map(|said| (Speed::Throughput, said)))
    }
}

/// What a complaint about a disk's speed is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speed {
    Iops,
    Throughput,
}

/// A disk beside the root disk. It ends with its machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub device: String,
    /// GiB; `None`: as large as the snapshot.
    pub size: Option<u32>,
    pub kind: VolumeKind,
    pub iops: Option<u32>,
    /// MiB/s.
    pub throughput: Option<u32>,
    pub encrypted: bool,
    pub snapshot: Option<String>,
}

/// What a disk's text must be.
pub const GRAMMAR: &str = "a disk, such as `/dev/sdf size=200` or `/dev/sdf size=200 type=io2 iops=8000 encrypted snapshot=snap-0123`; \
    without `type` it is gp3, `throughput` is in MiB/s";

impl FromStr for Volume {
    /// What is wrong with it.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split_whitespace();
        let device = words.next().filter(|device| device.len() > 1 && device.starts_with('/'));
        let device = device.ok_or("no device stands first")?.to_owned();
        let mut volume = Self {
            device,
            size: None,
            kind: VolumeKind::Gp3,
            iops: None,
            throughput: None,
            encrypted: false,
            snapshot: None,
        };
        let mut seen = Vec::new();
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            if seen.contains(&name) {
                return Err(format!("`{name}` is there twice"));
            }
            seen.push(name);
            volume.take(name, value).ok_or_else(|| format!("`{word}` is not known"))?;
        }
        if volume.size.is_none() && volume.snapshot.is_none() {
            return Err("neither size nor snapshot is there".to_owned());
        }
        match volume.kind.complaint(volume.iops, volume.throughput) {
            Some((_, complaint)) => Err(complaint),
            None => Ok(volume),
        }
    }
}

impl Volume {
    /// `None`: there is no such part, or not with this value.
    fn take(&mut self, name: &str, value: &str) -> Option<()> {
        let number = |most: u32| value.parse().ok().filter(|number| (1..=most).contains(number));
        match name {
            "size" => self.size = Some(number(LARGEST_GB)?),
            "type" => self.kind = VolumeKind::read(value)?,
            "iops" => self.iops = Some(number(u32::MAX)?),
            "throughput" => self.throughput = Some(number(u32::MAX)?),
            "encrypted" if value.is_empty() => self.encrypted = true,
            "snapshot" => self.snapshot = Some(is_snapshot(value).then(|| value.to_owned())?),
            _ => return None,
        }
        Some(())
    }
}

/// Whether a text is a snapshot's id.
#[must_use]
pub fn is_snapshot(text: &str) -> bool {
    let id = text.strip_prefix("snap-").unwrap_or_default();
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// As the file has it.
impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.device)?;
        if let Some(size) = self.size {
            write!(f, " size={size}")?;
        }
        if self.kind != VolumeKind::Gp3 {
            write!(f, " type={}", self.kind.word())?;
        }
        if let Some(iops) = self.iops {
            write!(f, " iops={iops}")?;
        }
        if let Some(throughput) = self.throughput {
            write!(f, " throughput={throughput}")?;
        }
        if self.encrypted {
            f.write_str(" encrypted")?;
        }
        if let Some(snapshot) = &self.snapshot {
            write!(f, " snapshot={snapshot}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_disk_is_read_and_written_back() {
        for text in [
            "/dev/sdf size=200",
            "/dev/sdf size=200 type=io2 iops=8000",
            "/dev/sdg size=1 iops=3000 throughput=125 encrypted snapshot=snap-0aa",
            "/dev/xvdb snapshot=snap-0aa",
        ] {
            assert_eq!(text.parse::<Volume>().unwrap().to_string(), text);
        }
        assert_eq!("/dev/sdf  size=9  type=gp3".parse::<Volume>().unwrap().to_string(), "/dev/sdf size=9");
    }

    #[test]
    fn a_disk_that_ec2_would_refuse_is_told() {
        for (text, said) in [
            ("", "no device stands first"),
            ("sdf size=1", "no device stands first"),
            ("/dev/sdf", "neither size nor snapshot is there"),
            ("/dev/sdf size=0", "`size=0` is not known"),
            ("/dev/sdf size=70000", "`size=70000` is not known"),
            ("/dev/sdf size=1 size=2", "`size` is there twice"),
            ("/dev/sdf size=1 type=ssd", "`type=ssd` is not known"),
            ("/dev/sdf size=1 encrypted=true", "`encrypted=true` is not known"),
            ("/dev/sdf snapshot=mine", "`snapshot=mine` is not known"),
            ("/dev/sdf size=1 iops=100", "`100` is not in 3000..80000, the iops of gp3"),
            ("/dev/sdf size=1 type=io2", "io2 needs its iops"),
            ("/dev/sdf size=1 type=st1 iops=100", "`100`: st1 takes no iops"),
            ("/dev/sdf size=1 type=gp2 throughput=200", "`200`: gp2 takes no throughput"),
        ] {
            assert_eq!(text.parse::<Volume>().unwrap_err(), said, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_disk_that_is_read_back_or_refused(text in "(/dev/sdf )?([a-z]{1,9}(=[a-z0-9-]{0,9})? ?){0,4}") {
            if let Ok(volume) = text.parse::<Volume>() {
                prop_assert_eq!(volume.to_string().parse::<Volume>().unwrap(), volume);
            }
        }
    }
}
