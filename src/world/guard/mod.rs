//! What runs on a machine: a boot script that arms a power-off, starts the pinned agent behind its gate and
//! ends the machine when nobody needs it (GUARD.md). The scripts themselves are in `assets/guard`.

mod agent;
mod bare;
mod shell;

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::SignedDuration;

use crate::model::ids::lease_queue;
use crate::model::settings::{GuardKind, OnIdle, PoolSettings, Provider};
use crate::world::cloud::LaunchOrder;
use crate::world::guard::bare::bare;
use crate::world::guard::shell::quoted;

const BOOT: &str = include_str!("../../../assets/guard/boot.sh");
const GATE: &str = include_str!("../../../assets/guard/gate.py");
const SERVER: &str = include_str!("../../../assets/guard/server.py");
const AWS: &str = include_str!("../../../assets/guard/aws.py");
const GCE: &str = include_str!("../../../assets/guard/gce.py");
const PLAIN: &str = include_str!("../../../assets/guard/plain.py");
const AWS_SECRET: &str = include_str!("../../../assets/guard/secret.py");
const GCE_SECRET: &str = include_str!("../../../assets/guard/gce_secret.py");

/// Ends a file inside the script; no line of ours is this.
const END_OF_FILE: &str = "TIDEGATE_END_OF_FILE";

/// What a reader of the script is told first where there is no gate.
const HOLD: &str = "\
# guard = hold: the agent runs as it is and asks drain:<this machine> first. The console drains it by a hidden task there. By
# itself this script ends the machine only when a hidden task of its own runs there, which proves that nothing else does:
# at a spot notice, and when the console is lost and the machine idle. It does so without that proof at the end of its life.
";
const OFF: &str =
    "# guard = off: nothing here answers a drain; this script ends the machine at the end of its life only.\n";

/// EC2's limit on user data, in bytes before base64.
pub const USER_DATA_LIMIT: usize = 16_384;

/// Compute Engine's limit on one value of a machine's metadata, in bytes.
pub const METADATA_LIMIT: usize = 262_144;

/// A ClearML server gives no token that lives longer.
const LONGEST_TOKEN: SignedDuration = SignedDuration::from_hours(365 * 24);

/// Why a machine cannot be given its script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    #[error("{what} holds a zero byte, which no shell can say")]
    ZeroByte { what: &'static str },
    #[error("pool {pool} makes pods: no boot script runs on them")]
    NoMachine { pool: String },
    #[error("pool {pool} is served by no queue: its agents would have nothing to listen to")]
    NoQueue { pool: String },
    #[error(
        "the user data is {bytes} bytes compressed, and the cloud takes {USER_DATA_LIMIT}: shorten init_script \
         ({init_script} bytes), or bake it into the image"
    )]
    TooLarge { bytes: usize, init_script: usize },
    #[error(
        "the startup script is {bytes} bytes, and the cloud takes {METADATA_LIMIT}: shorten init_script \
         ({init_script} bytes), or bake it into the image"
    )]
    ScriptTooLarge { bytes: usize, init_script: usize },
    #[error("the user data cannot be compressed: {0}")]
    Compression(String),
}

/// The script that a machine of this order runs as root at its first boot, and, by its own doing, at every other.
pub fn boot_script(order: &LaunchOrder) -> Result<String, GuardError> {
    script(order, "")
}

/// The same for a machine whose name is known before it is made, and whose cloud runs the script at every boot.
pub fn startup_script(order: &LaunchOrder, machine: &str) -> Result<String, GuardError> {
    let script = script(order, machine)?;
    if script.len() > METADATA_LIMIT {
        let init_script = order.pool.agent.init_script.as_deref().unwrap_or_default().len();
        return Err(GuardError::ScriptTooLarge { bytes: script.len(), init_script });
    }
    Ok(script)
}

