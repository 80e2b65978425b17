//! EC2's no, classed; and what each silence may hide.
//!
//! | class | codes |
//! |---|---|
//! | capacity | `Insufficient...`, `SpotMaxPriceTooLow`, `UnfulfillableCapacity` |
//! | quota | `...LimitExceeded` but the request's, `MaxSpotInstanceCountExceeded`, `ResourceCountExceeded` |
//! | throttle | `RequestLimitExceeded`, `...Thrott...`, `TooManyRequestsException`, `SlowDown` |
//! | credentials | unauthorized, expired, mis-signed, unknown or blocked |
//! | bad request | `Invalid...`, `Missing...`, `Unsupported...`, `Idempotent...` and the like |
//! | unknown | everything else: the loop backs off and shows it |

use std::error::Error;

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};

use crate::model::snapshot::ErrorClass;
use crate::world::cloud::CloudError;

/// Of an answer that is not EC2's, this much is shown.
const SHOWN_OF_A_BODY: usize = 200;

const CREDENTIALS: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "Blocked",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "InvalidSecurityToken",
    "MissingAuthenticationToken",
    "OptInRequired",
    "PendingVerification",
    "RequestExpired",
    "RequestInTheFuture",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
];

/// Said of a clock that is wrong, and of credentials that have ended.
const TIME: [&str; 2] = ["RequestExpired", "RequestInTheFuture"];

const BAD_REQUEST: &[&str] = &[
    "DefaultVpcDoesNotExist",
    "DryRunOperation",
    "IdempotentInstanceTerminated",
    "IdempotentParameterMismatch",
    "IncorrectInstanceState",
    "IncorrectState",
    "MalformedQueryString",
    "NoSuchEntity",
    "OperationNotPermitted",
    "VPCIdNotSpecified",
    "ValidationError",
];

const BAD_REQUEST_STARTS: &[&str] = &["Invalid", "Missing", "Unsupported", "UnknownParameter"];

fn class_of(code: &str) -> ErrorClass {
    let throttled = ["RequestLimitExceeded", "BandwidthLimitExceeded", "TooManyRequestsException", "SlowDown"];
    if CREDENTIALS.contains(&code) {
        ErrorClass::Credentials
    } else if throttled.contains(&code) || code.contains("Thrott") {
        ErrorClass::Throttle
    } else if code.starts_with("Insufficient") || ["SpotMaxPriceTooLow", "UnfulfillableCapacity"].contains(&code) {
        ErrorClass::Capacity
    } else if code.ends_with("LimitExceeded") || code.ends_with("CountExceeded") {
        ErrorClass::Quota
    } else if BAD_REQUEST.contains(&code) || BAD_REQUEST_STARTS.iter().any(|start| code.starts_with(start)) {
        ErrorClass::BadRequest
    } else {
        ErrorClass::Unknown
    }
}

/// Whether our clock may be why: the answer that says so tells the client what time it is.
pub(super) fn is_of_time(error: &CloudError) -> bool {
    error.code.as_deref().is_some_and(|code| TIME.contains(&code))
}

/// Whether an answered call may have done its deed. A code of a class that we know is a definite no. A throttled
/// create was seen to act (FAILURES.md row 22), and a token used before has made machines before.
fn may_have_acted(class: ErrorClass, code: Option<&str>, status: u16) -> bool {
    let answered_by_a_no = (400..500).contains(&status) && !matches!(status, 408 | 429);
    match class {
        ErrorClass::Throttle => true,
        ErrorClass::Unknown => !answered_by_a_no,
        _ => code.is_some_and(|code| code.starts_with("Idempotent")),
    }
}

