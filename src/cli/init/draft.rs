//! The settings that the first run writes: small, commented, and valid whatever was chosen.

use std::fmt::Write;

use crate::cli::check::unpriced;
use crate::model::catalogue::{Catalogue, TypeSpec};
use crate::model::ids::{Actor, MachineType, QueueName};
use crate::model::money::{Exact, ExactRate, Money, Rate};
use crate::model::settings::Provider;
use crate::model::settings::fields::Written;
use crate::model::settings::key::word;

/// A budget that a mistake can cost.
pub(super) const SMALL: Money = Money::from_micros(20_000_000);

/// AWS's own image with NVIDIA's driver and docker, and Canonical's.
const WITH_GPU: &str = "name:Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04)*";
const WITHOUT_GPU: &str = "name:ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*";
const CANONICAL: &str = "099720109477";
/// Google's own with the same, and Canonical's there.
const GOOGLE_WITH_GPU: &str =
    "projects/deeplearning-platform-release/global/images/family/common-cu129-ubuntu-2404-nvidia-580";
const GOOGLE_WITHOUT_GPU: &str = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64";

/// Where the price table is richest.
const PRICED: [(Provider, &str); 2] = [(Provider::Aws, "us-east-1"), (Provider::Gce, "us-east1")];

/// The zones of Google's regions by their letters, where they are not the first three.
const ZONES: [(&str, &str); 3] = [("us-central1", "abcf"), ("us-east1", "bcd"), ("europe-west1", "bcd")];

/// The pool's name.
pub(super) const POOL: &str = "first";

/// The answers.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub fleet: String,
    pub queues: Vec<QueueName>,
    pub provider: Provider,
    pub region: String,
    pub types: Vec<MachineType>,
    pub image: String,
    pub max: u32,
    /// Of the dearest type; `None`: not known.
    pub rate: Option<Rate>,
    /// For a day.
    pub budget: Money,
    /// The agents would have the console's own user.
    pub agents_warned: bool,
}

fn quoted(text: &str) -> String {
    Written::Text(text.to_owned()).to_toml()
}

fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    Written::List(items.into_iter().map(|item| item.as_ref().to_owned()).collect()).to_toml()
}

impl Draft {
    /// As it is told once it is written.
    pub(super) fn in_short(&self) -> String {
        let (max, budget) = (self.max, self.budget);
        let queues: Vec<_> = self.queues.iter().map(ToString::to_string).collect();
        format!("queues {}, at most {max} machines and {budget} a day", queues.join(", "))
    }

    /// What is unlikely to be meant: types of which the table has heard in no region.
    pub(super) fn warnings(&self, catalogue: &Catalogue) -> Vec<String> {
        let unheard = self.types.iter().filter(|kind| catalogue.spec_near(self.provider, &self.region, kind).is_none());
        unheard.map(|kind| format!("pool {POOL}: {}", unpriced(kind, &self.region, POOL))).collect()
    }

    /// The settings' text.
    pub(super) fn text(&self) -> String {
        let Self { fleet, region, max, budget, .. } = self;
        let agents = if self.agents_warned {
            "# The machines' agents have your own ClearML user: a task on a machine can act as you. Better: make a second user, put its\n\
             # key into the environment, and name it here.\n\
             #[clearml.agents]\n#credentials = \"env:AGENTS_CLEARML\"\n\n"
        } else {
            ""
        };
        let mut text = format!(
            "# Tidegate's first settings. The loop is a dry run until you arm it (`A` on the screen, or `tidegate arm`).\n\
             # Every setting with what it means: config/tidegate.toml and assets/SETTINGS.md of the project. `tidegate check` tests this file.\n\n\
             {agents}[loop]\n# In every tag and worker name of these machines; unique per ClearML server. Not to be changed while machines are up.\n\
             fleet = {}\n# What becomes of the machines when the console is left: leave, stop-idle or stop-all.\non_exit = \"stop-idle\"\n\n\
             # Over everything; no limit is passed at any step.\n[limits]\nmax = {max}\n",
            quoted(fleet),
        );
        // Room for the dearest, and no more.
        if let Some(rate) = self.rate {
            const DIME: i64 = 100_000;
            let most = rate.micros_per_hour().saturating_mul(i64::from(*max)) * 11 / 10;
            let most = Rate::from_micros_per_hour((most + DIME - 1) / DIME * DIME);
            let _ = writeln!(text, "max_hourly = {}", quoted(&ExactRate(most).to_string()));
        }
        let _ = write!(
            text,
            "\n# No machine is started that could cross it; what runs is stopped when it is idle.\n[[budget]]\nname = \"first day\"\nscope = \"all\"\n\
             per = \"day\"\nlimit = {}\nhard = true\nat = {{ \"80%\" = \"warn\", \"100%\" = \"stop-idle\" }}\n",
            quoted(&Exact(*budget).to_string()),
        );
        for queue in &self.queues {
            let _ = write!(text, "\n[queue.{}]\npools = [\"{POOL}\"]\nmax = {max}\n", word(queue.as_str()));
        }
        let (provider, image) = match self.provider {
            Provider::Gce => ("gce", "image"),
            _ => ("aws", "ami"),
        };
        let _ = write!(
            text,
            "\n# A kind of machine: the types are tried in order.\n[pool.{POOL}]\nprovider = \"{provider}\"\nregion = {}\ntypes = {}\n\
             market = \"on-demand\"          # or \"spot\": cheaper, and taken back with little notice\n{image} = {}\n",
            quoted(region),
            list(self.types.iter().map(MachineType::as_str)),
            quoted(&self.image),
        );
        if self.provider == Provider::Gce {
            let letters = ZONES.iter().find(|(named, _)| named == region).map_or("abc", |(_, letters)| letters);
            let zones = list(letters.chars().map(|zone| format!("{region}-{zone}")));
            let _ = writeln!(
                text,
                "zones = {zones}          # tried in order\npublic_address = true          # or a Cloud NAT: the machines must \
                 reach ClearML"
            );
        }
        if self.provider == Provider::Aws && self.image.starts_with("name:") {
            let owner = if self.image == WITHOUT_GPU { CANONICAL } else { "amazon" };
            let _ = writeln!(text, "ami_owner = {}", quoted(owner));
        }
        let _ = write!(
            text,
            "max = {max}\n# The machine ends itself then, whatever happens to this program.\nmax_life = \"1d\"\n"
        );
        text
    }
}

