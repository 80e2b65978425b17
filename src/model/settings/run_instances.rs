//! The members of EC2's launch call, `RunInstances`, that a pool may set in words of its own: those that no other
//! setting sets, by their dotted names, each with what it takes. From EC2's API reference, version 2016-11-15.

use crate::model::nearest::did_you_mean;

/// What a member takes.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    Flag,
    Whole(i64, i64),
    Words(&'static [&'static str]),
    Text,
    /// A text that begins so.
    Id(&'static str),
}

/// A member that may be set. `#` in its name stands for a number from 1.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    pub name: &'static str,
    pub takes: Takes,
}

const fn member(name: &'static str, takes: Takes) -> Member {
    Member { name, takes }
}

/// Every member that may be set.
pub const MEMBERS: &[Member] = &[
    member(
        "CapacityReservationSpecification.CapacityReservationPreference",
        Takes::Words(&["capacity-reservations-only", "none", "open"]),
    ),
    member("CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId", Takes::Id("cr-")),
    member(
        "CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationResourceGroupArn",
        Takes::Id("arn:"),
    ),
    member("CpuOptions.AmdSevSnp", Takes::Words(&["enabled", "disabled"])),
    member("CpuOptions.CoreCount", Takes::Whole(1, 1024)),
    member("CpuOptions.NestedVirtualization", Takes::Words(&["enabled", "disabled"])),
    member("CpuOptions.ThreadsPerCore", Takes::Whole(1, 2)),
    member("CreditSpecification.CpuCredits", Takes::Words(&["standard", "unlimited"])),
    member("DisableApiStop", Takes::Flag),
    member("EbsOptimized", Takes::Flag),
    member("EnablePrimaryIpv6", Takes::Flag),
    member("EnclaveOptions.Enabled", Takes::Flag),
    member("HibernationOptions.Configured", Takes::Flag),
    member("Ipv6AddressCount", Takes::Whole(1, 64)),
    member("KernelId", Takes::Id("aki-")),
    member("LaunchTemplate.LaunchTemplateId", Takes::Id("lt-")),
    member("LaunchTemplate.LaunchTemplateName", Takes::Text),
    member("LaunchTemplate.Version", Takes::Text),
    member("LicenseSpecification.#.LicenseConfigurationArn", Takes::Id("arn:")),
    member("MaintenanceOptions.AutoRecovery", Takes::Words(&["default", "disabled"])),
    member("MetadataOptions.HttpProtocolIpv6", Takes::Words(&["enabled", "disabled"])),
    member("MetadataOptions.InstanceMetadataTags", Takes::Words(&["enabled", "disabled"])),
    member("NetworkPerformanceOptions.BandwidthWeighting", Takes::Words(&["default", "vpc-1", "ebs-1"])),
    member("Placement.Affinity", Takes::Words(&["default", "host"])),
    member("Placement.GroupId", Takes::Id("pg-")),
    member("Placement.GroupName", Takes::Text),
    member("Placement.HostId", Takes::Id("h-")),
    member("Placement.HostResourceGroupArn", Takes::Id("arn:")),
    member("Placement.PartitionNumber", Takes::Whole(1, 7)),
    member("Placement.Tenancy", Takes::Words(&["default", "dedicated", "host"])),
    member("PrivateDnsNameOptions.EnableResourceNameDnsAAAARecord", Takes::Flag),
    member("PrivateDnsNameOptions.EnableResourceNameDnsARecord", Takes::Flag),
    member("PrivateDnsNameOptions.HostnameType", Takes::Words(&["ip-name", "resource-name"])),
    member("RamdiskId", Takes::Id("ari-")),
];