/// The SDK's error as the loop uses it.
pub(super) fn cloud_error<E>(call: &str, error: &SdkError<E, HttpResponse>) -> CloudError
where
    E: Error + ProvideErrorMetadata + 'static,
{
    match error {
        SdkError::ServiceError(answer) => {
            let (code, status) = (error.code(), answer.raw().status().as_u16());
            let class = code.map_or(ErrorClass::Unknown, class_of);
            let said = error.message().map_or_else(|| body_text(answer.raw()), str::to_owned);
            CloudError {
                class,
                code: code.map(str::to_owned),
                message: format!("{call}: HTTP {status}: {said}"),
                may_have_acted: may_have_acted(class, code, status),
                quota: None,
                passed_over: Vec::new(),
            }
        }
        SdkError::ResponseError(answer) => {
            let status = answer.raw().status().as_u16();
            let said = format!("{call}: HTTP {status}: {}: {}", chain(error), body_text(answer.raw()));
            unknown(said, may_have_acted(ErrorClass::Unknown, None, status))
        }
        SdkError::ConstructionFailure(_) => CloudError {
            class: ErrorClass::BadRequest,
            code: None,
            message: format!("{call}: {}", chain(error)),
            may_have_acted: false,
            quota: None,
            passed_over: Vec::new(),
        },
        SdkError::DispatchFailure(_) => {
            let text = chain(error);
            let class = if without_credentials(&text) { ErrorClass::Credentials } else { ErrorClass::Unknown };
            let sent = class == ErrorClass::Unknown && !never_connected(error);
            CloudError {
                class,
                code: None,
                message: format!("{call}: {text}"),
                may_have_acted: sent,
                quota: None,
                passed_over: Vec::new(),
            }
        }
        _ => CloudError {
            code: Some("Deadline".to_owned()),
            ..unknown(format!("{call} did not answer in time: {}", chain(error)), true)
        },
    }
}

/// One no of several, in an answer that is none: what EC2 says of one type at one place. Where a place has no machines of
/// a type, there is no capacity for it.
pub(super) fn one_by_one(call: &str, code: Option<&str>, message: Option<&str>) -> CloudError {
    let said = message.unwrap_or("no text");
    let not_here = code == Some("Unsupported") || said.contains("not supported in your requested Availability Zone");
    let class = if not_here { ErrorClass::Capacity } else { code.map_or(ErrorClass::Unknown, class_of) };
    CloudError {
        class,
        code: code.map(str::to_owned),
        message: format!("{call}: {said}"),
        may_have_acted: may_have_acted(class, code, 200),
        quota: None,
        passed_over: Vec::new(),
    }
}

/// The answer is not what EC2 promises: what was asked for may have been done.
pub(super) fn unreadable(call: &str, what: &str) -> CloudError {
    unknown(format!("{call}: unreadable answer: {what}"), true)
}

/// What we refuse to ask for.
pub(super) fn refused(message: String) -> CloudError {
    CloudError::refused(message)
}

fn unknown(message: String, may_have_acted: bool) -> CloudError {
    CloudError { class: ErrorClass::Unknown, code: None, message, may_have_acted, quota: None, passed_over: Vec::new() }
}

/// Every error of the chain in its own words.
fn chain(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        next = cause.source();
    }
    texts.join(": ")
}

/// The SDK looks for credentials while it sends; the type of its error is not public to us, its words are.
fn without_credentials(chain: &str) -> bool {
    chain.contains("credentials") || chain.contains("no providers in chain")
}

fn never_connected(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        let io = cause.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        next = cause.source();
    }
    false
}

