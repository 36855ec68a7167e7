"""config/examples/forward-proxy.yaml, called by real clients that know nothing of it but HTTP_PROXY.

They call http://connect.example.com/...; the sidecar knows the route by its host, and makes TLS to the service.
"""

import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import trustme
from fixtures import upstream as scripted
from fixtures.process import ROOT, RunningSidecar
from fixtures.upstream import Upstream
from forward_proxy_clients import CLIENTS, Call, Refused

URL = "http://connect.example.com/api/toggles/?phone_number=%2B27825550100&a=b%20c"
TARGET = "/api/toggles/?phone_number=%2B27825550100&a=b%20c"


@dataclass
class Place:
    """The sidecar, and the service behind it that speaks TLS only."""

    sidecar: RunningSidecar
    connect: Upstream


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The example as it is shipped, but for where the services are and who vouches for them."""
    directory = tmp_path_factory.mktemp("forward-proxy")
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("connect.example.com").configure_cert(context)
    ca = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    text = (ROOT / "config/examples/forward-proxy.yaml").read_text()
    endpoints = '    endpoints: ["${CONNECT_URL:-https://connect.example.com}"]\n'
    assert endpoints in text
    text = text.replace(endpoints, f'{endpoints}    tls: {{ca: "{ca}", server_name: connect.example.com}}\n')
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(("listen:", "admin:")))
    with Upstream(tls=context) as connect, socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))  # never listening: connections are refused
        connect.otherwise(scripted.echo())
        urls = {"CONNECT_URL": connect.url, "SMS_URL": f"http://127.0.0.1:{dead.getsockname()[1]}"}
        running = RunningSidecar(text, directory, urls)
        try:
            yield Place(running, connect)
            assert running.stop() == 0
            assert "Traceback" not in running.log_text(), running.log_text()
        finally:
            running.kill()


@pytest.fixture(params=CLIENTS)
def call(request: pytest.FixtureRequest, place: Place, monkeypatch: pytest.MonkeyPatch) -> Call:
    """One client, and an environment that sends everything to the sidecar."""
    for name in ("no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, place.sidecar.url)
        monkeypatch.setenv(name.upper(), place.sidecar.url)
    return CLIENTS[request.param]


def test_a_call_by_name_reaches_the_service_over_tls(place: Place, call: Call) -> None:
    """The target byte for byte, one hop named in `Via`, and nothing of what was between client and proxy."""
    status, body = call("GET", URL, b"")
    seen = json.loads(body)
    names = [name for name, _ in seen["headers"]]
    assert (status, seen["method"], seen["target"]) == (200, "GET", TARGET)
    assert dict(seen["headers"])["host"] == f"127.0.0.1:{place.connect.port}"  # the endpoint's own, unless told to keep
    assert names.count("via") == 1
    assert not [name for name in names if name.startswith("proxy-")]


def test_a_body_arrives_whole(call: Call) -> None:
    """More than one piece, either way."""
    sent = b"0123456789abcdef" * 8192
    status, body = call("POST", "http://connect.example.com/api/upload", sent)
    assert (status, json.loads(body)["body"].encode("latin-1")) == (200, sent)


def test_a_service_that_cannot_be_reached_is_an_answer_the_client_can_read(call: Call) -> None:
    """What a sidecar is for; 503 when the breaker is open, as it is by the last client."""
    status, body = call("POST", "http://api.sms.example.com/send", b"{}")
    assert (status in (502, 503), json.loads(body)["error_code"]) == (True, "UPSTREAM_UNAVAILABLE")


def test_a_host_that_no_route_names_is_not_reached(call: Call) -> None:
    """It is no open proxy."""
    status, body = call("GET", "http://elsewhere.example.com/", b"")
    assert (status, json.loads(body)["reason"]) == (404, "no_route")


TUNNELLING = [name for name in CLIENTS if not name.startswith("node")]
"""Clients that ask for a tunnel when they are told https:// of a proxied host. Node's are told http:// only."""


@pytest.mark.parametrize("call", TUNNELLING, indirect=True)
def test_a_tunnel_is_refused_so_that_the_client_says_why(place: Place, call: Call) -> None:
    """405, at once: nobody takes it for an outage of the service."""
    before = place.connect.accepted
    with pytest.raises(Refused, match="405"):
        call("GET", URL.replace("http:", "https:"), b"")
    assert place.connect.accepted == before
