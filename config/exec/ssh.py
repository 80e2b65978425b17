#!/usr/bin/env python3
"""ssh.py: a provider of Tidegate's whose machines run on hosts that are there already, reached over SSH.

On each host local.py runs, sent there over the connection: nothing is installed but Python 3. Which machine is on which host is
in a file here, written before the host is told, so that a host that does not answer is listed as it was last known and none of
its machines is made a second time. The protocol is in assets/PROVIDERS.md.

Environment: SSH_HOSTS     the hosts, as ssh knows them, each with the type that it is: "gpu1=big gpu2=big ann@ws=small"
             SSH_COMMAND   how they are reached (ssh -o BatchMode=yes -o ConnectTimeout=5 -o ServerAliveInterval=5)
             SSH_MACHINES  where the file is (~/.local/state/tidegate-ssh)
             LOCAL_*       told to local.py on the hosts; LOCAL_MOST, machines a host at once, is 1 here
"""
import json
import os
import queue
import shlex
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

SSH = shlex.split(os.environ.get("SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=5 -o ServerAliveInterval=5"))
HOME = os.path.expanduser(os.environ.get("SSH_MACHINES", "~/.local/state/tidegate-ssh"))
FILE = os.path.join(HOME, "machines.json")
ON_HOST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "local.py")
IN_TIME = 15  # seconds for one answer of a host: less than the loop waits for a list


class No(Exception):
    def __init__(self, kind, message, may_have_acted=False):
        super().__init__(message)
        self.kind, self.may_have_acted = kind, may_have_acted


