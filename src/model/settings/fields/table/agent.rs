//! Rows of pools: what runs on a machine.

use super::super::rules::{ARGUMENT, CLOUD_SECRET, IMAGE, REQUIREMENT, SCRIPT, VERSION};
use super::super::{Field, Kind, Takes, Unset};
use super::at;
use crate::model::settings::agent::MOST_AGENTS;

pub(super) const AGENT: &[Field] = &[
    Field {
        name: "init_script",
        kind: Kind::Text(SCRIPT),
        unset: Unset::Means("none"),
        takes: Takes::NewMachines,
        doc: "Shell that the machine runs as root at each of its boots, before the agent starts. No secrets: whoever can describe \
              the machine reads it.",
        example: "apt-get install -y ffmpeg",
        later: &[],
        lens: at!(Pool, agent.init_script),
    },
    Field {
        name: "agent_version",
        kind: Kind::Text(VERSION),
        unset: Unset::Is("3.0.3"),
        takes: Takes::NewMachines,
        doc: "The exact version of clearml-agent that the machine installs.",
        example: "3.0.2",
        later: &[],
        lens: at!(Pool, agent.agent_version),
    },
    Field {
        name: "agent_requirements",
        kind: Kind::List { item: REQUIREMENT, some: false },
        unset: Unset::Means("what pip finds for `agent_version`"),
        takes: Takes::NewMachines,
        doc: "The agent and all that it needs, each at one version with the hashes of its files, as `pip-compile --generate-hashes` has \
              them, a line each; pip installs nothing else. Not asked for where the image has that agent already.",
        example: "clearml-agent==3.0.3 --hash=sha256:b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c",
        later: &[],
        lens: at!(Pool, agent.agent_requirements),
    },
    Field {
        name: "agent_credentials",
        kind: Kind::Hidden(CLOUD_SECRET),
        unset: Unset::Means("a token for the boot, minted by the console"),
        takes: Takes::NewMachines,
        doc: "Where the cloud keeps the agents' ClearML key, `KEY:SECRET` or JSON with `access_key` and `secret_key`. The machine reads it \
              with the role of its `instance_profile`, which may `ssm:GetParameter` or `secretsmanager:GetSecretValue`; of Google's with its \
              `service_account`, which has the role `secretmanager.secretAccessor` there. A name alone is a secret of the machine's own project, in its \
              latest version; `projects/P/secrets/NAME/versions/V` says more.",
        example: "ssm:/tidegate/agents",
        later: &[],
        lens: at!(Pool, agent.agent_credentials),
    },
    Field {
        name: "git_credentials",
        kind: Kind::Hidden(CLOUD_SECRET),
        unset: Unset::Means("none"),
        takes: Takes::NewMachines,
        doc: "Where the cloud keeps the user and token for git over https, `USER:TOKEN` or JSON with `username` and `password`; read \
              as `agent_credentials` is.",
        example: "secretsmanager:tidegate/git",
        later: &[],
        lens: at!(Pool, agent.git_credentials),
    },
    Field {
        name: "agents_per_machine",
        kind: Kind::Whole { unit: "agents", min: 1, max: MOST_AGENTS as i64 },
        unset: Unset::Is("1"),
        takes: Takes::NewMachines,
        doc: "How many agents a machine runs, and so how many tasks at a time. Its GPUs, as `nvidia-smi` lists them, are shared out \
              among them, some having one more where they do not divide evenly; a machine with fewer GPUs than agents ends \
              itself. Without GPUs, or with `cpu_only`, all agents share the whole machine. Limits count machines.",
        example: "4",
        later: &[],
        lens: at!(Pool, agent.agents_per_machine),
    },
    Field {
        name: "cpu_only",
        kind: Kind::Flag,
        unset: Unset::Is("false"),
        takes: Takes::NewMachines,
        doc: "Whether tasks are kept from GPUs. Docker mode needs it on machines that have none.",
        example: "true",
        later: &[],
        lens: at!(Pool, agent.cpu_only),
    },
    Field {
        name: "docker",
        kind: Kind::Flag,
        unset: Unset::Is("false"),
        takes: Takes::NewMachines,
        doc: "Whether each task runs in a container. The machines' image has docker on it, or `init_script` installs it.",
        example: "true",
        later: &[],
        lens: at!(Pool, agent.docker),
    },
    Field {
        name: "docker_image",
        kind: Kind::Text(IMAGE),
        unset: Unset::Means("the agent's own choice"),
        takes: Takes::NewMachines,
        doc: "The container's image for tasks that name none; with `docker`.",
        example: "nvidia/cuda:12.4.1-runtime-ubuntu22.04",
        later: &[],
        lens: at!(Pool, agent.docker_image),
    },
    Field {
        name: "docker_arguments",
        kind: Kind::List { item: ARGUMENT, some: false },
        unset: Unset::Means("none"),
        takes: Takes::NewMachines,
        doc: "Arguments of `docker run` for every task, before the task's own; with `docker`.",
        example: "--ipc=host",
        later: &[],
        lens: at!(Pool, agent.docker_arguments),
    },
    Field {
        name: "extra_clearml_conf",
        kind: Kind::Hocon,
        unset: Unset::Means("none"),
        takes: Takes::NewMachines,
        doc: "More clearml.conf for the agent, behind the image's own; what the guard needs wins. No secrets: whoever can describe \
              the machine reads it.",
        example: "agent.package_manager.system_site_packages: true",
        later: &[],
        lens: at!(Pool, agent.extra_clearml_conf),
    },
    Field {
        name: "agent_arguments",
        kind: Kind::List { item: ARGUMENT, some: false },
        unset: Unset::Means("none"),
        takes: Takes::NewMachines,
        doc: "More arguments of `clearml-agent daemon`; not those that a setting of its own or the boot script sets.",
        example: "--child-report-tags, rented",
        later: &[],
        lens: at!(Pool, agent.agent_arguments),
    },
];
