"""aws.py: what the boot script asks EC2's metadata service (version 2 only).

  id       prints the machine's id; tries for a minute
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


if sys.argv[1] == "notice":
    try:
        print(read("spot/instance-action"))
    except OSError:  # most often a 404: there is none
        sys.exit(1)
    sys.exit(0)
for attempt in range(30):
    try:
        print(read("instance-id"))
        sys.exit(0)
    except OSError as error:
        print("tidegate guard: metadata: %s" % error, file=sys.stderr, flush=True)
        time.sleep(2)
sys.exit(1)