/// `ann-fleet`, of what a person is called; of who has no name, after the host: the same number is somebody else on another.
pub(super) fn fleet_of(person: &Actor, host: &str) -> String {
    let is_number = person.as_str().starts_with("uid ");
    let host = host.split('.').next().unwrap_or_default();
    let plain = |name: &str| -> String {
        name.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect()
    };
    let names = [if is_number { "" } else { person.as_str() }, host, "first"].map(plain);
    format!("{}-fleet", names.into_iter().find(|name| !name.is_empty()).unwrap_or_default())
}

/// What can be rented there, with a price, cheapest first, those with GPUs before those without.
pub(super) fn offered<'a>(
    catalogue: &'a Catalogue,
    provider: Provider,
    region: &str,
) -> Vec<(&'a MachineType, &'a TypeSpec)> {
    let mut offered: Vec<_> = catalogue.types_of(provider, region).collect();
    offered.sort_by_key(|(kind, spec)| (spec.gpu == 0, spec.on_demand.is_none(), spec.on_demand, (*kind).clone()));
    // Half of them with GPUs, the rest without.
    let (with, without): (Vec<_>, Vec<_>) = offered.into_iter().partition(|(_, spec)| spec.gpu > 0);
    with.into_iter().take(11).chain(without.into_iter().take(5)).collect()
}

/// The same, or where the table has none of that region, those of another and which.
pub(super) fn offered_near<'a, 'r>(
    catalogue: &'a Catalogue,
    provider: Provider,
    region: &'r str,
) -> (Vec<(&'a MachineType, &'a TypeSpec)>, &'r str) {
    let own = offered(catalogue, provider, region);
    let priced = PRICED.iter().find(|(of, _)| *of == provider).map_or(region, |(_, priced)| priced);
    if own.is_empty() { (offered(catalogue, provider, priced), priced) } else { (own, region) }
}

/// Whether a word may be the name of a machine type: `g5.xlarge`, `g2-standard-4`.
pub(super) fn is_type(provider: Provider, word: &str) -> bool {
    let between = if provider == Provider::Gce { '-' } else { '.' };
    let parts: Vec<&str> = word.split(between).collect();
    let fits = |part: &&str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    parts.len() > 1 && word.starts_with(|c: char| c.is_ascii_lowercase()) && parts.iter().all(fits)
}

pub(super) fn gpus(catalogue: &Catalogue, provider: Provider, kind: &MachineType) -> u32 {
    catalogue.size(provider, kind).map_or(0, |(_, gpu)| gpu)
}

pub(super) fn rate(catalogue: &Catalogue, provider: Provider, region: &str, kind: &MachineType) -> Option<Rate> {
    catalogue.spec(provider, region, kind)?.on_demand
}

