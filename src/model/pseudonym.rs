//! What users and tasks are called where nobody shall read their names. Pure: whoever has the key can say which pseudonym a
//! name has, and nobody can say which name a pseudonym has.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;

use crate::model::account::Owner;
use crate::model::ids::UserName;
use crate::model::record::Memory;

/// Letters that a key has at least: with fewer it can be guessed from a name and its pseudonym.
pub const SHORTEST_KEY: usize = 16;

/// Digits of a pseudonym that tell the key, and all of them.
const TAG: usize = 3;
const DIGITS: usize = 12;

const USER: &str = "user";
const TASK: &str = "task";

/// A key that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key has {0} letters, and must have {SHORTEST_KEY} at least: make one with `openssl rand -hex 32`")]
pub struct TooShort(pub usize);

/// What pseudonyms are made with. It prints as its tag.
#[derive(Clone)]
pub struct Key {
    secret: hmac::Key,
    tag: String,
}

impl Key {
    /// # Errors
    /// The text is too short to be a secret.
    pub fn new(text: &str) -> Result<Self, TooShort> {
        let letters = text.chars().count();
        if letters < SHORTEST_KEY {
            return Err(TooShort(letters));
        }
        let secret = hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes());
        let tag = digits(&secret, "key", "", TAG);
        Ok(Self { secret, tag })
    }

    /// What tells pseudonyms of this key from those of others; three hexadecimal digits, no secret.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    fn call(&self, kind: &str, name: &str) -> String {
        format!("{kind}-{}{}", self.tag, digits(&self.secret, kind, name, DIGITS - TAG))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.tag)
    }
}

fn digits(secret: &hmac::Key, kind: &str, name: &str, count: usize) -> String {
    // No kind holds a zero byte: no two pairs of kind and name are the same text.
    let signed = hmac::sign(secret, format!("{kind}\0{name}").as_bytes());
    let digits = signed.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.take(count).filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

/// The tag of the key that a name was made with, where it looks like a user's pseudonym.
#[must_use]
pub fn tag_of(user: &UserName) -> Option<&str> {
    let digits = user.as_str().strip_prefix(USER)?.strip_prefix('-')?;
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (digits.len() == DIGITS && digits.bytes().all(hex)).then(|| digits.get(..TAG)).flatten()
}

/// By which key users and tasks are called now, if by any, and by which they were before.
#[derive(Debug, Clone, Default)]
pub struct Pseudonyms {
    now: Option<Arc<Key>>,
    before: Option<Arc<Key>>,
}

impl Pseudonyms {
    #[must_use]
    pub fn new(now: Option<Key>, before: Option<Key>) -> Self {
        Self { now: now.map(Arc::new), before: before.map(Arc::new) }
    }

    /// The tag of the present key; `None`: names are as they are.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.now.as_deref().map(Key::tag)
    }

    /// What a user is called.
    #[must_use]
    pub fn user(&self, name: &UserName) -> UserName {
        self.called(USER, name.as_str()).map_or_else(|| name.clone(), UserName::new)
    }

    /// What a task is called.
    #[must_use]
    pub fn task(&self, name: &str) -> String {
        self.called(TASK, name).unwrap_or_else(|| name.to_owned())
    }

    /// Whose task it is, as the user is called.
    #[must_use]
    pub fn owner(&self, owner: Owner) -> Owner {
        Owner { user: owner.user.as_ref().map(|user| self.user(user)), ..owner }
    }

    /// What a user is called whom the settings or the store name: a pseudonym that stands there stays one.
    #[must_use]
    pub fn user_again(&self, name: &UserName) -> UserName {
        if tag_of(name).is_some() { name.clone() } else { self.user(name) }
    }

    /// What nobody has a name for has none here either.
    fn called(&self, kind: &str, name: &str) -> Option<String> {
        self.now.as_ref().filter(|_| !name.is_empty()).map(|key| key.call(kind, name))
    }
}

/// What users are called now whom the store has under other names: their own, or pseudonyms of the key before.
#[derive(Debug, Clone, Default)]
pub struct Renames {
    pseudonyms: Pseudonyms,
    before: BTreeMap<UserName, UserName>,
    blind: bool,
}

/// Whoever the store names, for those who may read no names and have no key.
const SOMEONE: &str = "user-unknown";

impl Renames {
    /// Without a key: pseudonyms stay, and whoever has none is someone.
    #[must_use]
    pub fn blind() -> Self {
        Self { blind: true, ..Self::default() }
    }

