"""secret.py PLACE: prints what Google's Secret Manager keeps at secretmanager:NAME, read with the machine's service account: a pair
NAME:SECRET; of a JSON object its two known members. It is only on machines whose settings name such a place.
"""
import base64
import json
import os
import sys
import urllib.error
import urllib.request

from cloud import read, told

PAIRS = (("username", "password"), ("access_key", "secret_key"))
SERVICE = os.environ.get("TIDEGATE_GOOGLE") or "https://secretmanager.googleapis.com"


def version(name):
    """The whole name of a version: of the machine's own project, and the latest, where the place does not say otherwise."""
    if "/" not in name:
        name = "projects/%s/secrets/%s" % (read("project/project-id"), name)
    return name if "/versions/" in name else name + "/versions/latest"


def secret(place):
    name = version(place.split(":", 1)[1])
    token = json.loads(read("instance/service-accounts/default/token"))["access_token"]
    request = urllib.request.Request("%s/v1/%s:access" % (SERVICE, name), headers={"Authorization": "Bearer " + token})
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            data = json.load(answer)["payload"]["data"]
    except urllib.error.HTTPError as error:
        raise OSError("%s: %s" % (error, error.read(300).decode(errors="replace")))
    text = base64.b64decode(data).decode()
    if text.lstrip().startswith("{"):
        members = json.loads(text)
        text = next(":".join(members[name] for name in pair) for pair in PAIRS if pair[0] in members)
    return text.strip()


if __name__ == "__main__":
    sys.exit(told("secret", lambda: secret(sys.argv[1]), 10))
