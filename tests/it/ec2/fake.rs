//! An EC2 for what moto gets wrong: idempotency tokens, partial batches, capacity by subnet, late listings.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tidegate::world::clock::Clock;

/// What the fake knows; a test sets it and reads it.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Machines that still fit into each subnet; one that is not named has room for all.
    pub(super) room: BTreeMap<String, usize>,
    /// Listings that do not show the machines yet.
    pub(super) late_listings: u32,
    /// What happens to the next launches.
    pub(super) twists: VecDeque<Twist>,
    /// vCPUs of machines of the type's family that the account may have, and what others use of them.
    pub(super) vcpu_quota: Option<(u32, u32)>,
    /// Machines that the cloud takes back.
    pub(super) interrupted: Vec<String>,
    /// Every launch call, by its token and subnet.
    pub(super) launches: Vec<(String, String)>,
    /// The newest launch call as it came over the wire.
    pub(super) form: Form,
    pub(super) made: BTreeMap<String, Vec<Machine>>,
    pub(super) images: Vec<Image>,
    /// Spot prices by zone, the newest first.
    pub(super) spot_prices: Vec<(&'static str, &'static str)>,
    /// The actions that dry runs are told yes to; `None`: it knows no dry runs.
    pub(super) permits: Option<Vec<&'static str>>,
    /// Launch templates, by name, as they were asked for; and the names of all that ever were.
    pub(super) templates: BTreeMap<String, Form>,
    pub(super) templates_made: Vec<String>,
    /// Templates that are said to be there when they are to be made.
    pub(super) template_stays: bool,
    /// Fleets that do not find their template yet.
    pub(super) late_template: u32,
    /// Every fleet call as it came over the wire.
    pub(super) fleets: Vec<Form>,
    /// What a fleet is told of a type at a place: the code of the no.
    pub(super) noes: Vec<(&'static str, &'static str, &'static str)>,
    /// Spot requests without a machine, by their fleets.
    pub(super) open_requests: BTreeMap<String, String>,
    pub(super) cancelled: Vec<String>,
    pub(super) terminated: Vec<String>,
    /// The access key of the newest call.
    pub(super) key: String,
    /// The newest call that asked for a role.
    pub(super) assumed: Form,
}

/// What becomes of a launch call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Twist {
    /// It acts, and answers with a page that is not EC2's.
    Garbled,
    /// It acts, and answers that it was one call too many.
    Throttled,
    /// It acts, and answers when nobody waits any more.
    Late,
    /// It refuses the tags, and with them everything.
    TagsRefused,
}

/// How long an answer takes that is late.
pub(super) const LATE: Duration = Duration::from_secs(8);

/// A request's parameters, by their names on the wire.
pub(super) type Form = BTreeMap<String, String>;

/// An image: its owner, its id, its name and when it was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Image {
    pub(super) owner: &'static str,
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) made: &'static str,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    pub(super) id: String,
    pub(super) index: usize,
    pub(super) tags: Vec<(String, String)>,
    /// Empty: a g5.xlarge.
    pub(super) kind: String,
    pub(super) zone: String,
    pub(super) request: String,
}

impl State {
    pub(super) fn machines(&self) -> usize {
        self.made.values().map(Vec::len).sum()
    }

