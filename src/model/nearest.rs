//! "Did you mean": the known name that is most like a wrong one.

/// How alike two names must be, from 0 to 1, before one is offered for the other.
const LIKE: f64 = 0.8;

/// The candidate most like `word`; `None` where none is like it.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|known| (strsim::jaro_winkler(known, word), known))
        .filter(|(likeness, _)| *likeness > LIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, known)| known)
}

/// `: did you mean ...?` with the candidate most like `word`; empty where none is like it.
#[must_use]
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|known| format!(": did you mean `{known}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["max", "max_gpu", "priority"];
        for (word, found) in [("maxx", Some("max")), ("maxgpu", Some("max_gpu")), ("prioritty", Some("priority"))] {
            assert_eq!(nearest(word, known), found, "{word}");
        }
        assert_eq!(nearest("zone", known), None);
        assert_eq!(did_you_mean("maxx", known), ": did you mean `max`?");
        assert_eq!(did_you_mean("", known), "");
    }
}
