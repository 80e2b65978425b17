#!/usr/bin/env python3
"""local.py: a provider of Tidegate's whose machines are process groups on this host, each in a folder of its own.

Each runs the very boot script that a rented machine runs, with its folder in the place of /: guard, gate and clearml-agent are
the real ones. It is for trying Tidegate out, for a workstation's spare cores, and to be copied: the protocol is in
assets/PROVIDERS.md, and only `Machine` below knows what a machine is.

Environment: LOCAL_MACHINES  where the folders are (~/.local/state/tidegate-local)
             LOCAL_MOST      machines at once (4)
             LOCAL_PYTHON    a Python with clearml-agent installed; without it each machine makes a venv with one
             LOCAL_VARIABLES more variables of each machine, as NAME=VALUE with spaces between them
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

HOME = os.path.expanduser(os.environ.get("LOCAL_MACHINES", "~/.local/state/tidegate-local"))
MOST = int(os.environ.get("LOCAL_MOST", "4"))
KEPT = 3600  # seconds that an ended machine stays listed


class No(Exception):
    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Machine:
    """What is known of it is in a file, which is there before anything runs: a crash makes no second one."""

    def __init__(self, name):
        self.name, self.folder = name, os.path.join(HOME, name)
        with open(os.path.join(self.folder, "machine.json")) as file:
            self.facts = json.load(file)

    @staticmethod
    def make(name, facts, script):
        folder = os.path.join(HOME, name)
        os.makedirs(os.path.join(folder, "root", "tmp"), mode=0o700, exist_ok=True)
        with open(os.path.join(folder, "boot.sh"), "w") as file:
            os.chmod(file.name, 0o700)
            file.write(script)
        Machine.write(folder, facts)
        return Machine(name)

    @staticmethod
    def write(folder, facts):
        path = os.path.join(folder, "machine.json")
        with open(path + ".new", "w") as file:
            json.dump(facts, file)
        os.replace(path + ".new", path)

    def become(self, **facts):
        self.facts.update(facts)
        self.write(self.folder, self.facts)

    def processes(self):
        """Every process that it started carries its folder in its environment, whatever group it is in."""
        mark = b"TIDEGATE_ROOT=" + os.path.join(self.folder, "root").encode()
        for number in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/environ" % number, "rb") as file:
                    if mark in file.read().split(b"\0"):
                        yield int(number)
            except OSError:
                pass

    def boot(self):
        root = os.path.join(self.folder, "root")
        off = os.path.join(self.folder, "off")
        if os.path.exists(off):
            os.remove(off)
        environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        environment.update(HOME=root, TIDEGATE_ROOT=root, TIDEGATE_OFF="touch '%s'" % off, TMPDIR=os.path.join(root, "tmp"))
        if "LOCAL_PYTHON" in os.environ:
            environment["TIDEGATE_PYTHON"] = os.environ["LOCAL_PYTHON"]
        # More variables of the boot script's and the agent's.
        environment.update(variable.split("=", 1) for variable in os.environ.get("LOCAL_VARIABLES", "").split())
        with open(os.path.join(self.folder, "console"), "ab") as console:
            # In a session of its own: it does not end with this program.
            subprocess.Popen([os.path.join(self.folder, "boot.sh")], env=environment, cwd=root, stdin=subprocess.DEVNULL,
                             stdout=console, stderr=console, start_new_session=True)
        self.become(state="running", launched=now())

    def cut(self, state):
        while True:
            running = list(self.processes())
            for process in running:
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if not running:
                break
            time.sleep(0.05)
        self.become(state=state, ended=now())

    def look(self):
        """What has powered itself off, or has died, is off: its processes are gone."""
        if self.facts["state"] == "running":
            off = os.path.join(self.folder, "off")
            if os.path.exists(off):
                self.cut("terminated")
            elif not any(self.processes()):
                self.become(state="terminated", ended=now(), reason="its processes ended")

    def told(self):
        facts = {name: self.facts[name] for name in ("type", "state", "launched", "tags")}
        facts.update((name, self.facts[name]) for name in ("ended", "reason") if self.facts.get(name) and self.facts["state"] != "running")
        return dict(facts, id=self.name)


def machines():
    found = []
    for name in sorted(os.listdir(HOME)):
        if os.path.exists(os.path.join(HOME, name, "machine.json")):
            machine = Machine(name)
            machine.look()
            folder_age = time.time() - os.path.getmtime(os.path.join(machine.folder, "machine.json"))
            if machine.facts["state"] == "terminated" and folder_age > KEPT:
                shutil.rmtree(machine.folder, ignore_errors=True)
            else:
                found.append(machine)
    return found


def named(asked):
    known = {machine.name: machine for machine in machines()}
    return [known[name] for name in asked["machines"] if name in known]


def hello(asked):
    if 1 not in asked["versions"]:
        raise No("bad-request", "this program speaks version 1")
    calls = ["list", "launch", "terminate", "stop", "start", "console", "prices"]
    return {"version": 1, "name": "processes of this host", "calls": calls}


def list_(asked):
    return {"machines": [m.told() for m in machines() if m.facts["tags"].get("tidegate-fleet") == asked["fleet"]]}


def launch(asked):
    known = {machine.name: machine for machine in machines()}
    up = sum(machine.facts["state"] == "running" for machine in known.values())
    made = []
    for wanted in asked["machines"]:
        machine = known.get(wanted["id"])
        # Of the same name it is the same machine: the launch was asked for twice.
        if machine is None and up < MOST:
            facts = {"type": asked["type"], "state": "running", "launched": now(), "tags": wanted["tags"]}
            machine = Machine.make(wanted["id"], facts, wanted["script"])
            machine.boot()
            up += 1
        if machine is not None:
            made.append({"id": machine.name, "launched": machine.facts["launched"]})
    if not made:
        raise No("capacity", "%d machines are up, and this host takes %d" % (up, MOST))
    return {"machines": made}


def terminate(asked):
    for machine in named(asked):
        if machine.facts["state"] != "terminated":
            machine.cut("terminated")
    return {}


def stop(asked):
    for machine in named(asked):
        if machine.facts["state"] == "running":
            machine.cut("stopped")
    return {}


def start(asked):
    for machine in named(asked):
        if machine.facts["state"] == "stopped":
            machine.boot()
    return {}


def console(asked):
    try:
        with open(os.path.join(HOME, os.path.basename(asked["machine"]), "console"), errors="replace") as file:
            return {"text": file.read()[-65536:]}
    except FileNotFoundError:
        return {"text": ""}


def prices(asked):
    return {"prices": {name: "$0/h" for name in asked["types"]}}


CALLS = {"hello": hello, "list": list_, "launch": launch, "terminate": terminate, "stop": stop, "start": start,
         "console": console, "prices": prices}


def main():
    os.makedirs(HOME, mode=0o700, exist_ok=True)
    for line in sys.stdin:
        asked = {}
        try:
            asked = json.loads(line)
            answer = {"ok": CALLS[asked["call"]](asked)}
        except No as no:
            answer = {"error": {"class": no.kind, "message": str(no)}}
        except Exception as error:
            answer = {"error": {"class": "bad-request", "message": "%s: %s" % (type(error).__name__, error)}}
        number = asked.get("id", 0) if isinstance(asked, dict) else 0
        print(json.dumps(dict(answer, id=number)), flush=True)


if __name__ == "__main__":
    main()
