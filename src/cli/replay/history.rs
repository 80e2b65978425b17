//! `replay --from-clearml` and `--sweep`: one's own tasks, or a trace, under many settings.

use super::progress::Progress;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Serialize;

use super::plot::{scatter, svg};
use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::cli::live::{Ground, credentials, price_table};
use crate::cli::say::{Version, say, say_json};
use crate::cli::table::{Side, table};
use crate::model::history::FinishedTask;
use crate::model::money::Rate;
use crate::model::pseudonym::Pseudonyms;
use crate::model::settings::Settings;
use crate::model::span;
use crate::replay::contest;
use crate::replay::history::History;
use crate::replay::model::CloudModel;
use crate::replay::sweep::{PLAYED, Point, cloud, gpus, present, sweep};
use crate::replay::trace::Trace;
use crate::world::clearml::Clearml;
use crate::world::clock::Clock;

/// What is swept.
#[derive(Debug, Args)]
pub(super) struct Sweep {
    /// Play the tasks that ended on the ClearML server of the settings, under many settings
    #[arg(long)]
    from_clearml: bool,
    /// Those that ended so long ago at most
    #[arg(long, value_name = "SPAN", default_value = "30d", value_parser = span::parse, requires = "from_clearml")]
    since: SignedDuration,
    /// Write them as a trace
    #[arg(long, value_name = "FILE", requires = "from_clearml")]
    save: Option<PathBuf>,
    /// Play the traces under many settings, those of the settings' file marked
    #[arg(long = "sweep", conflicts_with = "policies")]
    many: bool,
    /// Draw cost against waiting as an SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// Of every setting that is played.
pub(super) struct Terms<'a> {
    pub cloud: &'a CloudModel,
    pub seeds: u64,
    pub waiting: Rate,
    pub json: bool,
}

/// What `replay --json` says of settings.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Told {
    version: Version,
    sweeps: Vec<Swept>,
}

/// One trace under many settings.
#[derive(Debug, Serialize, JsonSchema)]
struct Swept {
    trace: String,
    settings: Vec<Point>,
}

impl Sweep {
    /// Whether settings are swept, and not policies compared.
    pub(super) fn is_wanted(&self) -> bool {
        self.from_clearml || self.many || self.plot.is_some()
    }

    pub(super) fn run(&self, place: &Place, files: &[PathBuf], terms: &Terms<'_>) -> Result<(), Failure> {
        let ground = if self.from_clearml { Ground::called(place) } else { Ground::find(place) };
        let mut traces = Vec::new();
        for file in files {
            traces.push(Trace::open(file).map_err(|error| Failure::Failed(error.to_string()))?);
        }
        let mut names = Pseudonyms::default();
        let settings = match ground {
            Ok(ground) => {
                names = ground.settings.pseudonyms().clone();
                Some(ground.settings.settings())
            }
            // A trace can be swept without settings; the server cannot be asked without.
            Err(failure) if self.from_clearml => return Err(failure),
            Err(_) => None,
        };
        if let Some(settings) = settings.as_ref().filter(|_| self.from_clearml) {
            traces.push(self.fetch(settings, &names, terms.json)?);
        }
        let mut swept = Vec::new();
        for trace in &traces {
            swept.push((trace.name.clone(), play(trace, settings.as_ref(), terms)?));
        }
        if terms.json {
            let told = |(trace, settings): &'_ (String, Vec<Point>)| Swept {
                trace: trace.clone(),
                settings: settings.clone(),
            };
            say_json(&Told { version: Version, sweeps: swept.iter().map(told).collect() })?;
        } else {
            swept.iter().try_for_each(|(trace, points)| say(&text(trace, points)))?;
        }
        match (&self.plot, swept.first()) {
            (Some(file), Some((trace, points))) => {
                let drawn = svg(trace, points).map_err(Failure::Failed)?;
                write(file, drawn.as_bytes())
            }
            _ => Ok(()),
        }
    }

    /// The server's history as a trace.
    fn fetch(&self, settings: &Arc<Settings>, names: &Pseudonyms, json: bool) -> Result<Trace, Failure> {
        let clearml = Clearml::new(credentials(settings)?, Clock::Wall);
        let clearml = clearml.map_err(|error| Failure::NotReachable(error.to_string()))?;
        let now = Clock::Wall.now();
        let since = now.checked_sub(self.since).map_err(|error| Failure::Usage(format!("--since: {error}")))?;
        let tasks = crate::cli::runtime()?.block_on(clearml.finished(since));
        let tasks = tasks.map_err(|error| Failure::NotReachable(error.to_string()))?.into_iter();
        let tasks: Vec<_> = tasks.map(|task| FinishedTask { owner: names.owner(task.owner), ..task }).collect();
        let catalogue = price_table()?;
        let history = History::new(&tasks, |queue| gpus(settings, &catalogue, queue));
        if history.rows.is_empty() {
            let left_out = history.left_out().map(|told| format!(" ({told})")).unwrap_or_default();
            let since = span::Short(self.since);
            return Err(Failure::Failed(format!("no task of a queue has ended in the last {since}{left_out}")));
        }
        let csv = history.csv().map_err(Failure::Failed)?;
        let name = self.save.clone().unwrap_or_else(|| PathBuf::from("history.csv"));
        if let Some(file) = &self.save {
            write(file, &csv)?;
        }
        if !json {
            let jobs = history.rows.len();
            say(&format!("{jobs} tasks ended in the last {}\n", span::Short(self.since)))?;
            if let Some(left_out) = history.left_out() {
                say(&format!("{left_out}\n"))?;
            }
        }
        Trace::read(&csv, &name).map_err(|error| Failure::Failed(error.to_string()))
    }
}

