//! From a key to the place of its value in [`Settings`].

use std::collections::BTreeMap;

use jiff::SignedDuration;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::slot::Slot;
use super::{Key, Part, Settings, Unset, Written};
use crate::model::ids::{PoolName, QueueName, Revision};
use crate::model::money::{Money, Rate};
use crate::model::settings::key::Section;
use crate::model::settings::schedule::Days;
use crate::model::settings::{
    AccountSettings, AgentSettings, Budget, BudgetScope, ClearmlSettings, GuardKind, KeepAlive, Ladder, LaunchSettings,
    Limits, LoopSettings, Market, NotifySettings, OnExit, OnIdle, OnLost, Per, Period, Poll, PoolSettings, Provider,
    QueueSettings, ReplaceDrifted, Schedule, SpotSettings,
};

/// A field's place in the values of its section.
#[derive(Debug)]
pub(super) struct Of<T> {
    pub(super) get: fn(&T) -> &dyn Slot,
    pub(super) get_mut: fn(&mut T) -> &mut dyn Slot,
}

/// A field's place, and with it the kind of its section.
#[derive(Debug)]
pub(super) enum Lens {
    Clearml(Of<ClearmlSettings>),
    Agents(Of<ClearmlSettings>),
    Loop(Of<LoopSettings>),
    Limits(Of<Limits>),
    Budget(Of<Budget>),
    Schedule(Of<Schedule>),
    Account(Of<AccountSettings>),
    Notify(Of<NotifySettings>),
    Queue(Of<QueueSettings>),
    Pool(Of<PoolSettings>),
    /// The keys of this command.
    Keys(&'static str),
}

impl Lens {
    pub(super) fn part(&self) -> Part {
        match self {
            Self::Clearml(_) => Part::Clearml,
            Self::Agents(_) => Part::Agents,
            Self::Loop(_) => Part::Loop,
            Self::Limits(_) => Part::Limits,
            Self::Budget(_) => Part::Budget,
            Self::Schedule(_) => Part::Schedule,
            Self::Account(_) => Part::Account,
            Self::Notify(_) => Part::Notify,
            Self::Queue(_) => Part::Queue,
            Self::Pool(_) => Part::Pool,
            Self::Keys(_) => Part::Keys,
        }
    }
}

impl Lens {
    /// The value of a pool; `None` where it has none, or where this is no field of pools.
    pub(super) fn of_pool(&self, pool: &PoolSettings) -> Option<Written> {
        match self {
            Self::Pool(of) => (of.get)(pool).give(),
            _ => None,
        }
    }
}

/// The value at the key.
pub(super) fn give(settings: &Settings, key: &Key) -> Option<Written> {
    let slot = match (&key.field.lens, &key.section) {
        (Lens::Keys(command), _) => return settings.keys.get(*command).map(|keys| Written::Text(keys.to_string())),
        (Lens::Clearml(of) | Lens::Agents(of), _) => (of.get)(&settings.clearml),
        (Lens::Loop(of), _) => (of.get)(&settings.the_loop),
        (Lens::Limits(of), _) => (of.get)(&settings.limits),
        (Lens::Budget(of), Section::Budget(name)) => {
            (of.get)(settings.budgets.iter().find(|budget| budget.name == *name)?)
        }
        (Lens::Schedule(of), Section::Schedule(name)) => {
            (of.get)(settings.schedules.iter().find(|schedule| schedule.name == *name)?)
        }
        (Lens::Account(of), Section::Account(name)) => (of.get)(settings.account(name)?),
        (Lens::Notify(of), Section::Notify(name)) => (of.get)(settings.notified(name)?),
        (Lens::Queue(of), Section::Queue(name)) => (of.get)(settings.queue(name)?),
        (Lens::Pool(of), Section::Pool(name)) => (of.get)(settings.pool(name)?),
        _ => return None,
    };
    slot.give()
}

/// Takes the value at the key; `false` where it is none of the field's type.
pub(super) fn take(settings: &mut Settings, key: &Key, value: &Written) -> bool {
    begin(settings, &key.section);
    take_in(settings, key, value)
}

/// The section begins, with its defaults, unless it is there.
pub(super) fn begin(settings: &mut Settings, section: &Section) {
    let begun = match section {
        Section::Budget(name) if settings.budgets.iter().all(|budget| budget.name != *name) => {
            settings.budgets.push(blank_budget(name.as_str()));
            true
        }
        Section::Schedule(name) if settings.schedules.iter().all(|schedule| schedule.name != *name) => {
            let (days, from, to) = (Days::ALL, Time::midnight(), Time::midnight());
            settings.schedules.push(Schedule { name: name.clone(), days, from, to, set: BTreeMap::new() });
            true
        }
        Section::Account(name) if settings.account(name).is_none() => {
            let name = name.clone();
            settings.accounts.push(AccountSettings {
                name,
                profile: None,
                credentials: None,
                role_arn: None,
                external_id: None,
                project: None,
                program: None,
            });
            true
        }
        Section::Notify(name) if settings.notified(name).is_none() => {
            settings.notify.push(NotifySettings::blank(name.clone()));
            true
        }
        Section::Queue(name) if settings.queue(name).is_none() => {
            settings.queues.push(blank_queue(name.as_str()));
            true
        }
        Section::Pool(name) if settings.pool(name).is_none() => {
            settings.pools.push(blank_pool(name.as_str()));
            true
        }
        _ => false,
    };
    if begun {
        take_defaults(settings, section);
    }
}

fn take_in(settings: &mut Settings, key: &Key, value: &Written) -> bool {
    let slot = match (&key.field.lens, &key.section) {
        (Lens::Keys(command), _) => return take_keys(settings, command, value),
        (Lens::Clearml(of) | Lens::Agents(of), _) => Some((of.get_mut)(&mut settings.clearml)),
        (Lens::Loop(of), _) => Some((of.get_mut)(&mut settings.the_loop)),
        (Lens::Limits(of), _) => Some((of.get_mut)(&mut settings.limits)),
        (Lens::Budget(of), Section::Budget(name)) => {
            settings.budgets.iter_mut().find(|budget| budget.name == *name).map(of.get_mut)
        }
        (Lens::Schedule(of), Section::Schedule(name)) => {
            settings.schedules.iter_mut().find(|schedule| schedule.name == *name).map(of.get_mut)
        }
        (Lens::Account(of), Section::Account(name)) => {
            settings.accounts.iter_mut().find(|account| account.name == *name).map(of.get_mut)
        }
        (Lens::Notify(of), Section::Notify(name)) => {
            settings.notify.iter_mut().find(|told| told.name == *name).map(of.get_mut)
        }
        (Lens::Queue(of), Section::Queue(name)) => {
            settings.queues.iter_mut().find(|queue| queue.name == *name).map(of.get_mut)
        }
        (Lens::Pool(of), Section::Pool(name)) => {
            settings.pools.iter_mut().find(|pool| pool.name == *name).map(of.get_mut)
        }
        _ => None,
    };
    slot.is_some_and(|slot| slot.take(value))
}

fn take_keys(settings: &mut Settings, command: &str, value: &Written) -> bool {
    let Written::Text(text) = value else { return false };
    text.parse().is_ok_and(|keys| {
        settings.keys.insert(command.to_owned(), keys);
        true
    })
}

fn take_defaults(settings: &mut Settings, section: &Section) {
    for field in super::of(section.part()) {
        if let Unset::Is(text) = field.unset {
            take_in(settings, &section.key(field), &field.kind.written(text));
        }
    }
}

impl Settings {
    /// Nothing but defaults; what is required is empty.
    pub(crate) fn blank(revision: Revision) -> Self {
        let mut settings = Self {
            revision,
            clearml: ClearmlSettings::default(),
            the_loop: LoopSettings {
                fleet: "".into(),
                poll: Poll::Auto,
                count_foreign: false,
                price_of_waiting: Rate::ZERO,
                on_exit: OnExit::Leave,
                time_zone: TimeZone::UTC,
                gce_metadata: BTreeMap::new(),
                tell_waiting: false,
                policy: None,
                metrics: None,
                store: None,
                keep: SignedDuration::ZERO,
                keep_bills: None,
                pseudonyms: None,
                pseudonyms_before: None,
            },
            limits: Limits::default(),
            budgets: Vec::new(),
            schedules: Vec::new(),
            accounts: Vec::new(),
            notify: Vec::new(),
            queues: Vec::new(),
            pools: Vec::new(),
            keys: BTreeMap::new(),
        };
        for section in settings.sections() {
            take_defaults(&mut settings, &section);
        }
        settings
    }
}

fn blank_budget(name: &str) -> Budget {
    Budget {
        name: name.into(),
        scope: BudgetScope::All,
        per: Per::Calendar(Period::Day),
        limit: Money::ZERO,
        hard: true,
        already_spent: Money::ZERO,
        at: Ladder::default(),
    }
}

fn blank_queue(name: &str) -> QueueSettings {
    QueueSettings {
        name: name.into(),
        pools: Vec::new(),
        priority: 0,
        limits: Limits::default(),
        on_lost: OnLost::Never,
        expected_task: SignedDuration::ZERO,
        policy: None,
    }
}

impl QueueSettings {
    /// A queue of nothing but defaults; what is required is empty.
    pub fn with_defaults(name: impl Into<QueueName>) -> Self {
        let (name, mut settings) = (name.into(), Settings::blank(Revision::new("")));
        begin(&mut settings, &Section::Queue(name.clone()));
        settings.queues.pop().unwrap_or_else(|| blank_queue(name.as_str()))
    }
}

impl PoolSettings {
    /// A pool of nothing but defaults; what is required is empty.
    pub fn with_defaults(name: impl Into<PoolName>) -> Self {
        let (name, mut settings) = (name.into(), Settings::blank(Revision::new("")));
        begin(&mut settings, &Section::Pool(name.clone()));
        settings.pools.pop().unwrap_or_else(|| blank_pool(name.as_str()))
    }
}

fn blank_pool(name: &str) -> PoolSettings {
    PoolSettings {
        name: name.into(),
        provider: Provider::Aws,
        account: None,
        region: String::new(),
        types: Vec::new(),
        market: Market::OnDemand,
        limits: Limits::default(),
        min: 0,
        keep_alive: KeepAlive::Learned,
        max_boot: SignedDuration::ZERO,
        on_idle: OnIdle::Terminate,
        replace_drifted: ReplaceDrifted::Never,
        max_stopped: 0,
        stopped_for: SignedDuration::ZERO,
        max_silence: SignedDuration::ZERO,
        max_life: SignedDuration::ZERO,
        price: None,
        discount: None,
        public_address: false,
        guard: GuardKind::Gate,
        spot: SpotSettings::default(),
        launch: LaunchSettings::default(),
        agent: AgentSettings::default(),
    }
}
