//! Compute Engine's no, classed; and what each silence may hide. It comes at once, with an HTTP status and a reason, or
//! later, as the end of an operation, with a code.
//!
//! | class | reasons and codes |
//! |---|---|
//! | capacity | `ZONE_RESOURCE_POOL_EXHAUSTED...`, `STOCKOUT` and other `...EXHAUSTED...` |
//! | quota | `QUOTA_EXCEEDED`, `quotaExceeded`, `LIMIT_EXCEEDED` |
//! | throttle | `rateLimitExceeded`, `RATE_LIMIT_EXCEEDED`, `...OPERATIONS_QUOTA_EXCEEDED`, HTTP 429 |
//! | credentials | HTTP 401, other 403; no token; `PERMISSIONS_ERROR`, `FORBIDDEN` and the like |
//! | bad request | HTTP 400, 404, 409, 412; `INVALID...`, `...NOT_FOUND`, `...ALREADY_EXISTS`, `UNSUPPORTED...` |
//! | unknown | no token for want of an answer; everything else: the loop backs off and shows it |

use std::error::Error as _;

use google_cloud_compute_v1::Error;
use google_cloud_compute_v1::errors::OperationError;
use google_cloud_compute_v1::model::operation::error::Errors;
use google_cloud_gax::error::CredentialsError;
use google_cloud_gax::error::rpc::StatusDetails;

use crate::model::snapshot::ErrorClass;
use crate::world::cloud::CloudError;

const CREDENTIALS: &[&str] = &[
    "FORBIDDEN",
    "PERMISSION_DENIED",
    "PERMISSIONS_ERROR",
    "SERVICE_ACCOUNT_ACCESS_DENIED",
    "UNAUTHENTICATED",
    "UNAUTHORIZED",
];

const THROTTLE: &[&str] = &[
    "CONCURRENT_OPERATIONS_QUOTA_EXCEEDED",
    "OPERATION_RATE_LIMIT_EXCEEDED",
    "RATE_LIMIT_EXCEEDED",
    "RESOURCE_OPERATION_RATE_EXCEEDED",
    "TOO_MANY_REQUESTS",
    "concurrentLimitExceeded",
    "rateLimitExceeded",
    "userRateLimitExceeded",
];

const QUOTA: &[&str] =
    &["LIMIT_EXCEEDED", "QUOTA_EXCEEDED", "QUOTA_EXCEEDED_WITH_DETAILS", "quotaExceeded", "limitExceeded"];

const BAD_REQUEST: &[&str] = &[
    "BAD_REQUEST",
    "CONDITION_NOT_MET",
    "MISSING_REQUIRED_FIELD",
    "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE",
    "RESOURCE_NOT_READY",
];

/// A code that is a definite no of a class; `None`: one that we do not know.
pub(super) fn class_of(code: &str) -> Option<ErrorClass> {
    if CREDENTIALS.contains(&code) {
        Some(ErrorClass::Credentials)
    } else if THROTTLE.contains(&code) {
        Some(ErrorClass::Throttle)
    } else if QUOTA.contains(&code) {
        Some(ErrorClass::Quota)
    } else if code.contains("EXHAUSTED") || code.contains("STOCKOUT") || code == "resourcePoolExhausted" {
        Some(ErrorClass::Capacity)
    } else if BAD_REQUEST.contains(&code)
        || code.starts_with("INVALID")
        || code.starts_with("UNSUPPORTED")
        || code.ends_with("NOT_FOUND")
        || code.ends_with("ALREADY_EXISTS")
    {
        Some(ErrorClass::BadRequest)
    } else {
        None
    }
}

pub(super) fn class_of_status(status: u16) -> ErrorClass {
    match status {
        401 | 403 => ErrorClass::Credentials,
        429 => ErrorClass::Throttle,
        400 | 404 | 405 | 409 | 410 | 412 | 413 => ErrorClass::BadRequest,
        _ => ErrorClass::Unknown,
    }
}

