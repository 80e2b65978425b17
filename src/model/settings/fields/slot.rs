//! Where a value goes: each type of the settings takes a written value and gives it back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::SignedDuration;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::written::Written;
use crate::model::ids::{AccountName, BudgetName, FleetId, MachineType, PoolName, QueueName};
use crate::model::money::{self, Money, Rate};
use crate::model::notice::NoticeKind;
use crate::model::settings::discount::Discount;
use crate::model::settings::schedule::{self, Days};
use crate::model::settings::spot_cap::SpotCap;
use crate::model::settings::volume::{Volume, VolumeKind};
use crate::model::settings::{
    BudgetScope, DiskKind, GuardKind, KeepAlive, Ladder, Market, OnExit, OnIdle, OnLost, Per, Period, Poll, Provider,
    Provisioning, ReplaceDrifted, SecretRef, SecretText, SpotStrategy,
};
use crate::model::span;

/// How often a task may be enqueued again.
const MOST_REQUEUES: u32 = 100;

/// The ledger's grain is a quarter of an hour, and its memory two months.
const LEAST_ROLLING: SignedDuration = SignedDuration::from_hours(1);
const MOST_ROLLING: SignedDuration = SignedDuration::from_hours(35 * 24);

/// A place in the settings.
pub(super) trait Slot {
    /// Takes the value; `false`, and nothing is taken, where it is none of this type.
    fn take(&mut self, value: &Written) -> bool;

    /// The value as the file would have it; `None` where the file would have no line.
    fn give(&self) -> Option<Written>;
}

/// A type that one written value becomes, and back.
pub(super) trait Plain: Sized {
    fn read(value: &Written) -> Option<Self>;
    fn write(&self) -> Written;
}

impl<T: Plain> Slot for T {
    fn take(&mut self, value: &Written) -> bool {
        T::read(value).map(|read| *self = read).is_some()
    }

    fn give(&self) -> Option<Written> {
        Some(self.write())
    }
}

impl<T: Plain> Slot for Option<T> {
    fn take(&mut self, value: &Written) -> bool {
        T::read(value).map(|read| *self = Some(read)).is_some()
    }

    fn give(&self) -> Option<Written> {
        self.as_ref().map(T::write)
    }
}

/// Whether the text is one of this type.
pub(super) fn is_one<T: Plain>(text: &str) -> bool {
    read_text::<T>(text).is_some()
}

fn read_text<T: Plain>(text: &str) -> Option<T> {
    T::read(&Written::Text(text.to_owned()))
}

/// A type that is written as a text.
macro_rules! as_text {
    ($type:ty, $read:expr, $write:expr) => {
        impl Plain for $type {
            fn read(value: &Written) -> Option<Self> {
                match value {
                    Written::Text(text) => $read(text.as_str()),
                    _ => None,
                }
            }

            fn write(&self) -> Written {
                Written::Text($write(self))
            }
        }
    };
}

/// A type with one word for each of its values.
macro_rules! words {
    ($type:ty, $($word:literal = $value:path),+) => {
        as_text!(
            $type,
            |text: &str| match text {
                $($word => Some($value),)+
                _ => None,
            },
            |value: &Self| match value {
                $($value => $word.to_owned(),)+
            }
        );
    };
}

words!(OnExit, "leave" = OnExit::Leave, "stop-idle" = OnExit::StopIdle, "stop-all" = OnExit::StopAll);
words!(OnIdle, "terminate" = OnIdle::Terminate, "stop" = OnIdle::Stop);
words!(ReplaceDrifted, "never" = ReplaceDrifted::Never, "when-idle" = ReplaceDrifted::WhenIdle);
words!(Period, "hour" = Period::Hour, "day" = Period::Day, "week" = Period::Week, "month" = Period::Month);
words!(
    Provider,
    "aws" = Provider::Aws,
    "gce" = Provider::Gce,
    "kubernetes" = Provider::Kubernetes,
    "exec" = Provider::Exec
);
words!(Market, "on-demand" = Market::OnDemand, "spot" = Market::Spot);
words!(
    SpotStrategy,
    "in-order" = SpotStrategy::InOrder,
    "lowest-price" = SpotStrategy::LowestPrice,
    "price-capacity-optimized" = SpotStrategy::PriceCapacityOptimized
);
words!(Provisioning, "spot" = Provisioning::Spot, "preemptible" = Provisioning::Preemptible);
words!(GuardKind, "gate" = GuardKind::Gate, "hold" = GuardKind::Hold, "off" = GuardKind::Off);

