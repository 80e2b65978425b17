//! A Compute Engine for what no emulator does: every call and every answer of its own is held against Google's description,
//! operations take their time, and each step can fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tidegate::world::clock::Clock;

use crate::gce::schema::{self, Call};

pub(crate) const TOKEN: &str = "t0ken-of-the-console";

/// What the fake knows; a test sets it and reads it.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// By zone and name.
    pub(crate) machines: BTreeMap<(String, String), Value>,
    /// Likewise; each machine has one that is called as it is.
    pub(crate) disks: BTreeMap<(String, String), Value>,
    /// Disks stay when their machines end.
    pub(crate) leaks: bool,
    /// What the caller may not do in the project.
    pub(crate) lacks: BTreeSet<&'static str>,
    /// The lines of the price list; each page holds two.
    pub(crate) skus: Vec<Value>,
    /// Nobody is given a token, and no token that was given is taken.
    pub(crate) revoked: bool,
    /// So many seconds after it is asked about a token ends.
    pub(crate) token_lasts: i32,
    /// What Google itself did, as operations.
    events: Vec<Value>,
    /// Questions after which an operation has ended.
    pub(crate) polls: u32,
    /// What the next calls of a method are told, in a zone or anywhere (`""`).
    pub(crate) noes: Vec<(&'static str, &'static str, No)>,
    /// Scopes that do not answer when all machines are listed.
    pub(crate) unreachable: Option<&'static str>,
    /// Every call, in order.
    pub(crate) asked: Vec<Call>,
    /// What is not as Google describes it.
    wrong: Vec<String>,
    token: String,
    operations: BTreeMap<String, Operation>,
    /// Operations by the tokens of their calls.
    requests: BTreeMap<String, String>,
    made: u64,
    /// Its times are the wall's, not those that tests know.
    pub(crate) by_the_wall: bool,
}

const PATH: &str = "https://www.googleapis.com/compute/v1/projects/proj-1";

