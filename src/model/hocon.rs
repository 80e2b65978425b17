//! HOCON, the grammar of clearml.conf: whether a text is some, and where it is not.

use std::cell::Cell;
use std::ops::Range;

use hocon_rs::Error;
use hocon_rs::parser::HoconParser;
use hocon_rs::parser::read::{Position, Read, Reference};

/// Where a text is no HOCON, and why. Both count from 1, the column in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotHocon {
    pub line: usize,
    pub column: usize,
    pub why: String,
}

/// Whether the text is HOCON that can stand between other HOCON. What it includes or substitutes is not looked for.
pub fn check(text: &str) -> Result<(), NotHocon> {
    parse(text).map_err(|(at, error)| NotHocon { why: why(&error), ..place(text, at) })?;
    // The parser forgives whatever is still open at the end; then one brace more is not too many, or is none at all.
    match parse(&format!("{text}\n}}")) {
        Err((at, Error::UnexpectedToken { expected: "end of file", .. })) if at > text.len() => {}
        _ => return Err(NotHocon { why: "it ends too early".to_owned(), ..place(text, text.len()) }),
    }
    // Braces around everything end the file for whatever follows.
    parse(&format!("{text}\nlast: 1")).map_err(|_| NotHocon {
        why: "it has braces around everything: leave them out".to_owned(),
        ..place(text, text.len())
    })
}

/// How far the parser came before it gave up.
fn parse(text: &str) -> Result<(), (usize, Error)> {
    let mut plain = text.to_owned();
    // The parser takes the `//` of an address for a comment; of the same length, the address is only a word.
    for address in addresses(text) {
        plain.replace_range(address.clone(), &"a".repeat(address.len()));
    }
    let read = Cell::new(0);
    let parsed = HoconParser::new(Reader { text: &plain, read: &read }).parse();
    parsed.map(drop).map_err(|error| (read.get(), error))
}

fn place(text: &str, offset: usize) -> NotHocon {
    let before = text.get(..offset).unwrap_or(text);
    let last = before.rsplit('\n').next().unwrap_or_default();
    NotHocon { line: before.matches('\n').count() + 1, column: last.chars().count() + 1, why: String::new() }
}

fn why(error: &Error) -> String {
    match error {
        Error::UnexpectedToken { expected, found_beginning: 0 | b'\n' } => format!("expected {expected}"),
        Error::UnexpectedToken { expected, found_beginning } => {
            format!("expected {expected}, found `{}`", char::from(*found_beginning))
        }
        other => other.to_string(),
    }
}

/// A text that says how far it has been read. What is read is thrown away, so that escapes stand for anything.
struct Reader<'t, 'r> {
    text: &'t str,
    read: &'r Cell<usize>,
}

impl<'de> Read<'de> for Reader<'_, '_> {
    fn position(&self) -> Position {
        let NotHocon { line, column, .. } = place(self.text, self.read.get());
        Position { line, column }
    }

    fn peek_n(&mut self, n: usize) -> hocon_rs::Result<&[u8]> {
        let start = self.read.get();
        self.text.as_bytes().get(start..start + n).ok_or(Error::Eof)
    }

    fn next(&mut self) -> hocon_rs::Result<u8> {
        let byte = self.peek()?;
        self.read.set(self.read.get() + 1);
        Ok(byte)
    }

    fn parse_str<'s, F>(
        &'s mut self,
        escape: bool,
        scratch: &'s mut Vec<u8>,
        delimiter: F,
    ) -> hocon_rs::Result<Reference<'de, 's, str>>
    where
        F: Fn(&mut Self) -> hocon_rs::Result<bool>,
    {
        while !delimiter(self)? {
            match self.next()? {
                b'\\' if escape => match self.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => scratch.push(b'_'),
                    b'u' => {
                        for _ in 0..4 {
                            if !self.next()?.is_ascii_hexdigit() {
                                return Err(Error::InvalidEscape);
                            }
                        }
                        scratch.push(b'_');
                    }
                    _ => return Err(Error::InvalidEscape),
                },
                byte => scratch.push(byte),
            }
        }
        std::str::from_utf8(scratch).map(Reference::Copied).map_err(|_| Error::InvalidUtf8)
    }
}