/// Members that are ours, by the first words of their names, and what sets each or why nothing does.
pub const OURS: &[(&str, &str)] = &[
    ("AdditionalInfo", "AWS keeps it for itself"),
    ("BlockDeviceMapping", "`disk_gb`, `disk_type` and `volumes` set it"),
    ("ClientToken", "the console gives each launch its own"),
    ("DisableApiTermination", "the console must be able to end its machines"),
    ("DryRun", "`tidegate check` does that"),
    ("ElasticGpuSpecification", "AWS has retired it"),
    ("ElasticInferenceAccelerator", "AWS has retired it"),
    ("IamInstanceProfile", "`instance_profile` sets it"),
    ("ImageId", "`ami` sets it"),
    ("InstanceInitiatedShutdownBehavior", "a machine that switches itself off must end"),
    ("InstanceMarketOptions", "`market` and `spot_max_price` set it"),
    ("InstanceType", "`types` sets it"),
    ("Ipv6Address", "each machine has one of its own"),
    ("KeyName", "`key_name` sets it"),
    ("MaxCount", "the console decides how many"),
    ("MetadataOptions.HttpEndpoint", "the machine's guard needs it"),
    ("MetadataOptions.HttpPutResponseHopLimit", "it stays 1, so that containers do not get the machine's role"),
    ("MetadataOptions.HttpTokens", "tokens are always required"),
    ("MinCount", "the console decides how many"),
    ("Monitoring", "`monitoring` sets it"),
    ("NetworkInterface", "`subnets` and `security_groups` set it"),
    ("Operator", "it is for AWS's own services"),
    ("Placement.AvailabilityZone", "`zones` sets it"),
    ("PrivateIpAddress", "each machine has one of its own"),
    ("SecondaryInterface", "`subnets` and `security_groups` say where machines are"),
    ("SecurityGroup", "`security_groups` sets it"),
    ("SubnetId", "`subnets` sets it"),
    ("TagSpecification", "`tags` sets it"),
    ("UserData", "the machine's guard is in it; `init_script` is yours"),
];

/// What a launch template has no member for.
const NOT_IN_TEMPLATES: &[&str] = &["EnablePrimaryIpv6", "Ipv6AddressCount", "LaunchTemplate"];

/// A member's name in a launch template's data; `None`: it has none.
#[must_use]
pub fn in_template(name: &str) -> Option<&str> {
    match name.split('.').next() {
        Some(first) if NOT_IN_TEMPLATES.contains(&first) => None,
        Some("RamdiskId") => Some("RamDiskId"),
        _ => Some(name),
    }
}

/// The member of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Member> {
    MEMBERS.iter().find(|member| is_named(member.name, name))
}

fn is_named(pattern: &str, name: &str) -> bool {
    let (mut patterns, mut words) = (pattern.split('.'), name.split('.'));
    loop {
        match (patterns.next(), words.next()) {
            (None, None) => return true,
            (Some("#"), Some(word)) if word.parse().is_ok_and(|number: u32| (1..100).contains(&number)) => {}
            (Some(pattern), Some(word)) if pattern == word => {}
            _ => return false,
        }
    }
}

/// Whether a member of this name may be set; if not, why not, to follow its name.
pub fn check_name(name: &str) -> Result<(), String> {
    if find(name).is_some() {
        return Ok(());
    }
    // Lists have names of many in the SDKs and of one on the wire: `TagSpecifications`, `TagSpecification`.
    let is_ours = |ours: &str| {
        let rest = name.strip_prefix(ours);
        rest.is_some_and(|rest| ["", "s", "Ids", "Id", "es"].contains(&rest) || is_member(rest))
    };
    if let Some((ours, why)) = OURS.iter().find(|(ours, _)| is_ours(ours)) {
        return Err(format!("is not yours to set: {ours}: {why}"));
    }
    let hint = did_you_mean(name, MEMBERS.iter().map(|member| member.name));
    let inside = MEMBERS.iter().filter(|member| member.name.strip_prefix(name).is_some_and(is_member));
    let inside: Vec<_> = inside.map(|member| format!("`{}`", member.name)).collect();
    if inside.is_empty() {
        Err(format!("is no member of RunInstances that can be set{hint}"))
    } else {
        Err(format!("has members: set {}", inside.join(", ")))
    }
}

fn is_member(rest: &str) -> bool {
    rest.starts_with('.') || rest.starts_with("s.")
}

