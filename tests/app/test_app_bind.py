"""What a sidecar listens on, as its own process: TCP, TLS, unix sockets, and any mixture of them."""

import http.client
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from app_caller import PATIENCE
from app_tls import written
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar, free_port, run_sidecar
from fixtures.upstream import Upstream

BIG = os.urandom(3_000_000)

CONFIG = """
listen:
  - 127.0.0.1:{plain}
  - {{address: "127.0.0.1:{secure}", tls: {{cert: "{cert}", key: "{key}"}}}}
  - unix:{directory}/plain.sock
  - {{address: "unix:{directory}/secure.sock", mode: "0600", tls: {{cert: "{cert}", key: "{key}"}}}}
limits: {{header_timeout: 400ms, body: 4MiB}}
drain: {{timeout: 0s}}
upstreams: {{main: {{endpoints: ["{upstream}"]}}}}
routes: [{{name: all, match: {{prefix: /}}, upstream: main, breaker: {{enabled: false}}}}]
"""


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory for sockets: pytest's own have names that are too long."""
    directory = Path("/tmp") / f"sidecar-bind-{os.getpid()}"
    directory.mkdir(mode=0o700)
    yield directory
    shutil.rmtree(directory)


@dataclass
class Place:
    """A sidecar with four listeners."""

    sidecar: RunningSidecar
    upstream: Upstream
    secure: int
    directory: Path
    trusting: ssl.SSLContext

    def connect(self, kind: str) -> socket.socket:
        """A connection of that kind, ready for a request."""
        if kind in ("unix", "unix-tls"):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(PATIENCE)
            sock.connect(str(self.directory / ("plain.sock" if kind == "unix" else "secure.sock")))
        else:
            port = self.sidecar.port if kind == "tcp" else self.secure
            sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        if kind in ("tls", "unix-tls"):
            return self.trusting.wrap_socket(sock, server_hostname="sidecar.test", suppress_ragged_eofs=False)
        return sock

    def client(self, kind: str) -> http.client.HTTPConnection:
        """The same, for requests."""
        client = http.client.HTTPConnection("sidecar.test", timeout=PATIENCE)
        client.sock = self.connect(kind)
        return client


