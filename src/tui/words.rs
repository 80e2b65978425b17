//! How the screen says things: amounts under a `$` heading, spans, times, and what happens next in a few words.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use unicode_width::UnicodeWidthStr;

use super::theme::Tone;
use crate::engine::event::BudgetState;
use crate::model::money::{Money, Rate};
use crate::model::reason::{LimitKind, LimitScope, Reason};
use crate::model::span::Short;

/// An amount without its `$`.
pub(crate) fn dollars(money: Money) -> String {
    money.to_string().replace('$', "")
}

/// Without bars, rules and the shapes of states: what they show stands beside them in words.
pub(crate) fn without_shapes(text: &str) -> String {
    let is_shape = |letter| matches!(letter, '\u{2500}'..='\u{28ff}');
    let words = text.split(' ').filter(|word| word.is_empty() || !word.chars().all(is_shape));
    words.collect::<Vec<_>>().join(" ")
}

/// An amount without its `$`, to the cent: for narrow columns.
pub(crate) fn cents(money: Money) -> String {
    let cents = (money.micros() + 5_000).div_euclid(10_000);
    dollars(Money::from_micros(cents.saturating_mul(10_000)))
}

/// A price without its `$` and `/h`.
pub(crate) fn rate(rate: Rate) -> String {
    dollars(Money::from_micros(rate.micros_per_hour()))
}

pub(crate) fn short(span: SignedDuration) -> String {
    Short(span).to_string()
}

/// How long something has lasted, in a table: from ten minutes on without seconds. Nobody reads them there, and a page of
/// machines is not written anew each second.
pub(crate) fn age(span: SignedDuration) -> String {
    match span.as_secs() {
        seconds @ 600..3_600 => format!("{}m", seconds / 60),
        _ => short(span),
    }
}

