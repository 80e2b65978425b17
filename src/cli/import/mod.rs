//! `import`: the settings of ClearML's AWS autoscaler, of the open example's file or of the app's export, or of its GCP
//! autoscaler, of the app's export, or of its Kubernetes glue, as settings of ours. Every field is mapped, kept as a comment, or refused by name.

mod adopt;
mod draft;
mod glue;
mod google;
mod read;
mod rows;
mod secrets;
mod values;

use std::path::{Path, PathBuf};

use clap::Args;

use super::Place;
use super::failure::Failure;
use super::say::{complain, say};
use super::table::{Side, table};
use crate::store::settings::{create, parse};

/// Bring over the configuration of a ClearML autoscaler: `aws_autoscaler.yaml`, what its AWS or GCP app exported, or that of
/// its Kubernetes glue: the values of its Helm chart, or its command line
///
/// Whose it is, its fields say. The settings go to standard output, or to a new file; what became of each field is told on standard error. Secrets are
/// never written: they become references, with what to export. Machines of the old autoscaler stay foreign: they are counted
/// while they are idle, and never acted on. With --adopt they are taken into the settings in use, once those are written:
/// they then count in the limits and in the ledger, and are stopped by hand, since no guard runs on them.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The autoscaler's YAML, an app's JSON, the chart's values, or a file with the glue's command line
    file: PathBuf,
    /// Write the settings to this new file
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The fleet's name [default: the workers' prefix with `-tidegate`]
    #[arg(long, value_name = "NAME")]
    fleet: Option<String>,
    /// Write no settings; take the old autoscaler's running machines over into the settings in use
    #[arg(long, conflicts_with_all = ["output", "fleet"])]
    adopt: bool,
    /// With --adopt: do not ask
    #[arg(long, requires = "adopt")]
    yes: bool,
}

/// What an import comes to.
#[derive(Debug)]
struct Imported {
    settings: String,
    /// Each field, and what became of it.
    report: Vec<[String; 2]>,
    old: adopt::OldNames,
    kind: read::Kind,
}

/// From the old file's text to new settings.
fn import(text: &str, from: &str, fleet: Option<&str>) -> Result<Imported, read::NotRead> {
    Ok(draft::draft(&read::read(text)?, from, fleet))
}

/// The settings that an autoscaler's file comes to.
#[cfg(test)]
pub(super) fn settings_of(text: &str) -> String {
    import(text, "export", Some("lab")).unwrap().settings
}

