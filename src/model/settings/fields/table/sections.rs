//! Rows of the server, the loop, the limits over everything, budgets and queues.

use jiff::SignedDuration;

use super::super::google::METADATA_NAME;
use super::super::rules::{
    ADDRESS, BUDGET_NAME, FLEET, LISTENS, ON_LOST, PER, PERCENT, POLICY, POOL, SCOPE, SCRIPT, SECRET, STEP, STORE,
    TIME_ZONE,
};
use super::super::{Field, Kind, Takes, Unset};
use super::{at, limits};
use crate::model::money::{Money, Rate};

pub(super) const CLEARML: &[Field] = &[
    Field {
        name: "api_server",
        kind: Kind::Text(ADDRESS),
        unset: Unset::Means("from CLEARML_API_HOST or clearml.conf"),
        takes: Takes::Restart,
        doc: "The address of the ClearML API server.",
        example: "https://api.example.com",
        later: &[],
        lens: at!(Clearml, api_server),
    },
    Field {
        name: "credentials",
        kind: Kind::Hidden(SECRET),
        unset: Unset::Means("from CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY, or clearml.conf"),
        takes: Takes::Restart,
        doc: "Where the console's own credentials are, never the credentials themselves. `env:NAME` is the variables \
              NAME_ACCESS_KEY and NAME_SECRET_KEY, or NAME holding `key:secret`; `file:PATH` is a clearml.conf, or one line `key:secret`.",
        example: "env:TIDEGATE_CLEARML",
        later: &["keyring:"],
        lens: at!(Clearml, credentials),
    },
];

pub(super) const AGENTS: &[Field] = &[Field {
    name: "credentials",
    kind: Kind::Hidden(SECRET),
    unset: Unset::Means("the console's own, with a warning"),
    takes: Takes::Restart,
    doc: "Where the credentials of a second ClearML user are, who mints the machines' tokens: a task on a machine can then \
          not act as you. Written as in [clearml].",
    example: "env:AGENTS_CLEARML",
    later: &["keyring:"],
    lens: at!(Agents, agents_credentials),
}];