/// Whoever gives tokens said no, or did not answer: then the credentials are as good as before.
pub(super) fn class_without_token(error: &CredentialsError) -> ErrorClass {
    if error.is_transient() { ErrorClass::Unknown } else { ErrorClass::Credentials }
}

/// A reason for a status that comes without one.
pub(super) fn code_of_status(status: u16) -> Option<&'static str> {
    match status {
        401 => Some("UNAUTHENTICATED"),
        403 => Some("forbidden"),
        404 => Some("notFound"),
        409 => Some("alreadyExists"),
        _ => None,
    }
}

/// Whether Google does not know us at all, whatever we ask: there is no token, or none that it takes.
pub(super) fn is_of_caller(error: &CloudError) -> bool {
    let codes = ["UNAUTHENTICATED", "authError", "required"];
    error.class == ErrorClass::Credentials && error.code.as_deref().is_none_or(|code| codes.contains(&code))
}

/// A no, and where Google says that there is room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct No {
    pub(super) error: CloudError,
    pub(super) zones_available: Vec<String>,
}

impl From<CloudError> for No {
    fn from(error: CloudError) -> Self {
        Self { error, zones_available: Vec::new() }
    }
}

/// Whether the name is there already.
pub(super) fn name_exists(error: &CloudError) -> bool {
    error.code.as_deref().is_some_and(|code| code == "alreadyExists" || code.ends_with("ALREADY_EXISTS"))
}

/// Whether what was named is not there.
pub(super) fn is_missing(error: &CloudError) -> bool {
    error.code.as_deref().is_some_and(|code| code == "notFound" || code.ends_with("NOT_FOUND"))
}

/// Whether something has what was to be deleted.
pub(super) fn is_in_use(error: &CloudError) -> bool {
    let codes = ["RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", "resourceInUseByAnotherResource"];
    error.code.as_deref().is_some_and(|code| codes.contains(&code))
}

/// Whether what was to be changed was changed by somebody meanwhile.
pub(super) fn is_changed(error: &CloudError) -> bool {
    error.code.as_deref() == Some("conditionNotMet")
}

/// Whether the zone does not offer what was asked for.
pub(super) fn is_not_offered(error: &CloudError) -> bool {
    let message = &error.message;
    let of_zone = message.contains("machine type") || message.contains("achineType") || message.contains("ccelerator");
    error.class == ErrorClass::BadRequest
        && of_zone
        && (is_missing(error) || message.contains("does not exist in zone"))
}

/// What is wrong with the request itself: nothing was done.
pub(super) fn refused(message: String) -> CloudError {
    CloudError::refused(message)
}

/// An answer that is not Compute Engine's.
pub(super) fn unreadable(call: &str, what: &str) -> CloudError {
    CloudError {
        class: ErrorClass::Unknown,
        may_have_acted: true,
        ..CloudError::refused(format!("{call}: the answer cannot be read: {what}"))
    }
}

/// The client's error as the loop uses it.
pub(super) fn cloud_error(call: &str, error: &Error) -> CloudError {
    if let Some(status) = error.http_status_code() {
        return answered(call, status, error);
    }
    let message = format!("{call}: {}", chain(error));
    let of = |class, code: Option<&str>, may_have_acted| CloudError {
        class,
        code: code.map(str::to_owned),
        may_have_acted,
        ..CloudError::refused(message.clone())
    };
    if error.is_authentication() {
        // There was no token to send anything with.
        let cause = error.source().and_then(|cause| cause.downcast_ref());
        of(cause.map_or(ErrorClass::Credentials, class_without_token), None, false)
    } else if error.is_binding() || error.is_serialization() {
        of(ErrorClass::BadRequest, None, false)
    } else if error.is_connect() {
        of(ErrorClass::Unknown, None, false)
    } else if error.is_timeout() || error.is_exhausted() {
        of(ErrorClass::Unknown, Some("Deadline"), true)
    } else {
        of(ErrorClass::Unknown, None, true)
    }
}

