"""server.py <what>: the boot script's few words with the ClearML server, by the token in $TIDEGATE_TOKEN.

  create           makes sure that the mailbox exists, hidden
  set KEY VALUE    writes into the mailbox
  log FILE         writes the file's last lines into the mailbox, without what looks like a secret
  lease            prints the value of the fleet's lease; empty when there is none
  end              prints the nonce of the drain whose tasks are to end now; empty when none are
  renew            replaces the token by a fresh one
  login            makes the first token, of what stands on standard input: KEY:SECRET, or a token
  idle             fails when something runs here, by the agent's own row
  hold             holds the agent by a task that sleeps in the mailbox's queue: it runs then, and nothing else does. Fails, and
                   leaves nothing behind, when the agent does not take it
  requeue WHY      stops the tasks that run here and enqueues them again, once; the mailbox says so meanwhile, for the
                   console to finish it should the machine end before
"""
import base64
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request

API = os.environ["CLEARML_API_HOST"].rstrip("/") + "/v2.30/"
TOKEN = os.environ["TIDEGATE_TOKEN"]
MAILBOX = os.environ["TIDEGATE_MAILBOX"]
LEASE = os.environ["TIDEGATE_LEASE"]
HIDDEN = ["k8s-glue"]
NAME_TAKEN = 801
LONGEST_LOG = 500  # characters
SECRETS = re.compile(r"[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}|((?i:key|token|secret|password)['\"]?\s*[=:]\s*['\"]?)[^\s'\"]+")
DONE_BY_ANOTHER = (121, 703, 706)  # somebody else changed the status first, or has enqueued it
HOLD = "tidegate:hold:%s:guard" % MAILBOX.partition(":")[2]
HOLDS = os.path.join(os.environ["TIDEGATE_RUN"], "hold")
TAKEN_WITHIN = 30  # seconds: some polls
NOTICE_LIFE = 110  # seconds: what EC2 leaves a machine, less a little


def kept():
    with open(TOKEN) as token:
        return "Bearer " + token.read().strip()


def call(endpoint, body, authorization=None):
    headers = {"Authorization": authorization or kept(), "Content-Type": "application/json"}
    request = urllib.request.Request(API + endpoint, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=15) as answer:
        return json.load(answer)["data"]


def find(name):
    pattern = "".join(c if c.isalnum() or c in "_:" else "\\" + c for c in name)
    queues = call("queues.get_all", {"name": "^%s$" % pattern, "search_hidden": True})["queues"]
    return next((queue for queue in queues if queue.get("name") == name), None)


def create():
    try:
        call("queues.create", {"name": MAILBOX, "system_tags": HIDDEN})
    except urllib.error.HTTPError as error:
        if json.load(error)["meta"]["result_subcode"] != NAME_TAKEN:
            raise


def put(key, value):
    queue = find(MAILBOX)
    if queue is None:
        raise LookupError("there is no mailbox " + MAILBOX)
    entry = {"key": key, "type": "str", "value": value}
    call("queues.add_or_update_metadata", {"queue": queue["id"], "metadata": [entry]})


def log(path):
    with open(path, errors="replace") as file, open(TOKEN) as token:
        text = SECRETS.sub(lambda found: (found[1] or "") + "***", file.read().replace(token.read().strip(), "***"))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    put("log", "\n".join(lines)[-LONGEST_LOG:])


def has_no_gate():
    if os.environ["TIDEGATE_GUARD"] == "hold":
        return True
    try:
        with open(os.path.join(os.environ["TIDEGATE_RUN"], "state")) as file:
            return file.read().strip() == "nogate"
    except FileNotFoundError:
        return False


def by_row():
    """The tasks and queues in the agent's row, which says so as soon as it begins one. One that holds it is none."""
    worker = os.environ["CLEARML_WORKER_ID"]
    rows = call("workers.get_all", {"worker_pattern": worker, "last_seen": 600})["workers"]
    row = next((row for row in rows if row["id"] == worker), {})
    task, queue = row.get("task") or {}, row.get("queue") or {}
    if not task.get("id") or (task.get("name") or "").startswith(HOLD.rpartition(":")[0]):
        return []
    return [(task["id"], queue.get("id") or "")]


def running():
    """The tasks that run here and their queues: by the agent's row where there is no gate, else those that the gates let
    through; none once an agent has polled again."""
    if has_no_gate():
        return by_row()
    run, agents = os.environ["TIDEGATE_RUN"], int(os.environ.get("TIDEGATE_AGENTS", "1"))
    jobs = []
    for folder in [str(n + 1) for n in range(agents)] if agents > 1 else [""]:
        try:
            with open(os.path.join(run, folder, "task")) as file:
                jobs.append(tuple(file.read().split()))
        except FileNotFoundError:
            pass
    return [job for job in jobs if len(job) == 2]


