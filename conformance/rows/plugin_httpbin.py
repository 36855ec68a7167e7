"""For pytest in the tree of httpbin: its tests' Flask client sends real requests to the server behind the proxy."""

import http.client
import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import httpbin
from werkzeug.test import Client
from werkzeug.wrappers import Response

from conformance.rows.httpbin import BEHIND

_CGI = {"CONTENT_TYPE", "CONTENT_LENGTH"}
_NAMELESS = "HTTP_"
"""What a field without a name becomes: a test sends one, and no wire carries it."""


def through(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """A WSGI application that asks the server over a socket, and answers what it answered."""
    address = urlsplit(os.environ[BEHIND])
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    try:
        connection.putrequest(environ["REQUEST_METHOD"], _target(environ), skip_host=True, skip_accept_encoding=True)
        for name, value in _fields(environ):
            connection.putheader(name, value)
        chunked = environ.get("HTTP_TRANSFER_ENCODING") == "chunked"
        connection.endheaders(_body(environ), encode_chunked=chunked)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    start_response(f"{response.status} {response.reason}", _answered(response))
    return [body]


def pytest_configure() -> None:
    """Every test makes its client with this."""
    httpbin.app.test_client = lambda: Client(through, Response)


def _target(environ: dict[str, Any]) -> str:
    return str(environ["REQUEST_URI"])


def _fields(environ: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for key, value in environ.items():
        if key in _CGI and value and not (key == "CONTENT_LENGTH" and "HTTP_TRANSFER_ENCODING" in environ):
            yield key.replace("_", "-"), value
        elif key.startswith("HTTP_") and key != _NAMELESS:
            yield key.removeprefix("HTTP_").replace("_", "-"), value


def _body(environ: dict[str, Any]) -> bytes | None:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    return environ["wsgi.input"].read(length) or None


def _answered(response: http.client.HTTPResponse) -> list[tuple[str, str]]:
    return [(name, value) for name, value in response.getheaders() if name.lower() != "transfer-encoding"]
