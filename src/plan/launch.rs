//! Launching in one pool: its types in order, clipped by back-off, limits and budgets.

use jiff::SignedDuration;

use super::index::{Index, Kind, Pool, Queue};
use super::limits::Candidate;
use super::pass::Pass;
use crate::model::ids::Actor;
use crate::model::money::{Money, Rate};
use crate::model::plan::{Action, Launch, Planned, Rule};
use crate::model::reason::Reason;

/// A boot that installs the agent, until a pool has taught better: nine of ten are said to be faster.
const UNKNOWN_BOOT: SignedDuration = SignedDuration::from_secs(370);

/// A gp3 volume, in micro-dollars per GB and month (AWS list price, us-east-1, 2026); the dearest regions
/// ask about half as much again.
const DISK_GB_MONTH: i64 = 80_000;
const HOURS_A_MONTH: i64 = 730;

/// What is wanted, for whom and why.
pub(super) struct Want<'w> {
    pub(super) rule: Rule,
    pub(super) by: &'w Actor,
    pub(super) queue: usize,
    pub(super) pool: usize,
    pub(super) count: u32,
    pub(super) reason: &'w Reason,
}

/// What came of it.
pub(super) struct Launched {
    pub(super) count: u32,
    /// Why not all, each reason once.
    pub(super) refused: Vec<Reason>,
}

impl Pass<'_> {
    /// Plans launches in one pool for one queue.
    pub(super) fn launch(&mut self, want: &Want<'_>) -> Launched {
        let mut launched = Launched { count: 0, refused: Vec::new() };
        let index = self.index;
        let (Some(queue), Some(pool)) = (index.queues.get(want.queue), index.pools.get(want.pool)) else {
            return launched;
        };
        if let Some(stale) = index.stale_region(pool.settings.provider, &pool.settings.region) {
            launched.refused.push(stale);
            return launched;
        }
        for kind in &pool.kinds {
            let left = want.count - launched.count;
            if left == 0 {
                break;
            }
            let (count, refused) = self.launch_kind(want, left, queue, pool, kind);
            launched.count += count;
            if let Some(refused) = refused.filter(|reason| !launched.refused.contains(reason)) {
                launched.refused.push(refused);
            }
        }
        launched
    }

    fn launch_kind(
        &mut self,
        want: &Want<'_>,
        wanted: u32,
        queue: &Queue<'_>,
        pool: &Pool<'_>,
        kind: &Kind<'_>,
    ) -> (u32, Option<Reason>) {
        if let Some(breaker) = kind.breaker {
            let reason = Reason::BackOff {
                pool: pool.settings.name.clone(),
                machine_type: kind.machine_type.to_string(),
                class: breaker.class,
                strikes: breaker.strikes,
                until: breaker.until,
                message: breaker.message.clone(),
            };
            return (0, Some(reason));
        }
        let candidate = Candidate { queue: want.queue, pool: want.pool, offer: kind.offer };
        let reservation = reservation(self.index, queue, pool, kind.offer.rate);
        let (room, _) = self.room(&candidate, pool, kind, reservation, false);
        let count = room.min(wanted);
        if count > 0 {
            self.book(&candidate, reservation, count);
            self.actions.push(Planned {
                rule: want.rule,
                by: want.by.clone(),
                action: Action::Launch(Launch {
                    pool: pool.settings.name.clone(),
                    queue: queue.settings.name.clone(),
                    machine_type: kind.machine_type.clone(),
                    market: pool.settings.market,
                    count,
                    vcpu: kind.offer.vcpu,
                    gpu: kind.offer.gpu,
                    rate: kind.offer.rate,
                    reservation,
                }),
                reason: want.reason.clone(),
            });
        }
        // What is short is explained with the numbers as they are after what was just planned.
        let why = if count < wanted { self.room(&candidate, pool, kind, reservation, true).1 } else { None };
        (count, why)
    }

    /// How many more may be launched, and what keeps it from being more.
    fn room(
        &self,
        candidate: &Candidate,
        pool: &Pool<'_>,
        kind: &Kind<'_>,
        reservation: Money,
        explain: bool,
    ) -> (u32, Option<Reason>) {
        let limit = self.usage.tightest(self.index, candidate);
        let by_limits = limit.map_or(u32::MAX, |limit| limit.room);
        let purse = self.budgets().tightest(candidate.queue, reservation);
        let by_budgets = match purse {
            None => u32::MAX,
            Some(_) if kind.offer.rate.is_none() => 0,
            Some((room, _)) => room,
        };
        let why = match (purse, limit) {
            _ if !explain => None,
            (Some((_, purse)), _) if by_budgets <= by_limits => Some(match kind.offer.rate {
                None => purse.no_price(&pool.settings.name, kind.machine_type.as_str()),
                Some(_) => purse.reason(reservation),
            }),
            (_, Some(limit)) => limit.reason(self.index, candidate, kind.machine_type.as_str()),
            _ => None,
        };
        (by_limits.min(by_budgets), why)
    }
}

/// What a launch sets aside: the boot, a long task and the idle time until the keep-alive ends it, with its disk.
fn reservation(index: &Index<'_>, queue: &Queue<'_>, pool: &Pool<'_>, rate: Option<Rate>) -> Money {
    let boot = index.boot_time(pool, UNKNOWN_BOOT);
    let life = boot.saturating_add(index.task_time(queue)).saturating_add(pool.settings.keep_alive);
    let gigabytes = i64::from(pool.settings.launch.disk_gb.unwrap_or(0));
    let disk = Rate::from_micros_per_hour(gigabytes * DISK_GB_MONTH / HOURS_A_MONTH);
    (rate.unwrap_or_default() + disk).cost(life.max(crate::model::ledger::MINIMUM_BILLED))
}
