"""What the application depends on.

POST /break/hang, /break/500 or /break/empty makes it fail so, /break/nothing heals it.
"""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(os.environ.get("PORT", "9000"))
TOGGLES = json.dumps({"toggles": {"MESSAGING": {"active": True}}}).encode()


class Handler(BaseHTTPRequestHandler):
    """Behaves as it was last told."""

    trouble = "nothing"

    def do_GET(self) -> None:
        if Handler.trouble == "hang":
            time.sleep(60)
        self.answer(500 if Handler.trouble == "500" else 200, b"" if Handler.trouble == "empty" else TOGGLES)

    def do_POST(self) -> None:
        Handler.trouble = self.path.removeprefix("/break/")
        self.answer(200, b"{}")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", PORT), Handler).serve_forever()
