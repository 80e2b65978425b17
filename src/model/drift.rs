//! Drift: a machine that was made otherwise than one would be made now.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::ids::{MachineType, PoolName, Zone};
use crate::model::settings::fields;
use crate::model::settings::{PoolSettings, Settings};

/// So much of a hash tells machines apart.
const SHOWN: usize = 12;

/// How the pools' machines would be made now.
pub type Fingerprints = std::collections::BTreeMap<PoolName, String>;

/// In what a machine differs from one that would be made now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Drift {
    /// What its pool's machines are made of, or run, was set otherwise.
    Settings { made: String, now: String },
    /// The pool names its image by a name or a parameter, and a later machine was made of another image.
    Image { made: String, now: String },
    /// The pool does not rent this type any more.
    Type(MachineType),
    /// The pool's machines do not stand in this zone any more.
    Zone(Zone),
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings { .. } => write!(f, "made by other settings than its pool has now"),
            Self::Image { made, now } => write!(f, "made of {made}, later ones of {now}"),
            Self::Type(machine_type) => write!(f, "its pool rents no {machine_type} any more"),
            Self::Zone(zone) => write!(f, "its pool is not in {zone} any more"),
        }
    }
}

/// All of it in one line; `None`: a machine would be made like this one.
#[must_use]
pub fn told(drift: &[Drift]) -> Option<String> {
    let told: Vec<String> = drift.iter().map(ToString::to_string).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// What differs where a machine stands and of which type it is.
#[must_use]
pub fn of_offering(pool: &PoolSettings, machine_type: &MachineType, zone: Option<&Zone>) -> Vec<Drift> {
    let zones = &pool.launch.zones;
    let outside = zone.filter(|zone| !zones.is_empty() && !zones.iter().any(|own| own == zone.as_str()));
    let other_type = (!pool.types.contains(machine_type)).then(|| Drift::Type(machine_type.clone()));
    other_type.into_iter().chain(outside.cloned().map(Drift::Zone)).collect()
}

impl Settings {
    /// See [`PoolSettings::fingerprint`].
    #[must_use]
    pub fn fingerprints(&self) -> Fingerprints {
        self.pools.iter().map(|pool| (pool.name.clone(), self.as_made(pool).fingerprint())).collect()
    }
}

impl PoolSettings {
    /// Of what a machine of the pool is made and what it runs: machines with another were made otherwise. Where it stands
    /// and how it is bought is no part of it. A setting that has its default is none either, so that another version's
    /// new settings change nothing.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for (name, value) in fields::made_of(self) {
            hash.update(format!("{name}={value}\n"));
        }
        let hash = format!("{:x}", hash.finalize());
        hash.get(..SHOWN).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::{GuardKind, KeepAlive, Market, Provider};

    fn pool() -> PoolSettings {
        let mut pool = PoolSettings::with_defaults("gpu");
        pool.types = vec!["g5.xlarge".into(), "g6.xlarge".into()];
        pool.launch.ami = "ami-1".to_owned();
        pool
    }

    fn changed(change: impl FnOnce(&mut PoolSettings)) -> bool {
        let mut other = pool();
        change(&mut other);
        other.fingerprint() != pool().fingerprint()
    }

    #[test]
    fn what_a_machine_is_made_of_and_runs_makes_its_fingerprint() {
        assert_eq!(pool().fingerprint().len(), 12);
        for (what, changes) in [
            ("image", changed(|pool| pool.launch.ami = "ami-2".to_owned())),
            ("disk", changed(|pool| pool.launch.disk_gb = Some(200))),
            ("tags", changed(|pool| drop(pool.launch.tags.insert("team".to_owned(), "a".to_owned())))),
            ("agent", changed(|pool| pool.agent.agent_version = "3.0.2".to_owned())),
            ("init script", changed(|pool| pool.agent.init_script = Some("true".to_owned()))),
            ("guard", changed(|pool| pool.guard = GuardKind::Off)),
        ] {
            assert!(changes, "{what}");
        }
        for (what, changes) in [
            ("name", changed(|pool| pool.name = "other".into())),
            ("order of types", changed(|pool| pool.types.reverse())),
            ("market", changed(|pool| pool.market = Market::Spot)),
            ("zones", changed(|pool| pool.launch.zones = vec!["us-east-1a".to_owned()])),
            ("cap", changed(|pool| pool.launch.spot_max_price = "70%".parse().ok())),
            ("limit", changed(|pool| pool.limits.max = Some(3))),
            ("keep-alive", changed(|pool| pool.keep_alive = KeepAlive::For(jiff::SignedDuration::from_mins(1)))),
        ] {
            assert!(!changes, "{what}");
        }
    }

    #[test]
    fn metadata_of_all_machines_of_googles_is_part_of_each_but_of_no_other() {
        let mut settings = Settings::blank(crate::model::ids::Revision::new("0"));
        settings.pools = vec![PoolSettings { provider: Provider::Gce, ..pool() }, pool()];
        settings.pools[1].name = "other".into();
        settings.pools[0].launch.gce.metadata = [("a", "own"), ("b", "own")].map(|(k, v)| (k.into(), v.into())).into();
        let before = settings.fingerprints();
        settings.the_loop.gce_metadata = [("b", "of all"), ("c", "of all")].map(|(k, v)| (k.into(), v.into())).into();
        let made = settings.as_made(&settings.pools[0]).launch.gce.metadata;
        assert_eq!(
            made.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(),
            ["a=own", "b=own", "c=of all"]
        );
        let after = settings.fingerprints();
        assert!(before["gpu"] != after["gpu"] && before["other"] == after["other"]);
    }

    #[test]
    fn a_type_or_zone_that_the_pool_gave_up_is_drift() {
        let mut pool = pool();
        let of = |pool: &PoolSettings, machine_type: &str, zone: Option<&str>| {
            let zone = zone.map(Zone::from);
            told(&of_offering(pool, &machine_type.into(), zone.as_ref())).unwrap_or_default()
        };
        assert_eq!(of(&pool, "g6.xlarge", Some("us-east-1c")), "");
        pool.launch.zones = vec!["us-east-1a".to_owned()];
        assert_eq!(of(&pool, "g6.xlarge", None), "");
        assert_eq!(
            of(&pool, "p3.2xlarge", Some("us-east-1c")),
            "its pool rents no p3.2xlarge any more; its pool is not in us-east-1c any more"
        );
    }
}
