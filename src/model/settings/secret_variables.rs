//! The variables that the settings take secrets from.

use std::collections::BTreeSet;

use crate::model::settings::{SecretRef, SecretText, Settings};

impl Settings {
    /// Names of the environment that hold what is nobody's but the loop's: ClearML's and the clouds' credentials, the store's
    /// address, the key of the pseudonyms, webhooks. A name `KEY` stands for `KEY_ACCESS_KEY` and `KEY_SECRET_KEY` too.
    #[must_use]
    pub fn secret_variables(&self) -> BTreeSet<String> {
        let clearml = [&self.clearml.credentials, &self.clearml.agents_credentials];
        let names = [&self.the_loop.pseudonyms, &self.the_loop.pseudonyms_before];
        let accounts = self.accounts.iter().map(|account| &account.credentials);
        let webhooks = self.notify.iter().map(|told| &told.authorization);
        let places = clearml.into_iter().chain(names).chain(accounts).chain(webhooks).flatten();
        let texts = self.notify.iter().map(|told| &told.url).chain([&self.the_loop.store]).flatten();
        let kept = texts.filter_map(|text| match text {
            SecretText::Kept(place) => Some(place),
            SecretText::Here(_) => None,
        });
        let variables = places.chain(kept).filter_map(|place| match place {
            SecretRef::Env(name) => Some(name),
            SecretRef::File(_) => None,
        });
        variables.flat_map(|name| [name.clone(), format!("{name}_ACCESS_KEY"), format!("{name}_SECRET_KEY")]).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn each_place_in_the_environment_is_named() {
        let text = "[clearml]\ncredentials = \"env:OURS\"\n[clearml.agents]\ncredentials = \"env:AGENTS\"\n\
                    [loop]\nfleet = \"lab\"\nstore = \"env:STORE\"\npseudonyms = \"env:KEY\"\n\
                    [account.work]\ncredentials = \"env:CLOUD\"\n\
                    [notify.chat]\non = [\"orphan\"]\nurl = \"env:HOOK\"\nauthorization = \"env:HEADER\"\n";
        let settings = crate::store::settings::parse(text, Path::new("t.toml")).unwrap();
        let found = settings.secret_variables();
        for name in ["OURS", "OURS_ACCESS_KEY", "AGENTS_SECRET_KEY", "STORE", "KEY", "CLOUD", "HOOK", "HEADER"] {
            assert!(found.contains(name), "{name}: {found:?}");
        }
        assert_eq!(found.len(), 7 * 3);
    }
}
