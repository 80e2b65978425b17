#!/bin/sh
# As an operator starts it; hush-hush.
export CLEARML_API_HOST=https://api.example.com CLEARML_WEB_HOST=https://app.example.com
export CLEARML_API_ACCESS_KEY=HUSHKEY CLEARML_API_SECRET_KEY=hush
export CLEARML_K8S_GLUE_KIND=job K8S_GLUE_QUEUE=gpu K8S_GLUE_MAX_PODS=12 K8S_GLUE_EXTRA_ARGS=--debug
export K8S_GLUE_START_AGENT_SCRIPT_PATH=/opt/start.sh K8S_GLUE_DEF_EXEC_AGENT_ARGS=--full-monitoring
export K8S_GLUE_POD_AGENT_INSTALL_ARGS="==2.0.0" K8S_GLUE_POD_MONITOR_LOG_BATCH_SIZE=5
export K8S_GLUE_POD_MONITOR_DISABLE_ENQUEUE_ON_PREEMPTION=1 K8S_GLUE_POD_MONITOR_EVICTION_REASONS=ImagePullBackOff
export K8S_GLUE_POD_USE_IMAGE_ENTRYPOINT=1 K8S_GLUE_IGNORE_KUBECTL_ERROR=.*warn.*
export K8S_GLUE_DEFAULT_SCHEDULER_QUEUE_TAGS=k8s-glue K8S_GLUE_COMPLETED_POD_DELETION_DELAY_MINUTES=30
python3 k8s_glue_example.py --queue "gpu,cpu" --create-queue --namespace ml-tasks --max-pods 12 \
  --ports-mode --num-of-services 20 --base-port 20000 --base-pod-num 1 --gateway-address 10.0.0.1 --limit-pod-label a=b \
  --k8s-pending-queue-name k8s_waiting --pod-name-prefix task- --template-yaml /etc/glue/pod.yaml \
  --overrides-yaml /etc/glue/overrides.yaml --container-bash-script /etc/glue/script.sh --no-system-packages \
  --ssh-server-port 10022 --use-owner-token --pod-clearml-conf /etc/glue/clearml.conf --debug
