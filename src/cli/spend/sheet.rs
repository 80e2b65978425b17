//! A report as CSV: a line for each day and account, exact; the lines add up to the whole.

use super::told::{Told, day_name};
use crate::model::account::Owner;
use crate::model::money::Money;
use crate::model::report::Post;

const COLUMNS: [&str; 7] = ["day", "pool", "queue", "project", "user", "use", "usd"];

/// The sheet's text.
pub(super) fn csv(told: &Told<'_>) -> Result<String, String> {
    let mut sheet = csv::Writer::from_writer(Vec::new());
    let failed = |error: &dyn std::fmt::Display| format!("the sheet cannot be written: {error}");
    sheet.write_record(COLUMNS).map_err(|error| failed(&error))?;
    for day in told.report.days() {
        for (Post { account, used }, money) in told.report.posts(day) {
            let Owner { project, user } = &account.owner;
            let cells = [
                day_name(day, told.zone),
                text(account.pool.as_str()),
                text(account.queue.as_str()),
                text(project.as_ref().map_or("", AsRef::as_ref)),
                text(user.as_ref().map_or("", AsRef::as_ref)),
                used.word().to_owned(),
                decimal(money),
            ];
            sheet.write_record(cells).map_err(|error| failed(&error))?;
        }
    }
    let bytes = sheet.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// A name that no spreadsheet takes for a formula.
fn text(name: &str) -> String {
    if name.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{name}") } else { name.to_owned() }
}

/// Dollars with all their places.
fn decimal(money: Money) -> String {
    let (sign, micros) = (if money < Money::ZERO { "-" } else { "" }, money.micros().unsigned_abs());
    format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_names_are_no_formulas() {
        assert_eq!(decimal(Money::from_micros(-1_000_001)), "-1.000001");
        assert_eq!((text("=1+1").as_str(), text("train").as_str()), ("'=1+1", "train"));
    }
}
