//! Back-off: launches that failed are not tried again for a while, the longer the oftener they failed. How far a
//! failure reaches depends on its class:
//!
//! | class | backs off |
//! |---|---|
//! | capacity | the account's machines of the type and market, in the zones that had none |
//! | quota | the account's machines of the type and market; fewer of them may fit |
//! | throttle, credentials | everything of the account |
//! | bad request, unknown | the pool's machines of the type and market: its settings may be to blame |
//! | boot | the pool |

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::engine::act::deed::{Failed, LaunchDeed};
use crate::model::breaker::{Breaker, Offering, Reset};
use crate::model::ids::{PoolName, Zone};
use crate::model::settings::{Market, PoolSettings, Settings};
use crate::model::snapshot::{ErrorClass, Quota};
use crate::world::cloud::PassedOver;

/// A row of failures is over when nothing failed for so long after its last pause.
const FORGIVEN: SignedDuration = SignedDuration::from_hours(3);

/// What fails for now.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct Breakers(BTreeMap<Offering, Breaker>);

/// One failure, as far as it reaches.
struct Strike<'a> {
    on: Offering,
    class: ErrorClass,
    message: &'a str,
    quota: Option<&'a Quota>,
    /// What may still be asked for.
    at_most: u32,
    /// At least so long.
    pause: SignedDuration,
}

impl Breakers {
    /// A launch failed.
    pub(in crate::engine) fn failed(&mut self, order: &LaunchDeed, failed: &Failed, now: Timestamp) {
        if !failed.passed_over.is_empty() {
            return self.passed_over(order, &failed.passed_over, now);
        }
        let zones: Vec<Zone> = order.pool.launch.zones.iter().map(|zone| Zone::new(zone.as_str())).collect();
        if order.bids.is_empty() || is_of_account(failed.class) {
            return self.refused(order, failed, &zones, now);
        }
        // Nobody knows which of them it was for.
        for bid in &order.bids {
            self.refused(&order.come_to(&bid.machine_type), failed, &zones, now);
        }
    }

    /// What a launch was refused one by one, whether it came to a machine or not. Zones that say the same of a type are
    /// one failure.
    pub(in crate::engine) fn passed_over(&mut self, order: &LaunchDeed, noes: &[PassedOver], now: Timestamp) {
        let mut failures: Vec<(&PassedOver, Vec<Option<&Zone>>)> = Vec::new();
        for no in noes {
            let same = |(first, _): &&mut (&PassedOver, Vec<Option<&Zone>>)| {
                first.class == no.class && (first.machine_type == no.machine_type || is_of_account(no.class))
            };
            match failures.iter_mut().find(same) {
                Some((_, zones)) => zones.push(no.zone.as_ref()),
                None => failures.push((no, vec![no.zone.as_ref()])),
            }
        }
        for (no, zones) in failures {
            let zones: Option<Vec<Zone>> = zones.into_iter().map(Option::<&Zone>::cloned).collect();
            let failed = Failed {
                class: no.class,
                message: no.message.clone(),
                may_have_acted: false,
                quota: None,
                passed_over: Vec::new(),
            };
            self.refused(&order.come_to(&no.machine_type), &failed, &zones.unwrap_or_default(), now);
        }
    }

    /// A launch failed, or came short of what it asked for in these zones.
    pub(in crate::engine) fn refused(&mut self, order: &LaunchDeed, failed: &Failed, zones: &[Zone], now: Timestamp) {
        for on in reach(order, failed.class, zones) {
            let at_most = if failed.class == ErrorClass::Quota { fits(order, failed.quota.as_ref()) } else { 0 };
            let pause = if order.launch.market == Market::Spot { order.pool.spot.blackout } else { None };
            self.strike(
                Strike {
                    on,
                    class: failed.class,
                    message: &failed.message,
                    quota: failed.quota.as_ref(),
                    at_most,
                    pause: pause.unwrap_or_default(),
                },
                now,
            );
        }
    }

