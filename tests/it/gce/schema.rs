//! Google's own descriptions of Compute Engine and of what is asked beside it, and what a call or an answer does that is
//! not in them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use crate::gce::judge;
use crate::support::python::venv;

static SCHEMAS: LazyLock<Vec<Schema>> = LazyLock::new(|| {
    [("compute.v1", "/compute/v1/"), ("cloudresourcemanager.v1", "/"), ("cloudbilling.v1", "/"), ("oauth2.v2", "/")]
        .map(|(service, begins)| Schema::load(service, begins))
        .into()
});

/// System parameters, which every service takes and the description leaves out.
const OF_EVERY_SERVICE: [&str; 2] = ["$alt", "$apiVersion"];

/// The description of a service.
pub(crate) struct Schema {
    /// How every path begins.
    begins: &'static str,
    document: Value,
    methods: Vec<Method>,
}

struct Method {
    verb: String,
    path: Vec<String>,
    described: Value,
}

/// A call that the description knows.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// `compute.instances.insert`.
    pub(crate) method: String,
    /// The parameters of its path and its query.
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) body: Value,
}

/// Reads the description and starts the judge, once.
pub(crate) fn load() {
    LazyLock::force(&SCHEMAS);
    judge::load();
}

/// Reads a call; everything that the description does not have, if there is anything.
pub(crate) fn read(verb: &str, path: &str, query: &[(String, String)], body: &[u8]) -> Result<Call, Vec<String>> {
    let has = |schema: &&Schema| schema.find(verb, path).is_some();
    let known = SCHEMAS.iter().find(has).ok_or_else(|| vec![format!("no method is {verb} {path}")])?;
    known.read(verb, path, query, body)
}

/// What is wrong with a value that Google is to answer.
pub(crate) fn answered(kind: &str, value: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let has = |schema: &&Schema| !schema.document["schemas"][kind].is_null();
    let known = SCHEMAS.iter().find(has).unwrap();
    let described = serde_json::json!({ "$ref": kind });
    known.check(&described, value, kind, true, &mut wrong);
    wrong.extend(known.judged(&described, value));
    wrong
}

impl Schema {
    fn load(service: &str, begins: &'static str) -> Self {
        let libraries = std::fs::read_dir(venv().join("lib")).unwrap().map(|entry| entry.unwrap().path());
        let file = format!("site-packages/googleapiclient/discovery_cache/documents/{service}.json");
        let file = libraries.map(|library| library.join(&file)).find(|file| file.exists()).unwrap();
        let document: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let mut methods = Vec::new();
        collect(&document, &mut methods);
        assert!(!methods.is_empty());
        Self { begins, document, methods }
    }

    fn read(&self, verb: &str, path: &str, query: &[(String, String)], body: &[u8]) -> Result<Call, Vec<String>> {
        let Some((method, mut parameters)) = self.find(verb, path) else {
            return Err(vec![format!("no method is {verb} {path}")]);
        };
        let mut wrong = Vec::new();
        for (name, value) in query {
            let of_method = &method.described["parameters"][name];
            let described = if of_method.is_null() { &self.document["parameters"][name] } else { of_method };
            if described.is_null() && !OF_EVERY_SERVICE.contains(&name.as_str()) {
                wrong.push(format!("{verb} {path} has no parameter {name}"));
            }
            // Those of the method are read below, with those of the path.
            if of_method.is_null() && !described.is_null() {
                check_text(described, value, name, &mut wrong);
            }
            if parameters.insert(name.clone(), value.clone()).is_some() {
                wrong.push(format!("{name} is there twice"));
            }
        }
        let of_method = method.described["parameters"].as_object().cloned().unwrap_or_default();
        for (name, described) in of_method {
            match parameters.get(&name) {
                Some(text) => check_text(&described, text, &name, &mut wrong),
                None if described["required"] == true => wrong.push(format!("{name} is missing")),
                None => {}
            }
        }
        let body = match (&method.described["request"], body) {
            (Value::Null, []) => Value::Null,
            (Value::Null, body) if body == b"{}" => Value::Null,
            (Value::Null, body) => {
                wrong.push(format!("{verb} {path} takes no body: {}", String::from_utf8_lossy(body)));
                Value::Null
            }
            (request, body) => match serde_json::from_slice(body) {
                Ok(value) => {
                    self.check(request, &value, "body", false, &mut wrong);
                    wrong.extend(self.judged(request, &value));
                    value
                }
                Err(error) => {
                    wrong.push(format!("the body is no JSON: {error}"));
                    Value::Null
                }
            },
        };
        let method = method.described["id"].as_str().unwrap().to_owned();
        if wrong.is_empty() { Ok(Call { method, parameters, body }) } else { Err(wrong) }
    }

