//! Changes of a list whose rows are known by a name: the rows that stay are not told again, wherever they stand now.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Change, Mismatch};

/// What a row is found again by. Two rows of one name cost bytes, and nothing else.
pub(super) trait Row {
    fn name(&self) -> Cow<'_, str>;
}

/// First where the rows come from, then what is otherwise in them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(serialize = "C: Serialize, C::Of: Serialize"))]
#[serde(bound(deserialize = "C: DeserializeOwned, C::Of: DeserializeOwned"))]
pub(super) struct Rows<C: Change> {
    /// `None`: each stands where it stood.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    order: Option<Vec<Run<C::Of>>>,
    /// By their places in the new list.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    changed: Vec<(usize, C)>,
}

fn none<T>() -> Option<T> {
    None
}

/// A stretch of the new list.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Run<T> {
    /// So many rows of the old list, from that place on.
    Kept(usize, usize),
    New(Vec<T>),
}

impl<C> Change for Rows<C>
where
    C: Change,
    C::Of: Row + Clone,
{
    type Of = Vec<C::Of>;

    fn between(old: &Self::Of, new: &Self::Of) -> Option<Self> {
        let stays = old.len() == new.len() && old.iter().zip(new).all(|(old, new)| old.name() == new.name());
        if stays {
            let pairs = old.iter().zip(new).enumerate();
            let changed: Vec<_> =
                pairs.filter_map(|(place, (old, new))| Some((place, C::between(old, new)?))).collect();
            return (!changed.is_empty()).then_some(Self { order: None, changed });
        }
        let places: HashMap<Cow<'_, str>, usize> = old.iter().enumerate().map(|(at, row)| (row.name(), at)).collect();
        let (mut order, mut changed) = (Vec::new(), Vec::new());
        for (place, row) in new.iter().enumerate() {
            let from = places.get(&row.name()).and_then(|at| Some((*at, old.get(*at)?)));
            match (from, order.last_mut()) {
                (Some((at, _)), Some(Run::Kept(first, count))) if *first + *count == at => *count += 1,
                (Some((at, _)), _) => order.push(Run::Kept(at, 1)),
                (None, Some(Run::New(rows))) => rows.push(row.clone()),
                (None, _) => order.push(Run::New(vec![row.clone()])),
            }
            changed.extend(from.and_then(|(_, old)| Some((place, C::between(old, row)?))));
        }
        Some(Self { order: Some(order), changed })
    }

    fn apply(self, to: &mut Self::Of) -> Result<(), Mismatch> {
        if let Some(order) = self.order {
            let mut rows = Vec::with_capacity(to.len());
            for run in order {
                match run {
                    Run::Kept(from, count) => {
                        let kept = to.get(from..).and_then(|rest| rest.get(..count)).ok_or(Mismatch)?;
                        rows.extend_from_slice(kept);
                    }
                    Run::New(new) => rows.extend(new),
                }
            }
            *to = rows;
        }
        for (place, change) in self.changed {
            change.apply(to.get_mut(place).ok_or(Mismatch)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::socket::delta::Whole;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Line {
        name: String,
        value: Option<u8>,
    }

    impl Row for Line {
        fn name(&self) -> Cow<'_, str> {
            Cow::Borrowed(&self.name)
        }
    }

    type Lines = Rows<Whole<Line>>;

    /// Few names, so that rows stay, move, come twice and go.
    fn lines() -> impl Strategy<Value = Vec<Line>> {
        let line = ("[a-h]", proptest::option::of(0..3_u8)).prop_map(|(name, value)| Line { name, value });
        proptest::collection::vec(line, 0..12)
    }

    proptest! {
        #[test]
        fn a_list_becomes_the_other(old in lines(), new in lines()) {
            let change = Lines::between(&old, &new);
            prop_assert_eq!(change.is_none(), old == new);
            let mut applied = old;
            if let Some(change) = change {
                let told = serde_json::to_string(&change).unwrap();
                serde_json::from_str::<Lines>(&told).unwrap().apply(&mut applied).unwrap();
            }
            prop_assert_eq!(applied, new);
        }
    }

    #[test]
    fn one_that_is_gone_one_that_is_new_and_one_that_is_other_are_told_alone() {
        let line = |number: u8| Line { name: format!("i-{number}"), value: None };
        let old: Vec<Line> = (0..200).map(line).collect();
        let mut new = old.clone();
        new.remove(7);
        new.insert(100, line(250));
        new[150].value = Some(1);
        let told = serde_json::to_string(&Lines::between(&old, &new)).unwrap();
        let order = r#"[{"kept":[0,7]},{"kept":[8,93]},{"new":[{"name":"i-250","value":null}]},{"kept":[101,99]}]"#;
        assert_eq!(told, format!(r#"{{"order":{order},"changed":[[150,[{{"name":"i-150","value":1}}]]]}}"#));
    }

    #[test]
    fn a_change_of_another_list_is_refused() {
        let line = |name: &str| Line { name: name.to_owned(), value: None };
        let (long, mut short) = (vec![line("a"), line("b")], vec![line("a")]);
        let change = |new: &[Line]| Lines::between(&long, &new.to_vec()).unwrap();
        assert_eq!(change(&[line("b")]).apply(&mut short), Err(Mismatch));
        let other = Line { value: Some(1), ..line("b") };
        assert_eq!(change(&[line("a"), other]).apply(&mut short), Err(Mismatch));
    }
}