fn script(order: &LaunchOrder, machine: &str) -> Result<String, GuardError> {
    let (pool, agent) = (&order.pool, &order.pool.agent);
    if order.queues.is_empty() {
        return Err(GuardError::NoQueue { pool: pool.name.to_string() });
    }
    // Which type it is, the machine asks the cloud where that chose it.
    let machine_type = if order.bids.is_empty() { order.launch.machine_type.as_str() } else { "" };
    let worker_prefix = format!("{}:{}:{machine_type}", order.fleet, pool.name);
    let guard = match pool.guard {
        GuardKind::Gate => "gate",
        GuardKind::Hold => "hold",
        GuardKind::Off => "",
    };
    let max_life = pool.max_life.as_secs().max(0).to_string();
    let token_life = token_life(pool).as_secs().to_string();
    let lease = lease_queue(&order.fleet);
    let credentials = agent.agent_credentials.as_deref().unwrap_or_default();
    let docker_arguments = agent::docker_arguments(agent)?;
    let requirements = agent.agent_requirements.join("\n");
    let agents = agent.agents();
    let share_gpus = if agents > 1 && !agent.cpu_only { "yes" } else { "" };
    let agents = agents.to_string();
    let values = [
        ("WORKER_PREFIX", worker_prefix.as_str(), "the worker's name"),
        ("MACHINE", machine, "the machine's name"),
        ("API_SERVER", &order.agents.api_server, "the API server's address"),
        // By reference the machine makes a token of its own: none stands in what is given to the cloud.
        ("TOKEN", if credentials.is_empty() { order.agents.token.expose() } else { "" }, "the token"),
        ("CREDENTIALS", credentials, "agent_credentials"),
        ("GIT", agent.git_credentials.as_deref().unwrap_or_default(), "git_credentials"),
        ("TOKEN_LIFE", &token_life, "the token's life"),
        ("LEASE", lease.as_str(), "the fleet's name"),
        ("GUARD", guard, "the guard's kind"),
        ("MAX_LIFE", &max_life, "max_life"),
        ("AGENT_VERSION", &agent.agent_version, "agent_version"),
        ("REQUIREMENTS", &requirements, "agent_requirements"),
        ("DOCKER", if agent.docker { "yes" } else { "" }, "docker"),
        ("DOCKER_ARGUMENTS", &docker_arguments, "docker_arguments"),
        ("CONF", agent.extra_clearml_conf.as_deref().unwrap_or_default(), "extra_clearml_conf"),
        ("AGENTS", &agents, "agents_per_machine"),
        ("SHARE_GPUS", share_gpus, "cpu_only"),
        ("INIT_SCRIPT", agent.init_script.as_deref().unwrap_or_default(), "init_script"),
    ];
    let mut script = format!(
        "#!/bin/sh\n# Tidegate, settings {}: starts clearml-agent and ends this machine when nobody needs it.\n",
        order.revision
    );
    script.push_str(match pool.guard {
        GuardKind::Gate => "",
        GuardKind::Hold => HOLD,
        GuardKind::Off => OFF,
    });
    for (name, value, what) in values {
        script.extend([name, "=", &quoted(value, what)?, "\n"]);
    }
    script.push_str(&agent::command(agent, &order.queues)?);
    let Some((preparation, work)) = BOOT.split_once("# --- the files\n") else { return Ok(script + BOOT) };
    script.push_str(&bare(preparation));
    let (cloud, store) = match pool.provider {
        Provider::Aws => (AWS, AWS_SECRET),
        Provider::Gce => (GCE, GCE_SECRET),
        // No secret is read there: the settings hold none for it.
        Provider::Exec => (PLAIN, ""),
        Provider::Kubernetes => return Err(GuardError::NoMachine { pool: pool.name.to_string() }),
    };
    let secret = agent.secrets().next().map(|_| ("secret.py", store));
    for (name, text) in [("gate.py", GATE), ("server.py", SERVER), ("cloud.py", cloud)].into_iter().chain(secret) {
        script.extend(["cat >\"$RUN/", name, "\" <<'", END_OF_FILE, "'\n", &bare(text), END_OF_FILE, "\n"]);
    }
    script.push_str(&bare(work));
    Ok(script)
}

/// How long a token lives that the machine fetches for itself once a minute: its agent may be down for a day, and a
/// machine that is switched off for as long as it is kept must still be known when it comes back.
fn token_life(pool: &PoolSettings) -> SignedDuration {
    let kept = match pool.on_idle {
        OnIdle::Stop => pool.stopped_for.saturating_add(pool.max_boot),
        OnIdle::Terminate => SignedDuration::ZERO,
    };
    kept.max(SignedDuration::from_hours(24)).min(LONGEST_TOKEN)
}

