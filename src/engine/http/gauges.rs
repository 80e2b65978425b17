//! What is measured, in one table: the exposition and the documentation are written from it. Labels are names of the
//! settings and words of ours, never of machines, tasks or people: their number is bounded by the settings.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::Lines;
use crate::engine::event::{Leader, View};
use crate::model::ids::PoolName;
use crate::model::instance::{Fault, Instance, Phase};
use crate::model::money::{Money, Rate};

/// Values with those of the metric's labels.
type Samples = Vec<(Vec<String>, f64)>;

/// One metric.
struct Metric {
    /// After `tidegate_`; a counter's has `_total` after it.
    name: &'static str,
    /// What it is, with its unit.
    help: &'static str,
    labels: &'static [&'static str],
    counts: bool,
    read: fn(&View) -> Samples,
}

macro_rules! metric {
    ($name:literal, $labels:expr, $help:literal, $read:expr) => {
        Metric { name: $name, help: $help, labels: &$labels, counts: false, read: $read }
    };
}

const TABLE: &[Metric] = &[
    metric!("armed", [], "1 where the loop acts, 0 in a dry run", |view| one(flag(view.mode.armed))),
    metric!("paused", [], "1 where it acts on people's orders alone", |view| one(flag(view.mode.paused))),
    metric!("leads", [], "1 where this loop leads the fleet, 0 where another does", |view| one(flag(matches!(
        view.leader,
        Leader::Us(_)
    )))),
    metric!("seen_timestamp_seconds", [], "When the loop last showed how things are", |view| one(seconds(view.at))),
    metric!(
        "source_answered_timestamp_seconds",
        ["source"],
        "When a source of facts last answered; absent: never",
        |view| {
            let sources = view.snapshot.sources.iter();
            sources.filter_map(|source| Some((vec![source.name.clone()], seconds(source.last_good?)))).collect()
        }
    ),
    metric!("source_stale", ["source"], "1 where its last answer is too old to act on", |view| {
        let sources = view.snapshot.sources.iter();
        sources.map(|source| (vec![source.name.clone()], flag(source.is_stale(view.at)))).collect()
    }),
    metric!("settings_valid", [], "0 where the settings on disk are not those that run", |view| {
        one(flag(view.settings_problem.is_none()))
    }),
    metric!("warnings", [], "Things that a person should know, as the screen's head counts them", |view| {
        one(count(view.warnings.len()))
    }),
    metric!("calls_under_way", [], "Calls to the clouds that have not ended", |view| one(count(view.acts.len()))),
    metric!("queue_tasks_waiting", ["queue"], "Tasks that wait in a queue", |view| {
        let queues = view.snapshot.queues.iter();
        queues.map(|queue| (vec![queue.name.to_string()], count(queue.waiting.len()))).collect()
    }),
    metric!("queue_oldest_wait_seconds", ["queue"], "How long its oldest task waits; 0: none does", |view| {
        let oldest = |waiting: &[crate::model::observed::QueueEntry]| {
            waiting.iter().map(|entry| view.at.duration_since(entry.added).as_secs_f64()).fold(0.0, f64::max)
        };
        view.snapshot.queues.iter().map(|queue| (vec![queue.name.to_string()], oldest(&queue.waiting))).collect()
    }),
    metric!("queue_entries_without_a_task", ["queue"], "Entries that no task waits behind", |view| {
        let queues = view.snapshot.queues.iter();
        queues.map(|queue| (vec![queue.name.to_string()], count(queue.phantoms.len()))).collect()
    }),
    metric!(
        "queue_spent_today_dollars",
        ["queue"],
        "Spent on a queue's tasks and the idle time of its machines",
        |view| {
            view.spend.queue_today.iter().map(|(queue, money)| (vec![queue.to_string()], money.as_dollars())).collect()
        }
    ),
    metric!("instances", ["pool", "phase"], "Machines that are not proved gone, by their phase", |view| {
        let counted = |pool: &PoolName, phase| machines(view, pool).filter(|machine| machine.phase == phase).count();
        let phases = Phase::ALL.into_iter().filter(|phase| *phase != Phase::Gone);
        let rows = pools(view).flat_map(|pool| phases.clone().map(move |phase| (pool, phase)));
        rows.map(|(pool, phase)| (vec![pool.to_string(), phase.word().to_owned()], count(counted(pool, phase))))
            .collect()
    }),
    metric!("instance_faults", ["pool", "fault"], "Machines with a fault", |view| {
        let counted =
            |pool: &PoolName, fault| machines(view, pool).filter(|machine| machine.fault == Some(fault)).count();
        let rows = pools(view).flat_map(|pool| Fault::ALL.into_iter().map(move |fault| (pool, fault)));
        rows.map(|(pool, fault)| (vec![pool.to_string(), fault.word().to_owned()], count(counted(pool, fault))))
            .collect()
    }),
    metric!("tasks_running", ["pool"], "Tasks that run on the pool's machines", |view| {
        by_pool(view, |pool| count(machines(view, pool).map(|machine| machine.tasks().count()).sum()))
    }),
    metric!("intents", ["pool"], "Launches whose machines are not known yet", |view| {
        by_pool(view, |pool| count(view.snapshot.intents.iter().filter(|intent| intent.pool == *pool).count()))
    }),
    metric!("pool_backs_off", ["pool"], "1 where launches failed and are not tried for a while", |view| {
        let touched = |pool| view.snapshot.breakers.iter().any(|breaker| breaker.on.touches(pool));
        let pools = view.settings.pools.iter();
        pools.map(|pool| (vec![pool.name.to_string()], flag(touched(pool)))).collect()
    }),
    metric!("pool_limit", ["pool"], "Machines that the pool may have; absent: not limited", |view| {
        let pools = view.settings.pools.iter();
        pools.filter_map(|pool| Some((vec![pool.name.to_string()], f64::from(pool.limits.max?)))).collect()
    }),
    metric!("ghosts", [], "Workers that ClearML lists and whose machines are gone", |view| {
        one(count(view.snapshot.ghosts.len()))
    }),
    metric!("foreign_workers", [], "Workers on our queues that are not of the fleet", |view| {
        one(count(view.snapshot.foreign.len()))
    }),
    metric!("rate_dollars_per_hour", ["pool"], "What the pool's machines cost now", |view| {
        by_pool(view, |pool| {
            let rate: Rate = machines(view, pool).filter_map(|machine| machine.rate).sum();
            Money::from_micros(rate.micros_per_hour()).as_dollars()
        })
    }),
    Metric {
        name: "spent_dollars",
        help: "Spent since the ledger began",
        labels: &[],
        counts: true,
        read: |view| one(view.spend.total.as_dollars()),
    },
    metric!("spent_today_dollars", [], "Spent since midnight, in the time zone of the settings", |view| {
        one(view.spend.today.as_dollars())
    }),
    metric!("spent_this_month_dollars", [], "Spent since the first of the month", |view| {
        one(view.spend.month.as_dollars())
    }),
    metric!(
        "wasted_today_dollars",
        ["use"],
        "Spent today on machines that ran no task, by what they did meanwhile",
        |view| {
            let parts = view.spend.waste_today.parts().into_iter();
            parts.map(|(used, money)| (vec![used.word().to_owned()], money.as_dollars())).collect()
        }
    ),
    metric!("budget_limit_dollars", ["budget"], "Money for the budget's period", |view| {
        view.spend.budgets.iter().map(|budget| (vec![budget.name.to_string()], budget.limit.as_dollars())).collect()
    }),
    metric!("budget_spent_dollars", ["budget"], "Spent of it in the period", |view| {
        view.spend.budgets.iter().map(|budget| (vec![budget.name.to_string()], budget.spent.as_dollars())).collect()
    }),
    metric!("budget_committed_dollars", ["budget"], "Set aside of it by what is up or on its way", |view| {
        view.spend.budgets.iter().map(|budget| (vec![budget.name.to_string()], budget.committed.as_dollars())).collect()
    }),
    metric!("budget_projected_dollars", ["budget"], "What the period comes to if nothing changes", |view| {
        let projected = |budget: &crate::engine::event::BudgetState| budget.forecast(view.at).projected.as_dollars();
        view.spend.budgets.iter().map(|budget| (vec![budget.name.to_string()], projected(budget))).collect()
    }),
    metric!("budget_period_end_timestamp_seconds", ["budget"], "When its period ends", |view| {
        view.spend.budgets.iter().map(|budget| (vec![budget.name.to_string()], seconds(budget.period_end))).collect()
    }),
];