    /// So many machines of a pool in a row never registered.
    pub(in crate::engine) fn boots_failed(&mut self, pool: &PoolSettings, failed: u32, now: Timestamp) {
        let on = Offering { pool: Some(pool.name.clone()), ..Offering::of_account(pool.account()) };
        let message =
            format!("the last {failed} machines never registered; what they wrote on their consoles may say why");
        let strike = Strike {
            on,
            class: ErrorClass::Boot,
            message: &message,
            quota: None,
            at_most: 0,
            pause: SignedDuration::ZERO,
        };
        self.strike(strike, now);
    }

    fn strike(&mut self, strike: Strike<'_>, now: Timestamp) {
        let Strike { on, class, message, quota, at_most, pause: least } = strike;
        let row = self.0.get(&on).filter(|row| {
            row.class == class && row.until.saturating_add(FORGIVEN).is_ok_and(|forgiven| forgiven > now)
        });
        // One that asks for fewer and fewer is still at the same failure.
        let narrows = row.is_some_and(|row| row.until > now && row.at_most > 0);
        let strikes = row.map_or(0, |row| row.strikes) + u32::from(!narrows);
        let since = row.map_or(now, |row| row.since);
        let until = now.saturating_add(pause(class, strikes).max(least)).unwrap_or(Timestamp::MAX);
        let (quota, message) = (quota.cloned(), message.to_owned());
        self.0.insert(on.clone(), Breaker { on, since, until, class, strikes, at_most, quota, message });
    }

    /// A launch made all that it asked for, in this zone: what failed before does not any more. Where only a part was
    /// asked for, because of a quota, there is less to ask for now.
    pub(in crate::engine) fn succeeded(&mut self, order: &LaunchDeed, zone: Option<&Zone>, now: Timestamp) {
        let launch = &order.launch;
        self.0.retain(|on, row| {
            let here = on.zone.as_ref().is_none_or(|own| Some(own) == zone);
            if row.class == ErrorClass::Boot || !here || !on.covers(&order.pool, &launch.machine_type, launch.market) {
                return true;
            }
            if row.at_most == 0 || row.until <= now {
                return false;
            }
            let taken = launch.vcpu.saturating_mul(launch.count);
            row.at_most = match &mut row.quota {
                Some(quota) => {
                    quota.in_use = quota.in_use.saturating_add(taken).min(quota.limit);
                    row.at_most.saturating_sub(launch.count)
                }
                None => row.at_most / 2,
            };
            true
        });
    }

    /// A machine of this account, type and market has ended: what a quota refused may fit now.
    pub(in crate::engine) fn ended(&mut self, account: &str, family: &str, market: Market) {
        self.0.retain(|on, row| {
            let same = on.machine_type.as_ref().is_none_or(|own| own.quota_family() == family);
            row.class != ErrorClass::Quota
                || on.account != account
                || !same
                || on.market.is_some_and(|own| own != market)
        });
    }

    /// A machine of the pool registered.
    pub(in crate::engine) fn registered(&mut self, pool: &PoolName) {
        self.0.retain(|on, row| row.class != ErrorClass::Boot || on.pool.as_ref() != Some(pool));
    }

    /// A person wants it tried again. What was failing.
    pub(in crate::engine) fn reset(&mut self, what: &Reset, settings: &Settings, now: Timestamp) -> Vec<Offering> {
        let of_pool = |name| settings.pool(name);
        let mut ended = Vec::new();
        self.0.retain(|on, row| {
            let meant = match what {
                Reset::All => true,
                Reset::Pool(pool) => {
                    of_pool(pool).is_some_and(|pool| on.touches(pool)) || on.pool.as_ref() == Some(pool)
                }
                Reset::One(one) => one == on,
            };
            if meant && row.until > now {
                ended.push(on.clone());
            }
            !meant
        });
        ended
    }

