//! The filter: words that must each be found in one of a row's cells, in names by their letters in order; `!word` shuts
//! rows out; `state=idle`, `cost>2` and `queue:gpu` ask one column.

use nucleo_matcher::pattern::{Atom, AtomKind, CaseMatching, Normalization};
use nucleo_matcher::{Config, Matcher, Utf32Str};

use super::typed::{Read, Term};
use super::{Cell, Column};

/// A word that must be found.
#[derive(Debug)]
struct Word {
    /// Its letters in order: for names.
    fuzzy: Atom,
    /// As it stands: for sentences, in which the letters of any word are found somewhere.
    whole: Whole,
}

impl Word {
    fn new(text: &str) -> Self {
        let smart = (CaseMatching::Smart, Normalization::Smart);
        Self { fuzzy: Atom::new(text, smart.0, smart.1, AtomKind::Fuzzy, false), whole: Whole::new(text) }
    }
}

/// A word as it stands; its case counts where it has capitals.
#[derive(Debug)]
struct Whole {
    word: String,
    as_typed: bool,
}

impl Whole {
    fn new(word: &str) -> Self {
        Self { word: word.to_owned(), as_typed: word.chars().any(char::is_uppercase) }
    }

    /// Where it begins, in letters.
    fn find(&self, text: &str) -> Option<usize> {
        let at = |text: &str| text.find(&self.word).map(|at| text.get(..at).unwrap_or_default().chars().count());
        if self.as_typed { at(text) } else { at(&text.to_lowercase()) }
    }
}

/// A filter as it was typed, ready to be asked.
pub(crate) struct Filter {
    wanted: Vec<Word>,
    unwanted: Vec<Whole>,
    terms: Vec<Term>,
    wrong: Option<String>,
    matcher: Matcher,
    letters: Vec<char>,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter")
            .field("wanted", &self.wanted)
            .field("unwanted", &self.unwanted)
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}

impl Filter {
    /// Words alone.
    pub(crate) fn new(text: &str) -> Self {
        Self::of_rows(text, &[])
    }

    /// Words, and what is asked of single columns.
    pub(crate) fn of_rows(text: &str, columns: &[Column]) -> Self {
        let mut filter = Self {
            wanted: Vec::new(),
            unwanted: Vec::new(),
            terms: Vec::new(),
            wrong: None,
            matcher: Matcher::new(Config::DEFAULT),
            letters: Vec::new(),
        };
        for word in text.split_whitespace() {
            let (bare, barred) = word.strip_prefix('!').map_or((word, false), |bare| (bare, true));
            match Term::read(bare, barred, columns) {
                Read::Term(term) => filter.terms.push(term),
                Read::Wrong(why) => filter.wrong = Some(why),
                Read::Unfinished => {}
                Read::Word if bare.is_empty() => {}
                // Only what surely has it is shut out.
                Read::Word if barred => filter.unwanted.push(Whole::new(bare)),
                Read::Word => filter.wanted.push(Word::new(bare)),
            }
        }
        filter
    }

    /// Nothing is asked that could be answered.
    pub(crate) fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.unwanted.is_empty() && self.terms.is_empty() && self.wrong.is_none()
    }

    /// What cannot be asked.
    pub(crate) fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    /// Whether a row with these cells, one for each column, is shown.
    pub(crate) fn passes(&mut self, cells: &[Cell]) -> bool {
        let Self { wanted, unwanted, terms, wrong, matcher, letters } = self;
        if wrong.is_some() || !terms.iter().all(|term| term.holds(cells)) {
            return false;
        }
        let mut has = |word: &Word, cell: &str| {
            if cell.contains(' ') {
                word.whole.find(cell).is_some()
            } else {
                word.fuzzy.score(Utf32Str::new(cell, letters), matcher).is_some()
            }
        };
        wanted.iter().all(|word| cells.iter().any(|cell| has(word, &cell.text)))
            && !unwanted.iter().any(|word| cells.iter().any(|cell| word.find(&cell.text).is_some()))
    }

    /// Which letters of a cell were found, by their number.
    pub(crate) fn hits(&mut self, cell: &str) -> Vec<u32> {
        let Self { wanted, matcher, letters, .. } = self;
        let mut found = Vec::new();
        for word in wanted.iter() {
            if !cell.contains(' ') {
                word.fuzzy.indices(Utf32Str::new(cell, letters), matcher, &mut found);
            } else if let Some(at) = word.whole.find(cell) {
                found.extend((at..at + word.whole.word.chars().count()).filter_map(|at| u32::try_from(at).ok()));
            }
        }
        found
    }

    /// How well a text fits, the higher the better; `None`: not at all.
    pub(crate) fn score(&mut self, text: &str) -> Option<u32> {
        let Self { wanted, unwanted, matcher, letters, .. } = self;
        if unwanted.iter().any(|word| word.find(text).is_some()) {
            return None;
        }
        wanted.iter().map(|word| word.fuzzy.score(Utf32Str::new(text, letters), matcher).map(u32::from)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells() -> Vec<Cell> {
        ["gpu-large", "g5.xlarge", "busy", "held by bo: looking at it"].map(Cell::text).to_vec()
    }

    #[test]
    fn words_must_all_be_found_and_barred_ones_not() {
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
            assert_eq!(Filter::new(text).passes(&cells()), passes, "{text}");
        }
    }

    #[test]
    fn the_letters_that_were_found_are_known() {
        let hits = |text: &str, cell: &str| Filter::new(text).hits(cell);
        assert_eq!(hits("gl", "gpu-large"), [0, 4]);
        assert_eq!(hits("look", "held by bo: looking"), [12, 13, 14, 15]);
        assert_eq!(hits("bus", "● busy"), [2, 3, 4]);
        assert!(hits("x", "gpu").is_empty());
        assert!(hits("!gpu", "gpu").is_empty());
    }
}
