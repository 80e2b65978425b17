//! What a machine of a pool is made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::settings::exec::ExecSettings;
use crate::model::settings::gce::GceSettings;
use crate::model::settings::kubernetes::KubernetesSettings;
use crate::model::settings::spot_cap::SpotCap;
use crate::model::settings::volume::{Volume, VolumeKind};

/// What a machine is made of: of EC2, but for what both clouds have, and what is Compute Engine's own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LaunchSettings {
    /// Required for `aws`; see [`image`](Self::image).
    pub ami: String,
    /// Whose images an `ami` by name is looked for among: `self`, `amazon`, `aws-marketplace` or an account's number.
    pub ami_owner: String,
    /// Subnets, tried in order; with `zones` matched one to one. Empty: the zone's default subnet. Compute Engine has one for
    /// a region.
    pub subnets: Vec<String>,
    pub zones: Vec<String>,
    pub security_groups: Vec<String>,
    pub key_name: Option<String>,
    /// Name or ARN.
    pub instance_profile: Option<String>,
    pub disk_gb: Option<u32>,
    /// Device of the root disk, such as `/dev/sda1`; `None`: as the image names it.
    pub disk_device: Option<String>,
    pub disk_type: Option<VolumeKind>,
    pub disk_iops: Option<u32>,
    /// MiB/s.
    pub disk_throughput: Option<u32>,
    /// `false`: as the image and the account have it.
    pub disk_encrypted: bool,
    /// The root disk is made of this snapshot instead of the image's own.
    pub disk_snapshot: Option<String>,
    /// Disks beside the root disk.
    pub volumes: Vec<Volume>,
    /// The cloud's detailed monitoring, which it bills.
    pub monitoring: bool,
    /// The most that a spot machine may cost; `None`: the on-demand price, which is the cloud's own cap.
    pub spot_max_price: Option<SpotCap>,
    pub spot_strategy: SpotStrategy,
    pub tags: BTreeMap<String, String>,
    /// Members of the launch call that no other setting sets, by their dotted names.
    pub run_instances: BTreeMap<String, String>,
    #[serde(default)]
    pub gce: GceSettings,
    #[serde(default)]
    pub kubernetes: KubernetesSettings,
    #[serde(default)]
    pub exec: ExecSettings,
}

/// Where a pool's spot machines are tried, and who chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpotStrategy {
    /// As the settings have them.
    #[default]
    InOrder,
    LowestPrice,
    /// The cloud chooses place and machine type, by price and by how much of it there is.
    PriceCapacityOptimized,
}

/// How a pool names its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image<'a> {
    /// `ami-...`
    Id(&'a str),
    /// `name:PATTERN`: the newest of the owner's images whose name is like the pattern, `*` and `?` in it.
    Name(&'a str),
    /// `ssm:PARAMETER`: what the parameter of the Systems Manager names at the moment of the launch.
    Parameter(&'a str),
}

impl<'a> Image<'a> {
    /// Reads an image's name; `None` for what is none.
    #[must_use]
    pub fn read(text: &'a str) -> Option<Self> {
        let is_word = |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
        if let Some(pattern) = text.strip_prefix("name:") {
            let is_line = !pattern.is_empty() && pattern.trim() == pattern && !pattern.contains(char::is_control);
            return (is_line && pattern != "*").then_some(Self::Name(pattern));
        }
        if let Some(parameter) = text.strip_prefix("ssm:") {
            return is_word(parameter).then_some(Self::Parameter(parameter));
        }
        let id = text.strip_prefix("ami-")?;
        (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(Self::Id(text))
    }
}

impl LaunchSettings {
    /// How the image is named; a text that the field table refuses is taken for an id.
    #[must_use]
    pub fn image(&self) -> Image<'_> {
        Image::read(&self.ami).unwrap_or(Image::Id(&self.ami))
    }

    /// Whether the cloud must be asked about the image: for its id, or for the name of its root disk.
    #[must_use]
    pub fn looks_image_up(&self) -> bool {
        match self.image() {
            Image::Name(_) => true,
            Image::Id(_) => self.sets_disk() && self.disk_device.is_none(),
            Image::Parameter(_) => false,
        }
    }

    /// Whether anything of the root disk is set.
    #[must_use]
    pub fn sets_disk(&self) -> bool {
        self.disk_gb.is_some()
            || self.disk_type.is_some()
            || self.disk_iops.is_some()
            || self.disk_throughput.is_some()
            || self.disk_encrypted
            || self.disk_snapshot.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_an_id_a_name_or_a_parameter() {
        for (text, image) in [
            ("ami-0123456789abcdef0", Some(Image::Id("ami-0123456789abcdef0"))),
            ("name:clearml gpu *", Some(Image::Name("clearml gpu *"))),
            ("ssm:/aws/service/x/image_id", Some(Image::Parameter("/aws/service/x/image_id"))),
            ("ssm:golden-ami:3", Some(Image::Parameter("golden-ami:3"))),
            ("ami-", None),
            ("ami-0 1", None),
            ("name:", None),
            ("name:*", None),
            ("ssm:", None),
            ("ssm:a b", None),
            ("ubuntu", None),
            ("", None),
        ] {
            assert_eq!(Image::read(text), image, "{text}");
        }
    }
}
