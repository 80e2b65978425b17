//! Labels of Google's hold small letters, digits, `-` and `_` only, and 63 of them. What we call things may be anything: other
//! letters stand as `_` and their bytes in hexadecimal digits, and what is too long ends in `__` and a part of its hash.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

const LONGEST: usize = 63;

/// Of a text that is too long, so many letters stand before its hash.
const KEPT: usize = 52;

const CUT: &str = "__";

/// The text as a label's. Two texts never have the same.
#[must_use]
pub fn written(text: &str) -> String {
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

/// Whether what is written is all of the text.
#[must_use]
pub fn is_whole(label: &str) -> bool {
    !label.contains(CUT)
}

/// The text of a label; `None` where it was too long for one, or is not ours.
#[must_use]
pub fn read(label: &str) -> Option<String> {
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

/// Hexadecimal digits of a text's hash.
#[must_use]
pub fn hash(text: &str) -> String {
    format!("{:x}", Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
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
