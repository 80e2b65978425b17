//! What a filter asks of one column: `state=idle`, `queue:gpu`, `cost>2`, `age>=1h`, `task!=-`.

use super::{Cell, Column};
use crate::model::money::Money;
use crate::model::span;

/// What the numbers of a column count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// None: words.
    Words,
    Count,
    /// Seconds; typed as `90m`, `1h30m`.
    Span,
    /// Micro-dollars, of an hour or in all; typed as `2` or `$2.50`.
    Money,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Asks {
    /// The whole word.
    Is(String),
    /// A part of it.
    Has(String),
    Above(i64),
    AtLeast(i64),
    Below(i64),
    AtMost(i64),
}

/// A question to one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    column: usize,
    is_money: bool,
    asks: Asks,
    /// Rows of which it is true are shut out.
    barred: bool,
}

/// What a word of a filter is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// No question to a column that is there.
    Word,
    /// A question whose value is still to be typed.
    Unfinished,
    Term(Term),
    Wrong(String),
}

/// The longer ones first: `>=` is not `>`.
const SIGNS: [&str; 7] = ["!=", ">=", "<=", "=", ":", ">", "<"];

impl Term {
    pub(super) fn read(word: &str, barred: bool, columns: &[Column]) -> Read {
        let found = SIGNS.iter().filter_map(|sign| Some((word.find(sign)?, *sign)));
        // Of two in the same place the longer one.
        let Some((at, sign)) = found.min_by_key(|(at, sign)| (*at, usize::MAX - sign.len())) else { return Read::Word };
        let (name, value) = (word.get(..at).unwrap_or_default(), word.get(at + sign.len()..).unwrap_or_default());
        let Some((column, of)) = columns.iter().enumerate().find(|(_, column)| column.is_called(name)) else {
            return unknown(word, name, sign, columns);
        };
        if value.is_empty() {
            return Read::Unfinished;
        }
        let number = || of.unit.read(value);
        let asks = match sign {
            "=" | "!=" => Ok(Asks::Is(value.to_lowercase())),
            ":" => Ok(Asks::Has(value.to_lowercase())),
            ">" => number().map(Asks::Above),
            ">=" => number().map(Asks::AtLeast),
            "<" => number().map(Asks::Below),
            _ => number().map(Asks::AtMost),
        };
        match asks {
            Ok(asks) => {
                Read::Term(Self { column, is_money: of.unit == Unit::Money, asks, barred: barred != (sign == "!=") })
            }
            Err(wants) => Read::Wrong(format!("{word}: {wants}")),
        }
    }

    pub(super) fn holds(&self, cells: &[Cell]) -> bool {
        let Some(cell) = cells.get(self.column) else { return false };
        // What is not known is neither more nor less than anything.
        let known = cell.number != i64::MIN;
        let shown = if self.is_money && known { to_the_cent(cell.number) } else { cell.number };
        let is = match &self.asks {
            Asks::Is(text) => {
                let cell = cell.text.to_lowercase();
                cell == *text || without_sign(&cell) == text
            }
            Asks::Has(text) => cell.text.to_lowercase().contains(text),
            Asks::Above(number) => known && shown > *number,
            Asks::AtLeast(number) => known && shown >= *number,
            Asks::Below(number) => known && shown < *number,
            Asks::AtMost(number) => known && shown <= *number,
        };
        is != self.barred
    }
}

/// What asks a column that is not there. Names of workers and times of the journal have colons, too.
fn unknown(word: &str, name: &str, sign: &str, columns: &[Column]) -> Read {
    let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_alphabetic() || letter == '_');
    if !is_name || sign == ":" || columns.is_empty() {
        return Read::Word;
    }
    let names: Vec<String> = columns.iter().map(Column::asked_by).collect();
    Read::Wrong(format!("{word}: there is no column {name}, but {}", names.join(", ")))
}

