"""aws.py: what the boot script asks EC2's metadata service (version 2 only).

  id       prints the machine's id; tries for a minute
  type     prints its type, likewise
  notice   prints what EC2 will do with this machine, and when; fails when it says nothing
"""
import os
import sys
import time
import urllib.request

SERVICE = os.environ.get("TIDEGATE_IMDS", "http://169.254.169.254").rstrip("/")


def ask(path, method="GET", **headers):
    headers = {"X-aws-ec2-metadata-" + key.replace("_", "-"): value for key, value in headers.items()}
    request = urllib.request.Request(SERVICE + path, method=method, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=2) as answer:
        return answer.read().decode().strip()


def read(path):
    return ask("/latest/meta-data/" + path, token=ask("/latest/api/token", "PUT", token_ttl_seconds="60"))


def told(what, text, tries):
    """Prints a text, which may come in a moment where it does not at once; the exit status."""
    for attempt in range(tries):
        try:
            print(text())
            return 0
        except Exception as error:
            print("tidegate guard: %s: %s: %s" % (what, type(error).__name__, error), file=sys.stderr, flush=True)
            time.sleep(2)
    return 1


def main(what):
    if what in ("id", "type"):
        return told("metadata", lambda: read("instance-" + what), 30)
    try:
        print(read("spot/instance-action"))
    except OSError:  # most often a 404: there is none
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
