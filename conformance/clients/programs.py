"""Clients that are programs of other languages: curl once per exchange, the others over a pipe, a line each way.

A line has its parts between tabs, each in Base64: so there is nothing to quote in any language.
"""

import base64
import os
import subprocess
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from conformance.clients.answer import LIMIT, Answer, Make, Question
from conformance.shelf import Missing, Shelf, last_line, program, told_by

PROGRAMS = Path(__file__).parent.parent / "programs"


class Failed(Exception):
    """The client said that the exchange failed. The text is its own."""


class Curl:
    """curl, a process and a connection for each exchange."""

    def __init__(self) -> None:
        self._program = program("curl")
        self._folder = tempfile.TemporaryDirectory(prefix="conformance-curl-")

    def ask(self, question: Question) -> Answer:
        """One exchange."""
        folder = Path(self._folder.name)
        heads, body = folder / "heads", folder / "body"
        body.write_bytes(b"")
        told = told_by(
            [
                *(self._program, "-sS", "--max-time", f"{LIMIT:.0f}", "--noproxy", "*", "-D", str(heads)),
                *("-o", os.devnull if question.method == "HEAD" else str(body)),  # for HEAD curl writes the head there
                *_curl_options(question, folder / "sent"),
                question.url,
            ],
            limit=LIMIT + 5,
        )
        if told.returncode:
            raise Failed(last_line(told.stderr))
        status, fields = _last_head(heads.read_bytes().decode("latin-1"))
        return Answer(status, fields, body.read_bytes())

    def close(self) -> None:
        """Removes its files."""
        self._folder.cleanup()


def _curl_options(question: Question, sent: Path) -> list[str]:
    options = ["--head"] if question.method == "HEAD" else ["-X", question.method]
    options += [part for name, value in question.headers.items() for part in ("-H", f"{name}: {value}")]
    content = question.body if question.pieces is None else b"".join(question.pieces)
    if content is not None:
        sent.write_bytes(content)
        options += ["--data-binary", f"@{sent}", "-H", "Content-Type: application/octet-stream"]
    if question.pieces is not None:
        options += ["-H", "Transfer-Encoding: chunked"]
    if "Accept-Encoding" in question.headers:
        options.append("--compressed")
    return [*options, "--location"] if question.follow else options


def _last_head(heads: str) -> tuple[int, list[tuple[str, str]]]:
    """Of all the heads that came: interim ones and those of redirects stand before it."""
    first, *lines = heads.strip().split("\r\n\r\n")[-1].split("\r\n")
    fields = [line.partition(":") for line in lines]
    return int(first.split()[1]), [(name.lower(), value.strip()) for name, _, value in fields]


class Piped:
    """A program that answers a line for a line, and keeps its connections from one to the next."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_without_proxies()
        )

    def ask(self, question: Question) -> Answer:
        """One exchange. The program itself gives up after `LIMIT`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(_line(question))
        self._process.stdin.flush()
        kind, *parts = self._process.stdout.readline().strip().decode().split("\t")
        if kind != "answer":
            raise Failed(base64.b64decode(parts[0]).decode() if parts else "the program ended")
        status, fields, body = [base64.b64decode(part) for part in [*parts, "", ""][:3]]
        lines = [line.partition(": ") for line in fields.decode("latin-1").split("\n") if line]
        return Answer(int(status), [(name.lower(), value) for name, _, value in lines], body)

    def close(self) -> None:
        """It ends when its input does."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def _without_proxies() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def _line(question: Question) -> bytes:
    fields = "\n".join(f"{name}: {value}" for name, value in question.headers.items())
    form = "pieces" if question.pieces is not None else "none" if question.body is None else "body"
    content = b"".join(question.pieces) if question.pieces is not None else question.body or b""
    parts: list[str | bytes] = [
        question.method,
        question.url,
        fields,
        form,
        content,
        "follow" if question.follow else "",
    ]
    return "\t".join(_encoded(part) for part in parts).encode() + b"\n"


def _encoded(part: str | bytes) -> str:
    return base64.b64encode(part if isinstance(part, bytes) else part.encode()).decode()


def _node(shelf: Shelf, which: str) -> Piped:
    if which != "undici":
        return Piped([program("node"), str(PROGRAMS / "client.mjs"), which])
    modules = shelf.node("undici@7")
    return Piped([program("node"), str(PROGRAMS / "client.mjs"), which, str(modules / "undici" / "index.js")])


def _java(shelf: Shelf, version: str) -> Piped:
    classes = shelf.root / "java"
    source = PROGRAMS / "Client.java"
    told = told_by([program("javac"), "-d", str(classes), str(source)], limit=60.0)
    if told.returncode:
        raise Missing(f"javac: {last_line(told.stderr)}")
    return Piped([program("java"), "-XX:TieredStopAtLevel=1", "-cp", str(classes), "Client", version])


def programs(shelf: Shelf) -> dict[str, Make]:
    """By name. Each raises Missing where its language is not installed."""
    return {
        "curl": Curl,
        "node http": partial(_node, shelf, "http"),
        "node fetch": partial(_node, shelf, "fetch"),
        "undici": partial(_node, shelf, "undici"),
        "java, h2c offered": partial(_java, shelf, "HTTP_2"),
        "java, 1.1": partial(_java, shelf, "HTTP_1_1"),
    }
