//! What AWS says that its machines cost, on a server that answers in the words of its own documentation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::config::Credentials;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate::model::settings::Market;
use tidegate::world::aws::Ec2;
use tidegate::world::cloud::Cloud;

use super::books::{SETTINGS, at, spend};
use crate::support::process::write;

/// What the server answers, and what it was asked.
#[derive(Default)]
struct List {
    prices: BTreeMap<&'static str, &'static str>,
    refuses: bool,
    asked: Vec<Value>,
}

type Shared = Arc<Mutex<List>>;

async fn serve(list: Shared) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(list);
    #[expect(clippy::disallowed_methods, reason = "the test's own server")]
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

async fn answer(State(list): State<Shared>, headers: HeaderMap, body: String) -> Response {
    let mut list = list.lock().unwrap();
    if headers.get("x-amz-target").is_none_or(|target| target != "AWSPriceListService.GetProducts") {
        return spot(&body).into_response();
    }
    assert!(
        headers[header::AUTHORIZATION].to_str().unwrap().contains("/us-east-1/pricing/aws4_request"),
        "{headers:?}"
    );
    let call: Value = serde_json::from_str(&body).unwrap();
    list.asked.push(call.clone());
    let json_type = [(header::CONTENT_TYPE, "application/x-amz-json-1.1")];
    if list.refuses {
        let no =
            json!({ "__type": "AccessDeniedException", "Message": "not authorized to perform: pricing:GetProducts" });
        return (StatusCode::BAD_REQUEST, json_type, no.to_string()).into_response();
    }
    let filter = |name: &str| {
        let filters = call["Filters"].as_array().unwrap();
        let found = filters.iter().find(|filter| filter["Field"] == name).unwrap();
        assert_eq!(found["Type"], "TERM_MATCH");
        found["Value"].as_str().unwrap().to_owned()
    };
    for (name, value) in
        [("operatingSystem", "Linux"), ("tenancy", "Shared"), ("preInstalledSw", "NA"), ("capacitystatus", "Used")]
    {
        assert_eq!(filter(name), value);
    }
    let machine = filter("instanceType");
    let lines: Vec<String> = list
        .prices
        .get(machine.as_str())
        .map(|price| line(&machine, &filter("regionCode"), price))
        .into_iter()
        .collect();
    (StatusCode::OK, json_type, json!({ "FormatVersion": "aws_v1", "PriceList": lines }).to_string()).into_response()
}

fn line(machine: &str, region: &str, price: &str) -> String {
    let dimension = json!({ "unit": "Hrs", "rateCode": "X", "pricePerUnit": { "USD": price } });
    json!({
        "product": { "productFamily": "Compute Instance", "sku": "X", "attributes": {
            "instanceType": machine, "regionCode": region, "vcpu": "4", "gpu": "1", "operatingSystem": "Linux",
        } },
        "serviceCode": "AmazonEC2",
        "terms": { "OnDemand": { "X.JRTCKXETXF": { "priceDimensions": { "X.JRTCKXETXF.6YS6EN2CT7": dimension } } } },
    })
    .to_string()
}

fn spot(body: &str) -> (StatusCode, String) {
    assert!(body.contains("Action=DescribeSpotPriceHistory") && body.contains("StartTime="), "{body}");
    let row = |zone: &str, price: &str| {
        format!(
            "<item><instanceType>g5.xlarge</instanceType><productDescription>Linux/UNIX</productDescription>\
             <spotPrice>{price}</spotPrice><timestamp>2026-11-02T07:00:00.000Z</timestamp>\
             <availabilityZone>{zone}</availabilityZone></item>"
        )
    };
    let rows = [row("us-east-1a", "0.402400"), row("us-east-1b", "0.433000")].concat();
    let set = format!("<spotPriceHistorySet>{rows}</spotPriceHistorySet><nextToken></nextToken>");
    (StatusCode::OK, format!("<DescribeSpotPriceHistoryResponse>{set}</DescribeSpotPriceHistoryResponse>"))
}