/// The image where nobody names one.
pub(super) fn image(provider: Provider, has_gpu: bool) -> &'static str {
    match (provider, has_gpu) {
        (Provider::Gce, true) => GOOGLE_WITH_GPU,
        (Provider::Gce, false) => GOOGLE_WITHOUT_GPU,
        (_, true) => WITH_GPU,
        (_, false) => WITHOUT_GPU,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::store::settings::parse;

    fn draft() -> Draft {
        Draft {
            fleet: "ann-fleet".to_owned(),
            queues: vec!["default".into(), "gpu large".into()],
            provider: Provider::Aws,
            region: "us-east-1".to_owned(),
            types: vec!["g5.xlarge".into(), "g4dn.xlarge".into()],
            image: WITH_GPU.to_owned(),
            max: 2,
            rate: Some(Rate::from_micros_per_hour(1_006_000)),
            budget: SMALL,
            agents_warned: true,
        }
    }

    #[test]
    fn what_is_written_is_settings_that_are_safe() {
        let text = draft().text();
        insta::assert_snapshot!("draft", text);
        let settings = parse(&text, Path::new("t")).unwrap();
        assert_eq!((settings.limits.max, settings.pools[0].limits.max), (Some(2), Some(2)));
        assert!(settings.budgets[0].hard && settings.budgets[0].limit == SMALL);
        assert_eq!(settings.queues.len(), 2);
        assert!(settings.limits.max_hourly.unwrap() < "$3/h".parse().unwrap());
        let google = Draft {
            provider: Provider::Gce,
            image: "family/x".to_owned(),
            region: "us-central1".to_owned(),
            ..draft()
        };
        let google = Draft { types: vec!["g2-standard-4".into()], rate: None, agents_warned: false, ..google };
        parse(&google.text(), Path::new("t")).unwrap();
        for (region, zones) in [("us-east1", "us-east1-b"), ("europe-west4", "europe-west4-a")] {
            let settings =
                parse(&Draft { region: region.to_owned(), ..google.clone() }.text(), Path::new("t")).unwrap();
            assert_eq!(settings.pools[0].launch.zones.first().map(String::as_str), Some(zones));
        }
    }

    #[test]
    fn a_region_without_prices_is_offered_what_another_one_has() {
        let catalogue = crate::cli::live::price_table().unwrap();
        for (provider, region) in [(Provider::Aws, "eu-west-1"), (Provider::Gce, "europe-west4")] {
            let (offered, priced) = offered_near(&catalogue, provider, region);
            assert!(!offered.is_empty() && priced != region, "{region}");
        }
        assert_eq!(offered_near(&catalogue, Provider::Aws, "us-east-1").1, "us-east-1");
    }

    #[test]
    fn what_could_be_a_machine_type_is_one() {
        for (provider, word, is) in [
            (Provider::Aws, "p5en.48xlarge", true),
            (Provider::Aws, "u-6tb1.metal", true),
            (Provider::Aws, "7", false),
            (Provider::Aws, "g5", false),
            (Provider::Gce, "a3-highgpu-8g", true),
            (Provider::Gce, "g5.xlarge", false),
            (Provider::Gce, "-4", false),
        ] {
            assert_eq!(is_type(provider, word), is, "{word}");
        }
    }

    #[test]
    fn a_type_that_nobody_has_heard_of_is_warned_of() {
        let catalogue = crate::cli::live::price_table().unwrap();
        let warned = |kind: &str| Draft { types: vec![kind.into()], ..draft() }.warnings(&catalogue);
        assert_eq!(warned("g4dn.xlarge"), [""; 0]);
        let region = draft().region;
        let told = format!("pool first: no price is known for nosuch.xlarge in {region}: set pool.first.price");
        assert_eq!(warned("nosuch.xlarge"), [told]);
    }

    #[test]
    fn a_fleet_is_called_after_its_person() {
        for (person, host, fleet) in [
            ("ann", "gpu-1", "ann-fleet"),
            ("ann@host:1/x", "gpu-1", "annhost1x-fleet"),
            ("uid 1000", "gpu-1.example.com", "gpu-1-fleet"),
            ("", "gpu-1", "gpu-1-fleet"),
            ("uid 1000", "", "first-fleet"),
        ] {
            assert_eq!(fleet_of(&person.into(), host), fleet);
        }
    }

    proptest! {
        #[test]
        fn whatever_queues_are_called_the_text_is_settings(name in "[^\\s][^\\n\\r]{0,20}[^\\s]", max in 1_u32..50) {
            let queues = vec![QueueName::from(name.as_str())];
            let text = Draft { queues: queues.clone(), max, ..draft() }.text();
            // A name that no queue can have is refused by its place, never by the grammar.
            match parse(&text, Path::new("t")) {
                Ok(settings) => prop_assert_eq!(&settings.queues[0].name, &queues[0]),
                Err(problems) => prop_assert!(problems.to_string().contains("a queue's name"), "{problems}"),
            }
        }
    }
}
