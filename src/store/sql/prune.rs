//! Forgetting what is too old, some rows at a time.

use jiff::Timestamp;
use sqlx::Connection as _;

use super::columns::{ColumnError, instant};
use super::db::Connection;
use crate::model::course::Rise;
use crate::model::record::{Requeues, Samples};
use crate::store::{Keep, Pruned};

/// Rows of a kind that one step removes: nobody waits long for the tables meanwhile.
const AT_ONCE: i64 = 2_000;

/// What is older than the instant, the oldest first.
const OLD: [&str; 6] = [
    "DELETE FROM journal WHERE id IN (SELECT id FROM journal WHERE at < $1 ORDER BY at, id LIMIT $2)",
    "DELETE FROM intent WHERE id IN (SELECT id FROM intent WHERE ended IS NOT NULL AND opened < $1 LIMIT $2)",
    "DELETE FROM gone WHERE instance IN (SELECT instance FROM gone WHERE at < $1 LIMIT $2)",
    "DELETE FROM interrupted WHERE task IN (SELECT task FROM interrupted WHERE at < $1 LIMIT $2)",
    "DELETE FROM glance WHERE at IN (SELECT at FROM glance WHERE at < $1 LIMIT $2)",
    "DELETE FROM posted WHERE id IN (SELECT id FROM posted WHERE at < $1 LIMIT $2)",
];

/// How often tasks went back to their queues, where that was last before the instant.
const REQUEUES: &str = "DELETE FROM requeue WHERE task IN (SELECT task FROM requeue WHERE at < $1 LIMIT $2)";

/// What newer rows have pushed out; the memory holds no more of a kind.
const PUSHED_OUT: [(&str, usize); 2] = [
    (
        "DELETE FROM sample WHERE id IN (SELECT id FROM \
         (SELECT id, row_number() OVER (PARTITION BY kind, name ORDER BY id DESC) AS age FROM sample) AS aged WHERE age > $1)",
        Samples::KEPT,
    ),
    (
        "DELETE FROM rise WHERE id IN (SELECT id FROM \
         (SELECT id, row_number() OVER (PARTITION BY pool ORDER BY id DESC) AS age FROM rise) AS aged WHERE age > $1)",
        Rise::KEPT,
    ),
];

/// See `Store::prune`.
pub(super) async fn prune(connection: &mut Connection, keep: Keep) -> Result<Pruned, ColumnError> {
    let before = instant(keep.lines)?;
    let requeues = instant(Requeues::kept_from(keep.lines))?;
    let mut transaction = connection.begin().await?;
    let mut more = false;
    let old = OLD.into_iter().map(|statement| (statement, before));
    for (statement, before) in old.chain([(REQUEUES, requeues)]) {
        let removed = sqlx::query(statement).bind(before).bind(AT_ONCE).execute(&mut *transaction).await?;
        more |= i64::try_from(removed.rows_affected()).is_ok_and(|removed| removed >= AT_ONCE);
    }
    for (statement, kept) in PUSHED_OUT {
        let kept = i64::try_from(kept).unwrap_or(i64::MAX);
        sqlx::query(statement).bind(kept).execute(&mut *transaction).await?;
    }
    let bills = match keep.bills {
        Some(before) => bills(&mut transaction, before).await?,
        None => 0,
    };
    transaction.commit().await?;
    more |= i64::try_from(bills).is_ok_and(|bills| bills >= AT_ONCE);
    Ok(Pruned { more, bills })
}

/// Removes the oldest closed bills that ended before the instant, and keeps what they come to.
async fn bills(connection: &mut Connection, before: Timestamp) -> Result<u64, ColumnError> {
    let ends = "SELECT stop FROM interval WHERE closed = 1 AND stop < $1 ORDER BY stop LIMIT $2";
    let ends: Vec<i64> =
        sqlx::query_scalar(ends).bind(instant(before)?).bind(AT_ONCE).fetch_all(&mut *connection).await?;
    let Some(last) = ends.last() else { return Ok(0) };
    let sum = "INSERT INTO state (name, value) SELECT 'forgotten', CAST(coalesce(sum(cost), 0) AS BIGINT) \
               FROM interval WHERE closed = 1 AND stop <= $1 \
               ON CONFLICT (name) DO UPDATE SET value = state.value + excluded.value";
    sqlx::query(sum).bind(last).execute(&mut *connection).await?;
    let shares = "DELETE FROM share WHERE interval IN (SELECT id FROM interval WHERE closed = 1 AND stop <= $1)";
    sqlx::query(shares).bind(last).execute(&mut *connection).await?;
    let removed = sqlx::query("DELETE FROM interval WHERE closed = 1 AND stop <= $1").bind(last);
    Ok(removed.execute(connection).await?.rows_affected())
}
