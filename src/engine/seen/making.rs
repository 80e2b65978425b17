//! How machines would be made now, against how those that are up were made.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::engine::seen::facts::Facts;
use crate::model::drift::{Drift, Fingerprints, of_offering};
use crate::model::ids::PoolName;
use crate::model::instance::Instance;
use crate::model::observed::CloudInstance;
use crate::model::settings::{Image, Settings};

/// How machines would be made now.
pub(super) struct Making<'a> {
    settings: &'a Settings,
    fingerprints: Fingerprints,
    /// What the last machine of each pool was made of that was made by its present settings, and when: the image that its
    /// name or parameter stands for was looked up then.
    images: BTreeMap<&'a PoolName, (Timestamp, &'a str)>,
}

impl<'a> Making<'a> {
    pub(super) fn new(facts: &'a Facts, settings: &'a Settings) -> Self {
        let fingerprints = settings.fingerprints();
        let mut images: BTreeMap<&PoolName, (Timestamp, &str)> = BTreeMap::new();
        for machine in facts.machines.values() {
            let Some((pool, image)) = machine.tags.pool.as_ref().zip(machine.image.as_deref()) else { continue };
            let by_present = machine.tags.settings.as_ref() == fingerprints.get(pool);
            let looked_up = settings.pool(pool).is_some_and(|pool| !matches!(pool.launch.image(), Image::Id(_)));
            if by_present && looked_up {
                let newest = images.entry(pool).or_insert((machine.launched, image));
                *newest = (*newest).max((machine.launched, image));
            }
        }
        Self { settings, fingerprints, images }
    }

    /// In what a machine differs from one that would be made now, as far as the cloud's list tells.
    pub(super) fn drift(&self, instance: &Instance, facts: &Facts) -> Vec<Drift> {
        let Some(pool) = self.settings.pool(&instance.pool) else { return Vec::new() };
        let mut drift = of_offering(pool, &instance.machine_type, instance.zone.as_ref());
        let Some(machine) = facts.machines.get(&instance.id) else { return drift };
        // One without the tag was made by another version: nobody knows of what.
        if let Some((made, now)) = machine.tags.settings.as_ref().zip(self.fingerprints.get(&instance.pool)) {
            if made == now {
                drift.extend(self.other_image(machine, &instance.pool));
            } else {
                drift.push(Drift::Settings { made: made.clone(), now: now.clone() });
            }
        }
        drift
    }

    fn other_image(&self, machine: &CloudInstance, pool: &PoolName) -> Option<Drift> {
        let (since, now) = *self.images.get(pool)?;
        let made = machine.image.as_deref().filter(|made| *made != now && machine.launched < since)?;
        Some(Drift::Image { made: made.to_owned(), now: now.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::seen::example::Fleet;
    use crate::model::drift::told;
    use crate::model::observed::CloudState;

    /// Two machines of the pool, the second made later.
    fn fleet(ami: &str) -> Fleet {
        let made = |fleet: &mut Fleet, image: &str| {
            let fingerprint = fleet.settings.pools[0].fingerprint();
            let machine = fleet.last();
            (machine.image, machine.tags.settings) = (Some(image.to_owned()), Some(fingerprint));
        };
        let fleet = Fleet::new().with(|fleet| fleet.settings.pools[0].launch.ami = ami.to_owned());
        let fleet = fleet.machine("i-1", CloudState::Running, 90).known().with(|fleet| made(fleet, "ami-1"));
        let mut fleet = fleet.machine("i-2", CloudState::Running, 3).known().with(|fleet| made(fleet, "ami-2"));
        fleet.look();
        fleet
    }

    fn drift(fleet: &Fleet, id: &str) -> String {
        told(&fleet.instance(id).unwrap().drift).unwrap_or_default()
    }

    #[test]
    fn a_later_machine_of_another_image_tells_that_the_image_is_another_now() {
        let fleet = fleet("name:golden *");
        assert_eq!(
            (drift(&fleet, "i-1").as_str(), drift(&fleet, "i-2").as_str()),
            ("made of ami-1, later ones of ami-2", "")
        );
        assert_eq!(drift(&self::fleet("ami-1"), "i-1"), "", "an id stands for itself");
    }

    #[test]
    fn a_machine_of_other_settings_says_so_and_one_of_another_version_does_not() {
        let mut fleet = fleet("name:golden *");
        fleet.settings.pools[0].launch.disk_gb = Some(200);
        let by_others = "made by other settings than its pool has now";
        assert_eq!((drift(&fleet, "i-1").as_str(), drift(&fleet, "i-2").as_str()), (by_others, by_others));
        fleet.last().tags.settings = None;
        fleet.look();
        assert_eq!(drift(&fleet, "i-2"), "");
    }

    #[test]
    fn a_type_that_the_pool_gave_up_is_told_of_a_machine_that_is_not_listed_too() {
        let mut fleet = fleet("ami-1");
        fleet.settings.pools[0].types = vec!["g6.xlarge".into()];
        assert!(drift(&fleet, "i-1").ends_with("its pool rents no g5.xlarge any more"));
        fleet.machines.clear();
        fleet.look();
        assert_eq!(drift(&fleet, "i-1"), "its pool rents no g5.xlarge any more");
    }
}