as_text!(String, |text: &str| Some(text.to_owned()), String::clone);
as_text!(SocketAddr, |text: &str| text.parse().ok(), SocketAddr::to_string);
as_text!(NoticeKind, NoticeKind::read, |kind: &Self| kind.word().to_owned());
as_text!(FleetId, |text: &str| Some(text.into()), FleetId::to_string);
as_text!(AccountName, |text: &str| Some(text.into()), AccountName::to_string);
as_text!(BudgetName, |text: &str| Some(text.into()), BudgetName::to_string);
as_text!(SignedDuration, |text: &str| span::parse(text).ok(), |value: &Self| span::Exact(*value).to_string());
as_text!(Money, |text: &str| text.parse().ok(), |value: &Self| money::Exact(*value).to_string());
as_text!(Rate, |text: &str| text.parse().ok(), |value: &Self| money::ExactRate(*value).to_string());
as_text!(Days, |text: &str| text.parse().ok(), Days::to_string);
as_text!(Time, schedule::time, |value: &Self| value.strftime("%H:%M").to_string());
as_text!(VolumeKind, VolumeKind::read, |value: &Self| value.word().to_owned());
as_text!(DiskKind, DiskKind::read, |value: &Self| value.word().to_owned());
as_text!(Volume, |text: &str| text.parse().ok(), Volume::to_string);
as_text!(Discount, |text: &str| text.parse().ok(), Discount::to_string);
as_text!(SpotCap, |text: &str| text.parse().ok(), SpotCap::to_string);
as_text!(
    Poll,
    |text: &str| match text {
        "auto" => Some(Poll::Auto),
        text => span::parse(text).ok().map(Poll::Every),
    },
    |value: &Self| match value {
        Poll::Auto => "auto".to_owned(),
        Poll::Every(every) => span::Exact(*every).to_string(),
    }
);
as_text!(
    KeepAlive,
    |text: &str| match text {
        KeepAlive::WORD => Some(KeepAlive::Learned),
        text => span::parse(text).ok().map(KeepAlive::For),
    },
    KeepAlive::to_string
);
as_text!(TimeZone, |text: &str| TimeZone::get(text).ok(), |value: &Self| value.iana_name().unwrap_or("UTC").to_owned());
as_text!(
    SecretRef,
    |text: &str| match text.split_once(':')? {
        ("env", name) if is_variable(name) => Some(SecretRef::Env(name.to_owned())),
        ("file", path) if !path.is_empty() => Some(SecretRef::File(PathBuf::from(path))),
        _ => None,
    },
    |value: &Self| match value {
        SecretRef::Env(name) => format!("env:{name}"),
        SecretRef::File(path) => format!("file:{}", path.display()),
    }
);
as_text!(
    SecretText,
    |text: &str| Some(read_text(text).map_or_else(|| SecretText::Here(text.to_owned()), SecretText::Kept)),
    |value: &Self| match value {
        SecretText::Here(text) => text.clone(),
        SecretText::Kept(place) => match place.write() {
            Written::Text(text) => text,
            _ => String::new(),
        },
    }
);
as_text!(
    OnLost,
    |text: &str| match text.split_once(':') {
        None if text == "never" => Some(OnLost::Never),
        Some(("requeue", times)) => {
            let times = times.parse().ok()?;
            (1..=MOST_REQUEUES).contains(&times).then_some(OnLost::Requeue(times))
        }
        _ => None,
    },
    |value: &Self| match value {
        OnLost::Never => "never".to_owned(),
        OnLost::Requeue(times) => format!("requeue:{times}"),
    }
);
as_text!(
    BudgetScope,
    |text: &str| match text.split_once(':') {
        None if text == "all" => Some(BudgetScope::All),
        Some((_, "")) => None,
        Some(("provider", word)) => read_text::<Provider>(word).map(BudgetScope::Provider),
        Some(("pool", name)) => Some(BudgetScope::Pool(name.into())),
        Some(("queue", name)) => Some(BudgetScope::Queue(name.into())),
        Some(("project", name)) => Some(BudgetScope::Project(name.into())),
        Some(("user", name)) => Some(BudgetScope::User(name.into())),
        _ => None,
    },
    BudgetScope::to_string
);
as_text!(
    Per,
    |text: &str| match text.strip_prefix("rolling ") {
        None => read_text::<Period>(text).map(Per::Calendar),
        Some(span) => {
            let span = span::parse(span).ok()?;
            (LEAST_ROLLING..=MOST_ROLLING).contains(&span).then_some(Per::Rolling(span))
        }
    },
    |value: &Self| match value {
        Per::Calendar(period) => period.write().to_string(),
        Per::Rolling(span) => format!("rolling {}", span::Exact(*span)),
    }
);

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Plain for bool {
    fn read(value: &Written) -> Option<Self> {
        if let Written::Flag(flag) = value { Some(*flag) } else { None }
    }

    fn write(&self) -> Written {
        Written::Flag(*self)
    }
}

macro_rules! as_whole {
    ($($type:ty),+) => {
        $(impl Plain for $type {
            fn read(value: &Written) -> Option<Self> {
                if let Written::Whole(number) = value { Self::try_from(*number).ok() } else { None }
            }

            fn write(&self) -> Written {
                Written::Whole(i64::from(*self))
            }
        })+
    };
}

as_whole!(u32, i32);

macro_rules! as_list {
    ($($type:ty),+) => {
        $(impl Plain for Vec<$type> {
            fn read(value: &Written) -> Option<Self> {
                match value {
                    Written::List(items) => Some(items.iter().map(|item| <$type>::from(item.as_str())).collect()),
                    _ => None,
                }
            }

            fn write(&self) -> Written {
                Written::List(self.iter().map(ToString::to_string).collect())
            }
        })+
    };
}

as_list!(String, PoolName, QueueName, MachineType);

impl Plain for Vec<NoticeKind> {
    fn read(value: &Written) -> Option<Self> {
        match value {
            Written::List(items) => items.iter().map(|item| NoticeKind::read(item)).collect(),
            _ => None,
        }
    }

    fn write(&self) -> Written {
        Written::List(self.iter().map(|kind| kind.word().to_owned()).collect())
    }
}

impl Plain for Vec<Volume> {
    fn read(value: &Written) -> Option<Self> {
        match value {
            Written::List(items) => items.iter().map(|item| item.parse().ok()).collect(),
            _ => None,
        }
    }

    fn write(&self) -> Written {
        Written::List(self.iter().map(ToString::to_string).collect())
    }
}

impl Plain for Ladder {
    fn read(value: &Written) -> Option<Self> {
        if let Written::Table(entries) = value { Self::read(entries) } else { None }
    }

    fn write(&self) -> Written {
        Written::Table(self.write())
    }
}

impl Plain for BTreeMap<String, String> {
    fn read(value: &Written) -> Option<Self> {
        if let Written::Table(entries) = value { Some(entries.clone()) } else { None }
    }

    fn write(&self) -> Written {
        Written::Table(self.clone())
    }
}