/// An instant as the loop's time zone has it.
pub(crate) fn clock(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Only the time where the day is today, for narrow columns: `07:59:30`, `11-01 23:10`.
pub(crate) fn time_or_day(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    let pattern = if at.date() == now.date() { "%H:%M:%S" } else { "%m-%d %H:%M" };
    at.strftime(pattern).to_string()
}

/// What is neither spent nor committed of a budget: `$2.50 free of $80.00`, `$1.20 over $80.00`.
pub(crate) fn left_of(budget: &BudgetState) -> String {
    let left = budget.limit - (budget.spent + budget.committed);
    if left < Money::ZERO {
        format!("{} over {}", Money::ZERO - left, budget.limit)
    } else {
        format!("{left} free of {}", budget.limit)
    }
}

/// Where a budget comes to if nothing changes.
pub(crate) fn course(budget: &BudgetState, now: Timestamp, zone: &TimeZone) -> String {
    let forecast = budget.forecast(now);
    match forecast.crosses {
        Some(at) if at <= now => "its limit is reached".to_owned(),
        Some(at) => format!("crosses at {}", time_or_day(at, now, zone)),
        None => format!("ends with {}", forecast.projected),
    }
}

/// The end of a period, to the minute.
pub(crate) fn day_and_minute(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

pub(crate) fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// What decides a queue's next step, short enough for a column.
pub(crate) fn next_in_short(reason: &Reason, planned: Timestamp, now: Timestamp) -> (String, Tone) {
    let passed = now.duration_since(planned).max(SignedDuration::ZERO);
    match reason {
        Reason::Waiting { need, .. } => (format!("grow by {need}"), Tone::Active),
        Reason::Advised(wanted) => (format!("grow by {}", wanted.need), Tone::Active),
        Reason::HeldBack(_) => ("hold: policy".to_owned(), Tone::Warn),
        Reason::PolicyFailed { .. } => ("policy fails".to_owned(), Tone::Bad),
        Reason::Warm { min, .. } => (format!("warm to {min}"), Tone::Active),
        Reason::Surplus { .. } => ("shrink now".to_owned(), Tone::Active),
        Reason::Foreseen { foreseen, .. } => (format!("ahead by {}", foreseen.more()), Tone::Active),
        Reason::SoonFree { horizon, .. } => (format!("free in {}", short(*horizon)), Tone::Plain),
        Reason::Drained { .. } => ("stop drained".to_owned(), Tone::Active),
        Reason::Cooling { lasted, keep_alive, .. } => {
            let left = keep_alive.saturating_sub(*lasted).saturating_sub(passed);
            (format!("shrink {}", short(left)), Tone::Plain)
        }
        Reason::Limit { scope, limit, max, .. } => {
            let number = if *limit == LimitKind::Hourly { String::new() } else { format!(" {max}") };
            // Beside it stands the queue's own limit: that of everything is another.
            let text = match scope {
                LimitScope::All => format!("{}{number}", scope.key(*limit)),
                LimitScope::Queue(_) | LimitScope::Pool(_) => format!("hold: {}{number}", limit.field()),
            };
            (text, Tone::Warn)
        }
        Reason::Budget { .. } | Reason::OwnerSpent { .. } | Reason::Step { .. } => {
            ("hold: budget".to_owned(), Tone::Warn)
        }
        Reason::Checkpoint { by, .. } => (format!("ends in {}", short(by.duration_since(now))), Tone::Warn),
        Reason::NoPrice { .. } => ("hold: no price".to_owned(), Tone::Warn),
        Reason::BackOff { breaker, .. } => {
            let left = breaker.until.duration_since(now).max(SignedDuration::ZERO);
            (format!("retry {}", short(left)), Tone::Warn)
        }
        Reason::Canary { .. } => ("hold: canary".to_owned(), Tone::Warn),
        Reason::Stale { age: None, .. } => ("no answer yet".to_owned(), Tone::Bad),
        Reason::Stale { .. } => ("hold: STALE".to_owned(), Tone::Bad),
        Reason::Faulty { .. } => ("hold: fault".to_owned(), Tone::Bad),
        Reason::NoGuard { .. } | Reason::BroughtOver { .. } => ("hold: no guard".to_owned(), Tone::Warn),
        Reason::KeptWarm { min, .. } => (format!("kept warm {min}"), Tone::Plain),
        Reason::Held { .. } => ("held".to_owned(), Tone::Plain),
        Reason::Busy { .. } => ("busy".to_owned(), Tone::Plain),
        Reason::Served { starting, .. } if *starting > 0 => ("starting".to_owned(), Tone::Active),
        Reason::Served { .. } => ("enough is up".to_owned(), Tone::Good),
        Reason::Phantoms { phantoms, .. } => (format!("{phantoms} no waiting tasks"), Tone::Warn),
        Reason::NoSuchQueue { .. } => ("no such queue".to_owned(), Tone::Bad),
        other => (other.to_string(), Tone::Plain),
    }
}

/// Text of elsewhere that cannot move the cursor or break the line.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// Cut to a width in columns; what is cut is marked.
pub(crate) fn fit(text: &str, width: usize) -> String {
    let text = plain(text);
    if text.width() <= width {
        return text;
    }
    let (head, _) = split_at_width(&text, width.saturating_sub(1));
    if width == 0 { String::new() } else { format!("{head}…") }
}

/// Cut to a width in columns in its middle: names of machines begin alike, and differ at their ends.
pub(crate) fn fit_name(name: &str, width: usize) -> String {
    let name = plain(name);
    // A third is enough to tell them apart, and most of what is read is in front.
    let end = width / 3;
    if name.width() <= width || end == 0 {
        return fit(&name, width);
    }
    let (head, _) = split_at_width(&name, width - end - 1);
    let tail: String = name.chars().rev().collect();
    let (tail, _) = split_at_width(&tail, end);
    format!("{head}…{}", tail.chars().rev().collect::<String>())
}

/// Cut into lines of a width, between words where that is possible. Line ends of the text stay.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in plain(paragraph).split(' ') {
            let mut word = word.to_owned();
            let room = width.saturating_sub(line.width());
            if !line.is_empty() && word.width() + 1 > room {
                lines.push(std::mem::take(&mut line));
            }
            while word.width() > width {
                let (head, tail) = split_at_width(&word, width);
                if head.is_empty() {
                    // A letter of two columns where there is one.
                    break;
                }
                let rest = tail.to_owned();
                lines.push(head.to_owned());
                word = rest;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
        lines.push(line);
    }
    lines
}

/// The longest beginning that is at most so wide, and the rest.
fn split_at_width(text: &str, width: usize) -> (&str, &str) {
    let mut at = 0;
    for (index, letter) in text.char_indices() {
        let end = index + letter.len_utf8();
        if text.get(..end).is_none_or(|head| head.width() > width) {
            break;
        }
        at = end;
    }
    text.split_at(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_stand_under_their_heading() {
        assert_eq!(dollars("$1204.5".parse().unwrap()), "1204.50");
        assert_eq!(dollars("-$0.5".parse().unwrap()), "-0.50");
        assert_eq!(rate("$21.957642/h".parse().unwrap()), "21.96");
        for (money, shown) in [("$0.0066", "0.01"), ("$0.004", "0.00"), ("$12.345", "12.35"), ("$0", "0.00")] {
            assert_eq!(cents(money.parse().unwrap()), shown);
        }
    }

    #[test]
    fn a_name_keeps_both_its_ends() {
        assert_eq!(fit_name("tidegate-2a0038c2-fa4c-4561-8510-c86a4dda665c-2", 21), "tidegate-2a00…a665c-2");
        assert_eq!(fit_name("i-02b664bf679d61ca0", 19), "i-02b664bf679d61ca0");
        assert_eq!((fit_name("abc", 2).as_str(), fit_name("abc", 0).as_str()), ("a…", ""));
    }

    #[test]
    fn what_holds_a_queue_is_told_in_the_room_of_a_narrow_column() {
        let at = Timestamp::UNIX_EPOCH;
        let limit = |scope, limit| Reason::Limit { scope, limit, used: 14, each: 1, max: 14 };
        let mut breaker = crate::example::view().snapshot.breakers[0].clone();
        breaker.until = at + SignedDuration::from_secs(723);
        for (reason, told) in [
            (limit(LimitScope::All, LimitKind::Instances), "limits.max 14"),
            (limit(LimitScope::Queue("train".into()), LimitKind::Instances), "hold: max 14"),
            (limit(LimitScope::All, LimitKind::Hourly), "limits.max_hourly"),
            (Reason::BackOff { pool: "gpu".into(), breaker: Box::new(breaker) }, "retry 12m03"),
        ] {
            assert_eq!(next_in_short(&reason, at, at).0, told);
        }
    }

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a\nb", 7), ["a", "b"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("", 3), [""]);
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_asked(text in ".*", width in 1_usize..40) {
            prop_assert!(fit(&text, width).width() <= width);
            prop_assert!(fit_name(&text, width).width() <= width);
            if width > 1 {
                for line in wrap(&text, width) {
                    prop_assert!(line.width() <= width, "{line:?}");
                }
            }
        }

        #[test]
        fn no_letter_is_lost(text in "[a-z ]{0,60}", width in 1_usize..20) {
            let squeezed = |text: &str| text.replace(' ', "");
            prop_assert_eq!(squeezed(&wrap(&text, width).concat()), squeezed(&text));
        }
    }
}