fn answered(call: &str, status: u16, error: &Error) -> CloudError {
    let info = |detail: &StatusDetails| match detail {
        StatusDetails::ErrorInfo(info) => Some(info.reason.clone()),
        _ => None,
    };
    let code = error.status().and_then(|said| said.details.iter().find_map(info)).filter(|reason| !reason.is_empty());
    let said = error.status().map(|said| said.message.clone()).filter(|said| !said.is_empty());
    let class = code.as_deref().and_then(class_of).unwrap_or_else(|| class_of_status(status));
    // A service that is overloaded says so by 503 and may have begun; a code that we know is a definite no.
    let may_have_acted = match class {
        ErrorClass::Throttle => true,
        ErrorClass::Unknown => !(400..500).contains(&status) || status == 408,
        _ => false,
    };
    let code = code.or_else(|| code_of_status(status).map(str::to_owned));
    let said = said.unwrap_or_else(|| "no text".to_owned());
    CloudError { class, code, may_have_acted, ..CloudError::refused(format!("{call}: HTTP {status}: {said}")) }
}

/// Why an operation failed. One that fails for a reason that we do not know may have left something behind.
pub(super) fn failed(call: &str, error: &OperationError) -> No {
    let OperationError::Generic(error) = error else {
        return unreadable(call, &error.to_string()).into();
    };
    let first = error.details.iter().flat_map(|details| &details.errors).next();
    let status = error.status_code.and_then(|status| u16::try_from(status).ok());
    let code = first.and_then(|first| first.code.clone());
    let said = first.and_then(|first| first.message.clone()).or_else(|| error.message.clone());
    let known = code.as_deref().and_then(class_of);
    let class = known.or_else(|| status.map(class_of_status)).unwrap_or(ErrorClass::Unknown);
    let error = CloudError {
        class,
        code,
        may_have_acted: matches!(class, ErrorClass::Unknown | ErrorClass::Throttle),
        ..CloudError::refused(format!("{call}: the operation failed: {}", said.unwrap_or_else(|| "no text".to_owned())))
    };
    No { error, zones_available: first.map(zones_available).unwrap_or_default() }
}

/// The zones that an error names, such as `us-central1-b, us-central1-c`.
fn zones_available(error: &Errors) -> Vec<String> {
    let infos = error.error_details.iter().filter_map(|detail| detail.error_info.as_ref());
    let named = infos.filter_map(|info| info.metadatas.get("zonesAvailable"));
    let zones = named.flat_map(|zones| zones.split(|c: char| c == ',' || c.is_whitespace()));
    zones.filter(|zone| !zone.is_empty()).map(str::to_owned).collect()
}

