"""gce.py: what the boot script asks Google's metadata service.

  id       prints the machine's name; tries for a minute
  type     prints its type, likewise
  notice   says that Google takes this machine back; fails when it does not
"""
import os
import sys
import time
import urllib.request

SERVICE = os.environ.get("TIDEGATE_IMDS", "http://169.254.169.254").rstrip("/")


def read(path):
    request = urllib.request.Request(
        SERVICE + "/computeMetadata/v1/" + path, headers={"Metadata-Flavor": "Google"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=2) as answer:
        return answer.read().decode().strip()


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
    if what == "id":
        return told("metadata", lambda: read("instance/name"), 30)
    if what == "type":
        return told("metadata", lambda: read("instance/machine-type").rsplit("/", 1)[-1], 30)
    try:
        if read("instance/preempted") != "TRUE":
            return 1
    except OSError:
        return 1
    print("preempted")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
