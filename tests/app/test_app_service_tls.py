"""TLS to upstreams, through a sidecar that runs as its own process: what is accepted, what refused, in which words."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from app_caller import Answer, BrokenOff, Caller, ask
from app_tls import (
    DAY,
    NAME,
    alert,
    asking,
    by_itself,
    leaving,
    listening,
    refusing,
    saying,
    server_context,
    silent,
    written,
)
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar
from fixtures.upstream import Exchange, Upstream

BODY = b'{"from": "upstream"}'
OLD = ssl.TLSVersion.TLSv1_2


class Place:
    """The sidecar, and upstreams by name: a path's first segment says to which it goes."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.stack = stack
        self.upstreams: dict[str, Upstream] = {}
        self.lines: list[str] = []
        self.sidecar: RunningSidecar
        self.authority, self.stranger = trustme.CA(), trustme.CA()
        self.ca = directory / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))

    def add(self, name: str, port: int, tls: str = f"server_name: {NAME}", more: str = "") -> None:
        """An upstream at that port."""
        self.lines.append(
            f'  {name}: {{endpoints: ["https://127.0.0.1:{port}"], tls: {{ca: "{self.ca}", {tls}}}{more}}}'
        )

    def scripted(self, name: str, context: ssl.SSLContext | None, tls: str = f"server_name: {NAME}") -> None:
        """The same, one that answers."""
        upstream = self.upstreams[name] = self.stack.enter_context(Upstream(tls=context))
        upstream.otherwise(scripted.answer(200, BODY))
        self.add(name, upstream.port, tls)

    def peer(self, name: str, serve: object, tls: str = f"server_name: {NAME}", more: str = "") -> None:
        """The same, one that does something else with its connections."""
        assert callable(serve)
        self.add(name, self.stack.enter_context(listening(serve)), tls, more)

    def start(self) -> None:
        """Runs the sidecar."""
        names = [line.split(":")[0].strip() for line in self.lines]
        routes = [
            f"  - {{name: {n}, match: {{prefix: /{n}/}}, upstream: {n}, breaker: {{enabled: false}}}}" for n in names
        ]
        config = "\n".join(["drain: {timeout: 0s}", "upstreams:", *self.lines, "routes:", *routes])
        self.sidecar = RunningSidecar(config + "\n", self.directory)
        self.stack.callback(self.sidecar.kill)

    def get(self, path: str) -> Answer:
        """A GET on a connection of its own."""
        return ask(self.sidecar.port, "GET", path)

    def logged(self, path: str) -> dict[str, object]:
        """The access log's line about a path."""

        def found() -> list[dict[str, object]]:
            return [line for line in self.sidecar.access_log() if line["path"] == path]

        return self.sidecar.until(found, what=f"a line about {path}")[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Everything, once."""
    directory = tmp_path_factory.mktemp("tls")
    with ExitStack() as stack:
        place = Place(directory, stack)
        ours, theirs = place.authority, place.stranger
        cert, key = written(directory, "client", ours.issue_cert("client.test"))
        odd_cert, odd_key = written(directory, "odd", theirs.issue_cert("client.test"))
        named = f"server_name: {NAME}"
        place.scripted("good", server_context(ours))
        place.scripted("old", server_context(ours, newest=OLD))
        place.scripted("by-address", server_context(ours, "127.0.0.1"), "min_version: '1.2'")
        place.scripted("not-by-address", server_context(ours), "min_version: '1.2'")
        place.scripted("expired", server_context(ours, until=-DAY))
        place.scripted("early", server_context(ours, since=DAY, until=2 * DAY))
        place.scripted("misnamed", server_context(ours, "other.test"))
        place.scripted("unknown", server_context(theirs))
        place.scripted("lonely", by_itself(directory))
        place.scripted("plain", None)
        place.peer("too-old", refusing(server_context(ours, newest=OLD)), f"{named}, min_version: '1.3'")
        for name, newest in (("12", OLD), ("13", ssl.TLSVersion.TLSv1_3)):
            asks = asking(ours, server_context(ours, newest=newest))
            place.scripted(f"known-{name}", asks, f'{named}, cert: "{cert}", key: "{key}"')
            place.peer(f"nobody-{name}", refusing(asks))
            place.peer(f"odd-{name}", refusing(asks), f'{named}, cert: "{odd_cert}", key: "{odd_key}"')
        place.peer("hangs", silent, more=", connect_timeout: 200ms")
        place.peer("leaves", leaving)
        place.peer("no-protocol", saying(alert(120)))
        place.peer("no-name", saying(alert(112)))
        place.start()
        yield place
        assert place.sidecar.stop() == 0
        assert "Traceback" not in place.sidecar.log_text(), place.sidecar.log_text()


@pytest.mark.parametrize("name", ["good", "old", "by-address", "known-12", "known-13"])
def test_an_upstream_that_is_what_it_should_be(place: Place, name: str) -> None:
    """TLS 1.2 and 1.3, a name from `server_name` or an address, with our certificate where it asks for one."""
    answer = place.get(f"/{name}/x")
    assert (answer.status, answer.body) == (200, BODY)


CERTIFICATE, ALERT, PROTOCOL = "tls_certificate_error", "tls_alert_received", "tls_protocol_error"


@pytest.mark.parametrize(
    ("name", "detail", "error"),
    [
        ("expired", "certificate has expired", CERTIFICATE),
        ("early", "certificate is not valid yet", CERTIFICATE),
        ("misnamed", f"certificate is not valid for {NAME}", CERTIFICATE),
        ("not-by-address", "certificate is not valid for 127.0.0.1", CERTIFICATE),
        ("unknown", "certificate signed by an unknown authority", CERTIFICATE),
        ("lonely", "certificate signed by itself", CERTIFICATE),
        ("plain", "the peer does not speak TLS", PROTOCOL),
        ("too-old", "no TLS version in common", ALERT),
        ("nobody-12", "the peer refused the handshake", ALERT),
        ("nobody-13", "the peer requires a client certificate", ALERT),
        ("odd-12", "the peer does not know the authority of our certificate", ALERT),
        ("odd-13", "the peer does not know the authority of our certificate", ALERT),
        ("leaves", "the peer closed the connection during the handshake", PROTOCOL),
        ("no-protocol", "the peer does not offer HTTP/1.1", ALERT),
        ("no-name", "the peer does not know the server name", ALERT),
    ],
)
def test_an_upstream_that_is_not(place: Place, name: str, detail: str, error: str) -> None:
    """502 that says what is wrong: in the body, in Proxy-Status, in the access log, and once in the process log."""
    answer = place.get(f"/{name}/x")
    assert answer.status == 502
    assert (answer.json["reason"], answer.json["detail"]) == ("tls_failure", detail)
    assert answer.get("proxy-status") == f'sidecar; error={error}; details="tls_failure"'
    line = place.logged(f"/{name}/x")
    assert (line["reason"], line["detail"]) == ("tls_failure", detail)
    assert list(line).index("detail") == list(line).index("reason") + 1
    assert f"upstream {name}: tls_failure: {detail}" in place.sidecar.stderr()


def test_what_is_wrong_is_told_once_per_interval(place: Place) -> None:
    """However often it happens."""
    for _ in range(5):
        place.get("/expired/again")
    assert place.sidecar.stderr().count("upstream expired: tls_failure") <= 2


def test_a_peer_that_hangs_in_the_handshake(place: Place) -> None:
    """connect_timeout covers it, and the log says in which stage it was spent."""
    answer = place.get("/hangs/x")
    assert (answer.status, answer.json["reason"]) == (504, "connect_timeout")
    assert "detail" not in answer.json
    assert place.logged("/hangs/x")["detail"] == "no connection within 0.2 s (TLS)"


def test_nobody_s_word_for_it_but_ours(place: Place) -> None:
    """A good answer's line has no detail."""
    place.get("/good/silent")
    assert "detail" not in place.logged("/good/silent")


def cut_off(body: bytes) -> scripted.Behaviour:
    """An answer that ends with the connection, which ends without the farewell that says so."""

    async def behave(exchange: Exchange) -> None:
        await exchange.write(scripted.head(200, []) + body)
        exchange.writer.transport.abort()

    return behave


@pytest.mark.parametrize("name", ["good", "old"])
def test_a_cut_is_no_end(place: Place, name: str) -> None:
    """A body that ends with the connection is complete only if TLS says so (RFC 9112 section 9.8)."""
    upstream = place.upstreams[name]
    upstream.on(f"/{name}/ends", scripted.until_close(b"whole"))
    assert place.get(f"/{name}/ends").body == b"whole"
    upstream.on(f"/{name}/cut", cut_off(b"half"))
    with Caller(place.sidecar.port) as caller, pytest.raises(BrokenOff):
        caller.ask("GET", f"/{name}/cut")
    line = place.logged(f"/{name}/cut")
    assert (line["reason"], line["detail"]) == ("reset", "connection closed in mid-response")


def noting(reused: list[bool]) -> scripted.Behaviour:
    """Answers, notes whether the connection's session was a resumed one, and closes."""

    async def behave(exchange: Exchange) -> None:
        reused.append(exchange.writer.get_extra_info("ssl_object").session_reused)
        await exchange.write(scripted.head(200, [("Content-Length", "0"), ("Connection", "close")]))
        exchange.close()

    return behave


@pytest.mark.parametrize("name", ["good", "old", "known-13"])
def test_sessions_are_resumed(place: Place, name: str) -> None:
    """A new connection costs half a handshake where there was one before, client certificate or not."""
    reused: list[bool] = []
    place.upstreams[name].on(f"/{name}/closing", noting(reused))
    for _ in range(4):
        assert place.get(f"/{name}/closing").status == 200
    assert reused[1:] == [True, True, True]