/// The script as EC2 takes it: compressed, in base64. The same script gives the same bytes.
pub fn user_data(order: &LaunchOrder) -> Result<String, GuardError> {
    let script = boot_script(order)?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let compressed = encoder.write_all(script.as_bytes()).and_then(|()| encoder.finish());
    let compressed = compressed.map_err(|error| GuardError::Compression(error.to_string()))?;
    if compressed.len() > USER_DATA_LIMIT {
        let init_script = order.pool.agent.init_script.as_deref().unwrap_or_default().len();
        return Err(GuardError::TooLarge { bytes: compressed.len(), init_script });
    }
    Ok(STANDARD.encode(compressed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Term;
    use crate::model::money::Money;
    use crate::model::plan::Launch;
    use crate::model::settings::{Market, PoolSettings};
    use crate::world::cloud::AgentAccess;
    use crate::world::secret::Secret;
    use flate2::read::GzDecoder;
    use jiff::SignedDuration;
    use proptest::prelude::*;
    use std::io::Read;
    use std::process::{Command, Stdio};

    fn order() -> LaunchOrder {
        LaunchOrder {
            fleet: "research".into(),
            batch: "b1".into(),
            launch: Launch {
                pool: "p4d".into(),
                queue: "gpu".into(),
                machine_type: "p4d.24xlarge".into(),
                market: Market::OnDemand,
                count: 1,
                vcpu: 96,
                gpu: 8,
                rate: None,
                reservation: Money::ZERO,
                choices: Vec::new(),
            },
            pool: PoolSettings {
                region: "us-east-1".to_owned(),
                types: vec!["p4d.24xlarge".into()],
                max_boot: SignedDuration::from_mins(10),
                ..PoolSettings::with_defaults("p4d")
            },
            revision: crate::model::ids::Revision::new("abc"),
            term: Term(1),
            queues: vec!["gpu".into(), "cpu small".into()],
            agents: AgentAccess { api_server: "https://api.example.com".to_owned(), token: Secret::new("t0ken") },
            bids: Vec::new(),
        }
    }

    /// Runs a script in sh; its standard output, if it succeeded.
    fn sh(arguments: &[&str], script: &str) -> Option<String> {
        let mut child = Command::new("sh");
        child.args(arguments).arg("/dev/stdin").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = child.spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The script up to where it does anything, then what its variables and arguments have become.
    fn said(order: &LaunchOrder) -> String {
        let script = boot_script(order).unwrap();
        let (values, _) = script.split_once("\nset -u\n").unwrap();
        let show = r#"printf '%s\0' "$WORKER_PREFIX" "$TOKEN" "$INIT_SCRIPT" "$MAX_LIFE" "$@""#;
        sh(&[], &format!("{values}\n{show}")).unwrap()
    }

    #[test]
    fn the_script_is_whole_and_sh_can_read_it() {
        let script = boot_script(&order()).unwrap();
        assert!(sh(&["-n"], &script).is_some());
        for part in ["shutdown -P", "gate.py\" <<", "server.py\" <<", "cloud.py\" <<", "CLEARML_WORKER_ID", "renew"] {
            assert!(script.contains(part), "{part}");
        }
        assert!(!script.contains("--create-queue") && !script.contains("set -x"));
        assert!(script.find("shutdown -P") < script.find("\"$INIT_SCRIPT\" ]"));
        for text in [GATE, SERVER, AWS, GCE, PLAIN, AWS_SECRET, GCE_SECRET] {
            assert!(text.ends_with('\n') && text.lines().all(|line| line != END_OF_FILE));
        }
    }

    #[test]
    fn a_machine_of_googles_is_told_its_name_and_asks_googles_metadata() {
        let mut order = order();
        assert!(boot_script(&order).unwrap().contains("\nMACHINE=''\n"));
        order.pool.provider = Provider::Gce;
        let script = startup_script(&order, "tidegate-b1-0").unwrap();
        assert!(script.contains("\nMACHINE='tidegate-b1-0'\n") && script.contains("Metadata-Flavor"));
        assert!(sh(&["-n"], &script).is_some() && !script.contains("X-aws-ec2"));
        order.pool.agent.git_credentials = Some("secretmanager:git".to_owned());
        let script = startup_script(&order, "m").unwrap();
        assert!(script.contains("secretmanager.googleapis.com") && !script.contains("AWS4-HMAC"));
        assert!(sh(&["-n"], &script).is_some());
        order.pool.agent.init_script = Some("#".repeat(METADATA_LIMIT));
        assert!(matches!(startup_script(&order, "m"), Err(GuardError::ScriptTooLarge { .. })));
    }

    #[test]
    fn a_machine_of_a_programs_is_told_its_name_and_asks_no_metadata() {
        let mut order = order();
        order.pool.provider = Provider::Exec;
        let script = startup_script(&order, "tidegate-b1-0").unwrap();
        assert!(script.contains("\nMACHINE='tidegate-b1-0'\n") && !script.contains("169.254.169.254"));
        assert!(sh(&["-n"], &script).is_some() && !script.contains("secret.py\" <<"));
    }

    #[test]
    fn the_machine_learns_its_name_and_its_queues_in_order() {
        let mut order = order();
        order.pool.agent.cpu_only = true;
        order.pool.agent.docker = true;
        order.pool.agent.docker_image = Some("image".to_owned());
        order.pool.agent.agent_arguments = vec!["--log-level".to_owned(), "a b".to_owned()];
        let parts: Vec<String> = said(&order).split('\0').map(ToOwned::to_owned).collect();
        let wanted = [
            "research:p4d:p4d.24xlarge",
            "t0ken",
            "",
            "259200",
            "daemon",
            "--cpu-only",
            "--docker",
            "image",
            "--foreground",
            "--log-level",
            "a b",
            "--queue",
            "gpu",
            "cpu small",
            "",
        ];
        assert_eq!(parts, wanted);
    }

    #[test]
    fn each_kind_of_guard_says_what_it_does_in_a_script_that_sh_can_read() {
        for (kind, word) in [
            (GuardKind::Gate, "GUARD='gate'"),
            (GuardKind::Hold, "# guard = hold: "),
            (GuardKind::Off, "# guard = off: "),
        ] {
            let mut order = order();
            order.pool.guard = kind;
            let script = boot_script(&order).unwrap();
            assert!(script.contains(word) && sh(&["-n"], &script).is_some(), "{kind:?}");
            assert_eq!(script.contains("# guard = "), kind != GuardKind::Gate);
        }
    }

    /// A machine that was kept for as long as it may be has a token when it comes back.
    #[test]
    fn a_token_outlives_the_time_that_a_machine_is_switched_off() {
        let life = |on_idle, days: i64| {
            let mut order = order();
            (order.pool.on_idle, order.pool.stopped_for) = (on_idle, SignedDuration::from_hours(24 * days));
            let script = boot_script(&order).unwrap();
            let line = script.lines().find_map(|line| line.strip_prefix("TOKEN_LIFE=")).unwrap();
            line.trim_matches('\'').parse::<i64>().unwrap()
        };
        assert_eq!(life(OnIdle::Terminate, 7), 86_400);
        assert_eq!(life(OnIdle::Stop, 7), 7 * 86_400 + 600);
        assert_eq!(life(OnIdle::Stop, 365), 365 * 86_400);
    }

    #[test]
    fn a_machine_that_reads_its_key_in_the_cloud_is_given_no_token() {
        let mut order = order();
        assert!(!boot_script(&order).unwrap().contains("secret.py\" <<"));
        order.pool.agent.agent_credentials = Some("ssm:/agents".to_owned());
        let script = boot_script(&order).unwrap();
        assert!(script.contains("secret.py\" <<") && !script.contains("t0ken"));
        assert!(sh(&["-n"], &script).is_some());
    }

    #[test]
    fn what_no_script_can_hold_is_refused() {
        let mut zero = order();
        zero.queues = vec!["a\0b".into()];
        assert!(matches!(boot_script(&zero), Err(GuardError::ZeroByte { what: "a queue's name" })));
        let mut nobody = order();
        nobody.queues.clear();
        assert!(matches!(boot_script(&nobody), Err(GuardError::NoQueue { .. })));
    }

    #[test]
    fn user_data_is_the_script_and_too_much_is_refused_with_its_size() {
        let order = order();
        let data = STANDARD.decode(user_data(&order).unwrap()).unwrap();
        // Even in base64 a quarter is the pool's: its init script, some three times as long before it is compressed.
        assert!(data.len() * 4 / 3 < USER_DATA_LIMIT * 3 / 4, "{}", data.len());
        let mut script = String::new();
        GzDecoder::new(data.as_slice()).read_to_string(&mut script).unwrap();
        assert_eq!(script, boot_script(&order).unwrap());
        let mut large = order;
        large.pool.agent.git_credentials = Some("ssm:/git".to_owned());
        let data = STANDARD.decode(user_data(&large).unwrap()).unwrap();
        assert!(data.len() < USER_DATA_LIMIT * 5 / 8, "{}", data.len());
        let words = (0_u64..20_000).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_string());
        let noise: String = words.collect();
        large.pool.agent.init_script = Some(noise.clone());
        let error = user_data(&large).unwrap_err();
        assert!(
            matches!(error, GuardError::TooLarge { bytes, init_script } if bytes > USER_DATA_LIMIT && init_script == noise.len())
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_value_arrives_as_it_is(token in "[^\0]{0,60}", init in "[^\0]*", queue in "[^\0]+", argument in "[ -~]*") {
            let mut order = order();
            order.agents.token = Secret::new(token.clone());
            order.pool.agent.init_script = Some(init.clone());
            order.pool.agent.agent_arguments = vec![argument.clone()];
            order.queues = vec![queue.as_str().into()];
            let said = said(&order);
            let parts: Vec<&str> = said.split('\0').collect();
            prop_assert_eq!(
                parts,
                ["research:p4d:p4d.24xlarge", &token, &init, "259200", "daemon", "--foreground", &argument, "--queue", &queue, ""]
            );
        }
    }
}