fn play(trace: &Trace, settings: Option<&Arc<Settings>>, terms: &Terms<'_>) -> Result<Vec<Point>, Failure> {
    let clock = || Clock::Wall.now();
    let (model, now) = match settings {
        Some(settings) => {
            (cloud(terms.cloud.clone(), settings, &price_table()?, trace, clock()), present(settings, trace))
        }
        None => (terms.cloud.clone(), None),
    };
    let runs = u64::try_from(PLAYED + 1).unwrap_or(u64::MAX).saturating_mul(terms.seeds);
    let progress = Progress::new(runs);
    let terms = contest::Terms { cloud: &model, seeds: terms.seeds, waiting: terms.waiting };
    let points = sweep(trace, now.as_ref(), terms, &progress.watch()).map_err(Failure::Usage);
    progress.done();
    points
}

/// Whole or not at all.
fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let part = file.with_added_extension("part");
    let write = || {
        let mut open = std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(&part)?;
        open.write_all(bytes)?;
        std::fs::rename(&part, file)
    };
    write().map_err(|error| Failure::Failed(format!("{}: {error}", file.display())))
}

/// The letters of the settings, in the table and in the plot.
pub(super) fn letter(place: usize) -> char {
    char::from_u32(u32::from('a') + u32::try_from(place % 26).unwrap_or_default()).unwrap_or('?')
}

fn text(trace: &str, points: &[Point]) -> String {
    let head = [
        ("", Side::Left),
        ("SETTING", Side::Left),
        ("TOTAL $", Side::Right),
        ("OVERHEAD $", Side::Right),
        ("WAIT MEAN", Side::Right),
        ("P95", Side::Right),
        ("", Side::Left),
    ];
    let rows: Vec<_> = points
        .iter()
        .enumerate()
        .map(|(place, point)| {
            let note = match (point.present, point.best) {
                (true, true) => "present, none better",
                (true, false) => "present",
                (false, true) => "none better",
                (false, false) => "",
            };
            [
                letter(place).to_string(),
                point.score.policy.clone(),
                format!("{:.2}", point.score.total_usd),
                format!("{:.2}", point.score.overhead_usd),
                format!("{:.0}s", point.score.wait_mean_s),
                format!("{:.0}s", point.score.wait_p95_s),
                match (point.score.unfinished, note) {
                    (0, note) => note.to_owned(),
                    (jobs, "") => format!("{jobs} jobs unfinished"),
                    (jobs, note) => format!("{note}, {jobs} jobs unfinished"),
                },
            ]
        })
        .collect();
    format!("{trace}\n{}\n{}\n", table(head, &rows), scatter(points))
}