/// An amount as a cell shows it.
fn to_the_cent(micros: i64) -> i64 {
    const CENT: i64 = 10_000;
    micros.saturating_add(CENT / 2).div_euclid(CENT).saturating_mul(CENT)
}

/// The word of a state without the shape before it.
fn without_sign(text: &str) -> &str {
    match text.split_once(' ') {
        Some((sign, rest)) if !sign.chars().any(char::is_alphanumeric) => rest,
        _ => text,
    }
}

impl Unit {
    /// `Err`: what may be typed.
    fn read(self, value: &str) -> Result<i64, &'static str> {
        match self {
            Self::Words => Err("this column holds words: = and : ask it"),
            Self::Count => value.parse().map_err(|_| "a whole number such as 3"),
            Self::Span => span::parse(value).map(|span| span.as_secs()).map_err(|_| "a span such as 90m or 1h30m"),
            Self::Money => {
                let bare = value.trim_start_matches('$').trim_end_matches("/h");
                format!("${bare}").parse::<Money>().map(Money::micros).map_err(|_| "an amount such as 2 or $2.50")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Filter;
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::left("STATE", [1; 4]),
        Column::right("AGE", [1; 4]).of(Unit::Span),
        Column::right("$/H", [1; 4]).of(Unit::Money),
        Column::right("WAIT", [1; 4]).of(Unit::Count),
    ];

    fn cells(price: Cell) -> Vec<Cell> {
        vec![Cell::number("● busy", 3), Cell::number("1h12", 4_320), price, Cell::count(7)]
    }

    #[test]
    fn columns_are_asked_by_their_names_in_their_own_units() {
        let cells = cells(Cell::number("2.50", 2_500_000));
        for (text, passes) in [
            ("state=busy", true),
            ("state=BUSY", true),
            ("state=bus", false),
            ("state:bus", true),
            ("state!=busy", false),
            ("!state=busy", false),
            ("!state=idle", true),
            ("cost>2", true),
            ("cost>$2.50", false),
            ("cost>=2.5", true),
            ("$/h<3 age>1h", true),
            ("age>1h30m", false),
            ("wait=7", true),
            ("wait<=6", false),
            ("busy wait>3", true),
            ("idle wait>3", false),
            // Still being typed.
            ("wait>", true),
            // As it is shown, to the cent.
            ("cost<=2.50", true),
            ("cost=2.50", true),
            // No name of a column: words like any other.
            ("lab:gpu", false),
            ("a.b=c", false),
        ] {
            assert_eq!(Filter::of_rows(text, &COLUMNS).passes(&cells), passes, "{text}");
        }
    }

    #[test]
    fn amounts_are_asked_as_they_are_shown() {
        let price = cells(Cell::number("0.19", 192_000));
        for (text, passes) in
            [("cost<=0.19", true), ("cost>0.19", false), ("cost>=0.19", true), ("cost<0.2", true), ("cost<0.19", false)]
        {
            assert_eq!(Filter::of_rows(text, &COLUMNS).passes(&price), passes, "{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_neither_more_nor_less() {
        for text in ["cost>0", "cost<9", "cost>=0", "cost<=9"] {
            assert!(!Filter::of_rows(text, &COLUMNS).passes(&cells(Cell::unknown("?"))), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_said() {
        for (text, says) in [
            ("age>old", "age>old: a span such as 90m or 1h30m"),
            ("cost>x", "cost>x: an amount such as 2 or $2.50"),
            ("zone=a", "zone=a: there is no column zone, but state, age, $/h, wait"),
            ("state>busy", "state>busy: this column holds words: = and : ask it"),
        ] {
            let mut filter = Filter::of_rows(text, &COLUMNS);
            assert_eq!(filter.wrong(), Some(says));
            assert!(!filter.passes(&cells(Cell::unknown("?"))), "nothing is shown as if it passed");
        }
        assert_eq!(Filter::of_rows("age>1h", &COLUMNS).wrong(), None);
    }
}