/// Whether the member takes this text; if not, what it takes.
pub fn check_text(name: &str, text: &str) -> Result<(), String> {
    let Some(member) = find(name) else { return Ok(()) };
    let is_word = !text.is_empty() && text.trim() == text && !text.contains(char::is_control);
    let (holds, takes) = match member.takes {
        Takes::Flag => (["true", "false"].contains(&text), "`true` or `false`".to_owned()),
        Takes::Whole(min, max) => (
            text.parse().is_ok_and(|number: i64| (min..=max).contains(&number)),
            format!("a whole number in {min}..{max}"),
        ),
        Takes::Words(words) => (
            words.contains(&text),
            format!("one of {}", words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")),
        ),
        Takes::Text => (is_word, "a text on one line".to_owned()),
        Takes::Id(begins) => (is_word && text.starts_with(begins), format!("a text that begins with `{begins}`")),
    };
    if holds { Ok(()) } else { Err(format!("is not {takes}, which {name} takes")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_member_is_taken_refused_by_name_or_guessed() {
        for (name, said) in [
            ("CpuOptions.CoreCount", ""),
            ("LicenseSpecification.1.LicenseConfigurationArn", ""),
            (
                "LicenseSpecification.0.LicenseConfigurationArn",
                "is no member of RunInstances that can be set: did you mean `LicenseSpecification.#.LicenseConfigurationArn`?",
            ),
            ("ImageId", "is not yours to set: ImageId: `ami` sets it"),
            ("UserData", "is not yours to set: UserData: the machine's guard is in it; `init_script` is yours"),
            ("TagSpecifications", "is not yours to set: TagSpecification: `tags` sets it"),
            ("TagSpecification.1.Tag.1.Key", "is not yours to set: TagSpecification: `tags` sets it"),
            (
                "BlockDeviceMappings",
                "is not yours to set: BlockDeviceMapping: `disk_gb`, `disk_type` and `volumes` set it",
            ),
            ("SecurityGroupIds", "is not yours to set: SecurityGroup: `security_groups` sets it"),
            ("Monitoring.Enabled", "is not yours to set: Monitoring: `monitoring` sets it"),
            (
                "NetworkInterface.1.AssociatePublicIpAddress",
                "is not yours to set: NetworkInterface: `subnets` and `security_groups` set it",
            ),
            (
                "MetadataOptions.HttpTokens",
                "is not yours to set: MetadataOptions.HttpTokens: tokens are always required",
            ),
            (
                "CpuOption.CoreCount",
                "is no member of RunInstances that can be set: did you mean `CpuOptions.CoreCount`?",
            ),
            ("EnclaveOptions", "has members: set `EnclaveOptions.Enabled`"),
            ("Colour", "is no member of RunInstances that can be set"),
        ] {
            assert_eq!(check_name(name).err().unwrap_or_default(), said, "{name}");
        }
    }

    #[test]
    fn a_members_value_is_checked_by_its_kind() {
        for (name, right, wrong, said) in [
            ("EbsOptimized", "true", "yes", "is not `true` or `false`, which EbsOptimized takes"),
            ("CpuOptions.CoreCount", "8", "0", "is not a whole number in 1..1024, which CpuOptions.CoreCount takes"),
            (
                "Placement.Tenancy",
                "dedicated",
                "mine",
                "is not one of `default`, `dedicated`, `host`, which Placement.Tenancy takes",
            ),
            ("Placement.GroupName", "my group", "", "is not a text on one line, which Placement.GroupName takes"),
            ("KernelId", "aki-1", "ari-1", "is not a text that begins with `aki-`, which KernelId takes"),
        ] {
            assert_eq!(check_text(name, right), Ok(()));
            assert_eq!(check_text(name, wrong).unwrap_err(), said);
        }
    }

    #[test]
    fn every_member_is_somebodys() {
        for member in MEMBERS {
            assert_eq!(check_name(&member.name.replace('#', "1")), Ok(()), "{}", member.name);
        }
        for (ours, _) in OURS {
            assert!(check_name(ours).unwrap_err().starts_with("is not yours"), "{ours}");
        }
    }

    proptest! {
        #[test]
        fn any_name_and_text_is_taken_or_refused(name in "[A-Za-z.0-9#]{0,40}", text in ".*") {
            let _ = check_name(&name);
            let _ = check_text(&name, &text);
        }
    }
}
