//! Values as columns and back. Nothing is rounded: what does not fit is refused.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a pod's price is called among the states, before what it is of.
pub(super) const POD_PRICE: &str = "pod price of ";

/// Why a value cannot be a column, or a column not a value.
#[derive(Debug, thiserror::Error)]
pub(super) enum ColumnError {
    #[error("the instant {0} is out of the store's range (1677 to 2262)")]
    Instant(Timestamp),
    #[error("the duration {0} is longer than 292 years")]
    Duration(SignedDuration),
    #[error("{number} is not a count ({column})")]
    Number { column: &'static str, number: i64 },
    #[error("{0} is not one word")]
    Word(String),
    #[error("`{text}` is not JSON of the expected shape: {error}")]
    Json { text: String, error: serde_json::Error },
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

pub(super) fn instant(at: Timestamp) -> Result<i64, ColumnError> {
    i64::try_from(at.as_nanosecond()).map_err(|_| ColumnError::Instant(at))
}

/// Any 64-bit count of nanoseconds is an instant.
pub(super) fn to_instant(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default()
}

pub(super) fn duration(span: SignedDuration) -> Result<i64, ColumnError> {
    i64::try_from(span.as_nanos()).map_err(|_| ColumnError::Duration(span))
}

/// A text as every database takes it: PostgreSQL's hold no NUL.
pub(super) fn text(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

pub(super) fn json(value: &impl Serialize) -> Result<String, ColumnError> {
    serde_json::to_string(value).map_err(|error| ColumnError::Json { text: String::new(), error })
}

pub(super) fn of_json<T: DeserializeOwned>(text: &str) -> Result<T, ColumnError> {
    serde_json::from_str(text).map_err(|error| ColumnError::Json { text: text.to_owned(), error })
}

/// The name of a unit variant, as serde writes it.
pub(super) fn word(value: &impl Serialize) -> Result<String, ColumnError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(other) => Err(ColumnError::Word(other.to_string())),
        Err(error) => Err(ColumnError::Word(error.to_string())),
    }
}

pub(super) fn of_word<T: DeserializeOwned>(word: String) -> Result<T, ColumnError> {
    let text = word.clone();
    serde_json::from_value(serde_json::Value::String(word)).map_err(|error| ColumnError::Json { text, error })
}
