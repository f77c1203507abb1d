"""A bucket on this machine: moto's server in a process of its own, with faults.

`python bucket.py` prints its port, and serves until it is killed. It fails as it is
told to by `Emulator.faults`: with an error before or after it has done what was asked
for, late, or without an answer.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTROL = "/_faults"


class Emulator:
    """The server, started; `environment` lets s3fs find it."""

    def __init__(self):
        # its own: what the tests' environment has of JAX is not for it
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self._made = 0

    def bucket(self) -> str:
        """The URL of a new, empty bucket."""
        self._made += 1
        name = f"bucket-{self._made}"
        self._send("PUT", f"/{name}", b"")
        return f"s3://{name}"

    def faults(self, *rules: dict) -> None:
        """Fail from now on by these rules alone, of which the first that fits counts.

        Keys: `how` ("refuse", "lose" the answer of what is done, or "hang"), `method`
        and `path` (regular expressions), `count` (how often; unlimited without), `wait`
        (seconds).
        """
        self._send("POST", CONTROL, json.dumps(rules).encode())

    def seen(self) -> list[str]:
        """`METHOD /path` of all requests since the last `faults`."""
        return json.loads(self._send("GET", CONTROL, None))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def _send(self, method: str, path: str, data: bytes | None) -> bytes:
        request = urllib.request.Request(self.url + path, data, method=method)
        with urllib.request.urlopen(request) as answer:
            return answer.read()


class Faulty:
    """The server's application, with its faults before it."""

    def __init__(self, application):
        self.application, self.rules, self.seen = application, [], []
        self.one = threading.Lock()

    def __call__(self, environ, start_response):
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path == CONTROL:
            return self.control(method, environ, start_response)
        rule = self.rule(method, path)
        time.sleep(rule.get("wait", 0))
        how = rule.get("how")
        if how == "hang":
            time.sleep(3600)
        if how == "lose":
            list(self.application(environ, lambda *_: None))
        if how in ("refuse", "lose"):
            status = rule.get("status", "503 Slow Down")
            body = f"<Error><Code>{rule.get('code', 'SlowDown')}</Code></Error>"
            start_response(status, [("Content-Type", "application/xml")])
            return [body.encode()]
        return self.application(environ, start_response)

    def rule(self, method: str, path: str) -> dict:
        with self.one:
            self.seen.append(f"{method} {path}")
            for rule in self.rules:
                fits = re.fullmatch(rule.get("method", ".*"), method)
                if fits and re.search(rule.get("path", ""), path):
                    rule["count"] = rule.get("count", 1 << 30) - 1
                    if rule["count"] >= 0:
                        return rule
        return {}

    def control(self, method, environ, start_response):
        with self.one:
            if method == "POST":
                size = int(environ["CONTENT_LENGTH"])
                self.rules = json.loads(environ["wsgi.input"].read(size))
                self.seen = []
            answer = json.dumps(self.seen).encode()
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]


def serve() -> None:
    import logging

    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True)
    print(server.port, flush=True)
    threading.Thread(target=end_with_parent, daemon=True).start()
    server.serve_forever()


def end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    serve()