async def broken_off(exchange: scripted.Exchange) -> None:
    """An answer of unknown length that never ends."""
    head = scripted.head(200, [("Transfer-Encoding", "chunked")])
    await exchange.write(head + b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
    exchange.close()  # a reset would take the head along, if it was not read yet


@pytest.fixture(scope="module")
def place(short: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Everything, once."""
    directory = tmp_path_factory.mktemp("bind")
    authority = trustme.CA()
    cert, key = written(directory, "sidecar", authority.issue_cert("sidecar.test"))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    secure = free_port()
    with Upstream() as upstream:
        upstream.otherwise(scripted.ok({"from": "upstream"}))
        upstream.on("/big", scripted.answer(200, BIG, content_type="application/octet-stream"))
        upstream.on("/half", broken_off)
        with socket.socket(socket.AF_UNIX) as left:  # by a process that was killed
            left.bind(str(short / "plain.sock"))
        plain = free_port()
        text = CONFIG.format(plain=plain, secure=secure, cert=cert, key=key, directory=short, upstream=upstream.url)
        running = RunningSidecar(text, directory)
        running.port = plain
        place = Place(running, upstream, secure, short, trusting)
        try:
            yield place
            assert running.stop() == 0
            assert "Traceback" not in running.log_text(), running.log_text()
            assert not list(short.iterdir()), "a socket was left behind"
        finally:
            running.kill()


KINDS = ["tcp", "tls", "unix", "unix-tls"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_listener_serves(place: Place, kind: str) -> None:
    """Many requests on one connection, small ones and large ones, each way."""
    client = place.client(kind)
    for _ in range(3):
        client.request("GET", "/x")
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, b'{"from": "upstream"}')
    client.request("GET", "/big")
    assert client.getresponse().read() == BIG
    client.request("POST", "/small", body=BIG)
    assert client.getresponse().read() == b'{"from": "upstream"}'
    assert place.upstream.requests("/small")[-1].body == BIG
    client.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_caller_can_read_why(place: Place, kind: str) -> None:
    """Though it goes on sending for a while: over TLS, too, nothing is reset under an answer on its way."""
    with place.connect(kind) as sock:
        sock.sendall(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n")
        for _ in range(20):
            sock.sendall(b"x" * 20_000)
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(65536)
        assert data.startswith(b"HTTP/1.1 413")


def read_all(sock: socket.socket) -> bytes:
    """Until the end."""
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_a_broken_answer_is_no_end(place: Place, kind: str) -> None:
    """Who reads until the connection closes is told that it was cut off, by a reset.

    A unix socket has none: there only the framing tells, which is why HTTP/1.0 callers should not use one.
    """
    with place.connect(kind) as sock:
        sock.sendall(b"GET /half HTTP/1.0\r\nHost: a\r\n\r\n")
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
            read_all(sock)


def test_a_broken_answer_on_a_unix_socket_is_cut_short(place: Place) -> None:
    """Of a chunked body the last chunk never comes."""
    with place.connect("unix") as sock:
        sock.sendall(b"GET /half HTTP/1.1\r\nHost: a\r\n\r\n")
        data = read_all(sock)
    assert data.startswith(b"HTTP/1.1 200")
    assert not data.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("kind", KINDS)
def test_a_caller_that_leaves_is_noticed(place: Place, kind: str) -> None:
    """While it waits: its upstream's connection is given up."""
    path = f"/leaves-{kind}"
    place.upstream.on(path, scripted.hang())
    sock = place.connect(kind)
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    place.upstream.wait_for(1, path)
    sock.close()
    place.sidecar.until(
        lambda: [line for line in place.sidecar.access_log() if line["path"] == path], what="the caller's leaving"
    )


def test_alpn(place: Place) -> None:
    """http/1.1 is agreed on with who asks, never HTTP/2."""
    place.trusting.set_alpn_protocols(["h2", "http/1.1"])
    with place.connect("tls") as sock:
        assert isinstance(sock, ssl.SSLSocket)
        assert sock.selected_alpn_protocol() == "http/1.1"


def test_a_caller_that_never_shakes_hands(place: Place) -> None:
    """Is let go of after `limits.header_timeout`."""
    with socket.create_connection(("127.0.0.1", place.secure), timeout=PATIENCE) as sock:
        assert sock.recv(1) == b""


@pytest.mark.parametrize("kind", ["tls", "unix-tls"])
def test_handshakes_that_fail_are_counted(place: Place, kind: str) -> None:
    """One that speaks no TLS, and one that does not trust us; none is a traceback."""
    address = f"127.0.0.1:{place.secure}" if kind == "tls" else f"unix:{place.directory}/secure.sock"
    series = f'sidecar_tls_handshake_failures_total{{listener="{address}"}}'
    before = place.sidecar.metric(series)
    trusted, place.trusting = place.trusting, ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        place.connect(kind)
    place.trusting = trusted
    place.sidecar.until(lambda: place.sidecar.metric(series) == before + 1, what="the count")


def test_who_may_connect(place: Place) -> None:
    """Owner and group, unless another mode was asked for."""
    modes = [stat.S_IMODE((place.directory / name).stat().st_mode) for name in ("plain.sock", "secure.sock")]
    assert modes == [0o660, 0o600]


def test_where_it_listens_is_said(place: Place) -> None:
    """As it was written."""
    place.sidecar.until(lambda: "serving on" in place.sidecar.stderr(), what="the line")
    assert f"127.0.0.1:{place.secure}, unix:{place.directory}/plain.sock, unix:" in place.sidecar.stderr()


MINIMAL = """
listen: {listen}
admin: {{listen: 127.0.0.1:0}}
upstreams: {{main: {{endpoints: ["http://127.0.0.1:9"]}}}}
routes: [{{name: all, match: {{prefix: /}}, upstream: main}}]
"""

Refuse = Callable[[str], str]


@pytest.fixture
def refuses(tmp_path: Path) -> Refuse:
    """What `sidecar run` says of a listener, in one line, before it ends with exit code 2."""

    def run(listen: str) -> str:
        path = tmp_path / "sidecar.yaml"
        path.write_text(MINIMAL.format(listen=listen))
        code, _, err = run_sidecar("run", "-c", str(path))
        assert (code, err.count("\n")) == (2, 1), err
        return err

    return run


def test_a_socket_of_a_living_process_is_not_taken(place: Place, refuses: Refuse) -> None:
    """It goes on serving."""
    path = place.directory / "plain.sock"
    assert refuses(f"unix:{path}") == f"sidecar: listen: cannot listen on unix:{path}: another process listens on it\n"
    client = place.client("unix")
    client.request("GET", "/x")
    assert client.getresponse().status == 200
    client.close()


def test_a_file_is_not_overwritten(refuses: Refuse, short: Path) -> None:
    """Whoever mistypes a path loses nothing."""
    path = short / "precious"
    path.write_text("data")
    assert "it is not a socket" in refuses(f"unix:{path}")
    assert path.read_text() == "data"
    path.unlink()


def test_a_certificate_that_is_none(refuses: Refuse, tmp_path: Path) -> None:
    """One line that names the files."""
    junk = tmp_path / "junk.pem"
    junk.write_text("secret")
    line = refuses(f'{{address: "127.0.0.1:0", tls: {{cert: "{junk}", key: "{junk}"}}}}')
    assert line == f"sidecar: listen.tls: {junk} and {junk}: no PEM certificate with its own key\n"


def test_curl_knows_both(place: Place) -> None:
    """A client that others wrote, on a unix socket."""
    curl = shutil.which("curl")
    assert curl, "curl is missing: make test installs it"
    socket_path = str(place.directory / "plain.sock")
    command = [curl, "-sS", "--max-time", "10", "--unix-socket", socket_path, "http://sidecar.test/x"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b'{"from": "upstream"}'


def test_killed_and_started_again(short: Path, tmp_path: Path) -> None:
    """What a killed process leaves behind keeps nobody from starting."""
    config = MINIMAL.format(listen=f"unix:{short}/again.sock").replace("admin: {listen: 127.0.0.1:0}\n", "")
    first = RunningSidecar(config, tmp_path)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert (short / "again.sock").is_socket()
    second = RunningSidecar(config, tmp_path)
    try:
        assert second.stop(signal.SIGINT) == 0
    finally:
        second.kill()
    assert not (short / "again.sock").exists()
