//! What a launch writes on a machine, and how it is read back.

use std::collections::BTreeMap;

use google_cloud_compute_v1::model::Instance;

use crate::model::label::{is_whole, read, written};

/// The label that says whose machine it is.
pub(super) const FLEET: &str = "tidegate-fleet";
pub(super) const POOL: &str = "tidegate-pool";
pub(super) const QUEUE: &str = "tidegate-queue";
pub(super) const INTENT: &str = "tidegate-intent";
pub(super) const REVISION: &str = "tidegate-revision";
pub(super) const TERM: &str = "tidegate-term";
pub(super) const SETTINGS: &str = "tidegate-settings";
/// Who took the machine over from another autoscaler.
pub(super) const BROUGHT_OVER: &str = "tidegate-brought-over";
/// What such a machine's worker calls it: Google's number of it, or its name.
pub(super) const ID: &str = "tidegate-id";

/// What no label can hold, by the label's name: it is in the machine's metadata.
pub(super) fn too_long<'a>(
    tags: &'a BTreeMap<&'static str, String>,
) -> impl Iterator<Item = (&'static str, &'a String)> {
    tags.iter().filter(|(_, text)| !is_whole(&written(text))).map(|(name, text)| (*name, text))
}

/// What a machine was given by this name: its label's text, or, of one that was too long, its metadata's.
pub(super) fn of(instance: &Instance, name: &str) -> Option<String> {
    let label = instance.labels.get(name).filter(|label| !label.is_empty())?;
    read(label).or_else(|| {
        let items = instance.metadata.as_ref()?.items.iter();
        let mut said = items.filter(|item| item.key.as_deref() == Some(name)).filter_map(|item| item.value.clone());
        said.find(|text| written(text) == *label)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use google_cloud_compute_v1::model::Metadata;
    use google_cloud_compute_v1::model::metadata::Items;

    #[test]
    fn what_is_too_long_is_read_from_the_metadata_that_fits() {
        let long = "Ä".repeat(40);
        let label = written(&long);
        assert_eq!(label.len(), 63);
        let metadata = |value: &str| Metadata::new().set_items([Items::new().set_key(QUEUE).set_value(value)]);
        let machine = |value: &str| Instance::new().set_labels([(QUEUE, label.clone())]).set_metadata(metadata(value));
        assert_eq!(of(&machine(&long), QUEUE), Some(long.clone()));
        assert_eq!(of(&machine("another"), QUEUE), None);
        assert_eq!(
            too_long(&[(QUEUE, long.clone()), (POOL, "g2".to_owned())].into()).collect::<Vec<_>>(),
            [(QUEUE, &long)]
        );
    }
}
