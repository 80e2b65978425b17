//! The memory back from the tables, and the journal.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sqlx::Row as _;

use super::bills::{self, Span};
use super::columns::{ColumnError, POD_PRICE, duration, instant, of_json, of_word, to_instant};
use super::db::{Connection, Row};
use crate::model::account::Owner;
use crate::model::course::{Lesson, Rise};
use crate::model::glance::Glance;
use crate::model::ids::{ProjectName, QueueName, Revision, TaskId, UserName};
use crate::model::journal::{Entry, JournalFilter, Subject};
use crate::model::ledger::{Interval, Ledger, Share};
use crate::model::money::{Money, Rate};
use crate::model::record::{Intent, KnownInstance, Learned, Memory, Requeues};
use crate::model::waste::Standing;

/// What could not be read, and why.
type Unread = (&'static str, ColumnError);

/// Everything remembered; closed intervals that ended before `keep_from` only as a part of the total.
pub(super) async fn memory(connection: &mut Connection, keep_from: Timestamp) -> Result<Memory, Unread> {
    let mut memory = Memory::default();
    state(connection, &mut memory).await.map_err(|error| ("state", error))?;
    intents(connection, &mut memory).await.map_err(|error| ("intents", error))?;
    known(connection, &mut memory).await.map_err(|error| ("machines", error))?;
    gone(connection, &mut memory).await.map_err(|error| ("machines", error))?;
    ledger(connection, &mut memory.ledger, keep_from).await.map_err(|error| ("ledger", error))?;
    requeues(connection, &mut memory).await.map_err(|error| ("requeues", error))?;
    attempts(connection, &mut memory).await.map_err(|error| ("attempts", error))?;
    boots_failed(connection, &mut memory).await.map_err(|error| ("failed boots", error))?;
    samples(connection, &mut memory.learned).await.map_err(|error| ("samples", error))?;
    rises(connection, &mut memory.learned).await.map_err(|error| ("rises", error))?;
    Ok(memory)
}

/// What stands: intents, machines and their open bills; nothing that is over.
pub(super) async fn standing(connection: &mut Connection) -> Result<Memory, Unread> {
    let mut memory = Memory::default();
    state(connection, &mut memory).await.map_err(|error| ("state", error))?;
    intents(connection, &mut memory).await.map_err(|error| ("intents", error))?;
    known(connection, &mut memory).await.map_err(|error| ("machines", error))?;
    let open = |interval| memory.ledger.open_interval(interval);
    bills::each(connection, Span::Open, open).await.map_err(|error| ("ledger", error))?;
    Ok(memory)
}

async fn state(connection: &mut Connection, memory: &mut Memory) -> Result<(), ColumnError> {
    for row in sqlx::query("SELECT name, value FROM state").fetch_all(connection).await? {
        let value: i64 = row.try_get("value")?;
        match row.try_get("name")? {
            "armed" => memory.armed = value != 0,
            "paused" => memory.paused = value != 0,
            "whole_since" => memory.ledger.whole_since = Some(to_instant(value)),
            name => {
                if let Some(of) = name.strip_prefix(POD_PRICE) {
                    memory.pod_prices.insert(of.to_owned(), Rate::from_micros_per_hour(value));
                }
            }
        }
    }
    Ok(())
}

async fn intents(connection: &mut Connection, memory: &mut Memory) -> Result<(), ColumnError> {
    let standing = sqlx::query("SELECT outcome, facts FROM intent WHERE ended IS NULL");
    for row in standing.fetch_all(connection).await? {
        let mut intent: Intent = of_json(row.try_get("facts")?)?;
        intent.outcome = of_word(row.try_get("outcome")?)?;
        memory.intents.insert(intent.id.clone(), intent);
    }
    Ok(())
}

async fn known(connection: &mut Connection, memory: &mut Memory) -> Result<(), ColumnError> {
    for row in sqlx::query("SELECT * FROM known").fetch_all(connection).await? {
        let mut known: KnownInstance = of_json(row.try_get("facts")?)?;
        known.registered = flag(&row, "registered")?;
        known.stop_sent = row.try_get::<Option<i64>, _>("stop_sent")?.map(to_instant);
        known.drain = row.try_get::<Option<&str>, _>("drain")?.map(of_json).transpose()?;
        known.hold = row.try_get::<Option<&str>, _>("hold")?.map(of_json).transpose()?;
        known.power = of_json(row.try_get("power")?)?;
        memory.known.insert(known.id.clone(), known);
    }
    Ok(())
}

async fn gone(connection: &mut Connection, memory: &mut Memory) -> Result<(), ColumnError> {
    for row in sqlx::query("SELECT instance, at FROM gone").fetch_all(connection).await? {
        memory.gone.insert(row.try_get::<String, _>("instance")?.into(), to_instant(row.try_get("at")?));
    }
    Ok(())
}

async fn ledger(connection: &mut Connection, ledger: &mut Ledger, keep_from: Timestamp) -> Result<(), ColumnError> {
    let keep_from = instant(keep_from)?;
    let older: i64 = sqlx::query_scalar(
        "SELECT CAST(coalesce(sum(cost), 0) AS BIGINT) FROM interval WHERE closed = 1 AND stop < $1",
    )
    .bind(keep_from)
    .fetch_one(&mut *connection)
    .await?;
    let forgotten: Option<i64> =
        sqlx::query_scalar("SELECT value FROM state WHERE name = 'forgotten'").fetch_optional(&mut *connection).await?;
    ledger.add_closed_total(Money::from_micros(older) + Money::from_micros(forgotten.unwrap_or_default()));
    let mut shares = shares(connection, keep_from).await?;
    let kept = sqlx::query("SELECT * FROM interval WHERE closed = 0 OR stop >= $1 ORDER BY id").bind(keep_from);
    for row in kept.fetch_all(connection).await? {
        let mut interval = interval(&row)?;
        interval.shares = shares.remove(&row.try_get("id")?).unwrap_or_default();
        if flag(&row, "closed")? {
            ledger.add_closed(&interval);
        } else {
            ledger.open_interval(interval);
        }
    }
    Ok(())
}

/// The shares of the intervals that are kept in memory, by interval, in order.
async fn shares(connection: &mut Connection, keep_from: i64) -> Result<BTreeMap<i64, Vec<Share>>, ColumnError> {
    let kept = sqlx::query(
        "SELECT share.* FROM share JOIN interval ON interval.id = share.interval \
         WHERE closed = 0 OR stop >= $1 ORDER BY share.interval, place",
    );
    let mut shares: BTreeMap<i64, Vec<Share>> = BTreeMap::new();
    for row in kept.bind(keep_from).fetch_all(connection).await? {
        shares.entry(row.try_get("interval")?).or_default().push(share(&row)?);
    }
    Ok(shares)
}

/// The shares of one interval, in order.
pub(super) async fn shares_of(connection: &mut Connection, interval: i64) -> Result<Vec<Share>, ColumnError> {
    let wanted = sqlx::query("SELECT * FROM share WHERE interval = $1 ORDER BY place").bind(interval);
    wanted.fetch_all(connection).await?.iter().map(share).collect()
}

/// A row of `share`.
pub(super) fn share(row: &Row) -> Result<Share, ColumnError> {
    Ok(Share {
        from: to_instant(row.try_get("since")?),
        queue: row.try_get::<String, _>("queue")?.into(),
        task: row.try_get::<Option<String>, _>("task")?.map(TaskId::from),
        owner: Owner {
            project: row.try_get::<Option<String>, _>("project")?.map(ProjectName::from),
            user: row.try_get::<Option<String>, _>("user")?.map(UserName::from),
        },
        standing: Standing::of_word(row.try_get("standing")?),
    })
}

/// A row of `interval`, without its shares.
pub(super) fn interval(row: &Row) -> Result<Interval, ColumnError> {
    Ok(Interval {
        instance: row.try_get::<String, _>("instance")?.into(),
        pool: row.try_get::<String, _>("pool")?.into(),
        home: row.try_get::<String, _>("home")?.into(),
        rate: row.try_get::<Option<i64>, _>("rate")?.map(Rate::from_micros_per_hour),
        extras: Rate::from_micros_per_hour(row.try_get("extras")?),
        disks: Rate::from_micros_per_hour(row.try_get("disks")?),
        off: flag(row, "off")?,
        reservation: Money::from_micros(row.try_get("reservation")?),
        start: to_instant(row.try_get("start")?),
        end: row.try_get::<Option<i64>, _>("stop")?.map(to_instant),
        shares: Vec::new(),
    })
}

async fn requeues(connection: &mut Connection, memory: &mut Memory) -> Result<(), ColumnError> {
    for row in sqlx::query("SELECT task, facts FROM requeueing").fetch_all(&mut *connection).await? {
        memory.requeueing.insert(row.try_get::<String, _>("task")?.into(), of_json(row.try_get("facts")?)?);
    }
    for row in sqlx::query("SELECT task, count, at FROM requeue").fetch_all(&mut *connection).await? {
        let requeues = Requeues { count: number(&row, "count")?, last: to_instant(row.try_get("at")?) };
        memory.requeues.insert(row.try_get::<String, _>("task")?.into(), requeues);
    }
    for row in sqlx::query("SELECT task, at FROM interrupted").fetch_all(connection).await? {
        memory.interrupted.insert(row.try_get::<String, _>("task")?.into(), to_instant(row.try_get("at")?));
    }
    Ok(())
}

async fn attempts(connection: &mut Connection, memory: &mut Memory) -> Result<(), ColumnError> {
    for row in sqlx::query("SELECT instance, facts FROM attempt").fetch_all(connection).await? {
        memory.attempts.insert(row.try_get::<String, _>("instance")?.into(), of_json(row.try_get("facts")?)?);
    }
    Ok(())
}

async fn boots_failed(connection: &mut Connection, memory: &mut Memory) -> Result<(), ColumnError> {
    for row in sqlx::query("SELECT pool, instance FROM boot_failed").fetch_all(connection).await? {
        let pool: String = row.try_get("pool")?;
        let failed = memory.boots_failed.entry(pool.into()).or_default();
        failed.insert(row.try_get::<String, _>("instance")?.into());
    }
    Ok(())
}

async fn samples(connection: &mut Connection, learned: &mut Learned) -> Result<(), ColumnError> {
    for row in sqlx::query("SELECT kind, name, duration FROM sample ORDER BY id").fetch_all(connection).await? {
        let name: String = row.try_get("name")?;
        let samples = match row.try_get("kind")? {
            "boot" => learned.boots.entry(name.into()).or_default(),
            "start" => learned.starts.entry(name.into()).or_default(),
            "gap" => learned.gaps.entry(name.into()).or_default(),
            "interval" => learned.intervals.entry(name.into()).or_default(),
            _ => learned.tasks.entry(name.into()).or_default(),
        };
        samples.push(SignedDuration::from_nanos(row.try_get("duration")?));
    }
    Ok(())
}

async fn rises(connection: &mut Connection, learned: &mut Learned) -> Result<(), ColumnError> {
    for row in sqlx::query("SELECT pool, over, lately, more FROM rise ORDER BY id").fetch_all(connection).await? {
        let pool = row.try_get::<String, _>("pool")?.into();
        let rise = Rise { over: number(&row, "over")?, lately: number(&row, "lately")?, more: number(&row, "more")? };
        learned.take(&Lesson::Rise { pool, rise });
    }
    Ok(())
}

/// The pattern of texts that hold this one.
fn holding(text: &str) -> String {
    let text = text.to_ascii_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{text}%")
}

/// A column that is 0 or 1.
fn flag(row: &Row, column: &str) -> Result<bool, ColumnError> {
    Ok(row.try_get::<i64, _>(column)? != 0)
}

/// A column that holds a count.
fn number(row: &Row, column: &'static str) -> Result<u32, ColumnError> {
    let number = row.try_get(column)?;
    u32::try_from(number).map_err(|_| ColumnError::Number { column, number })
}

/// The newest lines that match, newest first; none after the one numbered `last`.
pub(super) async fn journal(
    connection: &mut Connection,
    filter: &JournalFilter,
    last: Option<i64>,
) -> Result<Vec<Entry>, ColumnError> {
    let wanted = sqlx::query(
        "SELECT * FROM journal WHERE (CAST($1 AS BIGINT) IS NULL OR at >= $1) AND (CAST($2 AS TEXT) IS NULL \
         OR lower(who) LIKE $2 ESCAPE '\\' OR lower(text) LIKE $2 ESCAPE '\\' OR lower(reason) LIKE $2 ESCAPE '\\' \
         OR lower(queue) LIKE $2 ESCAPE '\\' OR lower(pool) LIKE $2 ESCAPE '\\' \
         OR lower(instance) LIKE $2 ESCAPE '\\' OR lower(task) LIKE $2 ESCAPE '\\') \
         AND (CAST($4 AS BIGINT) IS NULL OR id <= $4) ORDER BY at DESC, id DESC LIMIT $3",
    )
    .bind(filter.since.map(instant).transpose()?)
    .bind(filter.text.as_deref().map(holding))
    .bind(i64::from(filter.limit))
    .bind(last);
    wanted.fetch_all(connection).await?.iter().map(entry).collect()
}

/// See `Store::glances`.
pub(super) async fn glances(
    connection: &mut Connection,
    from: Timestamp,
    to: Timestamp,
    every: SignedDuration,
) -> Result<Vec<Glance>, ColumnError> {
    let wanted = sqlx::query_scalar(
        "SELECT facts FROM glance WHERE at IN \
         (SELECT max(at) FROM glance WHERE at >= $1 AND at < $2 GROUP BY at / $3) ORDER BY at",
    )
    .bind(instant(from)?)
    .bind(instant(to)?)
    .bind(duration(every)?.max(1));
    let facts: Vec<String> = wanted.fetch_all(connection).await?;
    facts.iter().map(|facts| of_json(facts)).collect()
}

pub(super) fn entry(row: &Row) -> Result<Entry, ColumnError> {
    let name = |column: &str| row.try_get::<Option<String>, _>(column);
    Ok(Entry {
        at: to_instant(row.try_get("at")?),
        by: row.try_get::<String, _>("who")?.into(),
        kind: of_word(row.try_get("kind")?)?,
        text: row.try_get("text")?,
        reason: row.try_get("reason")?,
        subject: Subject {
            queue: name("queue")?.map(QueueName::from),
            pool: name("pool")?.map(Into::into),
            instance: name("instance")?.map(Into::into),
            task: name("task")?.map(Into::into),
        },
        intent: name("intent")?.map(Into::into),
        revision: name("revision")?.map(Revision::new),
    })
}
