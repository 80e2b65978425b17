//! Where machines are rented: a region, of an account of its own where the pool names one. Machines, intents and
//! sources keep it as one text, `us-east-1` or `research@us-east-1`.

use crate::model::ids::AccountName;

/// The site of an account's region.
#[must_use]
pub fn site(account: Option<&AccountName>, region: &str) -> String {
    account.map_or_else(|| region.to_owned(), |account| format!("{account}@{region}"))
}

/// The account and the region of a site.
#[must_use]
pub fn parts(site: &str) -> (Option<AccountName>, &str) {
    site.rsplit_once('@').map_or((None, site), |(account, region)| (Some(account.into()), region))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_read_back() {
        for (account, region, text) in
            [(None, "us-east-1", "us-east-1"), (Some(AccountName::new("lab")), "eu-west-1", "lab@eu-west-1")]
        {
            assert_eq!(site(account.as_ref(), region), text);
            assert_eq!(parts(text), (account, region));
        }
    }
}
