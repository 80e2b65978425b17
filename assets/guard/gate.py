"""gate.py <clearml-agent arguments>: the stock agent with a gate in front of its get_next_task.

The agent's own polling thread reads the order and gives the answer: it polls only when it runs no task, so
an answered drain proves that nothing runs and that nothing will be taken.

The mailbox is the metadata of the hidden queue $TIDEGATE_MAILBOX (nobody listens to that queue where there is a gate):
  want  = drain:<nonce> | run             written by the console; so is `end`, for the boot script
  state = drained:<nonce> | run:<nonce>   written here
A mailbox that cannot be read or answered closes the gate: no task is taken until it can be.
Of several agents each proves it for itself, in its file `state`; the one that finds the proofs of all answers.

Files in $TIDEGATE_RUN, for the boot script beside it:
  cordon   made there: take no task          drained  made here: the cordon holds, nothing runs
  task     "<task> <queue>" while one runs   state    open | drained:<nonce> | closed: <why> | nogate
  dead     made there: this agent was given up, and nothing of it runs
Of several agents each has a folder, 1, 2, 3, ...
"""
import os
import sys
import time

import clearml_agent.commands.worker as worker
from clearml_agent.__main__ import main

API_VERSION = "2.30"  # metadata is readable from 2.17 on only
READ_EVERY = float(os.environ.get("TIDEGATE_READ_EVERY", "15"))
RUN = os.environ["TIDEGATE_RUN"]
MAILBOX = os.environ["TIDEGATE_MAILBOX"]
AGENTS = int(os.environ.get("TIDEGATE_AGENTS", "1"))
FOLDERS = [os.path.join(os.path.dirname(RUN), str(n + 1)) for n in range(AGENTS)] if AGENTS > 1 else [RUN]
OTHERS = [folder for folder in FOLDERS if folder != RUN]


def path(name):
    return os.path.join(RUN, name)


def remove(name):
    if os.path.exists(path(name)):
        os.unlink(path(name))


def write(name, text):
    """Writes a whole file; says whether it could. A full disk must not lose a task that was just taken."""
    try:
        with open(path(name + ".new"), "w") as new:
            new.write(text + "\n")
        os.rename(path(name + ".new"), path(name))
        return True
    except OSError as error:
        tell("cannot write %s: %s" % (name, error))
        return False


def agrees(folder, state):
    """Whether that agent has said so too. A nonce is not used twice: it stands until another order is read."""
    if os.path.exists(os.path.join(folder, "dead")):
        return True
    try:
        with open(os.path.join(folder, "state")) as file:
            return file.read().strip() == state
    except OSError:
        return False


def tell(text):
    try:
        print("tidegate gate: " + text, flush=True)
    except OSError:  # the log's disk is full
        pass


class Gate:
    def __init__(self):
        self.queue = None
        self.read_at = None
        self.open = False
        self.said = None

    def call(self, session, action, body):
        answer = session.send_request("queues", action, version=API_VERSION, method="post", json=body)
        answer.raise_for_status()
        return answer.json()["data"]

    def read(self, session):
        """The values of `want` and `state`."""
        wanted = {"id": [self.queue]} if self.queue else {"name": "^%s$" % escaped(MAILBOX)}
        wanted["search_hidden"] = True
        found = [q for q in self.call(session, "get_all", wanted)["queues"] if q.get("name") == MAILBOX]
        if not found:
            self.queue = None
            raise LookupError("there is no mailbox %s" % MAILBOX)
        self.queue = found[0]["id"]
        metadata = found[0].get("metadata") or {}
        return [(metadata.get(key) or {}).get("value") or "" for key in ("want", "state")]

    def answer(self, session, state):
        entry = {"key": "state", "type": "str", "value": state}
        self.call(session, "add_or_update_metadata", {"queue": self.queue, "metadata": [entry]})

    def look(self, session):
        """Reads the mailbox, answers it, and only then opens or closes the gate."""
        self.open = False
        want, state = self.read(session)
        if want.startswith("drain:"):
            drained = "drained:" + want[len("drain:"):]
            if OTHERS:
                self.say(drained)
            if state != drained and all(agrees(other, drained) for other in OTHERS):
                self.answer(session, drained)
            self.say(drained)
            return
        if state.startswith("drained:"):
            self.answer(session, "run:" + state[len("drained:"):])
        self.open = True
        self.say("open")

    def say(self, state):
        if state != self.said and write("state", state):
            self.said = state
            tell(state)

    def allows(self, session):
        now = time.monotonic()
        if self.read_at is None or now - self.read_at >= READ_EVERY:
            try:
                self.look(session)
                self.read_at = now
            except Exception as error:  # whatever it is, it must not open the gate
                self.open, self.read_at = False, None
                self.say("closed: %s: %s" % (type(error).__name__, str(error).partition("\n")[0]))
        return self.open


def escaped(text):
    return "".join(c if c.isalnum() or c in "_:" else "\\" + c for c in text)


def install():
    real = worker.get_next_task
    gate = Gate()

    def get_next_task(session, queue, **options):
        remove("task")
        if os.path.exists(path("cordon")):
            write("drained", "")
            return {}
        remove("drained")
        if not gate.allows(session):
            return {}
        answer = real(session, queue=queue, **options)
        task = (answer.get("entry") or {}).get("task")
        if task:
            write("task", "%s %s" % (task, queue))
        return answer

    worker.get_next_task = get_next_task


def end_without_a_queue():
    """An agent one of whose queues was deleted fails at each poll, for good. It ends; the boot script does the rest."""
    real = worker.Worker.run_tasks_loop

    def run_tasks_loop(self, queues, *arguments, **options):
        try:
            return real(self, queues, *arguments, **options)
        except KeyError as error:
            if error.args[0] not in queues:
                raise
            sys.exit("tidegate gate: queue %s was deleted" % error)

    worker.Worker.run_tasks_loop = run_tasks_loop


if hasattr(getattr(worker, "Worker", None), "run_tasks_loop"):
    end_without_a_queue()
if callable(getattr(worker, "get_next_task", None)):
    install()
else:
    # The console holds it by a task in the mailbox's queue, which it asks first.
    write("state", "nogate")
    sys.argv.insert(sys.argv.index("--queue") + 1, MAILBOX)
    tell("this clearml-agent has no get_next_task; it runs without a gate")
sys.argv[0] = "clearml-agent"
sys.exit(main())