fn body_text(response: &HttpResponse) -> String {
    let body = response.body().bytes().map(String::from_utf8_lossy).unwrap_or_default();
    let words = body.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { "no text".to_owned() } else { words.chars().take(SHOWN_OF_A_BODY).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::error::{ConnectorError, ErrorMetadata};
    use aws_sdk_ec2::operation::run_instances::RunInstancesError;
    use proptest::prelude::*;

    type RunError = SdkError<RunInstancesError, HttpResponse>;

    fn answered(status: u16, code: Option<&str>, body: &str) -> RunError {
        let mut meta = ErrorMetadata::builder();
        if let Some(code) = code {
            meta = meta.code(code).message(format!("{code} it is"));
        }
        let response = HttpResponse::new(status.try_into().unwrap(), body.to_owned().into());
        SdkError::service_error(RunInstancesError::generic(meta.build()), response)
    }

    #[test]
    fn codes_are_classed() {
        use ErrorClass::{BadRequest, Capacity, Credentials, Quota, Throttle, Unknown};
        for (code, class) in [
            ("InsufficientInstanceCapacity", Capacity),
            ("InsufficientFreeAddressesInSubnet", Capacity),
            ("SpotMaxPriceTooLow", Capacity),
            ("UnfulfillableCapacity", Capacity),
            ("MaxSpotInstanceCountExceeded", Quota),
            ("InstanceLimitExceeded", Quota),
            ("VcpuLimitExceeded", Quota),
            ("VolumeLimitExceeded", Quota),
            ("RequestLimitExceeded", Throttle),
            ("Throttling", Throttle),
            ("ThrottlingException", Throttle),
            ("EC2ThrottledException", Throttle),
            ("UnauthorizedOperation", Credentials),
            ("AuthFailure", Credentials),
            ("ExpiredToken", Credentials),
            ("RequestExpired", Credentials),
            ("InvalidClientTokenId", Credentials),
            ("InvalidParameterValue", BadRequest),
            ("InvalidParameterCombination", BadRequest),
            ("InvalidAMIID.NotFound", BadRequest),
            ("InvalidSubnetID.NotFound", BadRequest),
            ("IdempotentParameterMismatch", BadRequest),
            ("Unsupported", BadRequest),
            ("MissingParameter", BadRequest),
            ("InternalError", Unknown),
            ("Unavailable", Unknown),
            ("NeverHeardOf", Unknown),
            ("", Unknown),
        ] {
            assert_eq!(class_of(code), class, "{code}");
        }
    }

    #[test]
    fn a_definite_no_has_not_acted_and_a_doubt_may_have() {
        for (status, code, acted) in [
            (500, Some("InsufficientInstanceCapacity"), false),
            (400, Some("VcpuLimitExceeded"), false),
            (403, Some("UnauthorizedOperation"), false),
            (400, Some("InvalidAMIID.NotFound"), false),
            (400, Some("NeverHeardOf"), false),
            (404, None, false),
            (503, Some("RequestLimitExceeded"), true),
            (400, Some("Throttling"), true),
            (400, Some("IdempotentParameterMismatch"), true),
            (500, Some("InternalError"), true),
            (503, Some("Unavailable"), true),
            (500, None, true),
            (502, None, true),
            (429, None, true),
            (408, None, true),
        ] {
            let error = cloud_error("RunInstances", &answered(status, code, ""));
            assert_eq!(error.may_have_acted, acted, "{status} {code:?}");
            assert_eq!(error.code.as_deref(), code);
        }
        let timeout: RunError = SdkError::timeout_error("too slow");
        assert!(cloud_error("RunInstances", &timeout).may_have_acted);
        let unsent: RunError = SdkError::construction_failure("no request");
        assert!(!cloud_error("RunInstances", &unsent).may_have_acted);
    }

    #[test]
    fn only_a_refused_connection_surely_sent_nothing() {
        for (kind, acted) in
            [(std::io::ErrorKind::ConnectionRefused, false), (std::io::ErrorKind::ConnectionReset, true)]
        {
            let error: RunError = SdkError::dispatch_failure(ConnectorError::io(std::io::Error::from(kind).into()));
            assert_eq!(cloud_error("RunInstances", &error).may_have_acted, acted, "{kind:?}");
        }
    }

    #[test]
    fn the_words_of_cloud_and_proxy_are_kept_short() {
        let error = cloud_error("RunInstances", &answered(500, None, &format!("<html>\n  oops {}", "x".repeat(9_999))));
        assert!(error.message.starts_with("RunInstances: HTTP 500: <html> oops xxx"), "{error}");
        assert!(error.message.len() < 300, "{error}");
        let error = cloud_error("RunInstances", &answered(400, Some("VcpuLimitExceeded"), ""));
        assert_eq!(error.to_string(), "VcpuLimitExceeded (quota): RunInstances: HTTP 400: VcpuLimitExceeded it is");
    }

    proptest! {
        #[test]
        fn any_answer_becomes_an_error(status in 300_u16..600, code: Option<String>, body: String) {
            let error = cloud_error("RunInstances", &answered(status, code.as_deref(), &body));
            prop_assert!(error.class != ErrorClass::Throttle || error.may_have_acted);
        }
    }
}
