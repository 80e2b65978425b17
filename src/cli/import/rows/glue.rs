//! What becomes of each field of ClearML's Kubernetes glue: its command line, its environment, and the values of its Helm chart.

use super::super::values;
use super::{Becomes, Row, row};
use crate::model::settings::key::Part;

use Becomes::{Address, Comment, Dropped, Refused, Script, Secret, Setting, Template};
use Part::{Clearml, Pool};

const PORTS: &str = "no Services are made and no pod is numbered for one: give the pods of sessions their Service by a label of the pod_template";
const OWN_POD: &str = "it is of the glue's own pod: `config/kubernetes/deployment.yaml` is ours";
const IN_TEMPLATE: &str = "pool.*.pod_template";
const KEYS: &str =
    "the console's key: export CONSOLE_ACCESS_KEY and CONSOLE_SECRET_KEY, and write credentials = \"env:CONSOLE\"";
const ALWAYS: &str = "a task's pod is always a Job's, so that its end is known when it is gone";

pub(super) const ROWS: &[Row] = &[
    // The command line; the names of the image's and the library's environment beside.
    row(&["queue", "k8s_glue_queue", "agentk8sglue_queue"], Dropped("each is a [queue.X] below")),
    row(
        &["create_queue", "agentk8sglue_createqueueifnotexists"],
        Refused("queues are never created here: `check` says which is missing"),
    ),
    row(&["k8s_pending_queue_name"], Setting(Pool, "pending_queue", values::text)),
    row(&["max_pods", "k8s_glue_max_pods"], Setting(Pool, "max", values::whole)),
    row(
        &[
            "ports_mode",
            "num_of_services",
            "base_port",
            "base_pod_num",
            "gateway_address",
            "limit_pod_label",
            "sessions_portmodeenabled",
            "sessions_svcannotations",
            "sessions_svctype",
            "sessions_externalip",
            "sessions_startingport",
            "sessions_maxservices",
            "user_props_cb",
        ],
        Refused(PORTS),
    ),
    row(&["namespace"], Setting(Pool, "namespace", values::text)),
    row(&["pod_name_prefix"], Dropped("a Job is called after its task and its try, so that two never have one name")),
    row(&["template_yaml"], Setting(Pool, "pod_template", values::file)),
    row(&["pod_template"], Setting(Pool, "pod_template", values::text)),
    row(&["overrides_yaml"], Refused("the glue reads it and uses it nowhere: what it says belongs into the template")),
    row(
        &["container_bash_script", "start_agent_script_path", "k8s_glue_start_agent_script_path"],
        Comment("the pod's script is ours: put what is yours into init_script"),
    ),
    row(&["no_system_packages"], Setting(Pool, "extra_clearml_conf", values::no_system_packages)),
    row(&["ssh_server_port"], Refused("no SSH server is started in pods: put one into the image or into init_script")),
    row(
        &["use_owner_token"],
        Refused("of ClearML Enterprise: a pod's agent has a short-lived token of the agents' user"),
    ),
    row(
        &["pod_clearml_conf"],
        Comment("put its text into extra_clearml_conf, without its keys: a pod gets a token of its own"),
    ),
    row(&["debug", "k8s_glue_extra_args"], Dropped("`tidegate journal` says what is done")),
    row(&["clearml_k8s_glue_kind", "k8s_glue_kind"], Dropped(ALWAYS)),
    row(
        &["runtime_cb"],
        Refused("no code of others runs in the loop: `queue.X.policy` is a script of yours in a sandbox"),
    ),
    row(
        &["def_exec_agent_args", "k8s_glue_def_exec_agent_args"],
        Comment("the agent is started with --full-monitoring --require-queue"),
    ),
    row(
        &["pod_agent_install_args", "k8s_glue_pod_agent_install_args"],
        Comment("the agent's version is pool.X.agent_version"),
    ),
    row(
        &["pod_monitor_log_batch_size", "k8s_glue_pod_monitor_log_batch_size"],
        Dropped("pods are watched, not read one by one"),
    ),
    row(
        &["pod_monitor_disable_enqueue_on_preemption", "k8s_glue_pod_monitor_disable_enqueue_on_preemption"],
        Comment("queue.X.on_lost says whether a task goes back whose pod was lost: `never`, or `requeue:N`"),
    ),
    row(
        &["pod_monitor_eviction_reasons", "k8s_glue_pod_monitor_eviction_reasons"],
        Comment("pool.X.pending_timeout ends the wait for an image that cannot be pulled, as any other"),
    ),
    row(
        &["pod_use_image_entrypoint", "k8s_glue_pod_use_image_entrypoint", "useimageentrypoint"],
        Refused("the pod's command is ours: it starts the agent"),
    ),
    row(
        &["ignore_kubectl_error", "k8s_glue_ignore_kubectl_error"],
        Dropped("no kubectl is called, and a warning fails nothing"),
    ),
    row(
        &["default_scheduler_queue_tags", "k8s_glue_default_scheduler_queue_tags"],
        Dropped("the pending queue gets the tag that hides it"),
    ),
    row(
        &["completed_pod_deletion_delay_minutes", "k8s_glue_completed_pod_deletion_delay_minutes"],
        Dropped("a Job that has ended is kept for an hour, and counts nowhere"),
    ),
    // The chart.
    row(&["clearml_agentk8sgluekey", "clearml_agentk8sgluesecret", "clearml_existingagentk8sgluesecret"], Secret(KEYS)),
    row(&["clearml_clearmlconfig"], Script("extra_clearml_conf")),
    row(
        &["clearml_existingclearmlconfigsecret"],
        Comment("put its text into extra_clearml_conf, without its keys: a pod gets a token of its own"),
    ),
    row(&["agentk8sglue_apiserverurlreference", "clearml_api_host"], Setting(Clearml, "api_server", values::text)),
    row(&["agentk8sglue_webserverurlreference", "clearml_web_host"], Address("web_server")),
    row(&["agentk8sglue_fileserverurlreference", "clearml_files_host"], Address("files_server")),
    row(
        &["agentk8sglue_clearmlcheckcertificate"],
        Dropped("certificates are checked; a private authority belongs into the host's store"),
    ),
    row(&["agentk8sglue_defaultcontainerimage", "defaultimage"], Setting(Pool, "pod_image", values::text)),
    row(&["agentk8sglue_serviceexistingaccountname"], Setting(Pool, "pod_service_account", values::text)),
    row(&["maxpods"], Setting(Pool, "max", values::whole)),
    row(&["customworkeridtemplate"], Dropped("a worker's name says fleet, pool and pod")),
    row(&["multinode"], Refused("a task has one pod: of ClearML Enterprise's several none are made")),
    row(&["monitoredresources"], Comment("limits.max_gpu and pool.X.max_gpu are looked at before a task is taken")),
    row(
        &[
            "imagecredentials_enabled",
            "imagecredentials_registry",
            "imagecredentials_username",
            "imagecredentials_email",
        ],
        Dropped("name the registry's Secret in the pod_template: spec.imagePullSecrets"),
    ),
    row(
        &["imagecredentials_password"],
        Secret("name the registry's Secret in the pod_template: spec.imagePullSecrets"),
    ),
    row(&["imagecredentials_existingsecret"], Template(IN_TEMPLATE)),
    row(&["global_imageregistry"], Dropped("images are named whole")),
    row(
        &[
            "agentk8sglue_image",
            "agentk8sglue_replicacount",
            "agentk8sglue_resources",
            "agentk8sglue_initcontainers",
            "agentk8sglue_serviceaccountannotations",
            "agentk8sglue_labels",
            "agentk8sglue_annotations",
            "agentk8sglue_podsecuritycontext",
            "agentk8sglue_containersecuritycontext",
            "agentk8sglue_additionalclusterrolebindings",
            "agentk8sglue_additionalrolebindings",
            "agentk8sglue_nodeselector",
            "agentk8sglue_tolerations",
            "agentk8sglue_affinity",
            "agentk8sglue_volumes",
            "agentk8sglue_volumemounts",
            "agentk8sglue_filemounts",
        ],
        Dropped(OWN_POD),
    ),
    row(
        &[
            "basepodtemplate_labels",
            "basepodtemplate_annotations",
            "basepodtemplate_initcontainers",
            "basepodtemplate_schedulername",
            "basepodtemplate_volumes",
            "basepodtemplate_volumemounts",
            "basepodtemplate_env",
            "basepodtemplate_resources",
            "basepodtemplate_priorityclassname",
            "basepodtemplate_runtimeclassname",
            "basepodtemplate_nodeselector",
            "basepodtemplate_tolerations",
            "basepodtemplate_affinity",
            "basepodtemplate_podsecuritycontext",
            "basepodtemplate_containersecuritycontext",
            "basepodtemplate_hostaliases",
        ],
        Template(IN_TEMPLATE),
    ),
    row(
        &["basepodtemplate_filemounts"],
        Refused("no file is written into pods: put it into a ConfigMap, and mount that in the pod_template"),
    ),
];
