//! What a policy answers: a table with `capacity`, `pools`, `veto` and `reason`, or nothing. Anything else is refused.

use rhai::{Dynamic, Map};

use crate::model::advice::Advice;
use crate::model::ids::PoolName;
use crate::model::settings::QueueSettings;

/// A reason is a line on a screen.
const LONGEST_REASON: usize = 200;

/// Reads the answer for a queue; `None`: it leaves the queue to the loop. The error says what is wrong with it.
pub(super) fn read(answer: Dynamic, policy: &str, queue: &QueueSettings) -> Result<Option<Advice>, String> {
    if answer.is_unit() {
        return Ok(None);
    }
    let kind = said_kind(answer.type_name());
    let mut table: Map = answer.try_cast().ok_or_else(|| format!("it answered {kind}, not a table or ()"))?;
    let mut take = |name: &str| table.remove(name).filter(|value| !value.is_unit());
    let capacity = take("capacity").map(|value| capacity(&value)).transpose()?;
    let pools = take("pools").map(pools).transpose()?;
    let veto = take("veto")
        .map(|value| value.as_bool().map_err(|kind| format!("veto is {}, not true or false", said_kind(kind))));
    let veto = veto.transpose()?.unwrap_or_default();
    let said = take("reason").map(Dynamic::into_immutable_string).transpose();
    let said = said.map_err(|kind| format!("reason is {}, not a text", said_kind(kind)))?.unwrap_or_default();
    if let Some(name) = table.keys().next() {
        return Err(format!("`{name}` is none of capacity, pools, veto and reason"));
    }
    fit(Advice { policy: String::new(), capacity, pools, veto, said: said.into() }, policy, queue)
}

/// The advice of a policy as it is taken in; `None`: it wants nothing. The error says what is wrong with it.
pub(super) fn fit(advice: Advice, policy: &str, queue: &QueueSettings) -> Result<Option<Advice>, String> {
    let Advice { capacity, pools, veto, said, .. } = advice;
    if capacity.is_none() && pools.is_none() && !veto {
        return Ok(None);
    }
    let pools = pools.map(|pools| of_queue(pools, queue)).transpose()?;
    if said.trim().is_empty() {
        return Err("it gives no reason".to_owned());
    }
    Ok(Some(Advice { policy: policy.to_owned(), capacity, pools, veto, said: one_line(&said) }))
}

/// A kind of value in the words of who writes a policy.
fn said_kind(of: &str) -> &str {
    match of {
        "i64" => "a whole number",
        "f64" => "a number with a fraction",
        "bool" => "true or false",
        "string" => "a text",
        "array" => "a list",
        "map" => "a table",
        other => other,
    }
}

fn capacity(value: &Dynamic) -> Result<u32, String> {
    let wrong = |what: String| format!("capacity is {what}, not a whole number from 0 on");
    let number = value.as_int().map_err(|kind| wrong(said_kind(kind).to_owned()))?;
    // More than there can be is as many as there can be: limits hold it.
    let number = number.min(u32::MAX.into());
    u32::try_from(number).map_err(|_| wrong(number.to_string()))
}

fn pools(value: Dynamic) -> Result<Vec<PoolName>, String> {
    let wrong = |kind: &str| format!("pools is {}, not a list of names", said_kind(kind));
    let names = value.into_typed_array::<String>().map_err(wrong)?;
    Ok(names.iter().map(|name| PoolName::from(name.as_str())).collect())
}

/// Each once, and of those that the queue names.
fn of_queue(names: Vec<PoolName>, queue: &QueueSettings) -> Result<Vec<PoolName>, String> {
    let mut pools: Vec<PoolName> = Vec::new();
    for name in names {
        if !queue.pools.contains(&name) {
            return Err(format!("queue.{}.pools does not name `{name}`", queue.name));
        }
        if !pools.contains(&name) {
            pools.push(name);
        }
    }
    if pools.is_empty() { Err("pools is empty: say `veto: true` for none".to_owned()) } else { Ok(pools) }
}

/// It stands in tables and in the journal.
fn one_line(text: &str) -> String {
    let plain: String = text.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    plain.chars().take(LONGEST_REASON).collect()
}
