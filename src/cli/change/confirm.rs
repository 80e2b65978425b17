//! Asking a person before a deed, the harder the more it destroys.

use crate::cli::failure::Failure;
use crate::cli::say::{ask, has_person};

/// What must be typed before a deed is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Proof {
    /// `y`.
    Yes,
    /// The name of what is destroyed.
    Name(String),
}

/// A deed and what it does, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Deed {
    pub consequence: String,
    pub proof: Proof,
}

/// Goes on if `yes` was given or a person agrees.
pub(in crate::cli) fn confirm(deed: &Deed, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !has_person() {
        let consequence = &deed.consequence;
        return Err(Failure::Usage(format!("{consequence}\nNobody can be asked here: give --yes to do it")));
    }
    let answer = ask(&question(deed))?;
    if agrees(&deed.proof, &answer) { Ok(()) } else { Err(Failure::Failed("nothing was done".to_owned())) }
}

fn question(deed: &Deed) -> String {
    match &deed.proof {
        Proof::Yes => format!("{}\nDo it? [y/N]", deed.consequence),
        Proof::Name(name) => format!("{}\nType {name} to do it:", deed.consequence),
    }
}

fn agrees(proof: &Proof, answer: &str) -> bool {
    match proof {
        Proof::Yes => ["y", "yes"].contains(&answer.to_ascii_lowercase().as_str()),
        Proof::Name(name) => answer == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_agreed_by_accident() {
        for (proof, answer, agreed) in [
            (Proof::Yes, "y", true),
            (Proof::Yes, "YES", true),
            (Proof::Yes, "", false),
            (Proof::Yes, "i-1", false),
            (Proof::Name("i-1".to_owned()), "i-1", true),
            (Proof::Name("i-1".to_owned()), "y", false),
            (Proof::Name("i-1".to_owned()), "", false),
            (Proof::Name("i-1".to_owned()), "i-11", false),
        ] {
            assert_eq!(agrees(&proof, answer), agreed, "{proof:?} {answer}");
        }
    }
}
