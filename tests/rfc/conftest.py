"""One sidecar for all tests of the rules."""

import socket
from collections.abc import Iterator

import pytest
from fixtures.process import RunningSidecar, free_port
from fixtures.upstream import Upstream
from rfc_world import CONFIG, PATIENCE, World


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Once for all modules: no test leaves anything behind."""
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as listener, Upstream() as late:
        listener.settimeout(PATIENCE)
        raw = f"http://127.0.0.1:{listener.getsockname()[1]}"
        running = RunningSidecar(CONFIG.format(port=port, raw=raw, late=late.url), tmp_path_factory.mktemp("rfc"))
        try:
            yield World(running, port, listener, late)
            assert running.stop() == 0
            assert "Traceback" not in running.log_text(), running.log_text()
            assert "exchange failed" not in running.log_text(), running.log_text()
        finally:
            running.kill()
