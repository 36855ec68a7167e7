"""Certificates, keys and authorities that change while the sidecar runs: new connections take them."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from app_caller import PATIENCE, ask
from app_tls import NAME, asking, server_context, written
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar, free_port
from fixtures.upstream import Exchange, Upstream

CONFIG = """
listen:
  - 127.0.0.1:{plain}
  - {{address: "127.0.0.1:{secure}", tls: {{cert: "{own[0]}", key: "{own[1]}"}}}}
drain: {{timeout: 0s}}
upstreams:
  main: {{endpoints: ["{upstream}"], tls: {{ca: "{ca}", cert: "{client[0]}", key: "{client[1]}", server_name: {name}}}}}
  same: {{endpoints: ["{upstream}"], tls: {{ca: "{ca}", cert: "{client[0]}", key: "{client[1]}", server_name: {name}}}}}
routes:
  - {{name: main, match: {{prefix: /main/}}, upstream: main, breaker: {{enabled: false}}}}
  - {{name: same, match: {{prefix: /same/}}, upstream: same, breaker: {{enabled: false}}}}
"""


def telling(names: list[str]) -> scripted.Behaviour:
    """Answers, and notes the name in the client's certificate."""

    async def behave(exchange: Exchange) -> None:
        certificate = exchange.writer.get_extra_info("peercert")
        names.append(certificate["subjectAltName"][0][1])
        await scripted.ok()(exchange)

    return behave


class Place:
    """A sidecar with a certificate of its own, and one to show to its upstream."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.ca = directory / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        self.names: list[str] = []
        context = asking(self.authority, server_context(self.authority))
        self.upstream = stack.enter_context(Upstream(tls=context))
        self.upstream.otherwise(telling(self.names))
        plain, self.secure = free_port(), free_port()
        config = CONFIG.format(
            plain=plain,
            secure=self.secure,
            own=self.own("old.sidecar.test"),
            client=self.client("old.client.test"),
            upstream=self.upstream.url,
            ca=self.ca,
            name=NAME,
        )
        self.sidecar = RunningSidecar(config, directory)
        self.sidecar.port = plain
        stack.callback(self.sidecar.kill)

    def own(self, name: str) -> tuple[Path, Path]:
        """The listener's certificate, from now on."""
        return written(self.directory, "own", self.authority.issue_cert(name))

    def client(self, name: str) -> tuple[Path, Path]:
        """The one for the upstream, from now on."""
        return written(self.directory, "client", self.authority.issue_cert(name))

    def taken(self, result: str = "ok") -> float:
        """How often files were taken, or not."""
        return self.sidecar.metric(f'sidecar_tls_reloads_total{{result="{result}"}}')

    def connect(self) -> ssl.SSLSocket:
        """A caller's TLS connection, which does not care about the name."""
        context = ssl.create_default_context()
        context.check_hostname = False
        self.authority.configure_trust(context)
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.secure), timeout=PATIENCE))

    def presented(self) -> str:
        """The name that new connections of callers see."""
        with self.connect() as sock:
            certificate = sock.getpeercert()
            assert certificate is not None
            return str(certificate["subjectAltName"][0][1])  # type: ignore[index,misc]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A fresh one: its files are the test's to change."""
    with ExitStack() as stack:
        place = Place(tmp_path, stack)
        yield place
        assert place.sidecar.stop() == 0
        assert "Traceback" not in place.sidecar.log_text(), place.sidecar.log_text()


def test_a_listener_takes_a_new_certificate(place: Place) -> None:
    """New connections see it, old ones go on; a broken pair leaves all as it is, which is said once."""
    with place.connect() as old:
        client = http.client.HTTPConnection("sidecar.test")
        client.sock = old
        assert place.presented() == "old.sidecar.test"
        place.own("new.sidecar.test")
        place.sidecar.until(lambda: place.taken() == 1, what="the new certificate")
        assert place.presented() == "new.sidecar.test"
        client.request("GET", "/main/x")
        assert client.getresponse().status == 200
        rejected = place.taken("rejected")  # one, if a look came between certificate and key
        (place.directory / "own.key").write_text("half of a key")
        place.sidecar.until(lambda: place.taken("rejected") > rejected, what="the refusal")
        assert place.presented() == "new.sidecar.test"
        place.own("newest.sidecar.test")
        place.sidecar.until(lambda: place.presented() == "newest.sidecar.test", what="the newest certificate")
    told = f"TLS files of listener 127.0.0.1:{place.secure} changed: the old one stays"
    assert told in place.sidecar.stderr()
    assert "half of a key" not in place.sidecar.log_text()


def test_an_upstream_is_shown_a_new_certificate(place: Place) -> None:
    """By new connections; idle ones are closed, one that carries an exchange is when it has ended."""
    place.upstream.on("/main/held", scripted.held(scripted.ok()))
    for path in ("/main/x", "/same/x"):
        assert ask(place.sidecar.port, "GET", path).status == 200
    with socket.create_connection(("127.0.0.1", place.sidecar.port), timeout=PATIENCE) as waiting:
        waiting.sendall(b"GET /main/held HTTP/1.1\r\nHost: a\r\n\r\n")
        place.upstream.wait_for(1, "/main/held")
        place.client("new.client.test")
        place.sidecar.until(lambda: place.taken() == 1, what="the new certificate")
        place.upstream.wait_until_open(1)
        place.upstream.release()
        assert waiting.recv(65536).startswith(b"HTTP/1.1 200")
        place.upstream.wait_until_open(0)
    for path in ("/main/x", "/same/x"):
        assert ask(place.sidecar.port, "GET", path).status == 200
    assert place.names == ["old.client.test", "old.client.test", "new.client.test", "new.client.test"]
    assert "TLS files of upstream main, same changed: taken for new connections" in place.sidecar.stderr()


def test_an_upstream_is_verified_by_a_new_authority(place: Place) -> None:
    """Whom the old one vouched for is not known any more."""
    assert ask(place.sidecar.port, "GET", "/main/x").status == 200
    new = place.directory / "new.pem"
    trustme.CA().cert_pem.write_to_path(str(new))
    new.rename(place.ca)
    place.sidecar.until(lambda: place.taken() == 1, what="the new authority")
    assert ask(place.sidecar.port, "GET", "/main/x").json["detail"] == "certificate signed by an unknown authority"
