//! Orders of consoles that only watch. Whoever leads takes each once: what a leader took and did not answer is never taken
//! again, for nobody knows whether it was done.

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

use super::columns::{ColumnError, instant, text, to_instant};
use super::{led, whole};
use crate::model::ids::{Actor, Term};
use crate::model::posted::{Fate, Posted};
use crate::store::StoreError;

pub(super) async fn post(connection: &mut PgConnection, order: &Posted) -> Result<(), ColumnError> {
    sqlx::query("INSERT INTO posted (id, who, at, command) VALUES ($1, $2, $3, $4)")
        .bind(&order.id)
        .bind(text(order.by.as_str()))
        .bind(instant(order.at)?)
        .bind(text(&order.command))
        .execute(connection)
        .await?;
    Ok(())
}

/// The oldest order that nobody took. Orders that an earlier leader left open are answered with `lost` first.
pub(super) async fn take(connection: &mut PgConnection, term: Term, lost: &str) -> Result<Option<Posted>, StoreError> {
    let failed = |error: sqlx::Error| StoreError::Shared { message: format!("no order can be taken: {error}") };
    // Asked every second: nearly always there is none, and nothing is locked.
    let open = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM posted WHERE answer IS NULL)");
    if !open.fetch_one(&mut *connection).await.map_err(failed)? {
        return Ok(None);
    }
    let mut transaction = connection.begin().await.map_err(failed)?;
    led(&mut transaction, term).await?;
    sqlx::query("UPDATE posted SET answer = $1 WHERE taken < $2 AND answer IS NULL")
        .bind(lost)
        .bind(whole(term))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    // Who posted it may withdraw it at the same moment: one of the two finds it.
    let take = "UPDATE posted SET taken = $1 WHERE taken IS NULL AND answer IS NULL AND id = \
                (SELECT id FROM posted WHERE taken IS NULL AND answer IS NULL ORDER BY at, id LIMIT 1) \
                RETURNING id, who, at, command";
    let row = sqlx::query(take).bind(whole(term)).fetch_optional(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    let Some(row) = row else { return Ok(None) };
    let read = || {
        Ok::<_, sqlx::Error>(Posted {
            id: row.try_get("id")?,
            by: Actor::new(row.try_get::<String, _>("who")?),
            at: to_instant(row.try_get("at")?),
            command: row.try_get("command")?,
        })
    };
    read().map(Some).map_err(failed)
}

pub(super) async fn answer(connection: &mut PgConnection, id: &str, answer: &str) -> Result<(), ColumnError> {
    let said = sqlx::query("UPDATE posted SET answer = $1 WHERE id = $2 AND answer IS NULL");
    said.bind(text(answer)).bind(id).execute(connection).await?;
    Ok(())
}

/// What has become of it; what was answered is heard once.
pub(super) async fn fate(connection: &mut PgConnection, id: &str) -> Result<Fate, ColumnError> {
    let heard = sqlx::query_scalar("DELETE FROM posted WHERE id = $1 AND answer IS NOT NULL RETURNING answer");
    if let Some(answer) = heard.bind(id).fetch_optional(&mut *connection).await? {
        return Ok(Fate::Answered(answer));
    }
    let taken: bool =
        sqlx::query_scalar("SELECT taken IS NOT NULL FROM posted WHERE id = $1").bind(id).fetch_one(connection).await?;
    Ok(if taken { Fate::Taken } else { Fate::Waits })
}

/// Takes an order back; `false`: it was taken before.
pub(super) async fn withdraw(connection: &mut PgConnection, id: &str) -> Result<bool, ColumnError> {
    let gone = sqlx::query("DELETE FROM posted WHERE id = $1 AND taken IS NULL AND answer IS NULL");
    Ok(gone.bind(id).execute(connection).await?.rows_affected() == 1)
}
