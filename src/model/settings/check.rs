//! What must hold between settings; each by itself is the field table's matter.

use std::collections::BTreeSet;

use crate::model::nearest::did_you_mean;
use crate::model::settings::fields::{is_account, is_house_name, is_line};
use crate::model::settings::key::{Key, Section};
use crate::model::settings::keys;
use crate::model::settings::ladder::Step;
use crate::model::settings::provider;
use crate::model::settings::run_instances::in_template;
use crate::model::settings::schedule::may_set;
use crate::model::settings::volume::{Speed, VolumeKind};
use crate::model::settings::{
    AccountSettings, BudgetScope, GuardKind, Image, LaunchSettings, Market, NotifySettings, OnIdle, PoolSettings,
    Provider, QueueSettings, Schedule, Settings,
};
use crate::model::span::Exact;

/// Something that does not hold, and where it is to be mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    pub section: Section,
    /// `None`: the section's own name.
    pub field: Option<&'static str>,
    pub message: String,
}

/// Everything that does not hold.
#[must_use]
pub fn complaints(settings: &Settings) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for budget in &settings.budgets {
        let steps = budget.at.rungs().iter().map(|rung| rung.step);
        if let Some(step) = steps.filter(|step| !matches!(step, Step::Warn | Step::StopLaunching)).max()
            && !budget.scope.holds_launches()
        {
            // A name that has a pseudonym elsewhere is not told either.
            let whose = if matches!(budget.scope, BudgetScope::User(_)) { "a user" } else { "a project" };
            let message = format!(
                "`{step}` acts on machines, and {whose} has none: only `warn` and `stop-launching` can be steps of its budget"
            );
            complaints.push(Complaint { section: Section::Budget(budget.name.clone()), field: Some("at"), message });
        }
        let unknown = match &budget.scope {
            BudgetScope::Queue(queue) if settings.queue(queue).is_none() => {
                let hint = did_you_mean(queue.as_str(), settings.queues.iter().map(|known| known.name.as_str()));
                format!("no queue is called `{queue}` in these settings{hint}")
            }
            BudgetScope::Pool(pool) if settings.pool(pool).is_none() => {
                let hint = did_you_mean(pool.as_str(), settings.pools.iter().map(|known| known.name.as_str()));
                format!("no pool is called `{pool}` in these settings{hint}")
            }
            _ => continue,
        };
        let section = Section::Budget(budget.name.clone());
        complaints.push(Complaint { section, field: Some("scope"), message: unknown });
    }
    complaints.extend(settings.schedules.iter().flat_map(|schedule| of_schedule(settings, schedule)));
    complaints.extend(settings.queues.iter().flat_map(|queue| of_queue(settings, queue)));
    complaints.extend(settings.accounts.iter().flat_map(of_account));
    complaints.extend(settings.notify.iter().flat_map(of_notify));
    complaints.extend(settings.pools.iter().filter_map(|pool| no_account(settings, pool)));
    complaints.extend(settings.pools.iter().flat_map(of_pool));
    complaints.extend(settings.pools.iter().flat_map(|pool| of_provider(settings, pool)));
    complaints.extend(settings.pools.iter().filter_map(held_by_one));
    complaints.extend(keys::complaints(settings));
    complaints
}

fn of_schedule(settings: &Settings, schedule: &Schedule) -> Vec<Complaint> {
    let known = settings.sections();
    let wrong = |(text, value): (&String, &String)| {
        let Ok(key) = Key::parse(text) else { return Some(format!("`{text}` is not the key of a setting")) };
        if !may_set(&key) {
            let may = "limits, a pool's min and keep_alive, and a budget's limit";
            return Some(format!("`{text}` cannot be set by a schedule: {may} can"));
        }
        if !known.contains(&key.section) {
            return Some(format!("there is no `{}` in these settings", key.section));
        }
        key.field.read(value).err().map(|wrong| format!("`{text}`: {wrong}"))
    };
    let section = Section::Schedule(schedule.name.clone());
    let complaint = |message| Complaint { section: section.clone(), field: Some("set"), message };
    schedule.set.iter().filter_map(wrong).map(complaint).collect()
}

fn of_account(account: &AccountSettings) -> Vec<Complaint> {
    let section = Section::Account(account.name.clone());
    let say = |field, message: &str| Complaint { section: section.clone(), field, message: message.to_owned() };
    let mut complaints = Vec::new();
    if !is_account(account.name.as_str()) {
        complaints.push(say(None, "an account's name is not empty and without spaces, `:`, `/` and `@`"));
    }
    if account.profile.is_some() && account.credentials.is_some() {
        complaints.push(say(Some("credentials"), "a profile is named too: keep one of them"));
    }
    if account.external_id.is_some() && account.role_arn.is_none() {
        complaints.push(say(Some("external_id"), "no role_arn is there that would want to hear it"));
    }
    complaints
}

fn of_notify(notify: &NotifySettings) -> Vec<Complaint> {
    let section = Section::Notify(notify.name.clone());
    let say = |field, message: &str| Complaint { section: section.clone(), field, message: message.to_owned() };
    match (&notify.url, notify.command.is_empty()) {
        (Some(_), false) => vec![say(Some("command"), "a url is named too: keep one of them")],
        (None, true) => vec![say(None, "names neither a `url` nor a `command`: nobody would be told")],
        (None, false) if notify.authorization.is_some() => {
            vec![say(Some("authorization"), "is for a url: a command brings its own")]
        }
        _ => Vec::new(),
    }
}

