//! What runs on a machine of a pool.

use serde::{Deserialize, Serialize};

use crate::model::settings::Provider;

/// How a machine is prepared, and how clearml-agent is started there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AgentSettings {
    /// Shell, run as root before the agent starts.
    pub init_script: Option<String>,
    /// Exact version of clearml-agent that the machine installs.
    pub agent_version: String,
    /// What is installed with it, each at one version with its hashes; empty: whatever the installer finds.
    pub agent_requirements: Vec<String>,
    /// Where in the cloud the agents' key is; `None`: the machine is given a token for its boot.
    pub agent_credentials: Option<String>,
    /// Where in the cloud the user and the token for git are.
    pub git_credentials: Option<String>,
    /// Whether tasks are kept from GPUs.
    pub cpu_only: bool,
    /// Whether each task runs in a container.
    pub docker: bool,
    /// The container's image where a task names none; `None`: the agent's own choice.
    pub docker_image: Option<String>,
    /// Arguments of `docker run` for every task.
    pub docker_arguments: Vec<String>,
    /// More clearml.conf, in its grammar.
    pub extra_clearml_conf: Option<String>,
    /// Extra arguments of `clearml-agent daemon`.
    pub agent_arguments: Vec<String>,
    /// How many agents a machine runs, each with its share of the GPUs and with one task at a time.
    pub agents_per_machine: u32,
}

/// No machine runs more agents.
pub const MOST_AGENTS: u32 = 16;

/// Options of the agent that are not for `agent_arguments`: each with a setting of its own, or with the reason.
const RESERVED: &[(&str, &str)] = &[
    ("--cpu-only", "set it by `cpu_only`"),
    ("--docker", "set it by `docker` and `docker_image`"),
    ("--podman", "set it by `docker` and `docker_image`"),
    ("--queue", "the agent listens to the queues that name the pool"),
    ("--create-queue", "no queue of yours is made by a machine"),
    ("--foreground", "the boot script starts the agent so"),
    ("--detached", "the boot script could not tell whether the agent lives"),
    ("-d", "the boot script could not tell whether the agent lives"),
    ("--stop", "it starts no agent"),
    ("--status", "it starts no agent"),
    ("--services-mode", "a drain could not tell when all tasks have ended"),
    ("--dynamic-gpus", "a drain could not tell when all tasks have ended"),
    ("--git-user", "whoever can describe the machine would read it"),
    ("--git-pass", "whoever can describe the machine would read it"),
];

/// Options that several agents of one machine cannot share.
const OF_EACH: &[(&str, &str)] = &[("--gpus", "each agent is given its share of the machine's GPUs")];

impl AgentSettings {
    /// What the machine reads with its role: the setting, and the place in the cloud that it names.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let named = [("agent_credentials", &self.agent_credentials), ("git_credentials", &self.git_credentials)];
        named.into_iter().filter_map(|(field, place)| Some((field, place.as_deref()?)))
    }

    /// How many tasks a machine runs at a time: one for each agent.
    #[must_use]
    pub fn agents(&self) -> u32 {
        self.agents_per_machine.clamp(1, MOST_AGENTS)
    }

    /// What does not hold between these settings: the setting to mend, and why.
    pub(super) fn complaints(&self) -> impl Iterator<Item = (&'static str, String)> {
        let arguments = self.agent_arguments.iter().filter_map(|argument| {
            let why = reserved(argument, RESERVED).map(ToOwned::to_owned);
            let share = || {
                let agents = self.agents();
                let why = reserved(argument, OF_EACH).filter(|_| agents > 1)?;
                Some(format!("{why}, with `agents_per_machine = {agents}`"))
            };
            Some(("agent_arguments", format!("`{argument}` is not for here: {}", why.or_else(share)?)))
        });
        let without_docker = |field| (field, "docker mode is off: set `docker = true` too".to_owned());
        let image = (!self.docker && self.docker_image.is_some()).then(|| without_docker("docker_image"));
        let run = (!self.docker && !self.docker_arguments.is_empty()).then(|| without_docker("docker_arguments"));
        let pin = format!("clearml-agent=={}", self.agent_version);
        let is_pinned = |line: &String| line.split_whitespace().next().is_some_and(|name| pins(name, &pin));
        let unpinned = (!self.agent_requirements.is_empty() && !self.agent_requirements.iter().any(is_pinned))
            .then(|| ("agent_requirements", format!("no line is of `{pin}`, which `agent_version` says")));
        arguments.chain(image).chain(run).chain(unpinned)
    }
}

