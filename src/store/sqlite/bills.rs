//! The ledger's intervals, one after the other: a report of a year is not held in memory.

use futures::TryStreamExt;
use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::columns::{ColumnError, instant};
use super::read;
use crate::model::ledger::{Interval, MINIMUM_BILLED};

/// Every interval that bills some of the time from `from` to `to`, with its shares, in the order in which they were opened.
pub(super) async fn each(
    connection: &mut SqliteConnection,
    from: Timestamp,
    to: Timestamp,
    mut visit: impl FnMut(Interval),
) -> Result<(), ColumnError> {
    // A short one is billed for longer than it ran.
    let least = from.saturating_sub(MINIMUM_BILLED).unwrap_or(from);
    let mut rows = sqlx::query(
        "SELECT interval.*, place, since, queue, task, project, user, standing \
         FROM interval LEFT JOIN share ON share.interval = interval.id \
         WHERE start < ?1 AND (closed = 0 OR stop >= ?2) ORDER BY interval.id, place",
    )
    .bind(instant(to).unwrap_or(i64::MAX))
    .bind(instant(least).unwrap_or(i64::MIN))
    .fetch(connection);
    let mut under_way: Option<(i64, Interval)> = None;
    while let Some(row) = rows.try_next().await? {
        let id: i64 = row.try_get("id")?;
        if under_way.as_ref().is_none_or(|(before, _)| *before != id)
            && let Some((_, done)) = under_way.replace((id, read::interval(&row)?))
        {
            visit(done);
        }
        let has_share = row.try_get::<Option<i64>, _>("place")?.is_some();
        if let Some((_, interval)) = under_way.as_mut().filter(|_| has_share) {
            interval.shares.push(read::share(&row)?);
        }
    }
    if let Some((_, done)) = under_way {
        visit(done);
    }
    Ok(())
}
