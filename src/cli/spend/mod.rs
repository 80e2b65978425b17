//! `spend`: what it cost, by whom and for what, and whether the cloud's own bill agrees.

pub(super) mod against;
mod bill;
mod books;
mod page;
mod period;
mod plot;
mod sheet;
pub(super) mod told;

use std::path::{Path, PathBuf};

use clap::Args;

use super::Place;
use super::failure::Failure;
use super::say::{say, say_json};
use crate::model::report::Report;
use crate::store::whole;
use books::Books;
use told::Told;

/// Show what it cost: by day, pool and queue, beside the budgets; as a report, or against the cloud's own bill
///
/// It is read from the store of the fleet, also while its loop runs.
#[derive(Debug, Args)]
pub(super) struct Spend {
    #[command(flatten)]
    window: period::Window,
    /// Write the days and accounts as CSV, in exact dollars
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the report as one HTML page with its plots, which needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Compare the ledger, machine by machine, with this bill: a cost-and-usage export of AWS or a billing export of
    /// Google, as CSV (also .gz). A difference over 1 % is an alarm, with exit code 1
    #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "html"])]
    against: Option<PathBuf>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

impl Spend {
    pub(super) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let books = Books::open(place).await?;
        match &self.against {
            Some(bill) => against::run(books, bill, &self.window, self.json).await,
            None => self.report(books).await,
        }
    }

    async fn report(&self, mut books: Books) -> Result<(), Failure> {
        let zone = books.zone();
        let span = self.window.bounds(&zone, books.now)?;
        let report = Report::new(span, &zone, books.now);
        let mut report = report.ok_or_else(|| Failure::Usage("that are more days than a report has".to_owned()))?;
        let standing = books.read(span, |interval| report.add(interval)).await?;
        let fleet = books.fleet();
        let told = Told {
            report: &report,
            fleet: fleet.as_ref(),
            zone: &zone,
            budgets: &standing.budgets,
            limits: books.settings.as_ref().map_or(&[], |settings| settings.budgets.as_slice()),
            whole_since: standing.whole_since,
        };
        if self.csv.is_none() && self.html.is_none() {
            return if self.json { say_json(&told.answer()) } else { say(&told.text()) };
        }
        // All are made before any is written.
        let sheet = self.csv.as_ref().map(|path| Ok((path, sheet::csv(&told)?)));
        let page = self.html.as_ref().map(|path| Ok((path, page::html(&told)?)));
        let made: Result<Vec<(&PathBuf, String)>, String> = sheet.into_iter().chain(page).collect();
        for (path, text) in made.map_err(Failure::Failed)? {
            write(path, &text)?;
        }
        match (self.json, report.is_empty()) {
            (true, _) => say_json(&told.answer()),
            (false, true) => say(&format!("{}\n", told.nothing())),
            (false, false) => Ok(()),
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    whole::write(path, text).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
}