pub(super) const LOOP: &[Field] = &[
    Field {
        name: "fleet",
        kind: Kind::Text(FLEET),
        unset: Unset::Required,
        takes: Takes::Restart,
        doc: "The name of the machines that these settings own; it is in every tag and worker name. Unique per ClearML server.",
        example: "research",
        later: &[],
        lens: at!(Loop, fleet),
    },
    Field {
        name: "poll",
        kind: Kind::Span { min: SignedDuration::from_secs(1), max: SignedDuration::from_mins(10), word: Some("auto") },
        unset: Unset::Is("auto"),
        takes: Takes::AtOnce,
        doc: "How often the loop looks at the world. `auto` is 10 s while an answer is awaited or a sweep comes in, and up to 25 s else; and when a keep-alive is over.",
        example: "10s",
        later: &[],
        lens: at!(Loop, poll),
    },
    Field {
        name: "price_of_waiting",
        kind: Kind::Rate { min: Rate::ZERO, max: Rate::from_micros_per_hour(1_000_000_000_000) },
        unset: Unset::Is("$2/h"),
        takes: Takes::AtOnce,
        doc: "What it is worth that one task waits an hour less. It decides how long idle machines are kept, where that is \
              learned, whether machines are started ahead of their tasks while more and more come, and whether a task waits \
              for a machine that is soon free.",
        example: "$5/h",
        later: &[],
        lens: at!(Loop, price_of_waiting),
    },
    Field {
        name: "count_foreign",
        kind: Kind::Flag,
        unset: Unset::Is("true"),
        takes: Takes::AtOnce,
        doc: "Whether idle workers of others on our queues count as capacity.",
        example: "false",
        later: &[],
        lens: at!(Loop, count_foreign),
    },
    Field {
        name: "on_exit",
        kind: Kind::Choice(&["leave", "stop-idle", "stop-all"]),
        unset: Unset::Is("leave"),
        takes: Takes::AtOnce,
        doc: "What becomes of the machines when the console is left: they stay, those without a task are stopped, or all are.",
        example: "stop-idle",
        later: &[],
        lens: at!(Loop, on_exit),
    },
    Field {
        name: "time_zone",
        kind: Kind::Text(TIME_ZONE),
        unset: Unset::Is("UTC"),
        takes: Takes::AtOnce,
        doc: "Where the days and months of budgets begin at midnight.",
        example: "Europe/Berlin",
        later: &[],
        lens: at!(Loop, time_zone),
    },
    Field {
        name: "gce_metadata",
        kind: Kind::Table { name: METADATA_NAME, text: SCRIPT },
        unset: Unset::Means("none but our own"),
        takes: Takes::NewMachines,
        doc: "More metadata for the machines of all pools of Google's; of a name that a pool's `metadata` has too, the pool's own counts. \
              Whatever runs on a machine can read it.",
        example: "enable-oslogin = TRUE",
        later: &[],
        lens: at!(Loop, gce_metadata),
    },
    Field {
        name: "policy",
        kind: Kind::Text(POLICY),
        unset: Unset::Means("the loop decides"),
        takes: Takes::AtOnce,
        doc: "A script, or with `exec:` a program, that is asked at every pass what each queue is to have, where the queue names none of its \
              own. Limits, budgets and minimums hold whatever it says. Where it fails, the loop decides as without it and the screen says so.",
        example: "policies/night.rhai",
        later: &[],
        lens: at!(Loop, policy),
    },
    Field {
        name: "metrics",
        kind: Kind::Text(LISTENS),
        unset: Unset::Means("not served"),
        takes: Takes::Restart,
        doc: "Where metrics are served for Prometheus at /metrics, and probes at /livez and /readyz. Whoever reaches the address can read \
              the names of queues, pools and budgets, and what is spent.",
        example: "127.0.0.1:9464",
        later: &[],
        lens: at!(Loop, metrics),
    },
    Field {
        name: "store",
        kind: Kind::Hidden(STORE),
        unset: Unset::Means("a file in the state directory"),
        takes: Takes::Restart,
        doc: "The PostgreSQL database in which a team's consoles remember together: one ledger and one journal, whoever leads. What one of them is asked that only \
              watches is done by the one that leads. Each fleet has a schema of its own there. `tidegate move-store` moves what a console's own file holds.",
        example: "env:TIDEGATE_STORE",
        later: &["keyring:"],
        lens: at!(Loop, store),
    },
    Field {
        name: "keep",
        kind: Kind::Span {
            min: SignedDuration::from_hours(24),
            max: SignedDuration::from_hours(24 * 3_660),
            word: None,
        },
        unset: Unset::Is("90d"),
        takes: Takes::AtOnce,
        doc: "How long the journal with its decisions, launches that ended and machines that are gone are remembered. The leader \
              removes what is older, some rows at each look. Learned durations name nobody, and are kept by their number.",
        example: "30d",
        later: &[],
        lens: at!(Loop, keep),
    },
    Field {
        name: "keep_bills",
        kind: Kind::Span {
            min: SignedDuration::from_hours(24),
            max: SignedDuration::from_hours(24 * 3_660),
            word: None,
        },
        unset: Unset::Means("for good"),
        takes: Takes::AtOnce,
        doc: "How long the bills of ended machines are kept, with the tasks, projects and users that they were charged to; what they \
              came to stays in the total. Those of this year and of the last 70 days stay whatever is set here: budgets, the \
              report of the year and the comparison with a cloud's bill need them.",
        example: "730d",
        later: &[],
        lens: at!(Loop, keep_bills),
    },
    Field {
        name: "pseudonyms",
        kind: Kind::Hidden(SECRET),
        unset: Unset::Means("names are as they are"),
        takes: Takes::Restart,
        doc: "Where a key is, never the key itself: `env:NAME` a variable, `file:PATH` a file, of 16 letters or more. With it users and tasks \
              have pseudonyms wherever their names would be stored, shown or told, such as `user-58b69667e0df`; ids of tasks stay. Budgets may \
              name users either way. `tidegate pseudonym NAME` says which one a name has. Every console of a fleet needs the same key.",
        example: "env:TIDEGATE_PSEUDONYMS",
        later: &["keyring:"],
        lens: at!(Loop, pseudonyms),
    },
    Field {
        name: "pseudonyms_before",
        kind: Kind::Hidden(SECRET),
        unset: Unset::Means("no other key was used"),
        takes: Takes::Restart,
        doc: "Where the key is that `loop.pseudonyms` named before, where it is another one now or none: what users of budgets spent under it counts on. \
              Keep it as long as a period of such a budget lasts.",
        example: "env:TIDEGATE_PSEUDONYMS_BEFORE",
        later: &["keyring:"],
        lens: at!(Loop, pseudonyms_before),
    },
    Field {
        name: "tell_waiting",
        kind: Kind::Flag,
        unset: Unset::Is("false"),
        takes: Takes::AtOnce,
        doc: "Write why tasks wait where the team sees it in ClearML's own pages: into each queue's metadata, under `tidegate`, and into \
              the status message of its first 20 waiting tasks. It is written when it changes, once a minute at most.",
        example: "true",
        later: &[],
        lens: at!(Loop, tell_waiting),
    },
];

pub(super) const LIMITS: &[Field] = limits!(Limits, "in total",);

