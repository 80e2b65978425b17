"""aws.py: prints the machine's id, from EC2's metadata service (version 2 only)."""
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


for attempt in range(30):
    try:
        token = ask("/latest/api/token", "PUT", token_ttl_seconds="60")
        print(ask("/latest/meta-data/instance-id", token=token))
        sys.exit(0)
    except OSError as error:
        print("tidegate guard: metadata: %s" % error, file=sys.stderr, flush=True)
        time.sleep(2)
sys.exit(1)
