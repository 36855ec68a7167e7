"""The fixture of the end-to-end tests."""

import socket
import ssl
from collections.abc import Iterator

import pytest
import trustme
from app_caller import PATIENCE
from app_world import ROUTES, SECRET, UPSTREAMS, World
from fixtures.process import RunningSidecar
from fixtures.upstream import Upstream


def _server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("upstream.test").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everything, once per module."""
    directory = tmp_path_factory.mktemp("world")
    trusted, other = trustme.CA(), trustme.CA()
    ca, other_ca, secret = directory / "ca.pem", directory / "other.pem", directory / "secret"
    trusted.cert_pem.write_to_path(str(ca))
    other.cert_pem.write_to_path(str(other_ca))
    secret.write_text(SECRET)
    with (
        Upstream() as main,
        Upstream() as backup,
        Upstream(tls=_server_context(trusted)) as secure,
        socket.create_server(("127.0.0.1", 0)) as raw,
        socket.socket() as dead,  # bound, never listening: connections are refused, and nobody else can take the port
    ):
        dead.bind(("127.0.0.1", 0))
        raw.settimeout(PATIENCE)
        upstreams = UPSTREAMS.format(
            main=main.url,
            backup=backup.url,
            secure=secure.url,
            raw=f"http://127.0.0.1:{raw.getsockname()[1]}",
            dead=f"http://127.0.0.1:{dead.getsockname()[1]}",
            ca=ca,
            other_ca=other_ca,
            secret=secret,
        )
        own = directory / "sidecar"
        own.mkdir()
        running = RunningSidecar(upstreams + ROUTES, own)
        try:
            yield World(running, main, backup, secure, raw)
            assert running.stop() == 0
            assert "Traceback" not in running.log_text(), running.log_text()
            assert "exchange failed" not in running.log_text(), running.log_text()
        finally:
            running.kill()
