"""An application: asks connect for its toggles whenever somebody asks it, and once a second besides."""

import json
import os
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

URL = os.environ["CONNECT_URL"] + "/api/toggles/"
PORT = int(os.environ.get("PORT", "8000"))


def ask() -> tuple[int, bytes]:
    """Status and body of connect's answer, or of the sidecar's."""
    try:
        with urllib.request.urlopen(URL, timeout=8) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()
    except OSError as error:
        return 500, json.dumps({"error": type(error).__name__}).encode()


class Handler(BaseHTTPRequestHandler):
    """Passes on what it was told."""

    def do_GET(self) -> None:
        status, body = ask()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the sidecar has an access log."""


def poll() -> None:
    """A little load, so that there is something to see."""
    while True:
        ask()
        time.sleep(1)


if __name__ == "__main__":
    threading.Thread(target=poll, daemon=True).start()
    ThreadingHTTPServer(("0.0.0.0", PORT), Handler).serve_forever()