impl Import {
    pub(super) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let shown = self.file.display().to_string();
        let unread = |error: &dyn std::fmt::Display| Failure::Failed(format!("{shown}: {error}"));
        let text = std::fs::read_to_string(&self.file).map_err(|error| unread(&error))?;
        let name = self.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let imported = import(&text, &name, self.fleet.as_deref()).map_err(|error| unread(&error))?;
        if self.adopt && imported.kind == read::Kind::Glue {
            let why = "a glue's pods are left to it: stop it, and they end with their tasks";
            return Err(Failure::Refused(why.to_owned()));
        }
        if self.adopt {
            return adopt::adopt(&imported.old, place, self.yes).await;
        }
        complain(table([("FIELD", Side::Left), ("WHAT BECAME OF IT", Side::Left)], &imported.report).trim_end());
        match &self.output {
            Some(path) => {
                create(path, &imported.settings)
                    .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
                complain(&format!("written to {}; next: `tidegate check --config {0}`", path.display()));
            }
            None => say(&imported.settings)?,
        }
        let path = self.output.as_deref().unwrap_or(Path::new("the imported settings"));
        parse(&imported.settings, path).map(drop).map_err(|problems| Failure::Settings(problems.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::cli::import::read::Kind;
    use crate::model::settings::autoscaler::{STANDINGS, gcp};

    /// The open example's file with every field set.
    const EXAMPLE: &str = include_str!("example.yaml");
    /// What the app exports, as far as it is known.
    const APP: &str = include_str!("app.json");
    /// What the GCP app exports, likewise: its flat shape and its list of machines are known, of most fields the form's words.
    const GCP: &str = include_str!("gcp.json");
    /// The values of the glue's chart, with every value set, and those of the Enterprise's that are documented.
    const CHART: &str = include_str!("chart.yaml");
    /// The glue's command line, with every flag and all of its environment.
    const GLUE: &str = include_str!("glue.sh");

    fn told(imported: &Imported) -> String {
        let report = table([("FIELD", Side::Left), ("WHAT BECAME OF IT", Side::Left)], &imported.report);
        format!("{report}\n{}", imported.settings)
    }

    #[test]
    fn the_example_with_every_field_set_becomes_settings_that_hold() {
        let imported = import(EXAMPLE, "aws_autoscaler.yaml", None).unwrap();
        insta::assert_snapshot!("example", told(&imported));
        parse(&imported.settings, Path::new("t")).unwrap();
    }

    #[test]
    fn the_app_s_export_becomes_settings_that_hold() {
        let imported = import(APP, "app.json", Some("lab")).unwrap();
        insta::assert_snapshot!("app", told(&imported));
        parse(&imported.settings, Path::new("t")).unwrap();
    }

    #[test]
    fn the_gcp_app_s_export_becomes_settings_that_hold() {
        let imported = import(GCP, "gcp.json", Some("lab")).unwrap();
        insta::assert_snapshot!("gcp", told(&imported));
        parse(&imported.settings, Path::new("t")).unwrap();
    }

    #[test]
    fn the_glue_becomes_settings_that_hold() {
        for (text, name) in [(CHART, "chart"), (GLUE, "glue")] {
            let imported = import(text, name, None).unwrap();
            insta::assert_snapshot!(name, told(&imported));
            parse(&imported.settings, Path::new("t")).unwrap();
            let unknown: Vec<_> = imported.report.iter().filter(|row| row[1].contains("nobody knows")).collect();
            assert_eq!(unknown, Vec::<&[String; 2]>::new());
        }
    }

    #[test]
    fn every_field_of_the_glue_that_is_named_in_its_sources_has_a_row() {
        let known: BTreeSet<&str> = rows::of(Kind::Glue).flat_map(|row| row.names.iter().copied()).collect();
        let flags = "queue create-queue k8s-pending-queue-name max-pods ports-mode num-of-services base-port base-pod-num \
            gateway-address limit-pod-label namespace pod-name-prefix template-yaml overrides-yaml container-bash-script \
            no-system-packages ssh-server-port use-owner-token pod-clearml-conf debug user_props_cb runtime_cb \
            CLEARML_K8S_GLUE_KIND";
        let environment = "QUEUE MAX_PODS EXTRA_ARGS START_AGENT_SCRIPT_PATH DEF_EXEC_AGENT_ARGS POD_AGENT_INSTALL_ARGS \
            POD_MONITOR_LOG_BATCH_SIZE POD_MONITOR_DISABLE_ENQUEUE_ON_PREEMPTION POD_MONITOR_EVICTION_REASONS \
            POD_USE_IMAGE_ENTRYPOINT IGNORE_KUBECTL_ERROR DEFAULT_SCHEDULER_QUEUE_TAGS \
            COMPLETED_POD_DELETION_DELAY_MINUTES";
        let environment = environment.split_whitespace().map(|name| format!("K8S_GLUE_{name}"));
        for name in flags.split_whitespace().map(str::to_owned).chain(environment) {
            assert!(known.contains(read::plain(&name).as_str()), "{name}");
            assert!(GLUE.contains(&name) || name.ends_with("_cb"), "{name} is not tried");
        }
    }

    #[test]
    fn no_secret_is_written_anywhere() {
        let all = [
            (EXAMPLE, "aws_autoscaler.yaml"),
            (APP, "app.json"),
            (GCP, "gcp.json"),
            (CHART, "chart.yaml"),
            (GLUE, "glue.sh"),
        ];
        for (text, name) in all {
            assert!(text.contains("hush"));
            let told = told(&import(text, name, None).unwrap());
            assert!(!told.contains("hush"), "{told}");
        }
    }

    #[test]
    fn every_field_of_the_open_autoscaler_has_a_row() {
        let known: BTreeSet<&str> = rows::of(Kind::Aws).flat_map(|row| row.names.iter().copied()).collect();
        let structure = ["queues", "resource_configurations"];
        for name in STANDINGS.iter().flat_map(|standing| standing.sdk).filter(|name| !structure.contains(name)) {
            assert!(known.contains(name), "{name}");
        }
    }

    #[test]
    fn the_documentation_of_the_gcp_app_has_every_name_that_is_taken_and_no_other() {
        let known: BTreeSet<&str> = rows::of(Kind::Gcp).flat_map(|row| row.names.iter().copied()).collect();
        let lists = read::NAMES.iter().chain(&read::QUEUES).chain(&read::MAXIMA).copied();
        let taken: BTreeSet<&str> = known.into_iter().chain(lists).collect();
        let told: BTreeSet<&str> = gcp::STANDINGS.iter().flat_map(|standing| standing.sdk.iter().copied()).collect();
        // Of the open autoscaler, which has no driver for Google.
        let open = [
            "default_docker_image",
            "docker_image",
            "docker_mode",
            "max_idle_time",
            "polling_interval",
            "max_spin_up_time_min",
            "max_spin_up_time",
            "extra_vm_bash_script",
            "bash_script",
            "startup_bash_script",
            "extra_clearml_conf",
            "extra_trains_conf",
            "clearml_conf",
            "api_server",
            "web_server",
            "files_server",
            "access_key",
            "secret_key",
            "auth_token",
            "session",
            "cloud_provider",
        ];
        let of_gcp = taken.iter().filter(|name| !open.contains(name)).copied().collect::<BTreeSet<_>>();
        assert_eq!(of_gcp.difference(&told).collect::<Vec<_>>(), Vec::<&&str>::new());
        assert_eq!(told.difference(&taken).collect::<Vec<_>>(), Vec::<&&str>::new());
    }

    #[test]
    fn whose_an_export_is_its_fields_say() {
        let machine = |fields: &str| format!(r#"{{"instance_queue_list": [{{"queue_name": "q", {fields}}}]}}"#);
        let provider = |text: &str| {
            let imported = import(text, "t", None).unwrap();
            imported.settings.lines().find_map(|line| line.strip_prefix("provider = ")).unwrap().to_owned()
        };
        assert_eq!(provider(&machine(r#""instance_type": "g5.xlarge""#)), "\"aws\"");
        assert_eq!(provider(&machine(r#""machine_type": "g2-standard-4""#)), "\"gce\"");
        let odd = import(&machine(r#""machine_type": "g2-standard-4", "gpu_type": "x", "ami_id": "ami-1""#), "t", None);
        let odd = odd.unwrap().report;
        let row = odd.iter().find(|row| row[0] == "resource-1.ami_id").unwrap();
        assert_eq!(row[1], "refused: it is a field of ClearML's AWS autoscaler");
        let both = import(&machine(r#""machine_type": "g2-standard-4", "ami_id": "ami-1""#), "t", None).unwrap_err();
        assert!(
            both.to_string().contains("`ami_id` is a field of ClearML's AWS autoscaler, `machine_type` of its GCP")
        );
    }

    #[test]
    fn a_bad_value_of_the_gcp_app_is_refused_by_the_name_of_its_field() {
        for (right, wrong, row) in [
            (
                r#""gcp_zone": "us-central1-a""#,
                r#""gcp_zone": "america""#,
                "gcp_zone: refused, kept as a comment: it is no zone of Google's, such as `us-central1-a`",
            ),
            (
                r#""gcp_zone": "us-central1-a""#,
                r#""gcp_zone": 17"#,
                "gcp_zone: refused, kept as a comment: it is of another shape than theirs",
            ),
            (
                r#""gcp_project_id": "research-4711""#,
                r#""gcp_project_id": "Research 4711""#,
                "gcp_project_id: refused, kept as a comment: `Research 4711` is not the id of a project, such as `research-4711`",
            ),
            (
                r#""disc_size_gb": "100""#,
                r#""disc_size_gb": "much""#,
                "spot t4.disc_size_gb: refused, kept as a comment: it is of another shape than theirs",
            ),
            (
                r#""preemptible_provision_model": "SPOT","#,
                r#""preemptible_provision_model": "FLEX","#,
                "spot t4.preemptible_provision_model: refused, kept as a comment: it is of another shape than theirs",
            ),
            (
                r#""service_account_scopes": "storage-rw,logging-write""#,
                r#""service_account_scopes": "storage rw""#,
                "spot t4.service_account_scopes: refused, kept as a comment: `storage rw` is not an access scope",
            ),
            (
                r#""metadata": "Owner=Admin,API_TOKEN=hush""#,
                r#""metadata": "startup-script=echo""#,
                "spot t4.metadata: refused, kept as a comment: `startup-script` is not a name of metadata",
            ),
        ] {
            assert!(GCP.contains(right), "{right}");
            let imported = import(&GCP.replacen(right, wrong, 1), "t", None).unwrap();
            let told: Vec<String> = imported.report.iter().map(|row| row.join(": ")).collect();
            assert!(told.iter().any(|told| told.starts_with(row)), "{row}\n{}", told.join("\n"));
        }
    }

    /// A key that stands as an object, as it was downloaded, is not taken apart.
    #[test]
    fn a_key_in_json_is_no_field_and_is_written_nowhere() {
        let key = r#"{"type": "service_account", "private_key": "hush", "client_email": "hush@x"}"#;
        let text = format!(
            r#"{{"gcp": {{"gcp_credentials": {key}, "other_key": {key}}}, "instance_queue_list": [{{"machine_type": "e2-small", "gpu_type": {key}}}]}}"#
        );
        let texts = GCP
            .replace("nvidia-tesla-t4", r#"{\"private_key\": \"hush\"}"#)
            .replace("us-central1-a", r#"{\"private_key\": \"hush\"}"#);
        for text in [text, texts] {
            let told = told(&import(&text, "t", None).unwrap());
            assert!(!told.contains("hush"), "{told}");
        }
    }

    fn became<'a>(imported: &'a Imported, field: &str) -> &'a str {
        let row = imported.report.iter().find(|row| row[0] == field);
        row.map_or_else(|| panic!("no {field} in {:?}", imported.report), |row| row[1].as_str())
    }

    #[test]
    fn a_count_that_is_none_is_no_machine_and_not_no_limit() {
        let file = |queues: &str| {
            let resources = "{a: {instance_type: g5.xlarge}, b: {instance_type: g5.xlarge}}";
            import(
                &format!("configurations: {{resource_configurations: {resources}, queues: {queues}}}"),
                "t",
                Some("lab"),
            )
            .unwrap()
        };
        let max = |imported: &Imported, pool: &str| {
            let (_, section) = imported.settings.split_once(&format!("[pool.{pool}]\n")).unwrap();
            let section = section.split("\n[").next().unwrap();
            section.lines().find_map(|line| line.strip_prefix("max = ")).map(str::to_owned)
        };
        for wrong in ["-1", "2.5", "x", "null", "\"\"", "[]", "1000000", "99999999999999999999"] {
            let imported = file(&format!("{{q: [[a, {wrong}], [b, 2]]}}"));
            assert!(became(&imported, "queues.q.a").contains("is no count of machines"), "{wrong}");
            assert_eq!(became(&imported, "pool.a.max"), "0, so that nothing is launched until you mend it");
            assert!(max(&imported, "a").unwrap().starts_with("0 # mend: "), "{wrong}: {}", imported.settings);
            assert_eq!(max(&imported, "b").unwrap(), "2 # queues.q.b");
            assert!(!imported.settings.contains("[limits]"), "a sum of what is not known");
        }
        // Another queue's word for the same machines counts.
        let imported = file("{p: [[a, -1]], q: [[a, 2]], r: [b]}");
        assert_eq!(max(&imported, "a").unwrap(), "2 # queues.q.a");
        assert!(became(&imported, "queues.p.a").contains("`-1` of queues.p.a is no count"));
        assert!(max(&imported, "b").unwrap().starts_with("0 # mend"));
        let imported = file("{\"\": [[a, 5]], q: [[a, 2]]}");
        assert_eq!(became(&imported, "queues.\"\""), "refused: it has no name of one line");
        assert_eq!(max(&imported, "a").unwrap(), "2 # queues.q.a");
        let glue = import("k8s_glue.py --queue gpu --max-pods -5", "t", None).unwrap();
        assert!(max(&glue, "pods").unwrap().starts_with("0 # mend: `-5` of max-pods"), "{}", glue.settings);
        assert_eq!(became(&glue, "queues.gpu.pods"), "queue.*.pools");
    }

    #[test]
    fn a_time_below_nothing_is_refused_by_name() {
        let text = EXAMPLE.replacen("max_idle_time_min: ", "max_idle_time_min: -3 # ", 1);
        assert_ne!(text, EXAMPLE);
        let imported = import(&text, "t", None).unwrap();
        let row = imported.report.iter().find(|row| row[0].ends_with("max_idle_time_min")).unwrap();
        assert!(row[1].starts_with("refused, kept as a comment"), "{row:?}");
        assert!(!imported.settings.contains("keep_alive ="));
    }

    #[test]
    fn tasks_are_told_of_every_server() {
        let text = "k8s_glue.py --queue gpu --no-system-packages\nCLEARML_WEB_HOST=https://app.x CLEARML_FILES_HOST=https://f.x:1";
        let imported = import(text, "t", None).unwrap();
        let settings = parse(&imported.settings, Path::new("t")).unwrap();
        let conf = settings.pools[0].agent.extra_clearml_conf.clone().unwrap();
        assert_eq!(
            conf.trim(),
            "api { files_server: \"https://f.x:1\", web_server: \"https://app.x\" }\nagent.package_manager.system_site_packages: false"
        );
        assert_eq!(
            became(&imported, "CLEARML_WEB_HOST"),
            "pool.*.extra_clearml_conf: api.web_server = https://app.x, for tasks"
        );
    }

    #[test]
    fn every_value_of_the_chart_is_mapped_or_named() {
        let chart = |text: &str| import(&format!("agentk8sglue:\n  {text}\n"), "t", None).unwrap();
        let served = |imported: &Imported| {
            let queues = imported.settings.lines().filter_map(|line| line.strip_prefix("[queue."));
            queues.map(|line| line.trim_end_matches(']').to_owned()).collect::<Vec<_>>().join(" ")
        };
        let both = "queue: gpu\n  queues: {cpu: {queueSettings: {maxPods: 2}}}";
        for (text, queues, field, why) in [
            ("queue: [gpu, cpu]", "gpu cpu", "agentk8sglue.queue", "not needed: each is a [queue.X] below"),
            ("queue: {a: 1}", "", "agentk8sglue.queue", "refused, kept as a comment: it is neither"),
            (both, "cpu", "agentk8sglue.queue", "refused, kept as a comment: agentk8sglue.queues says"),
            ("basePodTemplate: 12", "default", "agentk8sglue.basePodTemplate", "refused, kept as a comment: it is no"),
            ("queues: [a]", "default", "agentk8sglue.queues", "refused, kept as a comment: it is no mapping of queues"),
            ("queues: {a: 5}", "a", "agentk8sglue.queues.a", "refused, kept as a comment: it is no mapping"),
            (
                "queues: {a: {templateOverrides: {fileMounts: [x]}}}",
                "a",
                "agentk8sglue.queues.a.templateOverrides.fileMounts",
                "refused, kept as a comment: it is no part of a pod",
            ),
            ("queues: {a: {other: 1}}", "a", "agentk8sglue.queues.a.other", "refused, kept as a comment: nobody knows"),
            ("extraEnvs: 5", "default", "agentk8sglue.extraEnvs", "refused, kept as a comment: it is no list"),
            ("maxPods: 4", "default", "agentk8sglue.maxPods", "refused: nobody knows this field"),
        ] {
            let imported = chart(text);
            assert_eq!(served(&imported), queues, "{text}");
            let rows: Vec<_> = imported.report.iter().filter(|row| row[0] == field).collect();
            assert!(rows.iter().any(|row| row[1].starts_with(why)), "{text}: {:?}", imported.report);
            parse(&imported.settings, Path::new("t")).unwrap();
        }
        let secret = chart("basePodTemplate: {env: [{name: GIT_TOKEN, value: hush}]}");
        assert!(became(&secret, "agentk8sglue.basePodTemplate.env.GIT_TOKEN").starts_with("refused: it is a secret"));
    }

    #[test]
    fn a_field_that_nobody_knows_is_refused_by_name() {
        let text = EXAMPLE.replace("cpu_only: true", "gpu_flavour: hot");
        let imported = import(&text, "a.yaml", None).unwrap();
        let row = imported.report.iter().find(|row| row[0].ends_with("gpu_flavour")).unwrap();
        assert!(row[1].starts_with("refused"), "{row:?}");
    }

    #[test]
    fn what_is_no_autoscaler_s_file_is_refused() {
        for text in ["", "a", "[]", "- 1", "a: [", "hyper_params: {}", "queues: 3", "*a", "\u{0}"] {
            assert!(import(text, "a", None).is_err(), "{text}");
        }
    }

    fn value(kind: Kind) -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 24, 4, move |inner| {
            let names = prop::sample::select(rows::of(kind).flat_map(|row| row.names).copied().collect::<Vec<_>>());
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::vec((names, inner), 0..6)
                    .prop_map(|entries| entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(?s).*") {
            let _ = import(&text, "t", None);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..GCP.len()) {
            // In the middle of an export.
            let whole = [GCP.as_bytes().get(..at).unwrap(), &bytes, GCP.as_bytes().get(at..).unwrap()].concat();
            let _ = import(&String::from_utf8_lossy(&whole), "t", None);
            let _ = import(&String::from_utf8_lossy(&bytes), "t", None);
        }

        /// Whatever the fields hold, what is written is TOML whose every value is allowed.
        #[test]
        fn any_values_of_the_gcp_app_become_valid_settings(
            general in value(Kind::Gcp), resource in value(Kind::Gcp), max in value(Kind::Gcp), name in ".{0,8}"
        ) {
            let mut machine = resource.as_object().cloned().unwrap_or_default();
            machine.insert("machine_type".to_owned(), "g2-standard-4".into());
            machine.insert("resource_name".to_owned(), name.into());
            machine.insert("queue_name".to_owned(), "q".into());
            machine.insert("max_number_of_instances".to_owned(), max);
            let text = serde_json::json!({ "general": general, "instance_queue_list": [machine] });
            if let Ok(imported) = import(&text.to_string(), "t", None)
                && let Err(problems) = parse(&imported.settings, Path::new("t"))
            {
                for problem in problems.problems {
                    let missing = problem.message.starts_with("is missing");
                    prop_assert!(missing, "{} {:?}\n{}", problem.message, problem.key, imported.settings);
                }
            }
        }

        /// Whatever the fields hold, what is written is TOML whose every value is allowed.
        #[test]
        fn any_values_become_valid_settings(
            general in value(Kind::Aws), resource in value(Kind::Aws), max in value(Kind::Aws), name in ".{0,8}"
        ) {
            let text = serde_json::json!({
                "hyper_params": general,
                "configurations": {
                    "resource_configurations": { name.clone(): resource },
                    "queues": { "q": [[name, max]] },
                },
            });
            if let Ok(imported) = import(&text.to_string(), "t", None)
                && let Err(problems) = parse(&imported.settings, Path::new("t"))
            {
                for problem in problems.problems {
                    let missing = problem.message.starts_with("is missing");
                    prop_assert!(missing, "{} {:?}\n{}", problem.message, problem.key, imported.settings);
                }
            }
        }
    }
}
