"""`sidecar health [ADMIN_URL]`: is a sidecar alive, or with --ready, does it take requests?

For health checks that are commands: a container engine's, systemd's, an exec probe. Exit code 0: yes; 1: no, or nobody
answered in time. It runs every few seconds beside what it watches, so it asks over a bare socket: an HTTP client or
the configuration's models would cost ten times as much as everything that happens here.
"""

import argparse
import os
import re
import socket
import sys
from typing import Final, NamedTuple

from sidecar.clock import MONOTONIC

DEFAULT: Final = "http://127.0.0.1:9901"
_URL: Final = re.compile(r"(?:http://)?(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^:/\[\]\s]+)):(?P<port>[0-9]{1,5})/?")
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")
_HEAD_ENOUGH: Final = 13
"""Bytes up to and with what follows the status."""
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound, but understood
"""Who listens on all addresses also listens on loopback."""
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class Where(NamedTuple):
    """An admin port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument(
        "url", nargs="?", metavar="ADMIN_URL", help=f"the admin port; else $SIDECAR_ADMIN, else {DEFAULT}"
    )
    parser.add_argument("-c", "--config", metavar="FILE", help="take the admin port from this configuration")
    parser.add_argument("--ready", action="store_true", help="ask /readyz instead of /healthz")
    parser.add_argument(
        "--timeout", type=float, default=2.0, metavar="SECONDS", help="how long it may take (%(default)s)"
    )


def main(args: argparse.Namespace) -> int:
    """Asks once. 0: answered 200; 1: anything else, and one line says what."""
    path = "/readyz" if args.ready else "/healthz"
    try:
        where = _where(args.url, args.config)
        code = status(where, path, args.timeout)
    except (OSError, ValueError) as error:
        print(f"sidecar health: {error}", file=sys.stderr)
        return 1
    print(f"{where}{path}: {code}")
    return 0 if code == 200 else 1


def status(where: Where, path: str, timeout: float) -> int:
    """The status with which a GET is answered.

    Raises:
        OSError: nobody answered within `timeout` seconds in all.
        ValueError: what answered does not speak HTTP.
    """
    deadline = MONOTONIC() + timeout
    try:
        with socket.create_connection(where, timeout) as connection:
            host = str(where).removeprefix("http://")
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            head = _head(connection, deadline)
    except OSError as error:
        # A timeout's own words are "timed out" or none at all.
        raise OSError(f"{where}{path}: {error.strerror or 'no answer in time'}") from None
    if (found := _STATUS.match(head)) is None:
        raise ValueError(f"{where}{path}: not an HTTP server")
    return int(found[1])


def _head(connection: socket.socket, deadline: float) -> bytes:
    head = b""
    while len(head) < _HEAD_ENOUGH:
        connection.settimeout(max(deadline - MONOTONIC(), 0.001))
        if not (more := connection.recv(4096)):
            break
        head += more
    return head


def _where(url: str | None, config: str | None) -> Where:
    if url is not None:
        return _parsed(url, "ADMIN_URL")
    if config is not None:
        return _parsed(_configured(config), f"{config}: admin.listen")
    return _parsed(os.environ.get("SIDECAR_ADMIN") or DEFAULT, "SIDECAR_ADMIN")


def _parsed(text: str, name: str) -> Where:
    found = _URL.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise ValueError(f"{name} is not http://host:port")
    host = found["v6"] or found["host"]
    return Where(_ANYWHERE.get(host, host), int(found["port"]))


def _configured(file: str) -> str:
    """`admin.listen` as it is written, variables filled in; `run` is who says what is wrong with a file."""
    import yaml  # noqa: PLC0415 - only for this option

    try:
        with open(file, encoding="utf-8-sig") as text:  # noqa: PTH123 - pathlib is not imported for this
            document = yaml.load(text, yaml.CBaseLoader)  # noqa: S506 - the base loader makes only text
    except yaml.YAMLError:
        raise ValueError(f"{file} is not YAML") from None
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    admin = document.get("admin", {}) if isinstance(document, dict) else {}
    listen = admin.get("listen", DEFAULT) if isinstance(admin, dict) else ""
    address = listen.get("address", "") if isinstance(listen, dict) else listen
    return _VARIABLE.sub(lambda found: os.environ.get(found[1]) or found[2] or "", str(address))
