//! Changing a list: items that stay keep their place and what is said beside them.

use std::ops::Range;

use toml::de::DeArray;

use super::spliced;
use crate::model::settings::fields::Written;

/// The text with `items` in the list at `span`.
pub(super) fn put(text: &str, span: &Range<usize>, old: &DeArray, items: &[String]) -> String {
    let old: Vec<(&str, Range<usize>)> =
        old.iter().map(|item| (item.get_ref().as_str().unwrap_or_default(), item.span())).collect();
    let same = |(old, new): &(&(&str, Range<usize>), &String)| old.0 == new.as_str();
    let ahead = old.iter().zip(items).take_while(same).count();
    let left = old.len().min(items.len()) - ahead;
    let behind = old.iter().rev().zip(items.iter().rev()).take(left).take_while(same).count();
    let gone = old.get(ahead..old.len() - behind).unwrap_or_default();
    let come: Vec<_> =
        items.get(ahead..items.len() - behind).unwrap_or_default().iter().map(|item| quoted(item)).collect();
    let before = ahead.checked_sub(1).and_then(|last| old.get(last)).map(|(_, span)| span.end);
    let after = old.get(old.len() - behind).map(|(_, span)| span.start);

    if gone.len() == come.len() {
        let pairs = gone.iter().zip(&come).rev();
        return pairs.fold(text.to_owned(), |text, ((_, span), new)| spliced(&text, span.clone(), new));
    }
    match (gone, before, after) {
        _ if items.is_empty() || old.is_empty() => {
            let all: Vec<_> = items.iter().map(|item| quoted(item)).collect();
            spliced(text, span.clone(), &format!("[{}]", all.join(", ")))
        }
        ([], Some(end), _) => spliced(text, end..end, &format!(", {}", come.join(", "))),
        ([], None, Some(start)) => spliced(text, start..start, &format!("{}, ", come.join(", "))),
        ([(_, first), ..], _, Some(start)) if come.is_empty() => spliced(text, first.start..start, ""),
        ([.., (_, last)], Some(end), None) if come.is_empty() => spliced(text, end..last.end, ""),
        ([(_, first), .., (_, last)] | [(_, first @ last)], _, _) => {
            spliced(text, first.start..last.end, &come.join(", "))
        }
        ([], None, None) => text.to_owned(),
    }
}

fn quoted(item: &str) -> String {
    Written::Text(item.to_owned()).to_toml()
}
