//! Rules for texts that Kubernetes takes.

use super::kind::Rule;
use crate::model::settings::kubernetes::{is_memory, millis_of_cpu, toleration};

const LONGEST_LABEL: usize = 63;
const LONGEST_NAME: usize = 253;

pub(super) const CONTEXT: Rule =
    Rule { holds: |text| super::is_line(text) && !text.contains(' '), is: "the name of a context" };
pub(super) const NAMESPACE: Rule =
    Rule { holds: is_label, is: "a namespace: 1..63 small letters, digits and `-`, with none at its ends" };
pub(super) const TEMPLATE: Rule =
    Rule { holds: is_template, is: "a pod in YAML, a mapping with `metadata` and `spec`, or `file:PATH` of one" };
pub(super) const CPU: Rule = Rule {
    holds: |text| millis_of_cpu(text).is_some_and(|millis| millis > 0),
    is: "an amount of CPU, such as `4` or `500m`",
};
pub(super) const MEMORY: Rule = Rule { holds: is_memory, is: "an amount of memory, such as `16Gi`" };
pub(super) const RESOURCE: Rule = Rule { holds: is_qualified, is: "the name of a resource, such as `nvidia.com/gpu`" };
pub(super) const LABEL_NAME: Rule = Rule { holds: is_qualified, is: "the name of a label, such as `example.com/pool`" };
pub(super) const LABEL_TEXT: Rule =
    Rule { holds: is_label_text, is: "a label's text: 0..63 letters, digits, `-`, `_` and `.`" };
pub(super) const TOLERATION: Rule = Rule {
    holds: |text| toleration(text).is_some(),
    is: "a toleration: `key=value:Effect`, `key:Effect` or `key`, with the effect NoSchedule, PreferNoSchedule or NoExecute",
};
pub(super) const CLASS: Rule = Rule {
    holds: is_name,
    is: "a name of Kubernetes's: small letters, digits, `-` and `.`, with none of these at its ends",
};
pub(super) const QUEUE: Rule = Rule {
    holds: |text| super::is_line(text) && text.chars().count() >= 3,
    is: "a queue's name, of three letters at least",
};

fn is_part(text: &str, may: impl Fn(char) -> bool) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    is_end(text.chars().next()) && is_end(text.chars().last()) && text.chars().all(may)
}

fn is_label(text: &str) -> bool {
    text.len() <= LONGEST_LABEL && is_part(text, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn is_name(text: &str) -> bool {
    text.len() <= LONGEST_NAME && text.split('.').all(is_label)
}

fn is_qualified(text: &str) -> bool {
    let (domain, name) = text.rsplit_once('/').map_or((None, text), |(domain, name)| (Some(domain), name));
    domain.is_none_or(is_name) && !name.is_empty() && is_label_text(name)
}

fn is_label_text(text: &str) -> bool {
    let may = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    text.is_empty() || (text.len() <= LONGEST_LABEL && is_part(text, may))
}

fn is_template(text: &str) -> bool {
    if let Some(path) = text.strip_prefix("file:") {
        return super::is_line(path);
    }
    serde_saphyr::from_str::<serde_json::Value>(text).is_ok_and(|template| template.is_object())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_as_kubernetes_takes_them() {
        for (rule, right, wrong) in [
            (NAMESPACE, vec!["ml-tasks", "a"], vec!["", "ML", "-a", "a_b"]),
            (RESOURCE, vec!["nvidia.com/gpu", "gpu"], vec!["", "a b", "/gpu", "Nvidia com/gpu"]),
            (LABEL_NAME, vec!["cloud.google.com/gke-nodepool"], vec!["", "a/b/c d"]),
            (LABEL_TEXT, vec!["", "gpu-pool"], vec!["a b", "-a"]),
            (CLASS, vec!["spare-capacity", "a.b"], vec!["", "Spare", "a..b"]),
            (QUEUE, vec!["k8s_scheduler"], vec!["", "ab"]),
            (CPU, vec!["4", "500m"], vec!["0", "four"]),
            (
                TEMPLATE,
                vec!["file:/etc/pod.yaml", "spec:\n  containers:\n  - image: python:3.12\n"],
                vec!["file:", "spec: [", "- a list", "words"],
            ),
        ] {
            for text in right {
                assert!((rule.holds)(text), "{text} is {}", rule.is);
            }
            for text in wrong {
                assert!(!(rule.holds)(text), "{text} is not {}", rule.is);
            }
        }
    }
}