    /// The clock was set to `now`: nothing waits longer than it would from here on.
    pub(in crate::engine) fn rebase(&mut self, now: Timestamp) {
        for row in self.0.values_mut() {
            let longest = now.saturating_add(pause(row.class, row.strikes)).unwrap_or(Timestamp::MAX);
            (row.until, row.since) = (row.until.min(longest), row.since.min(now));
        }
    }

    /// Those that still wait at `now`.
    #[must_use]
    pub(in crate::engine) fn waiting(&self, now: Timestamp) -> Vec<Breaker> {
        self.0.values().filter(|row| row.until > now).cloned().collect()
    }
}

/// Whether a failure of the class says nothing of what was asked for.
fn is_of_account(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::Throttle | ErrorClass::Credentials)
}

/// How far a failure reaches.
fn reach(order: &LaunchDeed, class: ErrorClass, zones: &[Zone]) -> Vec<Offering> {
    let account = Offering::of_account(order.pool.account());
    let kind = Offering {
        machine_type: Some(order.launch.machine_type.clone()),
        market: Some(order.launch.market),
        ..account.clone()
    };
    match class {
        ErrorClass::Throttle | ErrorClass::Credentials => vec![account],
        ErrorClass::Quota => vec![kind],
        ErrorClass::Capacity if zones.is_empty() => vec![kind],
        ErrorClass::Capacity => {
            zones.iter().map(|zone| Offering { zone: Some(zone.clone()), ..kind.clone() }).collect()
        }
        ErrorClass::BadRequest | ErrorClass::Boot | ErrorClass::Unknown => {
            vec![Offering { pool: Some(order.pool.name.clone()), ..kind }]
        }
    }
}

/// How many of the machines a quota still holds; half, where nobody knows.
fn fits(order: &LaunchDeed, quota: Option<&Quota>) -> u32 {
    let asked = order.launch.count;
    let free = quota.map(|quota| quota.limit.saturating_sub(quota.in_use));
    match free.zip(std::num::NonZeroU32::new(order.launch.vcpu)) {
        // A quota that should have been enough is not what it says.
        Some((free, each)) => (free / each).min(asked.saturating_sub(1)),
        None => asked / 2,
    }
}

