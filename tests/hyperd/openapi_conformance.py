# SPDX-License-Identifier: Apache-2.0
"""Checks a running hyperd against the document that it serves: openapi_conformance.py SOCKET JOB VOLUME.

Every operation is asked for and must answer what the document says, also when it is asked for wrongly; nothing else may be served.
Wants JOB, one that was added by the API, ran and may be changed, and VOLUME, one that has generations.
"""
import http.client
import json
import re
import socket
import sys
import time
import warnings

warnings.simplefilter("ignore", DeprecationWarning)
import jsonschema

path, job, volume = sys.argv[1:4]
wrong = []


class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(path)


def ask(method, target, body=None, stream=False):
    """As a client that asks no faster than it is let."""
    while True:
        answer = ask_once(method, target, body, stream)
        if answer[0] != 429:
            return answer
        time.sleep(0.1)


def ask_once(method, target, body, stream):
    connection = Unix("localhost")
    headers = {"Content-Type": "application/json"} if body is not None else {}
    connection.request(method, target, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    text = b"" if stream else answer.read()
    kind = answer.getheader("Content-Type", "").split(";")[0]
    connection.close()
    return answer.status, kind, text


document = json.loads(ask("GET", "/openapi.json")[2])
assert document["openapi"] == "3.1.0"


def validator(schema):
    return jsonschema.Draft202012Validator({**schema, "components": document["components"]})


def check(operation, method, target, status, kind, text):
    said = operation["responses"].get(str(status)) or operation["responses"]["default"]
    if kind not in said["content"]:
        wrong.append(f"{method} {target}: {status} has the type {kind}, not one of {list(said['content'])}")
        return
    if not kind.endswith("json"):
        return
    for error in validator(said["content"][kind]["schema"]).iter_errors(json.loads(text)):
        wrong.append(f"{method} {target}: {status}: {error.json_path}: {error.message[:200]}")


# What is put for {job} and so on, and which bodies are good. The order is that in which they can follow each other.
values = {"job": job, "volume": volume}
definition = {"source": "/nonexistent/disk.raw", "volume": "conformance", "paused": True}
bodies = {"addJob": {"name": "conformance", **definition}, "changeJob": definition, "carbonStatus": {"zone": "DE"},
          "estimateCost": {"from": "aws:us-east-1", "to": "gcp:us-central1/standard", "changed_bytes": 1 << 30},
          "compareCosts": {"from": "aws:us-east-1", "changed_bytes": 1 << 30}}
new = {"changeJob", "deleteJob"}  # are about the job that addJob made
operations = {}
for template, methods in document["paths"].items():
    for method, operation in methods.items():
        operations[operation["operationId"]] = (method.upper(), template, operation)
order = ["addJob"] + [name for name in operations if name not in ("addJob", "deleteJob")] + ["deleteJob"]
assert sorted(order) == sorted(operations), set(order) ^ set(operations)

for name in order:
    method, template, operation = operations[name]
    for schema in [c["schema"] for r in operation["responses"].values() for c in r["content"].values()]:
        jsonschema.Draft202012Validator.check_schema({**schema, "components": document["components"]})
    given = {**values, **({"job": "conformance"} if name in new else {})}
    target = re.sub(r"\{(\w+)\}", lambda m: given[m[1]], template)
    body = bodies.get(name)
    if ("requestBody" in operation) != (body is not None):
        wrong.append(f"{name}: this test does not know its body")
    if body is not None:
        for error in validator(operation["requestBody"]["content"]["application/json"]["schema"]).iter_errors(body):
            wrong.append(f"{name}: a good body does not fit its schema: {error.message[:200]}")
    status, kind, text = ask(method, target, body, stream=name == "events")
    if status not in [int(code) for code in operation["responses"] if code != "default"]:
        wrong.append(f"{method} {target}: {status}: {text[:300]}")
    check(operation, method, target, status, kind, text)
    # Asked wrongly.
    tries = [("GET" if method == "GET" else method, target + "?nonsense=1", body)]
    if "{" in template:
        tries.append((method, re.sub(r"\{\w+\}", "not-there", template), body))
    if body is not None:
        tries += [(method, target, {"nonsense": 1}), (method, target, {}), (method, target, {**body, "source": 7, "zone": 7})]
    for bad_method, bad_target, bad_body in tries:
        status, kind, text = ask(bad_method, bad_target, bad_body)
        if status < 400:
            wrong.append(f"{bad_method} {bad_target} {bad_body}: was not refused: {status}")
        check(operation, bad_method, bad_target, status, kind, text)

# Nothing is served that is not in the document.
for template in list(document["paths"]) + ["/", "/v1", "/v1/runs", "/metrics", "/v2/jobs", "/v1/jobs/x/y", "/carbon", "/favicon.ico", "/openapi.yaml", "/v1/events", "/status"]:
    target = re.sub(r"\{(\w+)\}", lambda m: values[m[1]], template)
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]:
        if method.lower() in document["paths"].get(template, {}):
            continue
        status = ask(method, target)[0]
        if status not in (400, 404, 405):
            wrong.append(f"{method} {target} is not in the document and answers {status}")

print("\n".join(wrong) or f"- {len(order)} operations answer as the document says, and nothing else does")
sys.exit(1 if wrong else 0)
