//! The ledger's intervals, one after the other: a report of a year is not held in memory.

use futures::TryStreamExt;
use jiff::Timestamp;
use sqlx::Row as _;

use super::columns::{ColumnError, instant, of_json, to_instant};
use super::db::{Connection, PAGES};
use crate::model::account::Owner;
use crate::model::ids::{InstanceId, PoolName, ProjectName, QueueName, TaskId, UserName};
use crate::model::ledger::{Interval, MINIMUM_BILLED, Share};
use crate::model::money::{Money, Rate};
use crate::model::waste::Standing;

/// Which intervals are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Span {
    /// Those that are not closed.
    Open,
    /// Those that bill some of the time from one instant to another.
    Within(Timestamp, Timestamp),
}

/// Shows every such interval, with its shares, in the order in which they were opened.
pub(super) async fn each(
    connection: &mut Connection,
    span: Span,
    mut visit: impl FnMut(Interval),
) -> Result<(), ColumnError> {
    let (from, to) = match span {
        Span::Open => (i64::MAX, i64::MAX),
        Span::Within(from, to) => {
            // A short one is billed for longer than it ran.
            let least = from.saturating_sub(MINIMUM_BILLED).unwrap_or(from);
            (instant(least).unwrap_or(i64::MIN), instant(to).unwrap_or(i64::MAX))
        }
    };
    // What a row costs beside what is in it would be most of the time: some hundred intervals are one.
    let mut pages = sqlx::query(PAGES).bind(to).bind(from).fetch(connection);
    while let Some(page) = pages.try_next().await? {
        let bills: Vec<BillColumns> = of_json(page.try_get("page")?)?;
        bills.into_iter().map(interval).for_each(&mut visit);
    }
    Ok(())
}

/// As the table has them, the shares last.
type BillColumns =
    (InstanceId, PoolName, QueueName, Option<Rate>, Rate, Rate, bool, Money, i64, Option<i64>, Vec<ShareColumns>);

/// Since when, the queue, the task, its project and user, and what the machine did without one.
type ShareColumns = (i64, QueueName, Option<TaskId>, Option<ProjectName>, Option<UserName>, Standing);

fn interval(columns: BillColumns) -> Interval {
    let (instance, pool, home, rate, extras, disks, off, reservation, start, end, shares) = columns;
    let (start, end) = (to_instant(start), end.map(to_instant));
    let shares = shares.into_iter().map(share).collect();
    Interval { instance, pool, home, rate, extras, disks, off, reservation, start, end, shares }
}

fn share((since, queue, task, project, user, standing): ShareColumns) -> Share {
    Share { from: to_instant(since), queue, task, owner: Owner { project, user }, standing }
}