/// Why this cannot stand in `agent_arguments`. The agent takes the beginning of an option for the option.
fn reserved(argument: &str, options: &[(&str, &'static str)]) -> Option<&'static str> {
    let option = argument.split_once('=').map_or(argument, |(option, _)| option);
    let is = |known: &str| option == known || (option.len() > "--".len() && known.starts_with(option));
    options.iter().find(|(known, _)| is(known)).map(|(_, why)| *why)
}

/// Whose secret store a place is in, by the store's name before the colon.
pub(super) fn store_of(place: &str) -> Option<(Provider, &str)> {
    match place.split_once(':')?.0 {
        store @ ("ssm" | "secretsmanager") => Some((Provider::Aws, store)),
        store @ "secretmanager" => Some((Provider::Gce, store)),
        _ => None,
    }
}

/// A place in a secret store of the cloud: `ssm:NAME` or `secretsmanager:NAME` of AWS's, by name or ARN; `secretmanager:NAME` of
/// Google's, by the secret's name or the whole name of it or of a version.
pub(super) fn is_cloud_secret(text: &str) -> bool {
    let name = text.split_once(':').map_or("", |(_, name)| name);
    match store_of(text) {
        Some((Provider::Aws, _)) => is_aws_secret(name),
        Some((Provider::Gce, _)) => is_google_secret(name),
        Some((Provider::Kubernetes | Provider::Exec, _)) | None => false,
    }
}

fn is_google_secret(name: &str) -> bool {
    let is_name = |text: &str| {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-.:".contains(letter);
        !text.is_empty() && text.chars().all(plain)
    };
    let is_secret = |text: &str| is_name(text) && !text.contains(['.', ':']);
    match name.split('/').collect::<Vec<_>>().as_slice() {
        [secret] => is_secret(secret),
        ["projects", project, "secrets", secret] => is_name(project) && is_secret(secret),
        ["projects", project, "secrets", secret, "versions", version] => {
            is_name(project) && is_secret(secret) && is_secret(version)
        }
        _ => false,
    }
}

fn is_aws_secret(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/_.-+=@".contains(letter);
    let is_arn = name.starts_with("arn:") && name.split(':').count() >= 6;
    !name.is_empty() && name.chars().all(|letter| plain(letter) || (is_arn && letter == ':'))
}

/// Names of packages are the same in whatever case, with `-`, `_` or `.` in them.
fn pins(requirement: &str, pin: &str) -> bool {
    let plain = |text: &str| {
        let (name, version) = text.split_once("==")?;
        Some((name.to_ascii_lowercase().replace(['_', '.'], "-"), version.to_owned()))
    };
    plain(requirement) == plain(pin)
}

/// One line of pip's requirements: `name==version --hash=sha256:...`, with one hash for each file that may be installed.
pub(super) fn is_requirement(line: &str) -> bool {
    let mut words = line.split(' ');
    let is_part = |text: &str| {
        text.starts_with(|letter: char| letter.is_ascii_alphanumeric())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.+!".contains(letter))
    };
    let is_hash = |word: &str| {
        let digest = word.strip_prefix("--hash=sha256:").unwrap_or_default();
        digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let first = words.next().and_then(|requirement| requirement.split_once("=="));
    let hashes: Vec<&str> = words.collect();
    first.is_some_and(|(name, version)| is_part(name) && is_part(version))
        && !hashes.is_empty()
        && hashes.into_iter().all(is_hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_has_one_version_and_its_hashes() {
        let hash = format!("--hash=sha256:{}", "0a".repeat(32));
        for right in [format!("clearml-agent==3.0.3 {hash}"), format!("a.b_c==1.0rc1+cu1 {hash} {hash}")] {
            assert!(is_requirement(&right), "{right}");
        }
        for wrong in [
            String::new(),
            "clearml-agent==3.0.3".to_owned(),
            format!("clearml-agent>=3 {hash}"),
            format!("-r==1 {hash}"),
            format!("a==1  {hash}"),
            format!("a==1 {hash} --pre"),
            format!("a==1 {hash}0"),
            format!("a==1 ; b {hash}"),
            format!("a==1\nb==2 {hash}"),
        ] {
            assert!(!is_requirement(&wrong), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_named_by_its_place() {
        for right in [
            "ssm:/tidegate/git",
            "secretsmanager:agents",
            "secretsmanager:arn:aws:secretsmanager:eu-west-1:123456789012:secret:agents-AbCdEf",
            "secretmanager:git",
            "secretmanager:projects/example.com:lab/secrets/git",
            "secretmanager:projects/lab/secrets/git/versions/3",
        ] {
            assert!(is_cloud_secret(right), "{right}");
        }
        for wrong in [
            "",
            "ssm:",
            "robot:t0ken",
            "env:GIT",
            "ssm:a b",
            "ssm:a:b",
            "secretsmanager:arn:aws",
            "/git",
            "secretmanager:",
            "secretmanager:/git",
            "secretmanager:robot:t0ken",
            "secretmanager:projects/lab/git",
            "secretmanager:a/../b",
            "secretmanager:projects/lab/secrets/git/versions/",
        ] {
            assert!(!is_cloud_secret(wrong), "{wrong}");
        }
    }

    #[test]
    fn hashes_are_of_the_agent_s_own_version_too() {
        let line = |name: &str| format!("{name} --hash=sha256:{}", "0a".repeat(32));
        let mut agent = AgentSettings { agent_version: "3.0.3".to_owned(), ..AgentSettings::default() };
        assert_eq!(agent.complaints().count(), 0);
        agent.agent_requirements = vec![line("six==1.17.0"), line("clearml-agent==3.0.2")];
        let told = agent.complaints().next().unwrap();
        assert_eq!(told.0, "agent_requirements");
        assert!(told.1.contains("clearml-agent==3.0.3"), "{}", told.1);
        agent.agent_requirements.push(line("ClearML_agent==3.0.3"));
        assert_eq!(agent.complaints().count(), 0);
    }

    #[test]
    fn what_the_guard_needs_is_not_for_the_arguments() {
        for argument in
            ["--docker", "--dock", "--docker=img", "--cpu-only", "--queue", "--q", "-d", "--services-mode=2"]
        {
            assert!(reserved(argument, RESERVED).is_some(), "{argument}");
        }
        for argument in
            ["--gpus", "0,1", "--standalone-mode", "--", "-", "", "queue", "--log-level", "--order-fairness"]
        {
            assert!(reserved(argument, RESERVED).is_none(), "{argument}");
        }
    }

    #[test]
    fn several_agents_are_each_given_their_gpus() {
        let told = |argument: &str, agents_per_machine| {
            let agent_arguments = vec![argument.to_owned()];
            let agent = AgentSettings { agent_arguments, agents_per_machine, ..AgentSettings::default() };
            agent.complaints().map(|(_, why)| why).collect::<Vec<_>>()
        };
        for argument in ["--gpus", "--gpus=0,1", "--gpu"] {
            assert_eq!(told(argument, 1), Vec::<String>::new());
            let why = "each agent is given its share of the machine's GPUs, with `agents_per_machine = 2`";
            assert_eq!(told(argument, 2), [format!("`{argument}` is not for here: {why}")]);
        }
        assert_eq!(told("--log-level", 2), Vec::<String>::new());
    }

    #[test]
    fn a_container_s_settings_need_docker_mode() {
        let mut agent = AgentSettings { docker_image: Some("img".to_owned()), ..AgentSettings::default() };
        agent.docker_arguments = vec!["--ipc=host".to_owned()];
        let fields: Vec<_> = agent.complaints().map(|(field, _)| field).collect();
        assert_eq!(fields, ["docker_image", "docker_arguments"]);
        agent.docker = true;
        assert_eq!(agent.complaints().count(), 0);
    }
}
