//! What a task's pod is made of.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// The machine type of every pod.
pub const POD: &str = "pod";

/// Where a task waits for its pod, unless a pool says otherwise.
pub const PENDING_QUEUE: &str = "k8s_scheduler";

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
    /// A task's own image wins over both, and the environment among its docker arguments is set.
    pub task_image: bool,
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
    /// How long a pod may wait for its start; `None`: for as long as it takes.
    pub pending_timeout: Option<SignedDuration>,
    /// The queue of Kueue's that its Jobs wait in; `None`: none.
    pub local_queue: Option<String>,
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

/// Any amount as Kubernetes writes it - `4`, `500m`, `0.5`, `16Gi`, `7920332Ki`, `1e3` - in thousandths.
#[must_use]
pub fn thousandths(text: &str) -> Option<u128> {
    const UNITS: [(&str, u128); 12] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("e3", 1_000),
        ("e6", 1_000_000),
    ];
    if let Some(millis) = text.strip_suffix('m') {
        return millis.parse().ok();
    }
    let unit = UNITS.iter().find_map(|(unit, times)| Some((text.strip_suffix(unit)?, *times)));
    let (number, times) = unit.unwrap_or((text, 1));
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(part) || whole.len() > 20 {
        return None;
    }
    let part: String = format!("{part:0<3}").chars().take(3).collect();
    let millis = whole.parse::<u128>().ok()?.checked_mul(1_000)?.checked_add(part.parse().ok()?)?;
    millis.checked_mul(times)
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
    fn any_amount_is_read_in_thousandths() {
        for (text, millis) in [
            ("4", Some(4_000)),
            ("800m", Some(800)),
            ("0.5", Some(500)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("8Gi", Some(8_589_934_592_000)),
            ("7920332Ki", Some(8_110_419_968_000)),
            ("2G", Some(2_000_000_000_000)),
            ("1e3", Some(1_000_000)),
            ("", None),
            ("Gi", None),
            ("-1", None),
            ("x", None),
        ] {
            assert_eq!(thousandths(text), millis, "{text}");
        }
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
