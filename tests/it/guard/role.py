"""role.py PORT SECRETS: EC2's metadata service, version 2, for a machine with a role, and the Systems Manager and the Secrets
Manager behind one address. Each call's signature is compared with botocore's of the same request.

SECRETS is a JSON object of values by `ssm:NAME` and `secretsmanager:NAME`. Each call is told on standard output."""
import datetime
import http.server
import json
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SECRETS = json.loads(sys.argv[2])
SESSION = "s3ssion"
KEYS = {"AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": "a/b+c", "Token": "role//token=="}
METADATA = {
    "/latest/meta-data/instance-id": "i-1",
    "/latest/meta-data/placement/region": "eu-west-1",
    "/latest/meta-data/services/domain": "amazonaws.com",
    "/latest/meta-data/iam/security-credentials/": "tasks",
    "/latest/meta-data/iam/security-credentials/tasks": json.dumps(KEYS),
}
ACTIONS = {
    "AmazonSSM.GetParameter": ("ssm", "Name", lambda value: {"Parameter": {"Type": "SecureString", "Value": value}}),
    "secretsmanager.GetSecretValue": ("secretsmanager", "SecretId", lambda value: {"SecretString": value}),
}


def expected(headers, body, service):
    """The Authorization that botocore would have sent with these headers at that moment."""
    stamp = datetime.datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
    signed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    request = AWSRequest("POST", "http://%s/" % headers["host"], {name: headers[name] for name in signed}, body)
    request.context["timestamp"] = stamp.strftime("%Y%m%dT%H%M%SZ")
    auth = SigV4Auth(Credentials(KEYS["AccessKeyId"], KEYS["SecretAccessKey"]), service, "eu-west-1")
    text = auth.string_to_sign(request, auth.canonical_request(request))
    scope = auth.credential_scope(request)
    return "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        KEYS["AccessKeyId"], scope, ";".join(signed), auth.signature(text, request))


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, text):
        print(self.command, self.path, self.headers.get("x-amz-target", ""), status, flush=True)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self):
        self.answer(200, SESSION)

    def do_GET(self):
        if self.headers.get("X-aws-ec2-metadata-token") != SESSION:
            return self.answer(401, "")
        self.answer(200 if self.path in METADATA else 404, METADATA.get(self.path, ""))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        service, name, answer = ACTIONS[self.headers["x-amz-target"]]
        if self.headers["x-amz-security-token"] != KEYS["Token"]:
            return self.answer(400, '{"__type": "UnrecognizedClientException"}')
        if self.headers["authorization"] != expected(self.headers, body, service):
            return self.answer(400, '{"__type": "InvalidSignatureException"}')
        value = SECRETS.get("%s:%s" % (service, json.loads(body)[name]))
        self.answer(400 if value is None else 200, json.dumps({"__type": "NotFound"} if value is None else answer(value)))

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
