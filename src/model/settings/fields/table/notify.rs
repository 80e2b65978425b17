//! Rows of those who are told of what happens.

use super::super::rules::{ARGUMENT, EVENT, HOOK, SECRET};
use super::super::{Field, Kind, Takes, Unset};
use super::at;

pub(super) const NOTIFY: &[Field] = &[
    Field {
        name: "on",
        kind: Kind::List { item: EVENT, some: true },
        unset: Unset::Is("budget, stuck, orphan, capacity"),
        takes: Takes::AtOnce,
        doc: "What is told: a budget's step or limit reached; a machine that is stuck, lost or an orphan; a worker without a machine (ghost); \
              launches that fail (capacity); settings on disk that do not run; or any line of the journal that is an alarm. What stands is \
              told once, and again after a restart.",
        example: "budget, alarm",
        later: &[],
        lens: at!(Notify, on),
    },
    Field {
        name: "url",
        kind: Kind::Hidden(HOOK),
        unset: Unset::Means("no webhook"),
        takes: Takes::AtOnce,
        doc: "Where each notice is posted, as JSON with the fields version, at, fleet, event, text, budget, queue, pool, instance and task. \
              What fails is tried again for some minutes; what is lost then is in the journal.",
        example: "https://chat.example.com/hooks/tidegate",
        later: &[],
        lens: at!(Notify, url),
    },
    Field {
        name: "authorization",
        kind: Kind::Hidden(SECRET),
        unset: Unset::Means("no such header"),
        takes: Takes::AtOnce,
        doc: "Where the value of the header Authorization is, never the value itself: `env:NAME` a variable, `file:PATH` a file.",
        example: "env:HOOK_AUTHORIZATION",
        later: &["keyring:"],
        lens: at!(Notify, authorization),
    },
    Field {
        name: "command",
        kind: Kind::List { item: ARGUMENT, some: false },
        unset: Unset::Means("no command"),
        takes: Takes::AtOnce,
        doc: "A program and its arguments, run for each notice with the JSON as its input, for 30 s at most. No shell reads it.",
        example: "/usr/local/bin/page, --team, ml",
        later: &[],
        lens: at!(Notify, command),
    },
];
