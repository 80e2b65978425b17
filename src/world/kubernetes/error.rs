//! What a cluster's no means. Quota and missing rights are the same code and reason; only the message tells them apart.

use std::future::Future;
use std::time::Duration;

use kube::Error;
use kube::core::Status;
use tokio::time::timeout;

use crate::model::snapshot::ErrorClass;
use crate::world::cloud::CloudError;
use crate::world::kubernetes::safe;
use crate::world::kubernetes::told::cut;

/// The first words of what a person reads, by what is wrong.
const TEMPLATE: &str = "the pod's template is refused";
const RIGHT: &str = "a right is missing";
/// The code of a no to who we are, whoever says it.
pub(super) const UNAUTHORIZED: &str = "Unauthorized";
/// A server that lets us in and says nothing for so long does not answer.
pub(super) const ANSWERS: Duration = Duration::from_secs(30);

/// An error of a call to the API server.
pub(super) fn cloud_error(call: &str, error: &Error) -> CloudError {
    match error {
        Error::Api(status) => of_status(call, status),
        Error::BuildRequest(_) | Error::InferConfig(_) => CloudError::refused(format!("{call}: {}", safe::root(error))),
        // It says yes, and not what it did.
        Error::SerdeError(_) | Error::FromUtf8(_) => {
            unknown(call, &format!("the answer cannot be read: {}", safe::root(error)))
        }
        other => unknown(call, &safe::root(other)),
    }
}

/// The call's answer, or that there is none in time.
pub(super) async fn within<T>(call: &str, work: impl Future<Output = Result<T, CloudError>>) -> Result<T, CloudError> {
    timeout(ANSWERS, work).await.unwrap_or_else(|_| Err(unknown(call, &mute())))
}

/// What is said of a server that does not answer.
pub(super) fn mute() -> String {
    format!("the API server did not answer in {} s", ANSWERS.as_secs())
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
    let reason = if *code == 401 { UNAUTHORIZED } else { reason };
    CloudError {
        class,
        code: Some(reason.to_owned()).filter(|reason| *code == 401 || !reason.is_empty() && !from_before),
        message: format!("{call}: {said}"),
        may_have_acted,
        quota: None,
        passed_over: Vec::new(),
    }
}

/// Whether no API server says this but something before it, such as a load balancer: reasons of its own are one word.
pub(super) fn is_from_before(reason: &str) -> bool {
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

/// Whether the API server says that something is not there for us: not what it is asked, or no right to ask.
pub(super) fn is_not_ours(error: &Error) -> bool {
    is_missing(error) || matches!(error, Error::Api(status) if status.code == 403 && !is_from_before(&status.reason))
}

/// Whether somebody says no to who we are, and not only to what we may.
pub(super) fn is_denied(error: &CloudError) -> bool {
    error.code.as_deref() == Some(UNAUTHORIZED)
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
    fn a_yes_that_cannot_be_read_may_have_been_done() {
        let unread = serde_json::from_str::<u64>("<html>").unwrap_err();
        let error = cloud_error("create the Job", &Error::SerdeError(unread));
        assert_eq!((error.class, error.may_have_acted), (ErrorClass::Unknown, true), "{error}");
        assert!(error.message.contains("cannot be read: expected value at line 1 column 1"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_given_up() {
        let error = within("list the API groups", std::future::pending::<Result<(), _>>()).await.unwrap_err();
        assert_eq!(error.message, "list the API groups: the API server did not answer in 30 s");
        assert!(error.may_have_acted);
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
        let denied = of_status("watch", &Status::failure("", "Failed to parse error data").with_code(401));
        assert!(is_denied(&denied), "also one before it says no to who we are");
        let lost = Status::failure("404 page not found", "Failed to parse error data").with_code(404);
        assert!(!is_missing(&Error::Api(lost.boxed())), "the Job may be there");
    }
}
