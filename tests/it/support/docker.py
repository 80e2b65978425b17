#!/usr/bin/env python3
"""docker in a few words, for the tests: run, ps, kill and stop. `run` records its arguments and runs the command on this
host: apart from the client, as a container is, and with no environment but what the arguments say. Files that would be
mounted are named by their paths on this host."""
import json
import os
import signal
import subprocess
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
WITH_A_VALUE = ("-e", "-v", "-l", "--gpus", "--name", "--network")


def containers():
    for name in os.listdir(FOLDER):
        if name.endswith(".container"):
            with open(os.path.join(FOLDER, name)) as file:
                yield dict(json.load(file), path=os.path.join(FOLDER, name))


def run(words):
    with open(os.path.join(FOLDER, "runs"), "a") as file:
        file.write(json.dumps(words) + "\n")
    options, rest = [], list(words)
    while rest[0].startswith("-"):
        option = rest.pop(0)
        options.append((option, rest.pop(0) if option in WITH_A_VALUE else ""))
    environment = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR", "TIDEGATE_ROOT")}
    environment.update(value.split("=", 1) for option, value in options if option == "-e")
    command = rest[1:]
    for host, inside in (value.split(":", 1) for option, value in options if option == "-v"):
        if os.path.isfile(host):
            command = [word.replace(inside, host) for word in command]
            environment = {key: value.replace(inside, host) for key, value in environment.items()}
    child = subprocess.Popen(command, env=environment, start_new_session=True)
    path = os.path.join(FOLDER, "%d.container" % child.pid)
    labels = [value for option, value in options if option == "-l"]
    with open(path + ".new", "w") as file:
        json.dump({"id": str(child.pid), "labels": labels, "command": " ".join(words)}, file)
    os.rename(path + ".new", path)
    code = child.wait()
    os.unlink(path)
    return code


def ps(words):
    label = next((word[len("label="):] for word in words if word.startswith("label=")), None)
    for container in containers():
        if label is None or label in container["labels"]:
            print(container["id"] if "-q" in words else "%(id)s: %(command)s" % container)


def end(words):
    for container in containers():
        if container["id"] in words:
            os.killpg(int(container["id"]), signal.SIGKILL)
            os.path.exists(container["path"]) and os.unlink(container["path"])


sys.exit({"run": run, "ps": ps, "kill": end, "stop": end}[sys.argv[1]](sys.argv[2:]) or 0)