/// The text with quotes around bare addresses: `clearml-init` writes them without, and `//` begins a comment.
#[must_use]
pub fn with_quoted_addresses(text: &str) -> String {
    let mut quoted = text.to_owned();
    for address in addresses(text).into_iter().rev() {
        quoted.insert(address.end, '"');
        quoted.insert(address.start, '"');
    }
    quoted
}

/// Where bare addresses stand, in order.
fn addresses(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut after_separator = false;
    let mut start = 0;
    while let Some(rest) = text.get(start..)
        && let Some(first) = rest.chars().next()
    {
        let (length, is_address) = match first {
            '"' => (end_of_string(rest), false),
            '#' => (end_of_line(rest), false),
            'h' if after_separator && is_address(rest) => (end_of_address(rest), true),
            '/' if rest.starts_with("//") => (end_of_line(rest), false),
            _ => (first.len_utf8(), false),
        };
        if is_address {
            found.push(start..start + length);
        }
        after_separator = matches!(first, ':' | '=') || (after_separator && matches!(first, ' ' | '\t'));
        start += length;
    }
    found
}

fn is_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

fn end_of_address(text: &str) -> usize {
    text.find(|c: char| c.is_whitespace() || matches!(c, ',' | '}' | ']' | '#' | '"' | '\\')).unwrap_or(text.len())
}

fn end_of_line(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// The end of the string that `text` begins with, its last quote included.
fn end_of_string(text: &str) -> usize {
    if let Some(inside) = text.strip_prefix("\"\"\"") {
        return inside.find("\"\"\"").map_or(text.len(), |end| end + 6);
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_clearml_conf_says_is_hocon() {
        for text in [
            "",
            "# nothing\n",
            "agent.package_manager.system_site_packages: true",
            "agent {\n  git_host: \"example.com\" // ours\n  docker_init_bash_script = [\"echo a\", 'b']\n}\nsdk.aws.s3.region = eu-west-1",
            "api { web_server: https://app.example.com:8080, files_server: http://files } # bare addresses",
            "a: ${NOT_SET}, b: ${?HOME}/x\ninclude \"/etc/more.conf\"",
            "sdk.storage.path: \"\"\"C:\\x\"\"\"\n",
            "x: \"\\u00e9\\n\"",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_told_with_its_place() {
        for (text, line, column, why) in [
            ("agent {\n  a: 1\n", 3, 1, "ends too early"),
            ("a: 1\nb: é }", 2, 6, "found `}`"),
            ("agent", 1, 6, "ends too early"),
            ("a: [1, 2", 1, 9, "ends too early"),
            ("a: \"x", 1, 6, "ends too early"),
            ("a: \"\\q\"", 1, 7, "scape"),
            ("w: https://x.example.com }", 1, 26, "found `}`"),
            ("{ agent.a: 1 }", 1, 15, "leave them out"),
            ("a:\n\nb: }", 3, 2, "expected"),
        ] {
            let wrong = check(text).unwrap_err();
            assert_eq!((wrong.line, wrong.column), (line, column), "{text}: {wrong:?}");
            assert!(wrong.why.contains(why), "{text}: {wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_some_or_is_told_within_it(text in "(?s).*", piece in "[ -~\n]{0,60}") {
            for text in [text, format!("agent {{ a: {piece} }}"), piece] {
                if let Err(wrong) = check(&text) {
                    prop_assert!(wrong.line <= text.matches('\n').count() + 1, "{:?}", wrong);
                    let line = text.split('\n').nth(wrong.line - 1).unwrap_or_default();
                    prop_assert!(wrong.column <= line.chars().count() + 1, "{:?}", wrong);
                }
            }
        }
    }
}
