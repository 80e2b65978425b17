//! What runs on a machine of a pool.

use serde::{Deserialize, Serialize};

/// How a machine is prepared, and how clearml-agent is started there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AgentSettings {
    /// Shell, run as root before the agent starts.
    pub init_script: Option<String>,
    /// Exact version of clearml-agent that the machine installs.
    pub agent_version: String,
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
}

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

impl AgentSettings {
    /// What does not hold between these settings: the setting to mend, and why.
    pub(super) fn complaints(&self) -> impl Iterator<Item = (&'static str, String)> {
        let arguments = self.agent_arguments.iter().filter_map(|argument| {
            let why = reserved(argument)?;
            Some(("agent_arguments", format!("`{argument}` is not for here: {why}")))
        });
        let without_docker = |field| (field, "docker mode is off: set `docker = true` too".to_owned());
        let image = (!self.docker && self.docker_image.is_some()).then(|| without_docker("docker_image"));
        let run = (!self.docker && !self.docker_arguments.is_empty()).then(|| without_docker("docker_arguments"));
        arguments.chain(image).chain(run)
    }
}

/// Why this cannot stand in `agent_arguments`. The agent takes the beginning of an option for the option.
fn reserved(argument: &str) -> Option<&'static str> {
    let option = argument.split_once('=').map_or(argument, |(option, _)| option);
    let is = |known: &str| option == known || (option.len() > "--".len() && known.starts_with(option));
    RESERVED.iter().find(|(known, _)| is(known)).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_guard_needs_is_not_for_the_arguments() {
        for argument in
            ["--docker", "--dock", "--docker=img", "--cpu-only", "--queue", "--q", "-d", "--services-mode=2"]
        {
            assert!(reserved(argument).is_some(), "{argument}");
        }
        for argument in
            ["--gpus", "0,1", "--standalone-mode", "--", "-", "", "queue", "--log-level", "--order-fairness"]
        {
            assert!(reserved(argument).is_none(), "{argument}");
        }
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
