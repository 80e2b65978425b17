//! How many machines there may be: a count that is none must not become no limit.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Desk, Draft};
use crate::cli::import::read::{Most, Old};
use crate::cli::import::secrets::without_secrets;
use crate::cli::import::values::shown;
use crate::model::settings::fields::Written;
use crate::model::settings::key::{Part, word};

impl Desk {
    /// Each queue with its pools; how many machines a pool may have goes to the pool.
    pub(super) fn queues(&mut self, old: &Old, names: &BTreeMap<String, String>) -> Vec<(String, Vec<String>)> {
        let mut queues = Vec::new();
        for (queue, resources) in &old.queues {
            if queue.trim().is_empty() || queue.contains(char::is_control) || queue.trim() != queue {
                self.tell(&format!("queues.{}", word(queue)), "refused: it has no name of one line");
                continue;
            }
            let mut pools: Vec<String> = Vec::new();
            for (resource, most) in resources {
                let path = format!("queues.{queue}.{resource}");
                let Some(name) = names.get(resource) else {
                    self.tell(&path, "refused: no machine of this name is configured");
                    continue;
                };
                if !pools.contains(name) {
                    pools.push(name.clone());
                }
                let Some(place) = self.pools.iter().position(|(known, _)| known == name) else { continue };
                let told = self.most(most, &path, place);
                self.tell(&path, format!("queue.*.pools{told}"));
            }
            if pools.is_empty() {
                self.tell(&format!("queues.{queue}"), "refused: it has no machines");
            } else {
                queues.push((queue.clone(), pools));
            }
        }
        queues
    }

    /// What became of a count of this pool's machines.
    fn most(&mut self, most: &Most, path: &str, place: usize) -> String {
        let is_told = |(_, pool): &(String, Draft)| pool.lines.contains_key("max") || pool.no_count.is_some();
        let is_told = self.pools.get(place).is_some_and(is_told);
        let wrong = match most {
            Most::Unsaid if is_told => return String::new(),
            Most::Unsaid => return "; not limited".to_owned(),
            Most::Wrong(value) => value.clone(),
            Most::Machines(count) => {
                let put = i64::try_from(*count).map_err(|_| String::new());
                let put = put.and_then(|max| self.put(Part::Pool, "max", Written::Whole(max), path, &[place]));
                match put {
                    Ok(told) => return format!("; {told}"),
                    Err(_) => Value::from(*count),
                }
            }
        };
        self.no_count(path, &wrong, &[place]);
        format!("; refused: {}", no_count(path, &wrong))
    }

    /// These pools have no count that can be read, unless another field gives one.
    pub(super) fn no_count(&mut self, path: &str, value: &Value, pools: &[usize]) {
        for pool in pools {
            if let Some((_, draft)) = self.pools.get_mut(*pool) {
                draft.no_count.get_or_insert_with(|| no_count(path, value));
            }
        }
    }

    /// Pools without a count launch nothing.
    pub(super) fn uncounted(&mut self) {
        let mut told = Vec::new();
        for (name, draft) in &mut self.pools {
            if draft.lines.contains_key("max") {
                draft.no_count = None;
            }
            if let Some(why) = &draft.no_count {
                draft.lines.insert("max", (Written::Whole(0), format!("mend: {why}")));
                told.push(format!("pool.{}.max", word(name)));
            }
        }
        for pool in told {
            self.tell(&pool, "0, so that nothing is launched until you mend it");
        }
    }
}

fn no_count(path: &str, value: &Value) -> String {
    let (text, secrets) = without_secrets(&shown(value));
    let text = if secrets.is_empty() { text } else { "***".to_owned() };
    format!("`{text}` of {path} is no count of machines")
}
