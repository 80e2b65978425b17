//! What a task's pod is made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The machine type of every pod.
pub const POD: &str = "pod";

/// What the current context of the kubeconfig is called in a site.
const CURRENT: &str = "current";

/// What a task's pod is made of, and where it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KubernetesSettings {
    /// A context of the kubeconfig; `None`: its current one, and in a cluster that cluster.
    pub context: Option<String>,
    /// Required for `kubernetes`.
    pub namespace: Option<String>,
    /// A pod, or `file:PATH` of one, in YAML.
    pub template: Option<String>,
    /// Wins over the template's.
    pub image: Option<String>,
    /// CPUs, as Kubernetes writes them: `4`, `500m`.
    pub cpu: Option<String>,
    /// As Kubernetes writes it: `16Gi`.
    pub memory: Option<String>,
    pub gpus: Option<u32>,
    /// The name of the resource that GPUs are.
    pub gpu_resource: String,
    pub node_selector: BTreeMap<String, String>,
    /// `key=value:Effect`, `key:Effect`, or `key`.
    pub tolerations: Vec<String>,
    pub priority_class: Option<String>,
    pub service_account: Option<String>,
    /// The ClearML queue in which a task waits for its pod.
    pub pending_queue: String,
}

impl KubernetesSettings {
    /// Where its pods run: `prod/ml-tasks`.
    #[must_use]
    pub fn site(&self) -> String {
        let context = self.context.as_deref().unwrap_or(CURRENT);
        format!("{context}/{}", self.namespace.as_deref().unwrap_or_default())
    }

    /// Whole CPUs of a pod, rounded up; none where it asks for none.
    #[must_use]
    pub fn vcpu(&self) -> u32 {
        self.cpu.as_deref().and_then(millis_of_cpu).map_or(0, |millis| millis.div_ceil(1_000))
    }
}

/// The context of a site, and the namespace. `None` for the context: the current one.
#[must_use]
pub fn of_site(site: &str) -> (Option<&str>, &str) {
    // A context's name may hold slashes, a namespace none.
    let (context, namespace) = site.rsplit_once('/').unwrap_or((CURRENT, site));
    ((context != CURRENT).then_some(context), namespace)
}

/// CPUs as Kubernetes writes them, in thousandths.
#[must_use]
pub fn millis_of_cpu(text: &str) -> Option<u32> {
    if let Some(millis) = text.strip_suffix('m') {
        return millis.parse().ok();
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(part) || part.len() > 3 {
        return None;
    }
    let part: u32 = format!("{part:0<3}").parse().ok()?;
    whole.parse::<u32>().ok()?.checked_mul(1_000)?.checked_add(part)
}

/// Whether it is an amount of memory as Kubernetes writes it.
#[must_use]
pub fn is_memory(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let units = ["", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi"];
    !number.is_empty() && number.len() < 19 && units.contains(&unit)
}

/// A toleration as Kubernetes takes it: its key, its value and its effect. `None` for what is none.
#[must_use]
pub fn toleration(text: &str) -> Option<(&str, Option<&str>, Option<&str>)> {
    let (taint, effect) = match text.rsplit_once(':') {
        Some((taint, effect)) => (taint, Some(effect)),
        None => (text, None),
    };
    let (key, value) = match taint.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (taint, None),
    };
    let is_effect = effect.is_none_or(|effect| ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect));
    let is_word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    (is_effect && !key.is_empty() && is_word(key) && value.is_none_or(is_word)).then_some((key, value, effect))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_read_back() {
        for (context, text) in [
            (None, "current/ml"),
            (Some("kubernetes-admin@kubernetes"), "kubernetes-admin@kubernetes/ml"),
            (Some("arn:aws:eks:us-east-1:1:cluster/prod"), "arn:aws:eks:us-east-1:1:cluster/prod/ml"),
        ] {
            let settings = KubernetesSettings {
                context: context.map(str::to_owned),
                namespace: Some("ml".to_owned()),
                ..KubernetesSettings::default()
            };
            assert_eq!(settings.site(), text);
            assert_eq!(of_site(text), (context, "ml"));
        }
    }

    #[test]
    fn amounts_are_as_kubernetes_writes_them() {
        for (text, millis) in [
            ("4", Some(4_000)),
            ("500m", Some(500)),
            ("0.5", Some(500)),
            ("1.25", Some(1_250)),
            ("", None),
            ("m", None),
            ("-1", None),
            ("1.2345", None),
            ("4Gi", None),
        ] {
            assert_eq!(millis_of_cpu(text), millis, "{text}");
        }
        assert!(["16Gi", "512Mi", "1000000", "2G"].into_iter().all(is_memory));
        assert!(!["", "Gi", "1.5Gi", "16gb", "-1Gi"].into_iter().any(is_memory));
    }

    #[test]
    fn a_toleration_is_a_key_with_perhaps_a_value_and_an_effect() {
        for (text, read) in [
            ("nvidia.com/gpu", Some(("nvidia.com/gpu", None, None))),
            ("spot=true:NoSchedule", Some(("spot", Some("true"), Some("NoSchedule")))),
            ("spot:NoExecute", Some(("spot", None, Some("NoExecute")))),
            ("spot:Never", None),
            ("", None),
            ("a b", None),
        ] {
            assert_eq!(toleration(text), read, "{text}");
        }
    }
}