    fn answer(&mut self, form: &Form) -> (StatusCode, String) {
        if let (Some(permits), Some("true")) = (&self.permits, form.get("DryRun").map(String::as_str)) {
            return if permits.iter().any(|action| *action == form["Action"]) {
                refusal(412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
            } else {
                refusal(
                    403,
                    "UnauthorizedOperation",
                    "You are not authorized. Encoded authorization failure message: x",
                )
            };
        }
        match form.get("Action").map(String::as_str) {
            Some("RunInstances") => self.run(form),
            Some("DescribeInstances") => self.describe(),
            Some("DescribeSpotPriceHistory") => self.spot_prices(),
            Some("AssumeRole") => self.assume(form),
            Some("DescribeImages") => self.describe_images(form),
            Some("TerminateInstances") => self.terminate(form),
            Some("CreateFleet") => self.fleet(form),
            Some("CreateLaunchTemplate") => self.make_template(form),
            Some("DeleteLaunchTemplate") => self.delete_template(form),
            Some("DescribeLaunchTemplates") => self.describe_templates(),
            Some("CancelSpotInstanceRequests") => self.cancel_requests(form),
            Some("DescribeSpotInstanceRequests") => self.describe_requests(),
            Some("DescribeVolumes") => {
                (StatusCode::OK, "<DescribeVolumesResponse><volumeSet/></DescribeVolumesResponse>".to_owned())
            }
            other => refusal(400, "InvalidAction", &format!("{other:?}")),
        }
    }

    fn run(&mut self, form: &Form) -> (StatusCode, String) {
        self.form.clone_from(form);
        let token = form["ClientToken"].clone();
        let subnet = form.get("SubnetId").cloned().unwrap_or_default();
        self.launches.push((token.clone(), subnet.clone()));
        let twist = self.twists.pop_front();
        if twist == Some(Twist::TagsRefused) {
            return refusal(400, "InvalidParameterValue", "a tag is not allowed here");
        }
        if !self.made.contains_key(&token) {
            let wanted: usize = form["MaxCount"].parse().unwrap();
            let room = self.room.get(&subnet).copied().unwrap_or(usize::MAX);
            let count = wanted.min(room);
            if let Some((limit, others)) = self.vcpu_quota
                && self.machines() + wanted > ((limit - others) / VCPU) as usize
            {
                let said =
                    format!("You have requested more vCPU capacity than your current vCPU limit of {limit} allows");
                return refusal(400, "VcpuLimitExceeded", &said);
            }
            if count == 0 {
                return refusal(500, "InsufficientInstanceCapacity", "no room");
            }
            if let Some(room) = self.room.get_mut(&subnet) {
                *room -= count;
            }
            let first = self.machines();
            let spot = form.get("InstanceMarketOptions.MarketType").is_some_and(|market| market == "spot");
            let request = |index| if spot { format!("sir-{:08x}", first + index) } else { String::new() };
            let machine = |index| Machine {
                id: format!("i-{:017x}", first + index),
                index,
                tags: tags(form, ""),
                request: request(index),
                ..Machine::default()
            };
            self.made.insert(token.clone(), (0..count).map(machine).collect());
        }
        match twist {
            Some(Twist::Garbled) => return (StatusCode::INTERNAL_SERVER_ERROR, "<html>oops</html>".to_owned()),
            Some(Twist::Throttled) => return refusal(503, "RequestLimitExceeded", "Request limit exceeded."),
            _ => {}
        }
        let set = self.instances_set(&self.made[&token]);
        (StatusCode::OK, format!("<RunInstancesResponse>{set}</RunInstancesResponse>"))
    }

    fn spot_prices(&self) -> (StatusCode, String) {
        let mut items = String::new();
        for (zone, price) in &self.spot_prices {
            write!(
                items,
                "<item><availabilityZone>{zone}</availabilityZone><instanceType>g5.xlarge</instanceType>\
                 <spotPrice>{price}</spotPrice><timestamp>2026-11-24T12:00:00.000Z</timestamp></item>"
            )
            .unwrap();
        }
        let set = format!("<spotPriceHistorySet>{items}</spotPriceHistorySet>");
        (StatusCode::OK, format!("<DescribeSpotPriceHistoryResponse>{set}</DescribeSpotPriceHistoryResponse>"))
    }

    /// A role's key is its name; it ends a day from the real now.
    fn assume(&mut self, form: &Form) -> (StatusCode, String) {
        self.assumed.clone_from(form);
        let end = Clock::Wall.now() + jiff::SignedDuration::from_hours(24);
        let key = form["RoleArn"].rsplit('/').next().unwrap();
        let credentials = format!(
            "<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>{end:.0}</Expiration></Credentials>"
        );
        let user = "<AssumedRoleUser><AssumedRoleId>r</AssumedRoleId><Arn>arn:aws:sts::111122223333:assumed-role/r/s</Arn></AssumedRoleUser>";
        let result = format!("<AssumeRoleResult>{user}{credentials}</AssumeRoleResult>");
        (StatusCode::OK, format!("<AssumeRoleResponse>{result}</AssumeRoleResponse>"))
    }

    fn describe_images(&self, form: &Form) -> (StatusCode, String) {
        let filter = |name: &str| {
            let number = (1..9).find(|number| form.get(&format!("Filter.{number}.Name")).is_some_and(|n| n == name))?;
            form.get(&format!("Filter.{number}.Value.1"))
        };
        let asked = |image: &&Image| {
            form.get("ImageId.1").is_none_or(|id| id == image.id)
                && form.get("Owner.1").is_none_or(|owner| owner == image.owner)
                && filter("name").is_none_or(|pattern| image.name.starts_with(pattern.trim_end_matches('*')))
        };
        let mut items = String::new();
        for Image { id, name, made, .. } in self.images.iter().filter(asked) {
            write!(
                items,
                "<item><imageId>{id}</imageId><name>{name}</name><creationDate>{made}</creationDate>\
                 <rootDeviceName>/dev/xvda</rootDeviceName><imageState>available</imageState></item>"
            )
            .unwrap();
        }
        let set = format!("<imagesSet>{items}</imagesSet>");
        (StatusCode::OK, format!("<DescribeImagesResponse>{set}</DescribeImagesResponse>"))
    }

    pub(super) fn instances_set(&self, machines: &[Machine]) -> String {
        let mut items = String::new();
        for machine in machines {
            let mut tags = String::new();
            for (key, value) in &machine.tags {
                write!(tags, "<item><key>{key}</key><value>{value}</value></item>").unwrap();
            }
            let kind = if machine.kind.is_empty() { "g5.xlarge" } else { &machine.kind };
            let (state, reason) = if self.terminated.contains(&machine.id) {
                ("<code>48</code><name>terminated</name>", "Client.UserInitiatedShutdown")
            } else if self.interrupted.contains(&machine.id) {
                ("<code>32</code><name>shutting-down</name>", "Server.SpotInstanceTermination")
            } else {
                ("<code>0</code><name>pending</name>", "")
            };
            write!(
                items,
                "<item><instanceId>{}</instanceId><amiLaunchIndex>{}</amiLaunchIndex><instanceType>{kind}</instanceType>\
                 <placement><availabilityZone>{}</availabilityZone></placement>\
                 <spotInstanceRequestId>{}</spotInstanceRequestId>\
                 <instanceState>{state}</instanceState><stateReason><code>{reason}</code><message>{reason}</message></stateReason>\
                 <cpuOptions><coreCount>2</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>\
                 <launchTime>2026-11-24T12:00:00.000Z</launchTime><tagSet>{tags}</tagSet></item>",
                machine.id, machine.index, machine.zone, machine.request
            )
            .unwrap();
        }
        format!("<instancesSet>{items}</instancesSet>")
    }

    fn describe(&mut self) -> (StatusCode, String) {
        let mut items = String::new();
        if self.late_listings > 0 {
            self.late_listings -= 1;
        } else {
            for machines in self.made.values() {
                write!(items, "<item>{}</item>", self.instances_set(machines)).unwrap();
            }
            if let Some((_, others)) = self.vcpu_quota {
                let other = |index| Machine { id: format!("i-other{index}"), index, ..Machine::default() };
                let others: Vec<_> = (0..(others / VCPU) as usize).map(other).collect();
                write!(items, "<item>{}</item>", self.instances_set(&others)).unwrap();
            }
        }
        let set = format!("<reservationSet>{items}</reservationSet>");
        (StatusCode::OK, format!("<DescribeInstancesResponse>{set}</DescribeInstancesResponse>"))
    }
}

/// What a machine holds; its type is g5.xlarge.
const VCPU: u32 = 4;

/// The machine's tags, behind a prefix.
pub(super) fn tags(form: &BTreeMap<String, String>, prefix: &str) -> Vec<(String, String)> {
    let tag = |number: usize| {
        let part = |name: &str| form.get(&format!("{prefix}TagSpecification.1.Tag.{number}.{name}")).cloned();
        part("Key").zip(part("Value"))
    };
    (1..).map_while(tag).collect()
}

pub(super) fn refusal(status: u16, code: &str, message: &str) -> (StatusCode, String) {
    let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    let body = format!("<Response><Errors>{error}</Errors><RequestID>r</RequestID></Response>");
    (StatusCode::from_u16(status).unwrap(), body)
}

/// Serves `state` on a free loopback port until the test's runtime ends; its address.
#[expect(clippy::disallowed_methods, reason = "the fake lives as long as its test")]
pub(super) async fn serve(state: Arc<Mutex<State>>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = move |headers: HeaderMap, body: String| async move {
        let signed = headers.get("authorization").and_then(|signed| signed.to_str().ok()).unwrap_or_default();
        let key = signed.split_once("Credential=").and_then(|(_, rest)| rest.split('/').next());
        key.unwrap_or_default().clone_into(&mut state.lock().unwrap().key);
        let asked = reqwest::Url::parse(&format!("http://fake/?{body}")).unwrap();
        let form: Form = asked.query_pairs().into_owned().collect();
        let launch =
            form.get("Action").is_some_and(|action| ["RunInstances", "CreateFleet"].contains(&action.as_str()));
        let (late, answer) = {
            let mut state = state.lock().unwrap();
            (launch && state.twists.front() == Some(&Twist::Late), state.answer(&form))
        };
        if late {
            tokio::time::sleep(LATE).await;
        }
        answer
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(answer))).await });
    url
}
