//! Our own scripts without what only their readers need: user data has little room, and most of it is the init script's.

/// What a docstring begins and ends with.
const QUOTES: &str = r#"""""#;

/// Without the lines that are nothing but a comment, and without Python's docstrings. Only for texts of ours: a line of a
/// longer string may look like either.
pub(super) fn bare(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut in_docstring = false;
    for line in text.lines() {
        let words = line.trim();
        if in_docstring {
            in_docstring = !words.ends_with(QUOTES);
        } else if let Some(begun) = words.strip_prefix(QUOTES) {
            in_docstring = !begun.ends_with(QUOTES);
        } else if !words.is_empty() && !words.starts_with('#') {
            bare.extend([line, "\n"]);
        }
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_stays_as_it_is() {
        let text = "# why\nif x; then\n    # more\n    echo '# no comment' # kept\n\nfi\n";
        assert_eq!(bare(text), "if x; then\n    echo '# no comment' # kept\nfi\n");
        let text = "\"\"\"What.\n\nMore.\n\"\"\"\ndef f():\n    \"\"\"One line.\"\"\"\n    return '''\"\"\"'''\n";
        assert_eq!(bare(text), "def f():\n    return '''\"\"\"'''\n");
    }
}