    /// What the official types of Compute Engine say of a value; the other services' are not asked.
    fn judged(&self, described: &Value, value: &Value) -> Vec<String> {
        let of_compute = self.document["name"] == "compute";
        described["$ref"].as_str().filter(|_| of_compute).map(|kind| judge::wrong(kind, value)).unwrap_or_default()
    }

    fn find(&self, verb: &str, path: &str) -> Option<(&Method, BTreeMap<String, String>)> {
        let parts: Vec<&str> = path.strip_prefix(self.begins)?.split('/').collect();
        let mut of_verb = self.methods.iter().filter(|method| method.verb == verb);
        // What stands for several parts is told from others by its pattern.
        let fits = |method: &Method, names: &BTreeMap<String, String>| {
            let pattern = |name: &String| method.described["parameters"][name]["pattern"].as_str().map(Regex::new);
            let several = |name: &String| method.path.iter().any(|part| part.starts_with(&format!("{{+{name}}}")));
            names
                .iter()
                .filter(|(name, _)| several(name))
                .all(|(name, text)| pattern(name).is_none_or(|pattern| pattern.unwrap().is_match(text)))
        };
        of_verb.find_map(|method| {
            let names = named(&method.path, &parts)?;
            fits(method, &names).then_some((method, names))
        })
    }

    /// `answer`: Google itself says it, so that what is only read may be there.
    fn check(&self, described: &Value, value: &Value, at: &str, answer: bool, wrong: &mut Vec<String>) {
        if let Some(name) = described["$ref"].as_str() {
            return self.check(&self.document["schemas"][name], value, at, answer, wrong);
        }
        match (described["type"].as_str().unwrap_or_default(), value) {
            ("object", Value::Object(members)) => self.check_members(described, members, at, answer, wrong),
            ("array", Value::Array(items)) => {
                for (place, item) in items.iter().enumerate() {
                    self.check(&described["items"], item, &format!("{at}[{place}]"), answer, wrong);
                }
            }
            ("string", Value::String(text)) => check_text(described, text, at, wrong),
            ("boolean", Value::Bool(_)) | ("integer" | "number", Value::Number(_)) | ("any", _) => {}
            (kind, value) => wrong.push(format!("{at} is {value}, not of type {kind}")),
        }
    }

    fn check_members(
        &self,
        described: &Value,
        members: &Map<String, Value>,
        at: &str,
        answer: bool,
        wrong: &mut Vec<String>,
    ) {
        for (name, value) in members {
            let place = format!("{at}.{name}");
            let member = &described["properties"][name];
            if !member.is_null() {
                if member["readOnly"] == true && !answer {
                    wrong.push(format!("{place} is only read"));
                }
                self.check(member, value, &place, answer, wrong);
            } else if described["additionalProperties"].is_null() {
                wrong.push(format!("{place} is not known"));
            } else {
                self.check(&described["additionalProperties"], value, &place, answer, wrong);
            }
        }
    }
}

/// What the parts of a path are called, where they are those of a method: `{zone}` is one, `{+parent}` several,
/// `{resource}:get` one with an ending.
fn named(path: &[String], parts: &[&str]) -> Option<BTreeMap<String, String>> {
    let mut left = parts;
    let mut names = BTreeMap::new();
    for wanted in path {
        let many = if wanted.starts_with("{+") { (parts.len() + 1).checked_sub(path.len())? } else { 1 };
        let (these, others) = left.split_at_checked(many)?;
        left = others;
        let text = these.join("/");
        let Some((name, ending)) = wanted.strip_prefix('{').and_then(|wanted| wanted.split_once('}')) else {
            if text == *wanted {
                continue;
            }
            return None;
        };
        names.insert(name.trim_start_matches('+').to_owned(), text.strip_suffix(ending)?.to_owned());
    }
    left.is_empty().then_some(names)
}

