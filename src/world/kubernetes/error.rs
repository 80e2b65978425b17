//! What a cluster's no means. Quota and missing rights are the same code and reason; only the message tells them apart.

use kube::Error;
use kube::core::Status;

use crate::model::snapshot::ErrorClass;
use crate::world::cloud::CloudError;
use crate::world::kubernetes::told::cut;

/// The first words of what a person reads, by what is wrong.
const TEMPLATE: &str = "the pod's template is refused";
const RIGHT: &str = "a right is missing";

/// An error of a call to the API server.
pub(super) fn cloud_error(call: &str, error: &Error) -> CloudError {
    match error {
        Error::Api(status) => of_status(call, status),
        Error::BuildRequest(_) | Error::InferConfig(_) | Error::SerdeError(_) => {
            CloudError { message: format!("{call}: {error}"), ..CloudError::refused(String::new()) }
        }
        other => unknown(call, &root(other)),
    }
}

/// Nobody knows whether it was done.
pub(super) fn unknown(call: &str, message: &str) -> CloudError {
    CloudError {
        class: ErrorClass::Unknown,
        code: None,
        message: format!("{call}: {message}"),
        may_have_acted: true,
        quota: None,
        passed_over: Vec::new(),
    }
}

/// The innermost cause says what happened: "connection refused".
fn root(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        said = inner.to_string();
        source = inner.source();
    }
    said
}

pub(super) fn of_status(call: &str, status: &Status) -> CloudError {
    let Status { code, message, reason, details, .. } = status;
    let from_before = is_from_before(reason);
    let message = &if from_before || message.is_empty() { page(*code, message) } else { message.clone() };
    let causes = details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    let fields: Vec<String> = causes
        .iter()
        .filter(|cause| !cause.field.is_empty())
        .map(|cause| format!("{}: {}", cause.field, cause.message))
        .collect();
    let terminating = causes.iter().any(|cause| cause.reason == "NamespaceTerminating");
    let (class, said, may_have_acted) = match code {
        403 if message.contains("exceeded quota") => (ErrorClass::Quota, message.clone(), false),
        403 if terminating => (ErrorClass::BadRequest, message.clone(), false),
        401 | 403 => (ErrorClass::Credentials, format!("{RIGHT}: {message}"), false),
        422 if !fields.is_empty() => (ErrorClass::BadRequest, format!("{TEMPLATE}: {}", fields.join("; ")), false),
        400 | 422 => (ErrorClass::BadRequest, format!("{TEMPLATE}: {message}"), false),
        404 | 405 | 409 | 410 | 413 | 415 => (ErrorClass::BadRequest, message.clone(), false),
        429 => (ErrorClass::Throttle, message.clone(), false),
        // The server may have done it before it failed.
        _ => (ErrorClass::Unknown, message.clone(), true),
    };
    CloudError {
        class,
        code: Some(reason.clone()).filter(|reason| !reason.is_empty() && !from_before),
        message: format!("{call}: {said}"),
        may_have_acted,
        quota: None,
        passed_over: Vec::new(),
    }
}

/// Whether no API server says this but something before it, such as a load balancer: reasons of its own are one word.
fn is_from_before(reason: &str) -> bool {
    reason.contains(' ')
}

/// An answer that is no API server's, or says nothing, as one short line.
fn page(code: u16, text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    cut(format!("HTTP {code}: {}", words.join(" ")).trim_end_matches([':', ' ']))
}

/// Whether the API server says that what was asked for does not exist.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 404 && !is_from_before(&status.reason))
}

/// Whether something of that name, or a newer version of it, is there.
pub(super) fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 409)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::kubernetes::recorded;

    #[test]
    fn every_recorded_no_has_its_class() {
        use ErrorClass::{BadRequest, Credentials, Quota, Throttle, Unknown};
        for (file, class, may_have_acted, words) in [
            ("errors/401_bad_token", Credentials, false, "a right is missing"),
            ("errors/403_anonymous", Credentials, false, "system:anonymous"),
            ("errors/403_rbac_create", Credentials, false, "cannot create resource \"jobs\""),
            ("errors/403_rbac_watch", Credentials, false, "cannot watch resource"),
            ("errors/403_namespace_terminating", BadRequest, false, "being terminated"),
            ("quota/job_create_403_count", Quota, false, "exceeded quota: job-count"),
            ("quota/pod_create_403", Quota, false, "exceeded quota"),
            ("errors/429_too_many_requests", Throttle, false, ""),
            ("errors/504_create_timeout", Unknown, true, ""),
            ("job/create_422_causes", BadRequest, false, "spec.parallelism: Invalid value: -2"),
            ("job/create_400_bad_quantity", BadRequest, false, "template"),
            ("job/create_404_namespace", BadRequest, false, "not found"),
            ("job/create_strict_unknown_field_400", BadRequest, false, "unknown field"),
            ("list/410_continue_expired", BadRequest, false, ""),
            ("list/504_future_resource_version", Unknown, true, ""),
            ("watch/bad_resource_version_500", Unknown, true, ""),
        ] {
            let status = serde_json::from_value(recorded(file)["response"]["body"].clone());
            let status = status.unwrap_or_else(|_| Status { code: 429, ..Status::default() });
            let error = of_status("create a Job", &status);
            assert_eq!((error.class, error.may_have_acted), (class, may_have_acted), "{file}: {error}");
            assert!(error.message.contains(words), "{file}: {error}");
        }
    }

    #[test]
    fn a_load_balancer_s_page_is_one_line() {
        let rule = "<hr>nginx\n".repeat(100);
        let page = format!("<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n{rule}");
        for (status, told) in [
            // As kube tells of an answer that is no Status.
            (Status::failure("", "Failed to parse error data").with_code(503), "watch: HTTP 503"),
            (
                Status::failure(&page, "Failed to parse error data").with_code(502),
                "watch: HTTP 502: <html> <head><title>502 Bad Gateway</title></head> <hr>nginx",
            ),
            (Status { code: 500, reason: "InternalError".to_owned(), ..Status::default() }, "watch: HTTP 500"),
        ] {
            let error = of_status("watch", &status);
            assert!(error.message.starts_with(told) && error.message.len() < 230, "{error}");
            assert!(!error.to_string().contains("parse"), "{error}");
            assert!(error.may_have_acted);
        }
        let lost = Status::failure("404 page not found", "Failed to parse error data").with_code(404);
        assert!(!is_missing(&Error::Api(lost.boxed())), "the Job may be there");
    }
}
