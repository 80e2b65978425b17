//! Values inside a shell script.

use crate::world::guard::GuardError;

/// The text as one word of a shell script, whatever it holds.
pub(super) fn quoted(text: &str, what: &'static str) -> Result<String, GuardError> {
    if text.contains('\0') {
        return Err(GuardError::ZeroByte { what });
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}
