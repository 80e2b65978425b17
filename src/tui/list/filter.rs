//! The filter: words that must each be found in one of a row's cells, in names by their letters in order; `!word` shuts
//! rows out.

use nucleo_matcher::pattern::{Atom, AtomKind, CaseMatching, Normalization};
use nucleo_matcher::{Config, Matcher, Utf32Str};

/// A word that must be found.
#[derive(Debug)]
struct Word {
    /// Its letters in order: for names.
    fuzzy: Atom,
    /// As it stands: for sentences.
    whole: Atom,
}

/// A filter as it was typed, ready to be asked.
pub(crate) struct Filter {
    wanted: Vec<Word>,
    unwanted: Vec<Atom>,
    matcher: Matcher,
    letters: Vec<char>,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").field("wanted", &self.wanted).field("unwanted", &self.unwanted).finish_non_exhaustive()
    }
}

impl Filter {
    pub(crate) fn new(text: &str) -> Self {
        let atom = |word: &str, kind| Atom::new(word, CaseMatching::Smart, Normalization::Smart, kind, false);
        let (unwanted, wanted): (Vec<&str>, Vec<&str>) =
            text.split_whitespace().partition(|word| word.starts_with('!'));
        Self {
            wanted: wanted
                .into_iter()
                .map(|word| Word { fuzzy: atom(word, AtomKind::Fuzzy), whole: atom(word, AtomKind::Substring) })
                .collect(),
            // Only what surely has it is shut out.
            unwanted: unwanted
                .into_iter()
                .map(|word| word.trim_start_matches('!'))
                .filter(|word| !word.is_empty())
                .map(|word| atom(word, AtomKind::Substring))
                .collect(),
            matcher: Matcher::new(Config::DEFAULT),
            letters: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.unwanted.is_empty()
    }

    /// Whether a row with these cells is shown.
    pub(crate) fn passes(&mut self, cells: impl Iterator<Item = String>) -> bool {
        let cells: Vec<String> = cells.collect();
        let Self { wanted, unwanted, matcher, letters } = self;
        let mut score = |atom: &Atom, cell: &str| atom.score(Utf32Str::new(cell, letters), matcher).is_some();
        let has_all = wanted.iter().all(|word| {
            // In a sentence the letters of any word are found somewhere.
            cells.iter().any(|cell| score(if cell.contains(' ') { &word.whole } else { &word.fuzzy }, cell))
        });
        has_all && !unwanted.iter().any(|word| cells.iter().any(|cell| score(word, cell)))
    }

    /// How well a text fits, the higher the better; `None`: not at all.
    pub(crate) fn score(&mut self, text: &str) -> Option<u32> {
        let Self { wanted, unwanted, matcher, letters } = self;
        if unwanted.iter().any(|atom| atom.score(Utf32Str::new(text, letters), matcher).is_some()) {
            return None;
        }
        wanted.iter().map(|word| word.fuzzy.score(Utf32Str::new(text, letters), matcher).map(u32::from)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_must_all_be_found_and_barred_ones_not() {
        let cells = ["gpu-large", "g5.xlarge", "busy", "held by bo: looking at it"];
        for (text, passes) in [
            ("", true),
            ("gpu", true),
            ("gl", true),
            ("GPU", false),
            ("gpu busy", true),
            ("gpu idle", false),
            ("!busy", false),
            ("!idle gpu", true),
            ("!", true),
            ("held", true),
            ("looking held", true),
            // In a sentence letters are not picked out.
            ("hit", false),
            // Letters of two cells do not make a word.
            ("largebusy", false),
        ] {
            assert_eq!(Filter::new(text).passes(cells.iter().map(ToString::to_string)), passes, "{text}");
        }
    }
}