def idle():
    if running():
        sys.exit(1)


def taken(task, until):
    """Whether the agent runs that task at some time before."""
    while True:
        row = call("tasks.get_by_id", {"task": task})["task"]
        if row["status"] == "in_progress" and row.get("last_worker") == os.environ["CLEARML_WORKER_ID"]:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(1)


def place_hold():
    """The task that is to hold the agent, made and enqueued once."""
    if not os.path.exists(HOLDS):
        script = {"binary": "/bin/bash", "repository": "", "entry_point": "hold.sh", "working_dir": ".", "diff": "sleep 900", "requirements": {}}
        wanted = {"name": HOLD, "type": "training", "system_tags": ["hidden"], "script": script}
        queue, task = find(MAILBOX)["id"], call("tasks.create", wanted)["id"]
        call("tasks.enqueue", {"task": task, "queue": queue})
        with open(HOLDS, "w") as file:
            file.write(task)
    with open(HOLDS) as file:
        return file.read()


def hold():
    if not os.path.exists(HOLDS) and running():
        sys.exit("tidegate guard: something runs here")
    task = place_hold()
    if taken(task, time.monotonic() + TAKEN_WITHIN):
        return
    try:
        call("tasks.dequeue", {"task": task})
    except urllib.error.HTTPError:  # it was taken just now
        pass
    # An agent that was about to start it says so, whatever it was told before.
    if not taken(task, time.monotonic() + 10):
        call("tasks.delete", {"task": task, "force": True})
        os.unlink(HOLDS)
        raise TimeoutError("the agent does not take it")


def stop(job, asked, why):
    """Whether the task has ended, and waits again where we asked for it. A stop during its set-up is overwritten: repeat."""
    status = call("tasks.get_by_id", {"task": job[0]})["task"]["status"]
    if status == "in_progress":
        call("tasks.stop", {"task": job[0], "status_reason": why})
        asked.add(job)
        return False
    if job in running():
        return False
    if status == "stopped" and job in asked:
        try:
            call("tasks.enqueue", {"task": job[0], "queue": job[1]})
        except urllib.error.HTTPError as error:
            if json.load(error)["meta"]["result_subcode"] not in DONE_BY_ANOTHER:
                raise
    return True


def requeue(why):
    until, jobs = time.monotonic() + NOTICE_LIFE, running()
    if not jobs:
        return
    if has_no_gate():  # it is what the agent takes next
        place_hold()
    put("requeue", " ".join("%s:%s" % job for job in jobs))
    asked, failed = set(), None
    while jobs:
        for job in list(jobs):
            try:
                if stop(job, asked, why):
                    jobs.remove(job)
            except Exception as error:  # the other agents' tasks are not lost for it
                failed = error
                jobs.remove(job)
        if jobs and time.monotonic() > until:
            raise TimeoutError("task %s does not stop" % jobs[0][0])
        if jobs:
            time.sleep(1)
    if failed:
        raise failed
    put("requeue", "")


def read(name, key):
    metadata = (find(name) or {}).get("metadata") or {}
    return (metadata.get(key) or {}).get("value") or ""


def lease():
    print(read(LEASE, "lease"))


def end():
    nonce = read(MAILBOX, "end")
    print(nonce if nonce and read(MAILBOX, "want") == "drain:" + nonce else "")


def login():
    text = sys.stdin.read().strip()
    if not text:
        raise LookupError("there are no credentials")
    pair = "Basic " + base64.b64encode(text.encode()).decode()
    renew(pair if ":" in text else "Bearer " + text)


def renew(authorization=None):
    token = call("auth.login", {"expiration_sec": int(os.environ["TIDEGATE_TOKEN_LIFE"])}, authorization)["token"]
    with open(os.open(TOKEN + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as new:
        new.write(token)
    os.rename(TOKEN + ".new", TOKEN)


try:
    {"create": create, "set": put, "lease": lease, "renew": renew, "login": login, "requeue": requeue, "log": log,
     "end": end, "idle": idle, "hold": hold}[sys.argv[1]](*sys.argv[2:])
except Exception as error:
    sys.exit("tidegate guard: %s: %s: %s" % (" ".join(sys.argv[1:3]), type(error).__name__, error))
