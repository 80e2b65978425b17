//! How the boot script starts the agent: the words of its command line.

use crate::model::ids::QueueName;
use crate::model::settings::AgentSettings;
use crate::world::guard::GuardError;
use crate::world::guard::shell::{quoted, words};

/// The script's arguments become the agent's. Ours stand before the user's: an option that takes any number of words ends
/// with the next one.
pub(super) fn command(agent: &AgentSettings, queues: &[QueueName]) -> Result<String, GuardError> {
    let mut line = "set -- daemon".to_owned();
    if agent.cpu_only {
        line.push_str(" --cpu-only");
    }
    if agent.docker {
        line.push_str(" --docker");
        if let Some(image) = &agent.docker_image {
            line.extend([" ", &quoted(image, "docker_image")?]);
        }
    }
    line.push_str(" --foreground");
    for argument in &agent.agent_arguments {
        line.extend([" ", &quoted(argument, "agent_arguments")?]);
    }
    line.push_str(" --queue");
    for queue in queues {
        line.extend([" ", &quoted(queue.as_str(), "a queue's name")?]);
    }
    line.push('\n');
    Ok(line)
}

/// Arguments of `docker run` as the agent reads them, split by the shell's rules.
pub(super) fn docker_arguments(agent: &AgentSettings) -> Result<String, GuardError> {
    words(&agent.docker_arguments, "docker_arguments")
}
