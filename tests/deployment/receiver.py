"""A receiver of webhooks and mail for the check of a deployment; it prints a line of JSON for each."""

import http.server
import json
import socketserver
import threading


class Hook(http.server.BaseHTTPRequestHandler):
    """Takes every POST."""

    def do_POST(self) -> None:
        """Print the headers that sign it and the body."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        signed = {name: self.headers.get(f"webhook-{name}") for name in ("id", "timestamp", "signature")}
        print(json.dumps({"webhook": body, **signed}), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing else."""


class Mail(socketserver.StreamRequestHandler):
    """As much SMTP as a message needs."""

    def handle(self) -> None:
        """Print the message."""
        self.wfile.write(b"220 receiver\r\n")
        while line := self.rfile.readline():
            word = line.split()[0].upper() if line.split() else b""
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                print(json.dumps({"mail": b"".join(lines).decode()}), flush=True)
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            if word == b"QUIT":
                return


if __name__ == "__main__":
    threading.Thread(target=http.server.ThreadingHTTPServer(("", 8080), Hook).serve_forever, daemon=True).start()
    socketserver.ThreadingTCPServer(("", 2525), Mail).serve_forever()
