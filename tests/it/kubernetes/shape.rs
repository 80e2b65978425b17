//! Our server answers in the shape of the recorded one, and so does the real one that a test run names.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::kubernetes::api::{Api, MERGE, TOKEN};
use crate::kubernetes::real::{Real, alone, named};
use crate::kubernetes::recorded;

fn names(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn every_kind_of_answer_has_the_recorded_shape() {
    compare(&Api::start(), true);
    // A real one answers as that which was recorded, which is newer and says more.
    let _alone = alone();
    if let Some(kubeconfig) = named() {
        compare(&Api::before(Some(Arc::new(Real::open(&kubeconfig)))), false);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn compare(api: &Api, by_name: bool) {
    let jobs = format!("{}/apis/batch/v1/namespaces/{}/jobs", api.url, api.namespace());
    let client = reqwest::Client::new();
    let job = recorded("job/create_201")["request"]["body"].clone();
    let name = job["metadata"]["name"].as_str().unwrap();
    let one = format!("{jobs}/{name}");
    let patch = json!({ "spec": { "suspend": false } });
    let delete = json!({ "propagationPolicy": "Background" });
    for (file, call) in [
        ("job/get_404", client.get(&one)),
        ("list/jobs_empty", client.get(&jobs)),
        ("job/create_201", client.post(&jobs).json(&job)),
        ("job/create_409_already_exists", client.post(&jobs).json(&job)),
        ("job/unsuspend_200", client.patch(&one).header("content-type", MERGE).body(patch.to_string())),
        ("job/delete_background_200", client.delete(&one).json(&delete)),
        ("job/delete_404", client.delete(&one).json(&delete)),
    ] {
        let answer = call.bearer_auth(TOKEN).send().await.unwrap();
        let wanted = recorded(file)["response"].clone();
        assert_eq!(u64::from(answer.status().as_u16()), wanted["status"], "{file}");
        let body: Value = answer.json().await.unwrap();
        let (ours, theirs) = (&body, &wanted["body"]);
        if by_name {
            assert!(names(ours).is_subset(&names(theirs)), "{file}: {ours} {theirs}");
        }
        for key in ["kind", "reason", "code", "status"].into_iter().filter(|key| theirs[*key].is_string()) {
            if *key != *"status" || theirs["kind"] == "Status" {
                assert_eq!(ours[key], theirs[key], "{file} {key}");
            }
        }
    }
}
