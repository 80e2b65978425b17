//! What others write into the journal, as it comes.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::columns::ColumnError;
use super::read::entry;
use crate::model::journal::Entry;

/// A console that was away for long is told the rest when it asks again.
const MOST: i64 = 1_000;

/// The lines after the one numbered `known`, the oldest first, and the number of the last one; none where `known` is not.
pub(super) async fn after(connection: &mut PgConnection, known: Option<i64>) -> Result<(i64, Vec<Entry>), ColumnError> {
    let Some(known) = known else { return Ok((last(connection).await?, Vec::new())) };
    let wanted = sqlx::query("SELECT * FROM journal WHERE id > $1 ORDER BY id LIMIT $2").bind(known).bind(MOST);
    let rows = wanted.fetch_all(connection).await?;
    let last = rows.last().map(|row| row.try_get("id")).transpose()?.unwrap_or(known);
    Ok((last, rows.iter().map(entry).collect::<Result<_, _>>()?))
}

/// The number of the last line; 0: there is none.
pub(super) async fn last(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM journal").fetch_one(connection).await
}
