//! The envelope of every answer.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::call::Target;
use crate::world::sim::clearml::Refused;

/// An answer to be; each has an id of its own.
pub(super) struct Envelope {
    id: String,
}

impl Envelope {
    pub(super) fn new(number: u64) -> Self {
        Self { id: format!("{number:032x}") }
    }

    pub(super) fn answer(&self, target: Option<&Target>, done: Result<Value, Refused>) -> Response {
        let known = !matches!(&done, Err(Refused { code: 404, .. }));
        let (code, subcode, message, data) = match done {
            Ok(data) => (200, 0, "OK".to_owned(), data),
            Err(Refused { code, subcode, message }) => (code, subcode, message, json!({})),
        };
        let endpoint = target.map(|target| {
            let version = target.version.to_string();
            json!({ "name": target.endpoint, "requested_version": version, "actual_version": known.then_some("1.0") })
        });
        let meta = json!({ "id": self.id, "trx": self.id, "endpoint": endpoint, "result_code": code,
            "result_subcode": subcode, "result_msg": message, "error_stack": null, "error_data": {} });
        let text = json!({ "meta": meta, "data": data }).to_string();
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [("content-type", "application/json")], text).into_response()
    }
}