class Host:
    """A connection, opened when something is asked and opened anew after it was cut."""

    def __init__(self, name, type_):
        self.name, self.type, self.lock, self.process = name, type_, threading.Lock(), None

    def open(self):
        told = {name: value for name, value in os.environ.items() if name.startswith("LOCAL_")}
        told = {"LOCAL_MOST": "1", **told}
        variables = ["%s=%s" % (name, shlex.quote(value)) for name, value in sorted(told.items())]
        program = "import json,sys; exec(json.loads(sys.stdin.readline()))"
        command = " ".join(["env", *variables, "python3", "-u", "-c", shlex.quote(program)])
        self.process = subprocess.Popen([*SSH, self.name, command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, args=(self.process, self.lines), daemon=True).start()
        with open(ON_HOST) as file:
            self.say(file.read())

    @staticmethod
    def read(process, lines):
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    def say(self, what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def ask(self, call, **asked):
        with self.lock:
            try:
                if self.process is None:
                    self.open()
                self.say(dict(asked, id=1, call=call))
                line = self.lines.get(timeout=IN_TIME)
            except (OSError, queue.Empty):
                line = None
            if line is None:
                self.cut()
                raise No("unknown", "host %s does not answer" % self.name, may_have_acted=True)
        answer = json.loads(line)
        if "error" in answer:
            raise No(answer["error"]["class"], "host %s: %s" % (self.name, answer["error"]["message"]))
        return answer["ok"]

    def cut(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def hosts():
    named = [entry.partition("=") for entry in os.environ.get("SSH_HOSTS", "").split()]
    return {name: Host(name, type_ or None) for name, _, type_ in named}


HOSTS = hosts()


def known():
    """What is known of every machine: its host, and what was last told of it."""
    try:
        with open(FILE) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def keep(machines):
    with open(FILE + ".new", "w") as file:
        json.dump(machines, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(FILE + ".new", FILE)


def each(hosts, ask):
    """Asks hosts at the same time; those that do not answer have the error in place of the answer."""
    def asked(host):
        try:
            return ask(host)
        except No as no:
            return no
    with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
        return dict(zip((host.name for host in hosts), pool.map(asked, hosts)))


def hello(asked):
    if 1 not in asked["versions"]:
        raise No("bad-request", "this program speaks version 1")
    return {"version": 1, "name": "hosts over SSH", "calls": ["list", "launch", "terminate", "stop", "start", "console"]}


def look(fleet):
    """Every machine of the fleet, and the hosts that answered."""
    answers = each(list(HOSTS.values()), lambda host: host.ask("list", fleet=fleet, region=""))
    answered = {name: {row["id"]: row for row in answer["machines"]} for name, answer in answers.items() if isinstance(answer, dict)}
    machines = known()
    for name, rows in answered.items():
        for id_, row in rows.items():
            machines[id_] = {"host": name, "told": row}
    # What a host that answers does not have never began there, or ended long ago.
    of_fleet = lambda facts: facts["told"]["tags"].get("tidegate-fleet") == fleet
    gone = [id_ for id_, facts in machines.items() if of_fleet(facts) and id_ not in answered.get(facts["host"], {id_: None})]
    for id_ in gone:
        del machines[id_]
    keep(machines)
    return machines, answered


def list_(asked):
    machines, _ = look(asked["fleet"])
    return {"machines": [facts["told"] for facts in machines.values() if facts["told"]["tags"].get("tidegate-fleet") == asked["fleet"]]}


def launch(asked):
    machines, answered = look(asked["fleet"])
    made, failed = [], None
    for wanted in asked["machines"]:
        there = machines.get(wanted["id"])
        # Of the same name it is the same machine, and on the same host.
        tried = [there["host"]] if there else [name for name in answered if HOSTS[name].type in (None, asked["type"])]
        for name in tried:
            if name not in HOSTS:
                failed = No("bad-request", "host %s of machine %s is not in SSH_HOSTS any more" % (name, wanted["id"]))
                continue
            row = {"id": wanted["id"], "type": asked["type"], "state": "pending", "tags": wanted["tags"],
                   "launched": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
            if wanted["id"] not in machines:
                machines[wanted["id"]] = {"host": name, "told": row}
                keep(machines)
            try:
                made += HOSTS[name].ask("launch", **dict(asked, machines=[wanted]))["machines"]
                machines[wanted["id"]]["told"].update(state="running", launched=made[-1]["launched"])
                keep(machines)
                break
            except No as no:
                failed = no
                if no.may_have_acted:
                    break
                # It said that it made none: another host may.
                if not there:
                    del machines[wanted["id"]]
                    keep(machines)
        else:
            if failed is None:
                failed = No("capacity", "no host of type %s answers" % asked["type"])
    if made:
        return {"machines": made}
    raise failed


def of_each_host(asked):
    machines, places = known(), {}
    for id_ in asked["machines"]:
        if id_ in machines:
            places.setdefault(machines[id_]["host"], []).append(id_)
    here = [HOSTS[name] for name in places if name in HOSTS]
    answers = each(here, lambda host: host.ask(asked["call"], **{**rest(asked), "machines": places[host.name]}))
    for answer in answers.values():
        if isinstance(answer, No):
            raise answer
    return {}


def rest(asked):
    return {name: value for name, value in asked.items() if name not in ("id", "call")}


def console(asked):
    facts = known().get(asked["machine"])
    if facts is None or facts["host"] not in HOSTS:
        return {"text": ""}
    return HOSTS[facts["host"]].ask("console", **rest(asked))


CALLS = {"hello": hello, "list": list_, "launch": lambda asked: launch(rest(asked)), "terminate": of_each_host,
         "stop": of_each_host, "start": of_each_host, "console": console}


def main():
    os.makedirs(HOME, mode=0o700, exist_ok=True)
    for line in sys.stdin:
        asked = {}
        try:
            asked = json.loads(line)
            answer = {"ok": CALLS[asked["call"]](asked)}
        except No as no:
            answer = {"error": {"class": no.kind, "message": str(no), "may_have_acted": no.may_have_acted}}
        except Exception as error:
            answer = {"error": {"class": "bad-request", "message": "%s: %s" % (type(error).__name__, error)}}
        number = asked.get("id", 0) if isinstance(asked, dict) else 0
        print(json.dumps(dict(answer, id=number)), flush=True)


if __name__ == "__main__":
    main()
