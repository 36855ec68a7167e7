"""The clients of Python applications through a whole sidecar; `make conformance` has those of other languages too."""

import sys
from collections.abc import Iterator

import pytest
from fixtures.process import Process, RunningSidecar, free_port

from conformance.clients.answer import Client
from conformance.clients.cases import CASES
from conformance.clients.libraries import LIBRARIES
from conformance.proxies import listens
from conformance.rows.clients import possible


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a sidecar in front of the origin that answers in every form."""
    port = free_port()
    origin = Process([sys.executable, "-m", "conformance.origin", str(port)], tmp_path_factory.mktemp("origin"))
    config = (
        f"upstreams: {{origin: {{endpoints: ['http://127.0.0.1:{port}']}}}}\n"
        "routes: [{name: all, match: {prefix: /}, upstream: origin, breaker: {enabled: false}}]"
    )
    try:
        origin.until(lambda: listens(port))
        sidecar = RunningSidecar(config, tmp_path_factory.mktemp("sidecar"))
        yield sidecar.url
        sidecar.kill()
        assert "Traceback" not in sidecar.log_text(), sidecar.log_text()
    finally:
        origin.kill()


@pytest.fixture(scope="module")
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Each with its own pool, kept over all cases: what one case leaves behind is the next one's."""
    made = LIBRARIES[request.param]()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("client", "case"),
    [(name, case) for name in LIBRARIES for case in CASES if case in possible(name)],
    indirect=["client"],
)
def test_a_client_sees_the_origin(client: Client, url: str, case: str) -> None:
    """As if nothing stood between: conformance/clients/cases.py says what that is.

    What a client can do neither with a proxy nor without is no case of it.
    """
    CASES[case](client, url)