fn check_text(described: &Value, text: &str, at: &str, wrong: &mut Vec<String>) {
    let whole = |pattern: &str| Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(text);
    if let Some(words) = described["enum"].as_array()
        && !words.iter().any(|word| word == text)
    {
        wrong.push(format!("{at} is {text}, none of {}", described["enum"]));
    }
    // One pattern of theirs has a range that is none.
    let pattern = described["pattern"].as_str().map(|pattern| pattern.replace("0-9-_", "0-9_-"));
    if let Some(pattern) = pattern.filter(|pattern| !whole(pattern)) {
        wrong.push(format!("{at} is {text}, not like {pattern}"));
    }
    let right = match described["format"].as_str() {
        Some("int64") => text.parse::<i64>().is_ok(),
        Some("uint64") => text.parse::<u64>().is_ok(),
        Some("int32") => text.parse::<i32>().is_ok(),
        Some("uint32") => text.parse::<u32>().is_ok(),
        _ => described["type"] != "boolean" || ["true", "false"].contains(&text),
    };
    if !right {
        wrong.push(format!("{at} is {text}, not of format {}", described["format"]));
    }
}

fn collect(resource: &Value, methods: &mut Vec<Method>) {
    for described in resource["methods"].as_object().into_iter().flat_map(Map::values) {
        methods.push(Method {
            verb: described["httpMethod"].as_str().unwrap().to_owned(),
            path: described["path"].as_str().unwrap().split('/').map(str::to_owned).collect(),
            described: described.clone(),
        });
    }
    for inner in resource["resources"].as_object().into_iter().flat_map(Map::values) {
        collect(inner, methods);
    }
}

#[test]
fn what_google_does_not_describe_is_found() {
    let path = "/compute/v1/projects/p/zones/us-central1-a/instances";
    let said = |path: &str, query: &[(&str, &str)], body: &str| {
        let query: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        read("POST", path, &query, body.as_bytes()).map_or_else(|wrong| wrong.join("; "), |call| call.method)
    };
    assert_eq!(said(path, &[("requestId", "x"), ("$alt", "json")], r#"{"name": "m-1"}"#), "compute.instances.insert");
    for (path, query, body, wrong) in [
        ("/compute/v1/projects/p/zones/us-central1-a/machines", &[][..], "{}", "no method is POST"),
        ("/compute/v1/projects/p/zones/US/instances", &[], "{}", "zone is US, not like"),
        (path, &[("request_id", "x")], "{}", "has no parameter request_id"),
        (path, &[("alt", "xml")], "{}", "alt is xml, none of"),
        (path, &[], r#"{"nam": "m"}"#, "body.nam is not known"),
        (path, &[], r#"{"name": "M"}"#, "body.name is M, not like"),
        (path, &[], r#"{"status": "RUNNING"}"#, "body.status is only read"),
        (path, &[], r#"{"scheduling": {"provisioningModel": "CHEAP"}}"#, "provisioningModel is CHEAP, none of"),
        (path, &[], r#"{"scheduling": {"maxRunDuration": {"seconds": 60}}}"#, "seconds is 60, not of type string"),
        (path, &[], r#"{"scheduling": {"maxRunDuration": {"seconds": "1m"}}}"#, "seconds is 1m, not of format"),
        (path, &[], r#"{"disks": [{"boot": "yes"}]}"#, "body.disks[0].boot is \"yes\", not of type boolean"),
        (path, &[], r#"{"labels": {"a": 1}}"#, "body.labels.a is 1, not of type string"),
    ] {
        let said = said(path, query, body);
        assert!(said.contains(wrong), "{body}: {said}");
    }
    assert_eq!(answered("Operation", &serde_json::json!({"status": "DONE", "id": "4"})), Vec::<String>::new());
    assert_eq!(answered("Operation", &serde_json::json!({"id": "x4"})).len(), 2, "both judges say it");
    for (verb, path, method) in [
        ("POST", "/v1/projects/p:testIamPermissions", "cloudresourcemanager.projects.testIamPermissions"),
        ("GET", "/v1/services/6F81-5844-456A/skus", "cloudbilling.services.skus.list"),
    ] {
        assert_eq!(read(verb, path, &[], b"{}").unwrap().method, method);
    }
    assert!(read("GET", "/v1/things/1/skus", &[], b"").is_err());
}