pub(super) const BUDGET: &[Field] = &[
    Field {
        name: "name",
        kind: Kind::Text(BUDGET_NAME),
        unset: Unset::Required,
        takes: Takes::AtOnce,
        doc: "What the budget is called; its keys are `budget.\"NAME\".limit` and so on.",
        example: "team month",
        later: &[],
        lens: at!(Budget, name),
    },
    Field {
        name: "scope",
        kind: Kind::Text(SCOPE),
        unset: Unset::Is("all"),
        takes: Takes::AtOnce,
        doc: "What it covers: everything; a provider's or a pool's machines; `queue:NAME`: what that queue's tasks run on, and the \
              booting and idle time of the machines launched for it; or what the tasks of a ClearML project or user run on. \
              Nobody knows whose tasks a new machine will run: a hard budget of a project or a user starts no machine for \
              their waiting tasks once it is spent.",
        example: "queue:train",
        later: &[],
        lens: at!(Budget, scope),
    },
    Field {
        name: "per",
        kind: Kind::Text(PER),
        unset: Unset::Required,
        takes: Takes::AtOnce,
        doc: "The period: an hour, day, week or month by the calendar of `loop.time_zone` (a week begins on Monday), or at \
              any instant the last so long, `rolling 24h`, from a whole quarter of an hour on.",
        example: "month",
        later: &[],
        lens: at!(Budget, per),
    },
    Field {
        name: "limit",
        kind: Kind::Money { max: Money::from_micros(1_000_000_000_000_000) },
        unset: Unset::Required,
        takes: Takes::AtOnce,
        doc: "Money for one period.",
        example: "$200",
        later: &[],
        lens: at!(Budget, limit),
    },
    Field {
        name: "already_spent",
        kind: Kind::Money { max: Money::from_micros(1_000_000_000_000_000) },
        unset: Unset::Is("$0"),
        takes: Takes::AtOnce,
        doc: "What was spent before the ledger began, where that was within a period: it counts in that one period.",
        example: "$120",
        later: &[],
        lens: at!(Budget, already_spent),
    },
    Field {
        name: "hard",
        kind: Kind::Flag,
        unset: Unset::Is("true"),
        takes: Takes::AtOnce,
        doc: "Whether it governs launches: none is made that could pass a hard budget. A soft one acts by its steps alone.",
        example: "false",
        later: &[],
        lens: at!(Budget, hard),
    },
    Field {
        name: "at",
        kind: Kind::Table { name: PERCENT, text: STEP },
        unset: Unset::Means("nothing more"),
        takes: Takes::AtOnce,
        doc: "What is done once so much of the limit is spent. `warn` says it; `cheapest-only` launches in spot pools alone, or in \
              the cheapest pool of a queue that has none; `stop-launching` launches nothing; `stop-idle` drains machines that no task \
              needs, whatever keeps them, and ends those that are kept switched off; `drain` lets every machine finish its task and take no more; `kill after 30m` has \
              those that still run one so long after that checkpoint it (its abort callback is called) and put it back into its \
              queue; a machine that has not within 5 minutes is ended, and its task is lost or enqueued again by `on_lost`. The furthest step reached \
              holds, until less is spent or more allowed. Of a project or user: `warn` and `stop-launching`.",
        example: "80% = warn, 100% = stop-launching",
        later: &[],
        lens: at!(Budget, at),
    },
];

pub(super) const QUEUE: &[Field] = &[
    Field {
        name: "pools",
        kind: Kind::List { item: POOL, some: true },
        unset: Unset::Required,
        takes: Takes::AtOnce,
        doc: "The pools whose machines may serve this ClearML queue, in order of preference.",
        example: "g5-spot, g5",
        later: &[],
        lens: at!(Queue, pools),
    },
    Field {
        name: "priority",
        kind: Kind::Whole { unit: "", min: -1_000, max: 1_000 },
        unset: Unset::Is("0"),
        takes: Takes::AtOnce,
        doc: "Among queues that share a pool the higher goes first; equal ones go in the order of the file.",
        example: "10",
        later: &[],
        lens: at!(Queue, priority),
    },
    Field {
        name: "on_lost",
        kind: Kind::Text(ON_LOST),
        unset: Unset::Is("requeue:1"),
        takes: Takes::AtOnce,
        doc: "What happens to the task of a machine that is gone: nothing, or it is enqueued again, at most N times.",
        example: "never",
        later: &[],
        lens: at!(Queue, on_lost),
    },
    Field {
        name: "expected_task",
        kind: Kind::Span { min: SignedDuration::from_secs(1), max: SignedDuration::from_hours(24 * 90), word: None },
        unset: Unset::Is("1h"),
        takes: Takes::AtOnce,
        doc: "How long a task takes, until there is enough history. A launch reserves it in every hard budget.",
        example: "20m",
        later: &[],
        lens: at!(Queue, expected_task),
    },
    Field {
        name: "policy",
        kind: Kind::Text(POLICY),
        unset: Unset::Means("`loop.policy`"),
        takes: Takes::AtOnce,
        doc: "A script, or with `exec:` a program, that is asked at every pass what this queue is to have, in the place of `loop.policy`.",
        example: "policies/night.rhai",
        later: &[],
        lens: at!(Queue, policy),
    },
];

pub(super) const QUEUE_LIMITS: &[Field] = limits!(Queue, "launched for this queue", limits.);