/// When machines are made, switched off and on, and when they end.
const MADE: &str = "2026-11-29T00:00:00.000-08:00";
const OFF: &str = "2026-11-29T01:00:00.000-08:00";
const ON: &str = "2026-11-29T02:00:00.000-08:00";
const END: &str = "2026-11-29T03:00:00.000-08:00";

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum No {
    /// It is refused at once: the status and the reason.
    Http(u16, &'static str),
    /// It is refused at once: the zone has no such machines.
    NotOffered,
    /// It is taken, and its operation fails: the code, and the zones that the error names.
    Fails(&'static str, &'static str),
    /// It is taken, and its operation never ends.
    Hangs,
    /// It is taken, and whoever asks after it is refused.
    Unasked(u16, &'static str),
    /// It acts, and the answer is not Google's.
    Garbled,
}

#[derive(Debug, Clone)]
struct Operation {
    zone: String,
    kind: String,
    target: String,
    polls: u32,
    no: Option<No>,
    asked: String,
}

/// A running fake. What was not as Google describes it fails the test at its end.
pub(crate) struct Fake {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

impl Fake {
    #[expect(clippy::disallowed_methods, reason = "the fake lives as long as its test")]
    pub(crate) async fn start() -> Self {
        // It takes its time, which is not the first call's.
        schema::load();
        let state =
            Arc::new(Mutex::new(State { polls: 1, token: TOKEN.to_owned(), token_lasts: 3_599, ..State::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = state.clone();
        let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
            let token = headers.get("authorization").and_then(|token| token.to_str().ok()).unwrap_or_default();
            let address = reqwest::Url::parse(&format!("http://fake{uri}")).unwrap();
            let query: Vec<(String, String)> = address.query_pairs().into_owned().collect();
            let mut state = served.lock().unwrap();
            let (status, body) = state.answer(method.as_str(), address.path(), &query, &body, token);
            let status = StatusCode::from_u16(status).unwrap();
            (status, [("content-type", "application/json")], body)
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Self { url, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// From now on only this token is taken.
    pub(crate) fn take_only(&self, token: &str) {
        token.clone_into(&mut self.state().token);
    }

    /// The calls of a method so far.
    pub(crate) fn asked(&self, method: &str) -> Vec<Call> {
        self.state().asked.iter().filter(|call| short(&call.method) == method).cloned().collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let wrong = &self.state.lock().unwrap().wrong;
            assert!(wrong.is_empty(), "not as Google describes it:\n{}", wrong.join("\n"));
        }
    }
}

/// Methods of Compute Engine are called without its name.
fn short(method: &str) -> &str {
    method.strip_prefix("compute.").unwrap_or(method)
}

/// As newer services refuse.
fn new_no(status: u16, reason: &str, message: &str) -> (u16, String) {
    let word = if status == 401 { "UNAUTHENTICATED" } else { "PERMISSION_DENIED" };
    let kind = "type.googleapis.com/google.rpc.ErrorInfo";
    let details = json!([{"@type": kind, "reason": reason, "domain": "googleapis.com"}]);
    (status, json!({"error": {"code": status, "message": message, "status": word, "details": details}}).to_string())
}

fn no(status: u16, reason: &str, message: &str) -> (u16, String) {
    let error = json!({"code": status, "message": message,
        "errors": [{"message": message, "domain": "global", "reason": reason}]});
    (status, json!({ "error": error }).to_string())
}

/// Labels are set as a whole, and only over those that the caller saw; the no, if it is one.
fn labelled(one: Option<&mut Value>, body: &Value) -> Option<(u16, String)> {
    let Some(one) = one else { return Some(no(404, "notFound", "The resource was not found")) };
    if body["labelFingerprint"] != one["labelFingerprint"] {
        return Some(no(412, "conditionNotMet", "Labels fingerprint either invalid or resource labels have changed"));
    }
    one["labels"] = body["labels"].clone();
    one["labelFingerprint"] = json!("bmV4dA==");
    None
}

impl State {
    fn answer(
        &mut self,
        verb: &str,
        path: &str,
        query: &[(String, String)],
        body: &[u8],
        token: &str,
    ) -> (u16, String) {
        // The metadata service of the machine that the console runs on: its service account's token.
        if let Some(what) = path.strip_prefix("/computeMetadata/v1/") {
            let token = json!({"access_token": self.token, "expires_in": 3_600, "token_type": "Bearer"});
            let is_token = what.ends_with("/service-accounts/default/token") && !self.revoked;
            return if is_token { (200, token.to_string()) } else { (404, String::new()) };
        }
        let call = match schema::read(verb, path, query, body) {
            Ok(call) => call,
            Err(wrong) => {
                let text = wrong.join("; ");
                self.wrong.extend(wrong);
                return no(400, "invalid", &text);
            }
        };
        self.asked.push(call.clone());
        let no = if call.method.starts_with("compute.") { no } else { new_no };
        if self.revoked || token != format!("Bearer {}", self.token) {
            return no(401, "authError", "Request had invalid authentication credentials.");
        }
        let mut parameters = call.parameters.clone();
        if let Some(machine) = parameters.get_mut("instance") {
            *machine = self.named(machine);
        }
        let of = |name: &str| parameters.get(name).cloned().unwrap_or_default();
        let twist = self.twist(&call.method, &of("zone"));
        if let Some(No::Http(status, reason)) = twist {
            return no(status, reason, &format!("{reason}, it is said"));
        }
        if twist == Some(No::NotOffered) {
            let words = format!("Machine type with name 'x' does not exist in zone '{}'.", of("zone"));
            return no(400, "invalid", &format!("Invalid value for field 'resource.machineType': 'x'. {words}"));
        }
        match call.method.as_str() {
            "compute.instances.insert" => self.insert(&call, twist),
            "compute.instances.aggregatedList" => {
                let list = List { kind: "InstanceAggregatedList", member: "instances" };
                self.aggregated(&list, &of("filter"), &of("maxResults"), &of("pageToken"))
            }
            "compute.instances.get" => match self.machines.get(&(of("zone"), of("instance"))) {
                Some(machine) => self.said("Instance", &machine.clone()),
                None => no(404, "notFound", "The resource was not found"),
            },
            "compute.instances.getSerialPortOutput" => match self.machines.get(&(of("zone"), of("instance"))) {
                Some(_) => {
                    let text = format!("SeaBIOS\nport {}: tidegate guard\n", of("port"));
                    self.said("SerialPortOutput", &json!({"contents": text, "start": "0", "next": "30"}))
                }
                None => no(404, "notFound", "The resource was not found"),
            },
            "compute.instances.delete" | "compute.instances.stop" | "compute.instances.start" => {
                if !self.machines.contains_key(&(of("zone"), of("instance"))) {
                    return no(404, "notFound", "The resource was not found");
                }
                let kind = call.method.rsplit('.').next().unwrap();
                let name = self.begin(&of("zone"), kind, &of("instance"), twist);
                self.operation(&name)
            }
            "compute.instances.setLabels" => self.set_labels(&of("zone"), &of("instance"), &call.body),
            "compute.zoneOperations.get" => self.asked_after(&of("zone"), &of("operation")),
            "compute.zoneOperations.list" => {
                let here = format!("/zones/{}/", of("zone"));
                let here = self.events.iter().filter(|event| event["targetLink"].as_str().unwrap().contains(&here));
                let fits: Vec<_> = here.filter(|event| fits(&of("filter"), event)).cloned().collect();
                self.said("OperationList", &json!({"id": "list", "items": fits}))
            }
            "compute.disks.aggregatedList" => {
                let list = List { kind: "DiskAggregatedList", member: "disks" };
                self.aggregated(&list, &of("filter"), &of("maxResults"), &of("pageToken"))
            }
            "compute.disks.get" => match self.disks.get(&(of("zone"), of("disk"))) {
                Some(disk) => self.said("Disk", &disk.clone()),
                None => no(404, "notFound", "The resource was not found"),
            },
            "compute.disks.setLabels" => self.set_disk_labels(&of("zone"), &of("resource"), &call.body),
            "compute.disks.delete" => match self.disks.get(&(of("zone"), of("disk"))) {
                None => no(404, "notFound", "The resource was not found"),
                Some(disk) if disk["users"].is_array() => {
                    no(400, "resourceInUseByAnotherResource", "The disk resource is already being used")
                }
                Some(_) => {
                    let name = self.begin(&of("zone"), "deleteDisk", &of("disk"), twist);
                    self.operation(&name)
                }
            },
            "cloudbilling.services.skus.list" => {
                let from = of("pageToken").parse().unwrap_or(0);
                let page: Vec<_> = self.skus.iter().skip(from).take(2).collect();
                let mut said = json!({ "skus": page });
                if from + 2 < self.skus.len() {
                    said["nextPageToken"] = json!((from + 2).to_string());
                }
                self.said("ListSkusResponse", &said)
            }
            "oauth2.tokeninfo" => self.said("Tokeninfo", &json!({ "expires_in": self.token_lasts })),
            "cloudresourcemanager.projects.testIamPermissions" => {
                let asked = call.body["permissions"].as_array().unwrap().iter();
                let has: Vec<_> = asked.filter(|one| !self.lacks.contains(one.as_str().unwrap())).collect();
                self.said("TestIamPermissionsResponse", &json!({ "permissions": has }))
            }
            other => no(501, "notImplemented", other),
        }
    }

    /// The name of a machine that was named by its number.
    fn named(&self, said: &str) -> String {
        let has = |(_, machine): &(&(String, String), &Value)| machine["id"] == said;
        self.machines.iter().find(has).map_or_else(|| said.to_owned(), |((_, name), _)| name.clone())
    }

    fn set_labels(&mut self, zone: &str, name: &str, body: &Value) -> (u16, String) {
        let machine = self.machines.get_mut(&(zone.to_owned(), name.to_owned()));
        if let Some(no) = labelled(machine, body) {
            return no;
        }
        let operation = self.begin(zone, "setLabels", name, None);
        self.operation(&operation)
    }

    fn set_disk_labels(&mut self, zone: &str, name: &str, body: &Value) -> (u16, String) {
        let disk = self.disks.get_mut(&(zone.to_owned(), name.to_owned()));
        if let Some(no) = labelled(disk, body) {
            return no;
        }
        let operation = self.begin(zone, "setDiskLabels", name, None);
        self.operation(&operation)
    }

    fn twist(&mut self, method: &str, zone: &str) -> Option<No> {
        let fits = |(of, at, _): &(&str, &str, No)| short(method) == *of && (at.is_empty() || *at == zone);
        let place = self.noes.iter().position(fits)?;
        Some(self.noes.remove(place).2)
    }

    /// An answer, held against the description.
    fn said(&mut self, kind: &str, value: &Value) -> (u16, String) {
        self.wrong.extend(schema::answered(kind, value));
        (200, value.to_string())
    }

    fn time(&self, known: &str) -> String {
        if self.by_the_wall { Clock::Wall.now().to_string() } else { known.to_owned() }
    }

    /// A machine switched itself off.
    pub(crate) fn switched_off(&mut self, zone: &str, name: &str) {
        let operation = Operation { kind: "stop".to_owned(), ..self.of_machine(zone, name) };
        self.end(&operation);
    }

    /// Google takes a machine back.
    pub(crate) fn preempt(&mut self, zone: &str, name: &str) {
        let machine = self.machines[&(zone.to_owned(), name.to_owned())].clone();
        let kept = machine["scheduling"]["instanceTerminationAction"] != "DELETE";
        let kind = if kept { "stop" } else { "delete" };
        let operation = Operation { kind: kind.to_owned(), ..self.of_machine(zone, name) };
        self.end(&operation);
        let (number, at) = (self.number(), self.time(END));
        self.events.push(json!({"name": format!("systemevent-{number}"), "id": number.to_string(), "status": "DONE",
            "operationType": "compute.instances.preempted", "statusMessage": "Instance was preempted.",
            "targetLink": machine["selfLink"], "targetId": machine["id"], "user": "system", "progress": 100,
            "zone": machine["zone"], "insertTime": at, "startTime": at, "endTime": at}));
    }

    /// Every operation that is under way ends, and whoever asks hears it.
    pub(crate) fn end_all(&mut self) {
        for operation in self.operations.clone().values().filter(|operation| operation.no.is_none()) {
            self.end(operation);
        }
        self.operations.values_mut().for_each(|operation| operation.polls = 0);
    }

    fn of_machine(&self, zone: &str, name: &str) -> Operation {
        let (kind, asked) = (String::new(), self.time(END));
        Operation { zone: zone.to_owned(), kind, target: name.to_owned(), polls: 0, no: None, asked }
    }

    fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    fn begin(&mut self, zone: &str, kind: &str, target: &str, no: Option<No>) -> String {
        let name = format!("operation-{}", self.number());
        let operation = Operation { kind: kind.to_owned(), polls: self.polls, no, ..self.of_machine(zone, target) };
        self.operations.insert(name.clone(), operation);
        name
    }

    fn insert(&mut self, call: &Call, twist: Option<No>) -> (u16, String) {
        let (zone, token) = (call.parameters["zone"].clone(), call.parameters["requestId"].clone());
        if let Some(name) = self.requests.get(&token).cloned() {
            return self.operation(&name);
        }
        let mut machine = call.body.clone();
        if let Some(image) = call.parameters.get("sourceMachineImage") {
            machine["sourceMachineImage"] = json!(format!("{PATH}/{image}"));
        }
        let name = machine["name"].as_str().unwrap().to_owned();
        if self.machines.contains_key(&(zone.clone(), name.clone())) {
            return no(409, "alreadyExists", &format!("The resource 'instances/{name}' already exists"));
        }
        let operation = self.begin(&zone, "insert", &name, twist.filter(|twist| *twist != No::Garbled));
        self.requests.insert(token, operation.clone());
        if !matches!(twist, Some(No::Fails(..))) {
            self.add(&zone, machine);
        }
        if twist == Some(No::Garbled) {
            return (200, "<html>a proxy's</html>".to_owned());
        }
        self.operation(&operation)
    }

    /// A disk that somebody made.
    pub(crate) fn add_disk(&mut self, zone: &str, name: &str, labels: &Value, user: Option<&str>) {
        let zone_path = format!("{PATH}/zones/{zone}");
        let mut disk = json!({"name": name, "sizeGb": "50", "labels": labels, "status": "READY", "zone": zone_path,
            "creationTimestamp": self.time(MADE), "labelFingerprint": "Zmlyc3Q=",
            "selfLink": format!("{zone_path}/disks/{name}")});
        if let Some(user) = user {
            disk["users"] = json!([format!("{zone_path}/instances/{user}")]);
        }
        self.disks.insert((zone.to_owned(), name.to_owned()), disk);
    }

    /// A machine that somebody made.
    pub(crate) fn add(&mut self, zone: &str, mut machine: Value) {
        let path = PATH;
        let name = machine["name"].as_str().unwrap().to_owned();
        let labels = machine["disks"][0]["initializeParams"]["labels"].clone();
        if labels.is_object() {
            self.add_disk(zone, &name, &labels, Some(&name));
        }
        if machine["sourceMachineImage"].is_string() {
            let disks = [name.clone(), format!("{name}-1")];
            for disk in &disks {
                self.add_disk(zone, disk, &json!({"of": "the-image"}), Some(&name));
            }
            let source = |disk: &String| format!("{PATH}/zones/{zone}/disks/{disk}");
            let attached = |disk| json!({"source": source(disk), "boot": *disk == name, "autoDelete": *disk == name});
            machine["disks"] = disks.iter().map(attached).collect();
        }
        machine["id"] = json!(self.number().to_string());
        machine["zone"] = json!(format!("{path}/zones/{zone}"));
        let kind = machine["machineType"].as_str().unwrap().to_owned();
        machine["machineType"] = json!(format!("{path}/{kind}"));
        machine["creationTimestamp"] = json!(self.time(MADE));
        machine["labelFingerprint"] = json!("Zmlyc3Q=");
        machine["status"] = json!("PROVISIONING");
        machine["selfLink"] = json!(format!("{path}/zones/{zone}/instances/{name}"));
        self.machines.insert((zone.to_owned(), name), machine);
    }

    /// As after an hour, when Google does not know the tokens any more.
    pub(crate) fn forget_requests(&mut self) {
        self.requests.clear();
    }

    fn asked_after(&mut self, zone: &str, name: &str) -> (u16, String) {
        let Some(operation) = self.operations.get_mut(name).filter(|operation| operation.zone == zone) else {
            return no(404, "notFound", "The resource was not found");
        };
        if let Some(No::Unasked(status, reason)) = operation.no {
            return no(status, reason, &format!("{reason}, it is said"));
        }
        operation.polls = operation.polls.saturating_sub(1);
        let operation = operation.clone();
        if operation.polls == 0 && operation.no.is_none() {
            self.end(&operation);
        }
        self.operation(name)
    }

    fn end(&mut self, operation: &Operation) {
        let key = (operation.zone.clone(), operation.target.clone());
        if operation.kind == "deleteDisk" {
            self.disks.remove(&key);
            return;
        }
        if operation.kind == "delete" {
            self.machines.remove(&key);
            if !self.leaks {
                self.disks.remove(&key);
            }
            let machine = json!([format!("{PATH}/zones/{}/instances/{}", operation.zone, operation.target)]);
            for disk in self.disks.values_mut().filter(|disk| disk["users"] == machine) {
                disk.as_object_mut().unwrap().remove("users");
            }
            return;
        }
        let (off, on) = (self.time(OFF), self.time(ON));
        let Some(machine) = self.machines.get_mut(&key) else { return };
        match operation.kind.as_str() {
            "stop" => {
                machine["status"] = json!("TERMINATED");
                machine["lastStopTimestamp"] = json!(off);
            }
            "start" => {
                machine["status"] = json!("RUNNING");
                machine["lastStartTimestamp"] = json!(on);
            }
            _ => machine["status"] = json!("RUNNING"),
        }
    }

    fn operation(&mut self, name: &str) -> (u16, String) {
        let operation = &self.operations[name];
        let ended = operation.polls == 0 && operation.no != Some(No::Hangs);
        let mut said = json!({"name": name, "id": "1", "zone": operation.zone, "operationType": operation.kind,
            "insertTime": operation.asked, "status": if ended { "DONE" } else { "RUNNING" }, "progress": if ended { 100 } else { 0 }});
        if let (true, Some(No::Fails(code, zones))) = (ended, operation.no) {
            let info = json!({"reason": "resource_availability", "metadatas": {"zonesAvailable": zones}});
            let details = if zones.is_empty() { json!([]) } else { json!([{ "errorInfo": info }]) };
            let message = format!("{code}, it is said");
            said["error"] = json!({"errors": [{"code": code, "message": message, "errorDetails": details}]});
            said["httpErrorStatusCode"] = json!(503);
            said["httpErrorMessage"] = json!("SERVICE UNAVAILABLE");
        }
        self.said("Operation", &said)
    }

    fn aggregated(&mut self, list: &List, filter: &str, most: &str, after: &str) -> (u16, String) {
        let all = if list.member == "disks" { &self.disks } else { &self.machines };
        let fits: Vec<_> = all.iter().filter(|(_, one)| fits(filter, one)).collect();
        let (from, most) = (after.parse().unwrap_or(0), most.parse().unwrap_or(500));
        let mut items = json!({"regions/us-central1": {"warning": {"code": "NO_RESULTS_ON_PAGE"}}});
        for ((zone, _), one) in fits.iter().skip(from).take(most) {
            let scope = &mut items[format!("zones/{zone}")];
            if scope.is_null() {
                *scope = json!({ list.member: [] });
            }
            scope[list.member].as_array_mut().unwrap().push((*one).clone());
        }
        let mut said = json!({ "items": items, "kind": "compute#list" });
        if from + most < fits.len() {
            said["nextPageToken"] = json!((from + most).to_string());
        }
        if let Some(scope) = self.unreachable {
            said["unreachables"] = json!([scope]);
        }
        self.said(list.kind, &said)
    }
}

/// A list over all zones: what Google calls it, and what is in it.
struct List {
    kind: &'static str,
    member: &'static str,
}

/// Whether something is as a filter such as `labels.a="b"` wants it.
fn fits(filter: &str, one: &Value) -> bool {
    let (field, wanted) = filter.split_once('=').unwrap_or_default();
    let value = match field.strip_prefix("labels.") {
        Some(label) => &one["labels"][label],
        None => &one[field],
    };
    filter.is_empty() || *value == wanted.trim_matches('"')
}
