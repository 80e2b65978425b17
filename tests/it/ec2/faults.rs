//! EC2's noes and silences, as a proxy in front of moto says them.

use std::time::Duration;

use tidegate::model::snapshot::ErrorClass;
use tidegate::world::aws::Ec2;
use tidegate::world::cloud::Cloud;

use crate::ec2::{REGION, config, ec2, order};
use crate::support::{microburst, moto};

fn rule(operation: &str, times: u32, code: &str, status: u16) -> String {
    format!(
        "  - {{name: {operation}, service: ec2, operation: {operation}, times: {times}, \
         error: {{code: {code}, status: {status}, message: \"{code} it is\"}}}}"
    )
}

#[tokio::test]
async fn a_refused_launch_is_not_tried_again_by_the_sdk() {
    for (code, status, class, acted) in [
        ("InsufficientInstanceCapacity", 500, ErrorClass::Capacity, false),
        ("VcpuLimitExceeded", 400, ErrorClass::Quota, false),
        ("RequestLimitExceeded", 503, ErrorClass::Throttle, true),
        ("InternalError", 500, ErrorClass::Unknown, true),
    ] {
        let moto = moto::start();
        let proxy = microburst::start(&moto.url, &rule("RunInstances", 1, code, status));
        let cloud = ec2(&proxy.url).await;
        let error = cloud.launch(&order("b1", 1)).await.unwrap_err();
        assert_eq!((error.class, error.may_have_acted), (class, acted), "{error}");
        assert_eq!(error.code.as_deref(), Some(code));
        assert!(!error.to_string().contains("t0ken"), "{error}");
        // The rule fires once: had the SDK tried again, the machine would be there.
        assert!(cloud.list(&"research".into(), REGION).await.unwrap().is_empty(), "{code}");
        assert_eq!(cloud.launch(&order("b2", 1)).await.unwrap().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_throttled_listing_is_tried_again() {
    let moto = moto::start();
    let proxy = microburst::start(&moto.url, &rule("DescribeInstances", 2, "RequestLimitExceeded", 503));
    let cloud = ec2(&proxy.url).await;
    cloud.launch(&order("b1", 1)).await.unwrap();
    assert_eq!(cloud.list(&"research".into(), REGION).await.unwrap().len(), 1);
}

#[tokio::test]
async fn refused_credentials_are_an_error_and_never_an_empty_listing() {
    let moto = moto::start();
    let proxy = microburst::start(&moto.url, &rule("DescribeInstances", 1, "AuthFailure", 401));
    let error = ec2(&proxy.url).await.list(&"research".into(), REGION).await.unwrap_err();
    assert_eq!((error.class, error.code.as_deref()), (ErrorClass::Credentials, Some("AuthFailure")));
}

#[tokio::test]
async fn silence_is_a_deadline_and_the_launch_may_have_happened() {
    // It listens, so that the connection stands, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let cloud = Ec2::with_config(config(&url, Duration::from_millis(200)).await);
    let error = cloud.launch(&order("b1", 1)).await.unwrap_err();
    assert_eq!((error.code.as_deref(), error.may_have_acted), (Some("Deadline"), true), "{error}");
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_launched() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let error = ec2(&url).await.launch(&order("b1", 1)).await.unwrap_err();
    assert_eq!((error.class, error.may_have_acted), (ErrorClass::Unknown, false), "{error}");
}