fn held_by_one(pool: &PoolSettings) -> Option<Complaint> {
    let both = pool.guard == GuardKind::Hold && pool.agent.agents() > 1;
    both.then(|| Complaint {
        section: Section::Pool(pool.name.clone()),
        field: Some("agents_per_machine"),
        message: "a hold task holds one agent: several need `guard = \"gate\"`".to_owned(),
    })
}

fn no_account(settings: &Settings, pool: &PoolSettings) -> Option<Complaint> {
    let account = pool.account.as_ref().filter(|account| settings.account(account).is_none())?;
    let hint = did_you_mean(account.as_str(), settings.accounts.iter().map(|known| known.name.as_str()));
    Some(Complaint {
        section: Section::Pool(pool.name.clone()),
        field: Some("account"),
        message: format!("no account is called `{account}` in these settings{hint}"),
    })
}

fn of_provider(settings: &Settings, pool: &PoolSettings) -> Vec<Complaint> {
    let section = Section::Pool(pool.name.clone());
    let complaint = |(field, message)| Complaint { section: section.clone(), field: Some(field), message };
    provider::complaints(settings, pool).into_iter().map(complaint).collect()
}

fn of_queue(settings: &Settings, queue: &QueueSettings) -> Vec<Complaint> {
    let section = Section::Queue(queue.name.clone());
    let say = |field, message| Complaint { section: section.clone(), field, message };
    let mut complaints = Vec::new();
    if !is_line(queue.name.as_str()) {
        let message = "a queue's name is not empty, on one line, and without spaces around it".to_owned();
        complaints.push(say(None, message));
    }
    let mut seen = BTreeSet::new();
    for pool in &queue.pools {
        if settings.pool(pool).is_none() {
            let hint = did_you_mean(pool.as_str(), settings.pools.iter().map(|known| known.name.as_str()));
            complaints.push(say(Some("pools"), format!("no pool is called `{pool}` in these settings{hint}")));
        } else if !seen.insert(pool) {
            complaints.push(say(Some("pools"), format!("`{pool}` is there twice")));
        }
    }
    complaints
}

fn of_pool(pool: &PoolSettings) -> Vec<Complaint> {
    let section = Section::Pool(pool.name.clone());
    let say = |field, message| Complaint { section: section.clone(), field, message };
    let mut complaints = Vec::new();
    if !is_house_name(pool.name.as_str()) {
        complaints.push(say(None, "a pool's name is not empty and without spaces, `:` and `/`".to_owned()));
    }
    if let Some(max) = pool.limits.max
        && pool.min > max
    {
        complaints.push(say(Some("min"), format!("`{}` is more than the pool's max, {max}", pool.min)));
    }
    if pool.on_idle == OnIdle::Stop && pool.market == Market::Spot {
        let message = "`stop` is not for market = \"spot\": a one-time Spot machine cannot be stopped, only ended";
        complaints.push(say(Some("on_idle"), message.to_owned()));
    }
    if pool.max_boot >= pool.max_life {
        let (boot, life) = (Exact(pool.max_boot), Exact(pool.max_life));
        complaints.push(say(Some("max_boot"), format!("`{boot}` is not less than the pool's max_life, {life}")));
    }
    let (subnets, zones) = (pool.launch.subnets.len(), pool.launch.zones.len());
    if pool.provider == Provider::Aws && subnets > 0 && zones > 0 && subnets != zones {
        let message =
            format!("{zones} zones do not match {subnets} subnets one to one: leave zones out, or name each subnet's");
        complaints.push(say(Some("zones"), message));
    }
    complaints.extend(disks(&pool.launch).map(|(field, message)| say(Some(field), message)));
    if pool.cloud_chooses(pool.market) {
        let unknown = pool.launch.run_instances.keys().filter(|name| in_template(name).is_none());
        let message = |name| {
            format!(
                "`{name}` is in no launch template, which spot_strategy = \"price-capacity-optimized\" goes through"
            )
        };
        complaints.extend(unknown.map(|name| say(Some("run_instances"), message(name))));
    }
    complaints.extend(pool.agent.complaints().map(|(field, message)| say(Some(field), message)));
    for machine_type in repeated(&pool.types) {
        complaints.push(say(Some("types"), format!("`{machine_type}` is there twice")));
    }
    complaints
}

/// What does not hold between the settings of disks.
fn disks(launch: &LaunchSettings) -> impl Iterator<Item = (&'static str, String)> {
    let kind = launch.disk_type.unwrap_or(VolumeKind::Gp3);
    let speed = launch.sets_disk().then(|| kind.complaint(launch.disk_iops, launch.disk_throughput)).flatten();
    let speed = speed.map(|(speed, message)| {
        let field = match speed {
            Speed::Iops => "disk_iops",
            Speed::Throughput => "disk_throughput",
        };
        (field, message)
    });
    let hidden = launch.sets_disk() && launch.disk_device.is_none() && matches!(launch.image(), Image::Parameter(_));
    let hidden = hidden.then(|| {
        let message = "is missing: an image by a parameter does not show its root device before it is started";
        ("disk_device", message.to_owned())
    });
    let devices: Vec<&str> = launch
        .disk_device
        .iter()
        .chain(launch.volumes.iter().map(|volume| &volume.device))
        .map(String::as_str)
        .collect();
    let twice = repeated(&devices).next().map(|device| ("volumes", format!("`{device}` is there twice")));
    speed.into_iter().chain(hidden).chain(twice)
}

fn repeated<T: Ord>(items: &[T]) -> impl Iterator<Item = &T> {
    let mut seen = BTreeSet::new();
    items.iter().filter(move |item| !seen.insert(*item))
}
