"""Buckets on this machine: servers in processes of their own, with faults.

`python bucket.py KIND` prints its port, and serves until it is killed. It fails as it
is told to by `Emulator.faults`: with an error before or after it has done what was
asked for, late, or without an answer.
"""

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTROL = "/_faults"
# what each kind's package needs to know of it
ENVIRONMENTS = {
    "s3": {
        "AWS_ENDPOINT_URL": "{url}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    },
    "gs": {"STORAGE_EMULATOR_HOST": "{url}"},
}
# what sends the content of an object, of either kind
SENDS = "PUT|POST"


class Emulator:
    """The server of a kind, started; by `environment` its package finds it."""

    def __init__(self, kind: str):
        self.kind = kind
        # its own: what the tests' environment has of JAX is not for it
        self._process = subprocess.Popen(
            [sys.executable, __file__, kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{port}"
        given = ENVIRONMENTS[kind].items()
        self.environment = {name: value.format(url=self.url) for name, value in given}
        self._made = 0

    def bucket(self) -> str:
        """The URL of a new, empty bucket."""
        self._made += 1
        name = f"bucket-{self._made}"
        if self.kind == "s3":
            self._send("PUT", f"/{name}", b"")
        else:
            self._send("POST", "/storage/v1/b", json.dumps({"name": name}).encode())
        return f"{self.kind}://{name}"

    def faults(self, *rules: dict) -> None:
        """Fail from now on by these rules alone, of which the first that fits counts.

        Keys: `how` ("refuse", "lose" the answer of what is done, or "hang"), `method`
        and `path` (regular expressions), `count` (how often; unlimited without), `wait`
        (seconds). `path` is what the request names: objects are found by their names.
        """
        self._send("POST", CONTROL, json.dumps(rules).encode())

    def seen(self) -> list[str]:
        """`METHOD path` of all requests since the last `faults`."""
        return json.loads(self._send("GET", CONTROL, None))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def _send(self, method: str, path: str, data: bytes | None) -> bytes:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request) as answer:
            return answer.read()


class Faulty:
    """The server's application, with its faults before it."""

    def __init__(self, application, kind: str):
        self.application, self.kind = application, kind
        self.rules, self.seen = [], []
        self.one = threading.Lock()

    def body(self, status: str, code: str) -> tuple[str, str]:
        """What a refusal says, as servers of a kind say it."""
        if self.kind == "s3":
            return "xml", f"<Error><Code>{code}</Code></Error>"
        said = {"code": int(status[:3]), "message": f"{code}, it says", "errors": []}
        return "json", json.dumps({"error": said}, indent=2)

    def __call__(self, environ, start_response):
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path == CONTROL:
            return self.control(method, environ, start_response)
        rule = self.rule(method, named(environ))
        time.sleep(rule.get("wait", 0))
        how = rule.get("how")
        if how == "hang":
            time.sleep(3600)
        if how == "lose":
            list(self.application(environ, lambda *_: None))
        if how in ("refuse", "lose"):
            # what is not read would be taken for the next request
            environ["kept body"] = body_of(environ)
            status = rule.get("status", "503 Slow Down")
            kind, body = self.body(status, rule.get("code", "SlowDown"))
            length = [("Content-Length", str(len(body)))]
            start_response(status, [("Content-Type", f"application/{kind}"), *length])
            return [] if method == "HEAD" else [body.encode()]
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
                self.rules = json.loads(body_of(environ))
                self.seen = []
            answer = json.dumps(self.seen).encode()
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]


class CreateIfAbsent:
    """gcp-storage-emulator, forwarded to; it ignores `ifGenerationMatch=0` itself.

    One request at a time, as it is not made for several.
    """

    def __init__(self, port: int):
        self.port, self.one = port, threading.Lock()

    def __call__(self, environ, start_response):
        environ["kept body"] = body = body_of(environ)
        query = environ["QUERY_STRING"]
        names = {"HTTP_HOST": "Host", "CONTENT_TYPE": "Content-Type"} | {
            key: key.removeprefix("HTTP_").replace("_", "-").title()
            for key in environ
            if key.startswith(("HTTP_X_", "HTTP_RANGE", "HTTP_CONTENT"))
        }
        headers = {name: environ[k] for k, name in names.items() if environ.get(k)}
        path = f"{environ['RAW_URI'].partition('?')[0]}?{query}"
        with self.one:
            if "ifGenerationMatch=0" in query and self.holds(environ):
                start_response("412 Precondition Failed", [])
                return [b'{"error": {"code": 412, "message": "it is there"}}']
            status, sent, content = self.ask(
                environ["REQUEST_METHOD"], path, body, headers
            )
        sent = [(k, v) for k, v in sent if k not in ("Date", "Server", "Connection")]
        start_response(status, sent)
        return [content]

    def holds(self, environ) -> bool:
        """Whether the object that is to be created is there."""
        bucket = environ["PATH_INFO"].split("/b/")[1].partition("/")[0]
        name = urllib.parse.quote(named(environ), safe="")
        status, *_ = self.ask("GET", f"/storage/v1/b/{bucket}/o/{name}")
        return status.startswith("200")

    def ask(self, method: str, path: str, body: bytes = b"", headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return f"{answer.status} {answer.reason}", answer.getheaders(), content


def body_of(environ) -> bytes:
    """What was sent, which can be read once."""
    if "kept body" in environ:
        return environ["kept body"]
    return environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))


def named(environ) -> str:
    """The path of a request, or the name of the object that it uploads to gs://."""
    path = environ["PATH_INFO"]
    if not path.startswith("/upload/"):
        return path
    query = urllib.parse.parse_qs(environ["QUERY_STRING"])
    if "name" in query:
        return query["name"][0]
    environ["kept body"] = body = body_of(environ)
    found = re.search(rb'"name": "([^"]*)"', body)
    return found[1].decode() if found else path


def serve(kind: str) -> None:
    import logging

    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = {"s3": moto, "gs": google}[kind]()
    server = make_server("127.0.0.1", 0, Faulty(application, kind), threaded=True)
    print(server.port, flush=True)
    threading.Thread(target=end_with_parent, daemon=True).start()
    server.serve_forever()


def moto():
    from moto.server import DomainDispatcherApplication, create_backend_app

    return DomainDispatcherApplication(create_backend_app)


def google():
    from gcp_storage_emulator.server import create_server

    emulator = create_server("127.0.0.1", 0, in_memory=True)
    emulator.start()
    return CreateIfAbsent(emulator._api._httpd.server_port)


def end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
