"""A receiver of messages, as a process: `python -m tests.messages.receiver PORT_FILE`.

What it does is in the path: /ok, /fail, /slow, /drip, /redirect, /close, /gone. `GET /got` returns what it was sent.
"""

import base64
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.harness.waiting import until

STATUS = {"/ok": 200, "/fail": 500, "/gone": 410}


class Handler(BaseHTTPRequestHandler):
    """Keeps each request, then behaves as the path says."""

    got: list[dict[str, Any]] = []

    def do_GET(self) -> None:
        self.answer(200, json.dumps(self.got).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.got.append({"path": self.path, "headers": headers, "body": base64.b64encode(body).decode()})
        if self.path == "/close":
            self.close_connection = True
        elif self.path == "/slow":
            time.sleep(30)
        elif self.path == "/drip":
            for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300:
                self.wfile.write(bytes([byte]))
                time.sleep(0.1)
        elif self.path == "/redirect":
            self.send_response(307)
            self.send_header("Location", "/ok")
            self.end_headers()
        else:
            self.answer(STATUS[self.path], b"thanks\x00 a lot" if self.path == "/ok" else b"no")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: Any) -> None:
        """Say nothing."""


class Receiver:
    """A receiver that runs, seen from a test."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def got(self, path: str = "") -> list[dict[str, Any]]:
        """What was sent to a path, each with its headers and the body's bytes."""
        with urllib.request.urlopen(f"{self.url}/got") as answer:
            found = json.load(answer)
        return [each | {"body": base64.b64decode(each["body"])} for each in found if each["path"].startswith(path)]

    def events(self, path: str = "") -> list[dict[str, Any]]:
        """The events of all messages sent to a path."""
        return [event for each in self.got(path) for event in json.loads(each["body"])["data"]["events"]]


@contextmanager
def running_receiver(folder: Path) -> Iterator[Receiver]:
    """Start a receiver on a free port of loopback, and end it afterwards."""
    at = folder / "receiver-port"
    process = subprocess.Popen([sys.executable, "-m", "tests.messages.receiver", str(at)])
    try:
        yield Receiver(int(until(lambda: at.exists() and at.read_text())))
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Path(sys.argv[1]).write_text(str(server.server_port))
    server.serve_forever()
