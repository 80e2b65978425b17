//! Under which names users are charged.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Interval, Ledger};
use crate::model::account::{Account, Owner};
use crate::model::ids::UserName;
use crate::model::money::Money;
use crate::model::pseudonym::Renames;

impl Interval {
    /// Calls users as they are called now.
    pub fn call_users(&mut self, renames: &Renames) {
        for share in &mut self.shares {
            share.owner.user = share.owner.user.as_ref().map(|user| renames.of(user));
        }
    }
}

impl Ledger {
    /// Calls users as they are called now: what one spent under several names comes together.
    pub fn call_users(&mut self, renames: &Renames) {
        let owners = self.closed.values().flat_map(BTreeMap::keys).map(|account| &account.owner);
        let shares = self.running().flat_map(|interval| &interval.shares).map(|share| &share.owner);
        let mut others: BTreeMap<UserName, UserName> = BTreeMap::new();
        for user in owners.chain(shares).filter_map(|owner| owner.user.as_ref()) {
            if !others.contains_key(user) {
                others.insert(user.clone(), renames.of(user));
            }
        }
        others.retain(|user, called| user != called);
        if others.is_empty() {
            return;
        }
        let call = |owner: &mut Owner| {
            if let Some(called) = owner.user.as_ref().and_then(|user| others.get(user)) {
                owner.user = Some(called.clone());
            }
        };
        for interval in self.open.values_mut().chain(self.off.values_mut()) {
            interval.shares.iter_mut().for_each(|share| call(&mut share.owner));
        }
        let mut known: BTreeMap<Arc<Account>, Arc<Account>> = BTreeMap::new();
        for accounts in self.closed.values_mut() {
            let mut called: BTreeMap<Arc<Account>, Money> = BTreeMap::new();
            for (account, money) in std::mem::take(accounts) {
                let theirs = known.entry(account).or_insert_with_key(|account| {
                    let mut theirs = Account::clone(account);
                    call(&mut theirs.owner);
                    Arc::new(theirs)
                });
                *called.entry(Arc::clone(theirs)).or_default() += money;
            }
            *accounts = called;
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::ids::InstanceId;
    use crate::model::ledger::Share;
    use crate::model::money::Rate;
    use crate::model::pseudonym::{Key, Pseudonyms};
    use crate::model::settings::BudgetScope;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    /// A machine for a dollar an hour.
    fn hers(id: &InstanceId, user: &UserName) -> Interval {
        let owner = Owner { user: Some(user.clone()), project: None };
        Interval {
            instance: id.clone(),
            pool: "gpu".into(),
            home: "train".into(),
            rate: Some(Rate::from_micros_per_hour(1_000_000)),
            extras: Rate::ZERO,
            disks: Rate::ZERO,
            off: false,
            reservation: Money::ZERO,
            start: at(0),
            end: None,
            shares: vec![Share { owner, ..Share::idle(at(0), "train".into()) }],
        }
    }

    /// She spent under her own name and under her pseudonym, on machines that are gone and on one that is up.
    #[test]
    fn what_one_spent_under_several_names_comes_together() {
        let names = Pseudonyms::new(Some(Key::new("0123456789abcdef").unwrap()), None);
        let alice: UserName = "alice".into();
        let called = names.user(&alice);
        let mut ledger = Ledger::default();
        for (place, user) in [&alice, &called, &alice].into_iter().enumerate() {
            let id: InstanceId = format!("i-{place}").into();
            ledger.open_interval(hers(&id, user));
            if place < 2 {
                ledger.close(&id, at(3_600));
            }
        }
        let total = ledger.total(at(3_600));
        let spent = |ledger: &Ledger, user: &UserName| {
            ledger.spent(&BudgetScope::User(user.clone()).among(&[]), at(0), at(3_600)).micros()
        };
        assert_eq!((spent(&ledger, &alice), spent(&ledger, &called)), (2_000_000, 1_000_000));
        ledger.call_users(&Renames::new(&names, []));
        assert_eq!((spent(&ledger, &alice), spent(&ledger, &called)), (0, 3_000_000));
        assert_eq!(ledger.total(at(3_600)), total);
        let once = ledger.clone();
        ledger.call_users(&Renames::new(&names, []));
        assert_eq!(ledger, once);
    }
}