/// Every error of the chain in its own words.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use google_cloud_compute_v1::errors::GenericOperationError;
    use google_cloud_compute_v1::model::operation;
    use google_cloud_compute_v1::model::operation::error::errors::ErrorDetails;
    use google_cloud_gax::error::rpc::Status;

    #[test]
    fn codes_are_classed() {
        use ErrorClass::{BadRequest, Capacity, Credentials, Quota, Throttle};
        for (code, class) in [
            ("ZONE_RESOURCE_POOL_EXHAUSTED", Some(Capacity)),
            ("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", Some(Capacity)),
            ("STOCKOUT", Some(Capacity)),
            ("IP_SPACE_EXHAUSTED", Some(Capacity)),
            ("QUOTA_EXCEEDED", Some(Quota)),
            ("quotaExceeded", Some(Quota)),
            ("RATE_LIMIT_EXCEEDED", Some(Throttle)),
            ("CONCURRENT_OPERATIONS_QUOTA_EXCEEDED", Some(Throttle)),
            ("rateLimitExceeded", Some(Throttle)),
            ("PERMISSIONS_ERROR", Some(Credentials)),
            ("RESOURCE_ALREADY_EXISTS", Some(BadRequest)),
            ("RESOURCE_NOT_FOUND", Some(BadRequest)),
            ("INVALID_FIELD_VALUE", Some(BadRequest)),
            ("UNSUPPORTED_OPERATION", Some(BadRequest)),
            ("INTERNAL_ERROR", None),
            ("", None),
        ] {
            assert_eq!(class_of(code), class, "{code}");
        }
    }

    #[test]
    fn a_definite_no_has_not_acted_and_a_doubt_may_have() {
        use ErrorClass::{BadRequest, Credentials, Quota, Throttle, Unknown};
        let info = |reason: &str| {
            let info = google_cloud_rpc_info(reason);
            Status::default().set_message("no").set_details([info])
        };
        for (status, reason, class, acted) in [
            (401, "authError", Credentials, false),
            (403, "forbidden", Credentials, false),
            (403, "quotaExceeded", Quota, false),
            (403, "rateLimitExceeded", Throttle, true),
            (404, "notFound", BadRequest, false),
            (409, "alreadyExists", BadRequest, false),
            (429, "", Throttle, true),
            (400, "invalid", BadRequest, false),
            (408, "", Unknown, true),
            (418, "", Unknown, false),
            (500, "backendError", Unknown, true),
            (503, "", Unknown, true),
        ] {
            let error = Error::service_with_http_metadata(info(reason), Some(status), None);
            let error = cloud_error("insert", &error);
            assert_eq!((error.class, error.may_have_acted), (class, acted), "{status} {reason}: {error}");
        }
        let late = cloud_error("insert", &Error::timeout("late"));
        assert_eq!((late.code.as_deref(), late.may_have_acted), (Some("Deadline"), true));
        assert!(!cloud_error("insert", &Error::connect("refused")).may_have_acted);
        assert!(cloud_error("insert", &Error::io("reset")).may_have_acted);
        assert!(cloud_error("insert", &Error::deser("html")).may_have_acted);
    }

    #[test]
    fn a_token_that_cannot_be_fetched_is_no_word_on_the_credentials() {
        for (transient, class) in [(true, ErrorClass::Unknown), (false, ErrorClass::Credentials)] {
            let source = CredentialsError::from_msg(transient, "the token");
            assert_eq!(class_without_token(&source), class);
            let error = cloud_error("list", &Error::authentication(source));
            assert_eq!((error.class, error.may_have_acted), (class, false), "{error}");
            assert_eq!(is_of_caller(&error), !transient, "{error}");
        }
    }

    /// As the client gives Compute Engine's reasons.
    fn google_cloud_rpc_info(reason: &str) -> StatusDetails {
        let json = serde_json::json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "global"});
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_failed_operation_is_a_no_with_the_zones_that_it_names() {
        let of = |errors: Vec<Errors>, status: i32| {
            let details = operation::Error::new().set_errors(errors);
            let error = GenericOperationError::new().set_status_code(status).set_details(details);
            failed("insert", &OperationError::Generic(error))
        };
        let info = google_cloud_compute_v1::model::ErrorInfo::new()
            .set_metadatas([("zonesAvailable", "us-central1-b, us-central1-c")]);
        let full = Errors::new().set_code("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS").set_message("no room");
        let no = of(vec![full.set_error_details([ErrorDetails::new().set_error_info(info)])], 503);
        assert_eq!((no.error.class, no.error.may_have_acted), (ErrorClass::Capacity, false));
        assert_eq!(no.zones_available, ["us-central1-b", "us-central1-c"]);
        assert_eq!(
            no.error.to_string(),
            "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS (capacity): insert: the operation failed: no room"
        );
        let no = of(vec![Errors::new().set_code("INTERNAL_ERROR")], 500);
        assert_eq!((no.error.class, no.error.may_have_acted), (ErrorClass::Unknown, true));
        assert_eq!(of(Vec::new(), 403).error.class, ErrorClass::Credentials);
    }
}
