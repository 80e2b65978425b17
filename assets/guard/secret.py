"""secret.py PLACE: prints what AWS keeps at ssm:NAME or secretsmanager:NAME, read with the machine's role: a pair NAME:SECRET;
of a JSON object its two known members. It is only on machines whose settings name such a place.
"""
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from cloud import read, told

PAIRS = (("username", "password"), ("access_key", "secret_key"))


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def signature(key, headers, body, scope):
    """AWS's signature, version 4, of a POST to / with all its headers, and their names."""
    names = ";".join(sorted(headers))
    lines = ["%s:%s" % (name, headers[name]) for name in sorted(headers)]
    canonical = "\n".join(["POST", "/", "", *lines, "", names, sha256(body)])
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, sha256(canonical)])
    key = ("AWS4" + key).encode()
    for part in scope.split("/") + [text]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex(), names


def call(service, region, target, body):
    role = read("iam/security-credentials/").split()[0]
    keys = json.loads(read("iam/security-credentials/" + role))
    address = os.environ.get("TIDEGATE_AWS") or "https://%s.%s.%s" % (service, region, read("services/domain"))
    body, stamp = json.dumps(body), time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "host": urllib.parse.urlsplit(address).netloc,
        "x-amz-date": stamp,
        "x-amz-security-token": keys["Token"],
        "x-amz-target": target,
    }
    scope = "/".join([stamp[:8], region, service, "aws4_request"])
    signed, names = signature(keys["SecretAccessKey"], headers, body, scope)
    headers["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        keys["AccessKeyId"], scope, names, signed)
    request = urllib.request.Request(address, body.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise OSError("%s: %s" % (error, error.read(300).decode(errors="replace")))


def secret(place):
    service, name = place.split(":", 1)
    region = name.split(":")[3] if name.startswith("arn:") else read("placement/region")
    if service == "ssm":
        found = call(service, region, "AmazonSSM.GetParameter", {"Name": name, "WithDecryption": True})
        text = found["Parameter"]["Value"]
    else:
        text = call(service, region, "secretsmanager.GetSecretValue", {"SecretId": name})["SecretString"]
    if text.lstrip().startswith("{"):
        members = json.loads(text)
        text = next(":".join(members[name] for name in pair) for pair in PAIRS if pair[0] in members)
    return text.strip()


if __name__ == "__main__":
    sys.exit(told("secret", lambda: secret(sys.argv[1]), 10))
