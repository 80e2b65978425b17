//! Records as statements: each does to the tables what `Memory::apply` does to the memory.

use jiff::{SignedDuration, Timestamp};
use sqlx::query::Query;
use sqlx::{Connection as _, Row as _};

use super::columns::{ColumnError, POD_PRICE, duration, instant, json, of_json, text, word};
use super::db::{Arguments, Connection, Database};
use super::read;
use crate::model::attempt::Attempt;
use crate::model::course::{Lesson, Rise};
use crate::model::glance::Glance;
use crate::model::ids::{Actor, InstanceId, IntentId, PoolName, ProjectName, QueueName, Revision, TaskId, UserName};
use crate::model::instance::Power;
use crate::model::journal::Entry;
use crate::model::ledger::{Interval, Share};
use crate::model::money::Rate;
use crate::model::record::{Intent, KnownInstance, Opened, Record};

/// Writes all records or none.
pub(super) async fn commit(connection: &mut Connection, records: &[Record]) -> Result<(), ColumnError> {
    let mut transaction = connection.begin().await?;
    for record in records {
        write(&mut transaction, record).await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn write(connection: &mut Connection, record: &Record) -> Result<(), ColumnError> {
    match record {
        Record::Armed(armed) => set_state(connection, "armed", i64::from(*armed)).await,
        Record::Paused(paused) => set_state(connection, "paused", i64::from(*paused)).await,
        Record::LedgerWholeSince(since) => set_state(connection, "whole_since", instant(*since)?).await,
        Record::IntentOpened(intent) => open_intent(connection, intent).await,
        Record::IntentUnknown(id) => {
            run(connection, sqlx::query("UPDATE intent SET outcome = 'unknown' WHERE id = $1").bind(id.as_str())).await
        }
        Record::IntentClosed { id, end } => {
            let close = sqlx::query("UPDATE intent SET ended = $1 WHERE id = $2 AND ended IS NULL");
            run(connection, close.bind(word(end)?).bind(id.as_str())).await
        }
        Record::Opened(opened) => {
            let Opened { known, interval } = opened.as_ref();
            run(connection, sqlx::query("DELETE FROM gone WHERE instance = $1").bind(known.id.as_str())).await?;
            open_known(connection, known).await?;
            open_interval(connection, interval).await
        }
        Record::Registered(id) => {
            set_known(connection, "UPDATE known SET registered = $1 WHERE instance = $2", id, 1_i64).await
        }
        Record::PowerSet { instance: id, power } => set_power(connection, id, power).await,
        Record::Restarted(opened) => {
            let Opened { known, interval } = opened.as_ref();
            run(connection, sqlx::query("DELETE FROM known WHERE instance = $1").bind(known.id.as_str())).await?;
            open_known(connection, known).await?;
            open_interval(connection, interval).await
        }
        Record::StopSent { instance: id, at } => {
            let stop_sent = instant(*at)?;
            set_known(connection, "UPDATE known SET stop_sent = $1 WHERE instance = $2", id, stop_sent).await
        }
        Record::DrainSet { instance: id, drain } => {
            let drain = drain.as_ref().map(json).transpose()?;
            set_known(connection, "UPDATE known SET drain = $1 WHERE instance = $2", id, drain).await
        }
        Record::Withdrawn(id) => withdraw(connection, id).await,
        Record::HoldSet { instance: id, hold } => {
            let hold = hold.as_ref().map(json).transpose()?;
            set_known(connection, "UPDATE known SET hold = $1 WHERE instance = $2", id, hold).await
        }
        Record::ReplaceSet { instance: id, by } => replace(connection, id, by.as_ref()).await,
        Record::DisksBilled(interval) => open_interval(connection, interval).await,
        Record::Charged { instance, share } => charge(connection, instance, share).await,
        Record::Closed { instance: id, end } => close_interval(connection, id, *end).await,
        Record::Gone { instance: id, at } => {
            run(connection, sqlx::query("DELETE FROM known WHERE instance = $1").bind(id.as_str())).await?;
            let gone = "INSERT INTO gone (instance, at) VALUES ($1, $2) \
                        ON CONFLICT (instance) DO UPDATE SET at = excluded.at";
            put(connection, gone, id.as_str(), instant(*at)?).await
        }
        Record::RequeueOpened(lost) => {
            let open = "INSERT INTO requeueing (task, facts) VALUES ($1, $2) \
                        ON CONFLICT (task) DO UPDATE SET facts = excluded.facts";
            put(connection, open, lost.task.as_str(), json(lost)?).await
        }
        Record::RequeueClosed(task) => {
            run(connection, sqlx::query("DELETE FROM requeueing WHERE task = $1").bind(task.as_str())).await
        }
        Record::Interrupted { task, at } => {
            let interrupted = "INSERT INTO interrupted (task, at) VALUES ($1, $2) \
                               ON CONFLICT (task) DO UPDATE SET at = excluded.at";
            put(connection, interrupted, task.as_str(), instant(*at)?).await
        }
        Record::Requeued { task, count, at } => {
            let requeued = "INSERT INTO requeue (task, count, at) VALUES ($1, $2, $3) \
                            ON CONFLICT (task) DO UPDATE SET count = excluded.count, at = excluded.at";
            run(connection, sqlx::query(requeued).bind(task.as_str()).bind(i64::from(*count)).bind(instant(*at)?)).await
        }
        Record::TaskTook { queue, duration } => add_sample(connection, "task", queue.as_str(), *duration).await,
        Record::BootTook { pool, duration } => add_sample(connection, "boot", pool.as_str(), *duration).await,
        Record::StartTook { pool, duration } => add_sample(connection, "start", pool.as_str(), *duration).await,
        Record::Learned(Lesson::Gap { pool, lasted }) => add_sample(connection, "gap", pool.as_str(), *lasted).await,
        Record::Learned(Lesson::Interval { pool, lasted }) => {
            add_sample(connection, "interval", pool.as_str(), *lasted).await
        }
        Record::Learned(Lesson::Rise { pool, rise }) => add_rise(connection, pool, *rise).await,
        Record::BootFailed { pool, instance } => {
            let failed = "INSERT INTO boot_failed (pool, instance) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            put(connection, failed, pool.as_str(), instance.as_str()).await
        }
        Record::BootsForgiven(pool) => {
            run(connection, sqlx::query("DELETE FROM boot_failed WHERE pool = $1").bind(pool.as_str())).await
        }
        Record::AttemptOpened(attempt) => open_attempt(connection, attempt).await,
        Record::AttemptSettled(instance) => settle_attempt(connection, instance).await,
        Record::PodPriced { of, rate } => {
            set_state(connection, &format!("{POD_PRICE}{of}"), rate.micros_per_hour()).await
        }
        Record::Glanced(glance) => add_glance(connection, glance).await,
        Record::Journal(entry) => add_line(connection, entry).await,
    }
}

/// A machine that is off is registered nowhere and drains no more.
async fn set_power(connection: &mut Connection, id: &InstanceId, power: &Power) -> Result<(), ColumnError> {
    set_known(connection, "UPDATE known SET power = $1 WHERE instance = $2", id, json(power)?).await?;
    if !power.is_off() {
        return Ok(());
    }
    let none: Option<String> = None;
    set_known(connection, "UPDATE known SET registered = 0, drain = $1 WHERE instance = $2", id, none).await
}

async fn add_glance(connection: &mut Connection, glance: &Glance) -> Result<(), ColumnError> {
    let add = "INSERT INTO glance (at, facts) VALUES ($1, $2) ON CONFLICT (at) DO UPDATE SET facts = excluded.facts";
    run(connection, sqlx::query(add).bind(instant(glance.at)?).bind(json(glance)?)).await
}

async fn withdraw(connection: &mut Connection, id: &InstanceId) -> Result<(), ColumnError> {
    set_known(connection, "UPDATE known SET drain = $1 WHERE instance = $2", id, None::<String>).await?;
    set_known(connection, "UPDATE known SET stop_sent = $1 WHERE instance = $2", id, None::<i64>).await
}

async fn open_attempt(connection: &mut Connection, attempt: &Attempt) -> Result<(), ColumnError> {
    let open = sqlx::query(
        "INSERT INTO attempt (instance, task, facts) VALUES ($1, $2, $3) \
         ON CONFLICT (instance) DO UPDATE SET task = excluded.task, facts = excluded.facts",
    );
    run(connection, open.bind(attempt.instance.as_str()).bind(attempt.task.as_str()).bind(json(attempt)?)).await
}

async fn settle_attempt(connection: &mut Connection, instance: &InstanceId) -> Result<(), ColumnError> {
    run(connection, sqlx::query("DELETE FROM attempt WHERE instance = $1").bind(instance.as_str())).await
}

async fn run(connection: &mut Connection, statement: Query<'_, Database, Arguments>) -> Result<(), ColumnError> {
    statement.execute(connection).await?;
    Ok(())
}

async fn set_state(connection: &mut Connection, name: &str, value: i64) -> Result<(), ColumnError> {
    let set = sqlx::query(
        "INSERT INTO state (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    );
    run(connection, set.bind(name).bind(value)).await
}

/// Runs a statement whose first parameter is the key, and whose second is the value.
async fn put<'q, T>(
    connection: &mut Connection,
    statement: &'static str,
    key: &'q str,
    value: T,
) -> Result<(), ColumnError>
where
    T: 'q + sqlx::Encode<'q, Database> + sqlx::Type<Database>,
{
    run(connection, sqlx::query(statement).bind(key).bind(value)).await
}

/// Runs a statement whose first parameter is the value, and whose second is the machine.
async fn set_known<'q, T>(
    connection: &mut Connection,
    statement: &'static str,
    instance: &'q InstanceId,
    value: T,
) -> Result<(), ColumnError>
where
    T: 'q + sqlx::Encode<'q, Database> + sqlx::Type<Database>,
{
    run(connection, sqlx::query(statement).bind(value).bind(instance.as_str())).await
}

async fn open_intent(connection: &mut Connection, intent: &Intent) -> Result<(), ColumnError> {
    let open = sqlx::query("INSERT INTO intent (id, batch, opened, outcome, facts) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE SET \
         batch = excluded.batch, opened = excluded.opened, outcome = excluded.outcome, facts = excluded.facts, ended = NULL")
        .bind(intent.id.as_str())
        .bind(intent.batch.as_str())
        .bind(instant(intent.opened)?)
        .bind(word(&intent.outcome)?)
        .bind(json(intent)?);
    run(connection, open).await
}

async fn open_known(connection: &mut Connection, known: &KnownInstance) -> Result<(), ColumnError> {
    let open = sqlx::query(
        "INSERT INTO known (instance, registered, stop_sent, drain, hold, power, facts) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(known.id.as_str())
    .bind(i64::from(known.registered))
    .bind(known.stop_sent.map(instant).transpose()?)
    .bind(known.drain.as_ref().map(json).transpose()?)
    .bind(known.hold.as_ref().map(json).transpose()?)
    .bind(json(&known.power)?)
    .bind(json(known)?);
    run(connection, open).await
}

async fn open_interval(connection: &mut Connection, interval: &Interval) -> Result<(), ColumnError> {
    match open_interval_of(connection, &interval.instance).await? {
        Some((_, true)) if !interval.off => close_interval(connection, &interval.instance, interval.start).await?,
        Some(_) => return Ok(()),
        None => {}
    }
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO interval (instance, pool, home, rate, extras, disks, off, reservation, start, stop) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id",
    )
    .bind(interval.instance.as_str())
    .bind(interval.pool.as_str())
    .bind(interval.home.as_str())
    .bind(interval.rate.map(Rate::micros_per_hour))
    .bind(interval.extras.micros_per_hour())
    .bind(interval.disks.micros_per_hour())
    .bind(i64::from(interval.off))
    .bind(interval.reservation.micros())
    .bind(instant(interval.start)?)
    .bind(interval.end.map(instant).transpose()?)
    .fetch_one(&mut *connection)
    .await?;
    for share in &interval.shares {
        add_share(connection, id, share).await?;
    }
    Ok(())
}

/// What is off is nobody's: its bill takes no more shares.
async fn charge(connection: &mut Connection, id: &InstanceId, share: &Share) -> Result<(), ColumnError> {
    match open_interval_of(connection, id).await? {
        Some((interval, false)) => add_share(connection, interval, share).await,
        _ => Ok(()),
    }
}

/// A machine's bill that runs, and whether it is that of one that is off.
async fn open_interval_of(connection: &mut Connection, id: &InstanceId) -> Result<Option<(i64, bool)>, ColumnError> {
    let found = sqlx::query_as::<_, (i64, i64)>("SELECT id, off FROM interval WHERE instance = $1 AND closed = 0")
        .bind(id.as_str());
    Ok(found.fetch_optional(connection).await?.map(|(id, off)| (id, off != 0)))
}

async fn add_share(connection: &mut Connection, interval: i64, share: &Share) -> Result<(), ColumnError> {
    let add = sqlx::query(
        "INSERT INTO share (interval, place, since, queue, task, project, \"user\", standing) \
         VALUES ($1, (SELECT coalesce(max(place) + 1, 0) FROM share WHERE interval = $1), $2, $3, $4, $5, $6, $7)",
    )
    .bind(interval)
    .bind(instant(share.from)?)
    .bind(share.queue.as_str())
    .bind(share.task.as_ref().map(TaskId::as_str))
    .bind(share.owner.project.as_ref().map(ProjectName::as_str))
    .bind(share.owner.user.as_ref().map(UserName::as_str))
    .bind(share.standing.word());
    run(connection, add).await
}

/// Who wants the machine replaced is one of its facts.
async fn replace(connection: &mut Connection, id: &InstanceId, by: Option<&Actor>) -> Result<(), ColumnError> {
    let facts = sqlx::query_scalar("SELECT facts FROM known WHERE instance = $1").bind(id.as_str());
    let facts: Option<String> = facts.fetch_optional(&mut *connection).await?;
    let Some(facts) = facts else { return Ok(()) };
    let mut known: KnownInstance = of_json(&facts)?;
    known.replace = by.cloned();
    set_known(connection, "UPDATE known SET facts = $1 WHERE instance = $2", id, json(&known)?).await
}

/// The cost is final from here on, whatever later versions compute.
async fn close_interval(connection: &mut Connection, id: &InstanceId, end: Timestamp) -> Result<(), ColumnError> {
    let open = sqlx::query("SELECT * FROM interval WHERE instance = $1 AND closed = 0").bind(id.as_str());
    let Some(row) = open.fetch_optional(&mut *connection).await? else {
        return Ok(());
    };
    let number: i64 = row.try_get("id")?;
    let mut interval = read::interval(&row)?;
    interval.shares = read::shares_of(connection, number).await?;
    interval.end = Some(end);
    let close = sqlx::query("UPDATE interval SET stop = $1, closed = 1, cost = $2 WHERE id = $3");
    run(connection, close.bind(instant(end)?).bind(interval.cost(end).micros()).bind(number)).await
}

async fn add_sample(
    connection: &mut Connection,
    kind: &str,
    name: &str,
    span: SignedDuration,
) -> Result<(), ColumnError> {
    let add = sqlx::query("INSERT INTO sample (kind, name, duration) VALUES ($1, $2, $3)");
    run(connection, add.bind(kind).bind(name).bind(duration(span)?)).await
}

async fn add_rise(connection: &mut Connection, pool: &PoolName, rise: Rise) -> Result<(), ColumnError> {
    let add = sqlx::query("INSERT INTO rise (pool, over, lately, more) VALUES ($1, $2, $3, $4)")
        .bind(pool.as_str())
        .bind(i64::from(rise.over))
        .bind(i64::from(rise.lately))
        .bind(i64::from(rise.more));
    run(connection, add).await
}

async fn add_line(connection: &mut Connection, entry: &Entry) -> Result<(), ColumnError> {
    let subject = &entry.subject;
    let add = sqlx::query(
        "INSERT INTO journal (at, who, kind, text, reason, queue, pool, instance, task, intent, revision) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(instant(entry.at)?)
    .bind(entry.by.as_str())
    .bind(word(&entry.kind)?)
    .bind(text(&entry.text))
    .bind(text(&entry.reason))
    .bind(subject.queue.as_ref().map(QueueName::as_str))
    .bind(subject.pool.as_ref().map(PoolName::as_str))
    .bind(subject.instance.as_ref().map(InstanceId::as_str))
    .bind(subject.task.as_ref().map(TaskId::as_str))
    .bind(entry.intent.as_ref().map(IntentId::as_str))
    .bind(entry.revision.as_ref().map(Revision::as_str));
    run(connection, add).await
}