/// First pause and longest one, by class: a shortage passes in minutes, a quota or a mistake waits for a person.
fn pause(class: ErrorClass, strikes: u32) -> SignedDuration {
    let (first, longest) = match class {
        ErrorClass::Capacity => (60, 20 * 60),
        ErrorClass::Quota => (5 * 60, 60 * 60),
        ErrorClass::Throttle => (15, 5 * 60),
        ErrorClass::Credentials => (60, 10 * 60),
        ErrorClass::BadRequest => (2 * 60, 60 * 60),
        ErrorClass::Boot => (10 * 60, 2 * 60 * 60),
        ErrorClass::Unknown => (30, 15 * 60),
    };
    let doubled = 2_i64.saturating_pow(strikes.saturating_sub(1)).saturating_mul(first);
    SignedDuration::from_secs(doubled.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{Revision, Term};
    use crate::model::money::Money;
    use crate::model::plan::Launch;
    use crate::world::cloud::Bid;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn later(seconds: i64) -> Timestamp {
        NOW + SignedDuration::from_secs(seconds)
    }

    fn order(market: Market, count: u32, zones: &[&str]) -> LaunchDeed {
        let mut pool = PoolSettings {
            region: "us-east-1".to_owned(),
            types: vec!["g5.xlarge".into()],
            market,
            ..PoolSettings::with_defaults("gpu")
        };
        pool.launch.zones = zones.iter().map(|zone| (*zone).to_owned()).collect();
        LaunchDeed {
            tries: Vec::new(),
            fleet: "lab".into(),
            batch: "b".into(),
            launch: Launch {
                pool: "gpu".into(),
                queue: "train".into(),
                machine_type: "g5.xlarge".into(),
                market,
                count,
                vcpu: 4,
                gpu: 1,
                rate: None,
                reservation: Money::ZERO,
                choices: Vec::new(),
            },
            pool,
            queues: vec!["train".into()],
            revision: Revision::new("r"),
            term: Term(1),
            bids: Vec::new(),
        }
    }

    fn no(class: ErrorClass) -> Failed {
        Failed { class, message: "no".to_owned(), may_have_acted: false, quota: None, passed_over: Vec::new() }
    }

    fn full(in_use: u32) -> Failed {
        Failed { quota: Some(Quota { limit: 32, in_use, unit: "vCPU".to_owned() }), ..no(ErrorClass::Quota) }
    }

    fn told(breakers: &Breakers, now: Timestamp) -> Vec<String> {
        breakers.waiting(now).iter().map(|breaker| breaker.told(now)).collect()
    }

    fn passed_over(machine_type: &str, zone: Option<&str>, class: ErrorClass) -> PassedOver {
        PassedOver { machine_type: machine_type.into(), zone: zone.map(Zone::from), class, message: "no".to_owned() }
    }

    #[test]
    fn each_no_of_a_launch_reaches_as_far_as_it_says_and_the_same_one_counts_once() {
        use ErrorClass::{Capacity, Quota, Throttle};
        let noes = [
            passed_over("g5.xlarge", Some("a"), Capacity),
            passed_over("g5.xlarge", Some("b"), Capacity),
            passed_over("g6.xlarge", None, Capacity),
            passed_over("g5.2xlarge", Some("a"), Quota),
            passed_over("g5.2xlarge", Some("b"), Quota),
            passed_over("g5.xlarge", Some("a"), Throttle),
            passed_over("g6.xlarge", Some("b"), Throttle),
        ];
        let order = order(Market::Spot, 1, &["a", "b"]);
        let (mut made, mut failed) = (Breakers::default(), Breakers::default());
        made.passed_over(&order, &noes, NOW);
        failed.failed(&order, &Failed { passed_over: noes.into(), ..no(Capacity) }, NOW);
        let expected = [
            "aws us-east-1 backs off for 15s more (throttle, 1 in a row): no",
            "aws us-east-1 g5.2xlarge spot backs off for 5m00 more (quota, 1 in a row): no",
            "aws us-east-1 g5.xlarge spot in a backs off for 1m00 more (capacity, 1 in a row): no",
            "aws us-east-1 g5.xlarge spot in b backs off for 1m00 more (capacity, 1 in a row): no",
            "aws us-east-1 g6.xlarge spot backs off for 1m00 more (capacity, 1 in a row): no",
        ];
        for breakers in [made, failed] {
            assert_eq!(told(&breakers, NOW), expected);
        }
    }

    #[test]
    fn a_fleet_that_failed_as_a_whole_benches_all_that_it_was_given() {
        let mut order = order(Market::Spot, 1, &[]);
        let bid = |kind: &str| Bid { machine_type: kind.into(), max_price: None, without: Vec::new() };
        order.bids = ["g5.xlarge", "g6.xlarge"].map(bid).into();
        for (class, count) in [(ErrorClass::BadRequest, 2), (ErrorClass::Credentials, 1)] {
            let mut breakers = Breakers::default();
            breakers.failed(&order, &no(class), NOW);
            assert_eq!(breakers.waiting(NOW).len(), count, "{class:?}");
        }
    }

    #[test]
    fn a_failure_reaches_as_far_as_its_class_says() {
        for (class, zones, told_of) in [
            (ErrorClass::Capacity, vec![], vec!["aws us-east-1 g5.xlarge on-demand backs off for 1m00 more"]),
            (
                ErrorClass::Capacity,
                vec!["a", "b"],
                vec![
                    "aws us-east-1 g5.xlarge on-demand in a backs off for 1m00 more",
                    "aws us-east-1 g5.xlarge on-demand in b backs off for 1m00 more",
                ],
            ),
            (ErrorClass::Quota, vec!["a"], vec!["aws us-east-1 g5.xlarge on-demand backs off for 5m00 more"]),
            (ErrorClass::Throttle, vec!["a"], vec!["aws us-east-1 backs off for 15s more"]),
            (ErrorClass::Credentials, vec![], vec!["aws us-east-1 backs off for 1m00 more"]),
            (ErrorClass::BadRequest, vec!["a"], vec!["pool gpu g5.xlarge on-demand backs off for 2m00 more"]),
            (ErrorClass::Unknown, vec![], vec!["pool gpu g5.xlarge on-demand backs off for 30s more"]),
        ] {
            let mut breakers = Breakers::default();
            breakers.failed(&order(Market::OnDemand, 1, &zones), &no(class), NOW);
            let expected: Vec<String> =
                told_of.iter().map(|told| format!("{told} ({}, 1 in a row): no", class.word())).collect();
            assert_eq!(told(&breakers, NOW), expected);
        }
    }

    #[test]
    fn the_pause_doubles_up_to_the_longest_and_a_row_is_forgiven() {
        for (class, strikes, seconds) in [
            (ErrorClass::Capacity, 1, 60),
            (ErrorClass::Capacity, 3, 240),
            (ErrorClass::Capacity, 90, 1_200),
            (ErrorClass::Throttle, 2, 30),
            (ErrorClass::Quota, 1, 300),
            (ErrorClass::Boot, 2, 1_200),
        ] {
            assert_eq!(pause(class, strikes).as_secs(), seconds, "{class:?} {strikes}");
        }
        let (mut breakers, order) = (Breakers::default(), order(Market::OnDemand, 1, &[]));
        let strikes = |breakers: &Breakers, now| {
            breakers.waiting(now).iter().map(|row| (row.strikes, row.since.as_second())).collect::<Vec<_>>()
        };
        breakers.failed(&order, &no(ErrorClass::Capacity), NOW);
        breakers.failed(&order, &no(ErrorClass::Capacity), later(70));
        assert_eq!(strikes(&breakers, later(70)), [(2, 0)]);
        let hours = later(4 * 3_600);
        breakers.failed(&order, &no(ErrorClass::Capacity), hours);
        assert_eq!(strikes(&breakers, hours), [(1, 4 * 3_600)]);
    }

    #[test]
    fn a_quota_is_asked_for_what_it_holds_or_for_half() {
        let ask = |count| order(Market::OnDemand, count, &[]);
        let at_most = |breakers: &Breakers| breakers.waiting(NOW).first().map(|row| (row.at_most, row.strikes));
        let mut breakers = Breakers::default();
        // 20 of 32 vCPU are taken: three machines of four fit.
        breakers.failed(&ask(8), &full(20), NOW);
        assert_eq!(at_most(&breakers), Some((3, 1)));
        assert_eq!(
            told(&breakers, NOW),
            [
                "aws us-east-1 g5.xlarge on-demand is asked for at most 3 at once for 5m00 more (quota: 20 of 32 vCPU, 1 in a row): no"
            ]
        );
        breakers.succeeded(&ask(3), None, NOW);
        assert_eq!(at_most(&breakers), Some((0, 1)), "it is full now");
        assert!(told(&breakers, NOW)[0].contains("quota: 32 of 32 vCPU"), "{:?}", told(&breakers, NOW));
        // Nobody knows what it holds: half, and half of that.
        let mut breakers = Breakers::default();
        for (asked, left) in [(8, 4), (4, 2), (2, 1), (1, 0)] {
            breakers.failed(&ask(asked), &no(ErrorClass::Quota), NOW);
            assert_eq!(at_most(&breakers), Some((left, 1)), "{asked}");
        }
        breakers.failed(&ask(1), &no(ErrorClass::Quota), NOW);
        assert_eq!(at_most(&breakers), Some((0, 2)));
    }

    #[test]
    fn a_quota_waits_for_an_end_in_its_family() {
        let mut breakers = Breakers::default();
        breakers.failed(&order(Market::OnDemand, 1, &[]), &full(32), NOW);
        breakers.failed(&order(Market::Spot, 1, &[]), &no(ErrorClass::Capacity), NOW);
        for (account, family, market) in [
            ("aws eu-west-1", "g", Market::OnDemand),
            ("aws us-east-1", "standard", Market::OnDemand),
            ("aws us-east-1", "g", Market::Spot),
        ] {
            breakers.ended(account, family, market);
            assert_eq!(breakers.waiting(NOW).len(), 2, "{account} {family} {market:?}");
        }
        breakers.ended("aws us-east-1", "g", Market::OnDemand);
        assert_eq!(told(&breakers, NOW).len(), 1);
    }

    #[test]
    fn what_went_well_ends_what_it_disproves() {
        let mut breakers = Breakers::default();
        let zoned = order(Market::OnDemand, 1, &["a", "b"]);
        breakers.failed(&zoned, &no(ErrorClass::Capacity), NOW);
        breakers.failed(&zoned, &no(ErrorClass::Throttle), NOW);
        breakers.failed(&order(Market::Spot, 1, &[]), &no(ErrorClass::Capacity), NOW);
        breakers.boots_failed(&zoned.pool, 3, NOW);
        breakers.succeeded(&zoned, Some(&"b".into()), NOW);
        let left: Vec<String> = breakers.waiting(NOW).iter().map(|row| row.on.to_string()).collect();
        assert_eq!(left, ["aws us-east-1 g5.xlarge spot", "aws us-east-1 g5.xlarge on-demand in a", "pool gpu"]);
        breakers.registered(&"gpu".into());
        assert_eq!(breakers.waiting(NOW).len(), 2);
    }

    #[test]
    fn a_blackout_stretches_the_pause_of_spot_only() {
        for (market, seconds) in [(Market::Spot, 600), (Market::OnDemand, 60)] {
            let mut order = order(market, 1, &[]);
            order.pool.spot.blackout = Some(SignedDuration::from_mins(10));
            let mut breakers = Breakers::default();
            breakers.failed(&order, &no(ErrorClass::Capacity), NOW);
            assert_eq!(breakers.waiting(NOW)[0].until, later(seconds));
        }
    }

    #[test]
    fn a_person_ends_one_those_of_a_pool_or_all() {
        let one = Offering { market: Some(Market::Spot), ..Offering::of_account("aws us-east-1") };
        let one = Offering { machine_type: Some("g5.xlarge".into()), ..one };
        let mut settings = Settings::blank(Revision::new("r"));
        settings.pools = vec![order(Market::Spot, 1, &[]).pool, PoolSettings::with_defaults("elsewhere")];
        for (what, ended) in [
            (Reset::All, 2),
            (Reset::Pool("gpu".into()), 2),
            (Reset::Pool("elsewhere".into()), 0),
            (Reset::One(one), 1),
        ] {
            let mut breakers = Breakers::default();
            breakers.failed(&order(Market::Spot, 1, &[]), &no(ErrorClass::Capacity), NOW);
            breakers.failed(&order(Market::OnDemand, 1, &[]), &no(ErrorClass::Capacity), NOW);
            assert_eq!(breakers.reset(&what, &settings, NOW).len(), ended, "{what}");
            assert_eq!(breakers.waiting(NOW).len(), 2 - ended, "{what}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nothing_waiting() {
        let mut breakers = Breakers::default();
        let order = order(Market::OnDemand, 1, &[]);
        breakers.failed(&order, &no(ErrorClass::Capacity), NOW);
        let yesterday = later(-24 * 3_600);
        breakers.rebase(yesterday);
        assert_eq!(breakers.waiting(yesterday).len(), 1);
        assert!(breakers.waiting(yesterday + SignedDuration::from_secs(60)).is_empty());
    }
}
