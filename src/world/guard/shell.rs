//! Values inside a shell script.

use crate::world::guard::GuardError;

/// The text as one word of a shell script, whatever it holds.
pub(super) fn quoted(text: &str, what: &'static str) -> Result<String, GuardError> {
    if text.contains('\0') {
        return Err(GuardError::ZeroByte { what });
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// The texts as words of a shell script.
pub(super) fn words(texts: &[String], what: &'static str) -> Result<String, GuardError> {
    let words: Result<Vec<_>, _> = texts.iter().map(|text| quoted(text, what)).collect();
    Ok(words?.join(" "))
}