/// Lines of the journal, which no view holds.
const LINES: (&str, &str, &str) = ("journal_lines", "kind", "Lines of the journal since the program was started");
/// The program itself.
const BUILD: (&str, &str, &str) = ("build", "version", "The program that answers");

fn one(value: f64) -> Samples {
    vec![(Vec::new(), value)]
}

fn flag(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

fn seconds(at: jiff::Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

fn pools(view: &View) -> impl Iterator<Item = &PoolName> {
    view.settings.pools.iter().map(|pool| &pool.name)
}

fn machines<'a>(view: &'a View, pool: &'a PoolName) -> impl Iterator<Item = &'a Instance> {
    view.snapshot.instances.iter().filter(move |machine| machine.pool == *pool && machine.is_there())
}

fn by_pool(view: &View, value: impl Fn(&PoolName) -> f64) -> Samples {
    pools(view).map(|pool| (vec![pool.to_string()], value(pool))).collect()
}

/// What one scrape is told.
#[derive(Debug)]
struct Read {
    metrics: Vec<(&'static str, &'static str, bool, Vec<Sample>)>,
}

/// Labels and a value.
type Sample = (Vec<(&'static str, String)>, f64);

impl Read {
    fn of(view: Option<&View>, lines: &Lines) -> Self {
        let mut metrics: Vec<_> = view
            .into_iter()
            .flat_map(|view| TABLE.iter().map(move |metric| (metric, view)))
            .map(|(metric, view)| {
                let samples = (metric.read)(view).into_iter();
                let samples =
                    samples.map(|(values, value)| (metric.labels.iter().copied().zip(values).collect(), value));
                (metric.name, metric.help, metric.counts, samples.collect())
            })
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "no journal has so many lines")]
        let lines = lines.each().map(|(kind, count)| (vec![(LINES.1, kind.word().to_owned())], count as f64)).collect();
        metrics.push((LINES.0, LINES.2, true, lines));
        Self { metrics }
    }
}

impl Collector for Read {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let version = [(BUILD.1, env!("CARGO_PKG_VERSION"))];
        encoder.encode_descriptor(BUILD.0, BUILD.2, None, MetricType::Info)?.encode_info(&version)?;
        for (name, help, counts, samples) in &self.metrics {
            let sort = if *counts { MetricType::Counter } else { MetricType::Gauge };
            let mut metric = encoder.encode_descriptor(name, help, None, sort)?;
            for (labels, value) in samples {
                let mut sample = metric.encode_family(labels)?;
                if *counts {
                    sample.encode_counter::<NoLabelSet, _, u64>(value, None)?;
                } else {
                    sample.encode_gauge(value)?;
                }
            }
        }
        Ok(())
    }
}

/// The exposition in `OpenMetrics` text. Before the first view only what needs none is told.
pub(super) fn text(view: Option<&View>, lines: &Lines) -> Result<String, Error> {
    let mut registry = Registry::with_prefix("tidegate");
    registry.register_collector(Box::new(Read::of(view, lines)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::model::journal::EntryKind;
    use crate::model::observed::QueueEntry;
    use crate::model::snapshot::{QueueState, Snapshot};
    use jiff::SignedDuration;

    fn markdown() -> String {
        let mut text = "# Metrics\n\n\
            With `loop.metrics = \"127.0.0.1:9464\"` the loop answers Prometheus at `/metrics`, in OpenMetrics' text format. \
            `/livez` answers 200 while the loop turns, `/readyz` while it hears ClearML; else 503 and why.\n\n\
            Labels are names of the settings (`queue`, `pool`, `budget`), sources (`clearml`, `aws us-east-1`) and the words below; never \
            machines, tasks or people. So there are no more series than the settings have names for.\n\n\
            | metric | type | labels | what it is |\n|---|---|---|---|\n"
            .to_owned();
        let mut row = |name: &str, sort: &str, labels: &[&str], help: &str| {
            let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
            writeln!(text, "| `tidegate_{name}` | {sort} | {} | {help} |", labels.join(", ")).unwrap();
        };
        row(&format!("{}_info", BUILD.0), "info", &[BUILD.1], BUILD.2);
        for metric in TABLE {
            let (end, sort) = if metric.counts { ("_total", "counter") } else { ("", "gauge") };
            row(&format!("{}{end}", metric.name), sort, metric.labels, metric.help);
        }
        row(&format!("{}_total", LINES.0), "counter", &[LINES.1], LINES.2);
        let words = |words: Vec<&str>| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let phases = Phase::ALL.into_iter().filter(|phase| *phase != Phase::Gone).map(Phase::word).collect();
        writeln!(text, "\nPhases: {}.", words(phases)).unwrap();
        writeln!(text, "Faults: {}.", words(Fault::ALL.into_iter().map(Fault::word).collect())).unwrap();
        writeln!(text, "Kinds of lines: {}.", words(EntryKind::ALL.into_iter().map(EntryKind::word).collect()))
            .unwrap();
        text
    }

    #[test]
    fn the_documentation_is_as_the_table_says() {
        crate::example::assert_generated("assets/METRICS.md", &markdown());
    }

    #[test]
    fn the_example_is_told_with_its_numbers() {
        let mut view = crate::example::view();
        let entry = |task: &str| QueueEntry { task: task.into(), added: view.at - SignedDuration::from_mins(3) };
        let queue = QueueState {
            name: "train".into(),
            id: Some("q".into()),
            nearest: None,
            waiting: vec![entry("a"), entry("b")],
            phantoms: Vec::new(),
            retried: 0,
        };
        let snapshot = Snapshot { queues: vec![queue], ..std::sync::Arc::unwrap_or_clone(view.snapshot) };
        view.snapshot = std::sync::Arc::new(snapshot);
        let lines = Lines::default();
        lines.count(EntryKind::Alarm);
        let text = text(Some(&view), &lines).unwrap();
        insta::assert_snapshot!(text);
        assert!(text.contains("tidegate_queue_tasks_waiting{queue=\"train\"} 2.0\n"), "{text}");
        assert!(text.contains("tidegate_queue_oldest_wait_seconds{queue=\"train\"} 180.0\n"), "{text}");
    }

    #[test]
    fn labels_are_as_many_as_the_table_says_and_bounded_by_the_settings() {
        let mut view = crate::example::view();
        for metric in TABLE {
            assert!(
                (metric.read)(&view).iter().all(|(values, _)| values.len() == metric.labels.len()),
                "{}",
                metric.name
            );
        }
        let series = |view: &View| TABLE.iter().map(|metric| (metric.read)(view).len()).sum::<usize>();
        let before = series(&view);
        let mut snapshot = std::sync::Arc::unwrap_or_clone(view.snapshot.clone());
        for number in 0..1_000 {
            let machine = snapshot.instances[0].clone();
            snapshot.instances.push(Instance { id: format!("i-{number}").into(), ..machine });
        }
        view.snapshot = std::sync::Arc::new(snapshot);
        assert_eq!(series(&view), before, "a machine more is no series more");
    }

    #[test]
    fn before_the_first_view_only_the_program_is_told() {
        let text = text(None, &Lines::default()).unwrap();
        assert!(text.contains("tidegate_build_info{version=") && !text.contains("tidegate_armed"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
