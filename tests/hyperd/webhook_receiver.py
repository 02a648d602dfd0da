# SPDX-License-Identifier: Apache-2.0
"""Takes webhooks: webhook_receiver.py PORT_FILE SECRET LOG. Refuses each message twice before it takes it; what it took, or found wrong, is a line of LOG."""
import hashlib
import hmac
import http.server
import json
import os
import sys

port_file, secret, log = sys.argv[1:4]
seen = {}


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signed = self.headers["Hyper-Timestamp"].encode() + b"." + body
        good = "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        event = self.headers["Hyper-Event-Id"]
        seen[event] = seen.get(event, 0) + 1
        taken = seen[event] > 2
        with open(log, "a") as file:
            if not hmac.compare_digest(good, self.headers["Hyper-Signature"]):
                print("wrong signature", file=file)
            elif taken:
                print(event, json.loads(body)["kind"], file=file)
            else:
                print("refused", event, file=file)
        self.send_response(204 if taken else 503)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
with open(port_file + ".new", "w") as file:
    file.write(str(server.server_port))
os.rename(port_file + ".new", port_file)
server.serve_forever()