async fn cloud(url: &str) -> Ec2 {
    let timeouts = TimeoutConfig::builder().operation_timeout(Duration::from_secs(30)).build();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(url)
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled());
    Ec2::with_config(config.load().await)
}

fn now() -> Timestamp {
    at("2026-11-02T08:00:00Z")
}

#[tokio::test]
async fn the_price_list_is_asked_for_each_type_in_its_region() {
    let list = Shared::default();
    list.lock().unwrap().prices = [("g5.xlarge", "1.1230000000"), ("g6.xlarge", "0.8048000000")].into();
    let cloud = cloud(&serve(Arc::clone(&list)).await).await;
    let types = ["g5.xlarge", "g6.xlarge", "u9.unknown"].map(Into::into);
    let told = cloud.prices("eu-west-1", &types, Market::OnDemand, now()).await.unwrap();
    let told: Vec<_> = told.iter().map(|(kind, rate)| (kind.as_str(), rate.micros_per_hour())).collect();
    assert_eq!(told, [("g5.xlarge", 1_123_000), ("g6.xlarge", 804_800)]);
    let asked = &list.lock().unwrap().asked;
    let regions = asked.iter().map(|call| call["Filters"].to_string().contains("eu-west-1"));
    assert_eq!(regions.collect::<Vec<_>>(), [true; 3]);
}

#[tokio::test]
async fn a_no_and_an_answer_that_cannot_be_read_are_told_as_they_are() {
    let list = Shared::default();
    list.lock().unwrap().refuses = true;
    let cloud = cloud(&serve(Arc::clone(&list)).await).await;
    let no = cloud.prices("us-east-1", &["g5.xlarge".into()], Market::OnDemand, now()).await.unwrap_err();
    assert!(no.to_string().contains("AccessDeniedException") && no.to_string().contains("not authorized"), "{no}");
    list.lock().unwrap().refuses = false;
    list.lock().unwrap().prices = [("g5.xlarge", "a dollar")].into();
    let no = cloud.prices("us-east-1", &["g5.xlarge".into()], Market::OnDemand, now()).await.unwrap_err();
    assert!(no.to_string().contains("g5.xlarge: its price is `a dollar`"), "{no}");
}

#[tokio::test]
async fn a_spot_price_is_that_of_the_dearest_zone() {
    let cloud = cloud(&serve(Shared::default()).await).await;
    let told = cloud.prices("us-east-1", &["g5.xlarge".into()], Market::Spot, now()).await.unwrap();
    let told: Vec<_> = told.iter().map(|(kind, rate)| (kind.as_str(), rate.micros_per_hour())).collect();
    assert_eq!(told, [("g5.xlarge", 433_000)]);
}

#[test]
fn a_price_of_nothing_and_a_wrong_discount_are_told_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    for (wrong, told) in [
        ("price = \"$0/h\"", "tidegate.toml:16:9: pool.gpu.price: `$0/h` is not in $0.000001/h..$1000000/h"),
        ("price = \"ten dollars\"", "tidegate.toml:16:9: pool.gpu.price: `ten dollars` is not a price in"),
        ("discount = \"130%\"", "tidegate.toml:16:12: pool.gpu.discount: `130%` is not a share of the list price"),
        ("discount = \"30% until soon\"", "tidegate.toml:16:12: pool.gpu.discount: `30% until soon` is not a share"),
    ] {
        let lines = SETTINGS.lines().filter(|line| !line.is_empty() && !line.starts_with("time_zone"));
        let text: Vec<&str> = lines.chain([wrong]).collect();
        write(&folder.path().join("tidegate.toml"), &text.join("\n"));
        let (code, out, err) = spend(folder.path(), &[]);
        assert_eq!((code, out.as_str()), (Some(3), ""), "{err}");
        assert!(err.contains(told), "{err}");
    }
}
