//! Labels hold small letters, digits, `-` and `_` only, and 63 of them. What we call things may be anything: other letters
//! stand as `_` and their bytes in hexadecimal digits, and what is too long ends in `__` and a part of its hash.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use google_cloud_compute_v1::model::Instance;
use sha2::{Digest, Sha256};

/// The label that says whose machine it is.
pub(super) const FLEET: &str = "tidegate-fleet";
pub(super) const POOL: &str = "tidegate-pool";
pub(super) const QUEUE: &str = "tidegate-queue";
pub(super) const INTENT: &str = "tidegate-intent";
pub(super) const REVISION: &str = "tidegate-revision";
pub(super) const TERM: &str = "tidegate-term";
pub(super) const SETTINGS: &str = "tidegate-settings";

const LONGEST: usize = 63;

/// Of a text that is too long, so many letters stand before its hash.
const KEPT: usize = 52;

const CUT: &str = "__";

/// The text as a label's. Two texts never have the same.
pub(super) fn written(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => written.push(char::from(byte)),
            other => drop(write!(written, "_{other:02x}")),
        }
    }
    if written.len() <= LONGEST {
        return written;
    }
    let hash = hash(text);
    // Not in the middle of a letter: what is cut is not read back.
    let kept: String = written.chars().take(KEPT).collect();
    format!("{kept}{CUT}{}", hash.get(..LONGEST - KEPT - CUT.len()).unwrap_or_default())
}

/// The text of a label; `None` where it was too long for one, or is not ours.
pub(super) fn read(label: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(label.len());
    let mut rest = label.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'_' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// What no label can hold, by the label's name: it is in the machine's metadata.
pub(super) fn too_long<'a>(
    tags: &'a BTreeMap<&'static str, String>,
) -> impl Iterator<Item = (&'static str, &'a String)> {
    tags.iter().filter(|(_, text)| written(text).contains(CUT)).map(|(name, text)| (*name, text))
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

/// Hexadecimal digits of a text's hash.
pub(super) fn hash(text: &str) -> String {
    format!("{:x}", Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use google_cloud_compute_v1::model::Metadata;
    use google_cloud_compute_v1::model::metadata::Items;
    use proptest::prelude::*;

    #[test]
    fn a_label_says_what_people_wrote() {
        for (text, label) in
            [("research", "research"), ("gpu large", "gpu_20large"), ("Größe_1", "_47r_c3_b6_c3_9fe_5f1"), ("", "")]
        {
            assert_eq!(written(text), label);
            assert_eq!(read(label).as_deref(), Some(text));
        }
        assert_eq!((read("a_2"), read("a_zz"), read("__0")), (None, None, None));
    }

    #[test]
    fn what_is_too_long_is_read_from_the_metadata_that_fits() {
        let long = "Ä".repeat(40);
        let label = written(&long);
        assert_eq!(label.len(), LONGEST);
        let metadata = |value: &str| Metadata::new().set_items([Items::new().set_key(QUEUE).set_value(value)]);
        let machine = |value: &str| Instance::new().set_labels([(QUEUE, label.clone())]).set_metadata(metadata(value));
        assert_eq!(of(&machine(&long), QUEUE), Some(long.clone()));
        assert_eq!(of(&machine("another"), QUEUE), None);
        assert_eq!(
            too_long(&[(QUEUE, long.clone()), (POOL, "g2".to_owned())].into()).collect::<Vec<_>>(),
            [(QUEUE, &long)]
        );
    }

    proptest! {
        #[test]
        fn labels_are_legal_and_tell_texts_apart(a in ".{0,40}", b in ".{0,40}") {
            let (first, second) = (written(&a), written(&b));
            prop_assert!(first.len() <= LONGEST);
            prop_assert!(first.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c)));
            prop_assert_eq!(first == second, a == b);
            prop_assert!(read(&first).is_none_or(|text| text == a));
        }
    }
}
