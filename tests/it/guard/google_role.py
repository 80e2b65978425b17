"""google_role.py PORT SECRETS: Google's metadata service for a machine with a service account, and the Secret Manager behind one
address. Its paths are held against Google's own description.

SECRETS is a JSON object of values by the whole names of their versions. Each call is told on standard output."""
import base64
import http.server
import json
import os
import re
import sys

import googleapiclient

SECRETS = json.loads(sys.argv[2])
TOKEN = "ya29.t0ken"
DOCUMENT = os.path.join(os.path.dirname(googleapiclient.__file__), "discovery_cache/documents/secretmanager.v1.json")
with open(DOCUMENT) as described:
    METHOD = json.load(described)["resources"]["projects"]["resources"]["secrets"]["resources"]["versions"]["methods"]["access"]
assert METHOD["httpMethod"] == "GET" and METHOD["scopes"] == ["https://www.googleapis.com/auth/cloud-platform"]
# "v1/{+name}:access", and the pattern of the name.
NAME = METHOD["parameters"]["name"]["pattern"].strip("^$")
PATH = re.compile("/" + METHOD["path"].replace("{+name}", "(" + NAME + ")"))
METADATA = {
    "instance/name": "tidegate-b1-0",
    "instance/preempted": "FALSE",
    "project/project-id": "lab-1",
    "instance/service-accounts/default/token": json.dumps(
        {"access_token": TOKEN, "expires_in": 3000, "token_type": "Bearer"}),
}


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, text):
        print(self.command, self.path, status, flush=True)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def refuse(self, status, word):
        self.answer(status, json.dumps({"error": {"code": status, "message": "no", "status": word}}))

    def do_GET(self):
        if self.path.startswith("/computeMetadata/v1/"):
            if self.headers.get("Metadata-Flavor") != "Google":
                return self.answer(403, "")
            what = self.path[len("/computeMetadata/v1/"):]
            return self.answer(200 if what in METADATA else 404, METADATA.get(what, ""))
        found = PATH.fullmatch(self.path)
        if not found:
            return self.refuse(400, "INVALID_ARGUMENT")
        if self.headers.get("Authorization") != "Bearer " + TOKEN:
            return self.refuse(401, "UNAUTHENTICATED")
        if found[1] not in SECRETS:
            return self.refuse(404, "NOT_FOUND")
        data = base64.b64encode(SECRETS[found[1]].encode()).decode()
        self.answer(200, json.dumps({"name": found[1], "payload": {"data": data, "dataCrc32c": "1"}}))

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