    /// `known`: users by their own names. A pseudonym of the key before tells nobody whose it is: those of others stay.
    #[must_use]
    pub fn new<'u>(pseudonyms: &Pseudonyms, known: impl IntoIterator<Item = &'u UserName>) -> Self {
        let renamed =
            |key: &Key, user: &UserName| (UserName::new(key.call(USER, user.as_str())), pseudonyms.user(user));
        let before = pseudonyms.before.as_deref();
        let before = before.map(|key| known.into_iter().map(|user| renamed(key, user)).collect());
        Self { pseudonyms: pseudonyms.clone(), before: before.unwrap_or_default(), blind: false }
    }

    /// What the user is called now.
    #[must_use]
    pub fn of(&self, user: &UserName) -> UserName {
        if self.blind {
            return if tag_of(user).is_some() { user.clone() } else { UserName::from(SOMEONE) };
        }
        self.before.get(user).cloned().unwrap_or_else(|| self.pseudonyms.user_again(user))
    }
}

impl Memory {
    /// Calls users as they are called now.
    pub fn call_users(&mut self, renames: &Renames) {
        self.ledger.call_users(renames);
        for attempt in self.attempts.values_mut() {
            attempt.owner.user = attempt.owner.user.as_ref().map(|user| renames.of(user));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn on(text: &str) -> Pseudonyms {
        Pseudonyms::new(Some(key(text)), None)
    }

    #[test]
    fn a_pseudonym_is_the_same_for_ever_and_another_for_each_key_and_kind() {
        let names = on("0123456789abcdef");
        // Told by Python's hmac: hmac.new(b"0123456789abcdef", b"user\0alice", "sha256"), and of b"key\0".
        assert_eq!(names.user(&"alice".into()), "user-58b69667e0df".into());
        assert_eq!(names.task("alice"), "task-58b37e3afff3");
        assert_ne!(on("0123456789abcdeg").user(&"alice".into()), names.user(&"alice".into()));
        let off = Pseudonyms::default();
        assert_eq!((off.user(&"alice".into()), off.task("train")), ("alice".into(), "train".to_owned()));
    }

    #[test]
    fn what_could_be_guessed_is_no_key() {
        for (text, letters) in [("", 0), ("short", 5), ("0123456789abcde", 15)] {
            assert_eq!(Key::new(text).unwrap_err(), TooShort(letters));
        }
        assert_eq!(
            TooShort(5).to_string(),
            "the key has 5 letters, and must have 16 at least: make one with `openssl rand -hex 32`"
        );
        assert!(!format!("{:?}", on("0123456789abcdef")).contains("0123"));
    }

    #[test]
    fn users_of_the_store_are_called_as_now() {
        let (old, new) = (key("the key of last year"), key("the key of this year"));
        let before = Pseudonyms::new(Some(old.clone()), None);
        let now = Pseudonyms::new(Some(new), Some(old.clone()));
        let (alice, bob): (UserName, UserName) = ("alice".into(), "bob".into());
        let renames = Renames::new(&now, [&alice]);
        assert_eq!(renames.of(&alice), now.user(&alice), "under her own name");
        assert_eq!(renames.of(&now.user(&alice)), now.user(&alice));
        assert_eq!(renames.of(&before.user(&alice)), now.user(&alice), "under the key before");
        assert_eq!(renames.of(&before.user(&bob)), before.user(&bob), "nobody here knows bob");
        assert_eq!(Renames::blind().of(&alice).as_str(), "user-unknown");
        assert_eq!(Renames::blind().of(&now.user(&alice)), now.user(&alice));
        // Switched off again.
        let off = Pseudonyms::new(None, Some(old));
        assert_eq!(Renames::new(&off, [&alice]).of(&before.user(&alice)), alice);
    }

    proptest! {
        #[test]
        fn any_name_has_one_pseudonym_that_says_its_key(name in ".+", other in ".+") {
            let names = on("0123456789abcdef");
            let user = names.user(&UserName::new(name.as_str()));
            prop_assert_eq!(tag_of(&user), names.tag());
            prop_assert_eq!(names.user_again(&user), user.clone());
            prop_assert_eq!(user == names.user(&UserName::new(other.as_str())), name == other);
            prop_assert_ne!(user.as_str().trim_start_matches(USER), names.task(&name).trim_start_matches(TASK).to_owned());
        }

        #[test]
        fn only_what_looks_like_a_pseudonym_has_a_tag(name in "(user-)?[0-9a-g]{10,14}") {
            let is_one = name.len() == 17 && name.starts_with("user-") && !name.contains('g');
            prop_assert_eq!(tag_of(&UserName::new(name.as_str())).is_some(), is_one);
        }
    }
}
