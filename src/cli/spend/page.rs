//! A report as one HTML page that needs nothing else: its plots are in it, its colours are the reader's, light or dark.

use std::fmt::Write;

use jiff::tz::TimeZone;

use super::plot::{Bars, COLOURS, bars};
use super::told::{Told, day_name, share};
use crate::model::money::{Exact, Money};
use crate::model::report::{By, Report};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1f2328;--dim:#59636e;--paper:#fff;--grid:#d1d9e0;--limit:#cf222e;\
--s0:#0969da;--s1:#bf8700;--s2:#1a7f37;--s3:#8250df;--s4:#bc4c00;--s5:#6e7781}\
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9198a1;--paper:#0d1117;--grid:#3d444d;--limit:#ff7b72;\
--s0:#4493f8;--s1:#d29922;--s2:#3fb950;--s3:#ab7df8;--s4:#f0883e;--s5:#8b949e}}\
body{background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .3rem}p{margin:.3rem 0}.dim{color:var(--dim)}\
svg{width:100%;height:auto}table{border-collapse:collapse;margin:.5rem 0}th,td{padding:.15rem .9rem .15rem 0;text-align:left;\
border-bottom:1px solid var(--grid)}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
i.k{display:inline-block;width:.8em;height:.8em;margin-right:.4em}";

/// Text that can be neither a tag nor the end of an attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter if letter.is_control() => safe.push('?'),
            letter => safe.push(letter),
        }
    }
    safe
}

/// The page, or why a plot of it cannot be drawn.
pub(super) fn html(told: &Told<'_>) -> Result<String, String> {
    let Told { report, zone, .. } = told;
    let title = format!("Spend of {}", told.fleet.map_or("a fleet", |fleet| fleet.as_str()));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title>\n<style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n",
        title = escaped(&title)
    );
    for line in told.head() {
        paragraph(&mut page, "", &line);
    }
    for note in told.notes() {
        paragraph(&mut page, " class=\"dim\"", &note);
    }
    budgets(&mut page, told);
    let days: Vec<String> = report.days().iter().map(|day| day_name(day, zone)).collect();
    section(&mut page, "By day");
    let whole = report.days().iter().map(|day| day.total().as_dollars()).collect();
    let line = told.a_day();
    let label = "what each day cost";
    let plot = Bars { label, days: &days, series: &[whole], line: line.as_ref().map(|(_, money)| money.as_dollars()) };
    page.push_str(&bars(&plot)?);
    if let Some((name, money)) = &line {
        paragraph(&mut page, " class=\"dim\"", &format!("The line is {money} a day: {name}"));
    }
    let rows = report.days().iter().map(|day| (day_name(day, zone), day.total()));
    table(&mut page, "day", rows, report.total(), None);
    for by in By::ALL {
        part(&mut page, report, by, &days)?;
    }
    let _ = write!(page, "<p class=\"dim\">{}</p>\n</body></html>\n", escaped(&told.made()));
    Ok(page)
}

fn paragraph(page: &mut String, class: &str, text: &str) {
    let _ = writeln!(page, "<p{class}>{}</p>", escaped(text));
}

fn section(page: &mut String, title: &str) {
    let _ = writeln!(page, "<h2>{}</h2>", escaped(title));
}

/// By pool, or by queue: bars of the dearest, and the numbers of all.
fn part(page: &mut String, report: &Report, by: By, days: &[String]) -> Result<(), String> {
    section(page, &format!("By {}", by.word()));
    let sums = report.by(by);
    // The last colour is all others'.
    let own = if sums.len() > COLOURS { COLOURS - 1 } else { COLOURS };
    let mut series: Vec<Vec<f64>> = vec![vec![0.0; days.len()]; sums.len().min(COLOURS)];
    for (place, day) in report.days().iter().enumerate() {
        let of_day = report.of_day(day, by);
        for (rank, (name, _)) in sums.iter().enumerate() {
            let money = of_day.get(name).copied().unwrap_or_default().as_dollars();
            let colour = if rank < own { rank } else { COLOURS - 1 };
            if let Some(cell) = series.get_mut(colour).and_then(|series| series.get_mut(place)) {
                *cell += money;
            }
        }
    }
    let label = format!("what each day cost, by {}", by.word());
    page.push_str(&bars(&Bars { label: &label, days, series: &series, line: None })?);
    let rows = sums.iter().map(|(name, money)| ((*name).to_owned(), *money));
    table(page, by.word(), rows, report.total(), Some(own));
    Ok(())
}

/// Names with exact amounts. `colours`: so many of the first have one of their own, the others share the last.
fn table(
    page: &mut String,
    head: &str,
    rows: impl Iterator<Item = (String, Money)>,
    total: Money,
    colours: Option<usize>,
) {
    let head = escaped(head);
    let _ = write!(page, "<table><tr><th>{head}</th><th class=\"n\">$</th><th class=\"n\">share</th></tr>");
    for (rank, (name, money)) in rows.enumerate() {
        let key = colours.map(|own| if rank < own { rank } else { COLOURS - 1 });
        let key = key.map(|place| format!("<i class=\"k\" style=\"background:var(--s{place})\"></i>"));
        let (key, name, share) = (key.unwrap_or_default(), escaped(&name), share(money, total));
        let _ = write!(
            page,
            "\n<tr><td>{key}{name}</td><td class=\"n\">{}</td><td class=\"n\">{share}</td></tr>",
            Exact(money)
        );
    }
    let _ = write!(page, "\n<tr><th>all</th><th class=\"n\">{}</th><th></th></tr></table>\n", Exact(total));
}

fn budgets(page: &mut String, told: &Told<'_>) {
    if told.budgets.is_empty() {
        return;
    }
    section(page, "Budgets, as they stand");
    page.push_str("<table><tr>");
    for head in ["budget", "spent", "committed", "limit", "kind", "until", "if nothing changes"] {
        let _ = write!(page, "<th>{head}</th>");
    }
    page.push_str("</tr>");
    for row in told.budget_rows() {
        page.push_str("\n<tr>");
        for cell in row {
            let _ = write!(page, "<td>{}</td>", escaped(&cell));
        }
        page.push_str("</tr>");
    }
    page.push_str("</table>\n");
}

/// The name of a time zone, for people.
pub(super) fn zone_name(zone: &TimeZone) -> String {
    zone.iana_name().unwrap_or("UTC").to_owned()
}
