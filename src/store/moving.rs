//! From a console's own file into the store that a team shares: every row of every table, in one transaction.

use sqlx::{AssertSqlSafe, Column, Connection, Executor, Row, TypeInfo, ValueRef};

use crate::store::StoreError;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;

/// Tables whose rows are numbered, and go on from the highest.
const NUMBERED: [&str; 4] = ["interval", "sample", "journal", "rise"];

/// Copies everything that is remembered. Returns how many rows there were.
///
/// # Errors
/// One of them cannot be read or written, or the shared store remembers something already: nothing is copied then.
pub async fn copy(from: &mut SqliteStore, to: &mut PostgresStore) -> Result<u64, StoreError> {
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' \
                  AND name NOT LIKE '\\_sqlx%' ESCAPE '\\' ORDER BY name = 'share', name";
    let tables: Result<Vec<String>, _> = sqlx::query_scalar(tables).fetch_all(&mut from.connection).await;
    let tables = tables.map_err(|error| from.damaged("tables", error))?;
    let mut transaction = to.connection().await?.begin().await.map_err(|error| unwritten(&error))?;
    let mut copied = 0;
    for table in tables {
        let rows = sqlx::query(AssertSqlSafe(format!("SELECT * FROM {table}"))).fetch_all(&mut from.connection).await;
        let rows = rows.map_err(|error| from.damaged(&table, error))?;
        // Who leads is no memory of the loop's.
        let but = if table == "state" { " WHERE name <> 'term'" } else { "" };
        let there: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}{but}")))
            .fetch_one(&mut *transaction)
            .await
            .map_err(|error| unwritten(&error))?;
        if there > 0 {
            return Err(StoreError::Shared {
                message: format!("it remembers something already ({there} rows in {table}): nothing was moved"),
            });
        }
        for row in rows {
            let names: Vec<_> = row.columns().iter().map(|column| format!("\"{}\"", column.name())).collect();
            let places: Vec<_> = (1..=names.len()).map(|place| format!("${place}")).collect();
            let insert = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), places.join(", "));
            let mut query = sqlx::query(AssertSqlSafe(insert));
            for place in 0..names.len() {
                let raw = row.try_get_raw(place).map_err(|error| from.damaged(&table, error))?;
                let is_text = row.column(place).type_info().name() == "TEXT";
                let read = |error| from.damaged(&table, error);
                query = match (raw.is_null(), is_text) {
                    (true, true) => query.bind(None::<String>),
                    (true, false) => query.bind(None::<i64>),
                    (false, true) => {
                        query.bind(row.try_get::<String, _>(place).map_err(read)?.replace('\0', "\u{fffd}"))
                    }
                    (false, false) => query.bind(row.try_get::<i64, _>(place).map_err(read)?),
                };
            }
            query.execute(&mut *transaction).await.map_err(|error| unwritten(&error))?;
            copied += 1;
        }
        if NUMBERED.contains(&table.as_str()) {
            let go_on = format!(
                "SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM {table}), false)"
            );
            transaction.execute(AssertSqlSafe(go_on)).await.map_err(|error| unwritten(&error))?;
        }
    }
    transaction.commit().await.map_err(|error| unwritten(&error))?;
    Ok(copied)
}

fn unwritten(error: &sqlx::Error) -> StoreError {
    StoreError::Shared { message: format!("it cannot be written: {error}") }
}
