"""connect-id's outage, with a real gunicorn, Django and requests, all times a tenth of production's.

Production: `requests` timeouts of 15 s, twice, under gunicorn's worker timeout of 30 s. Here: 1.5 s, twice,
under 3 s.
The sidecar runs config/examples/connect-id.yaml itself, its durations scaled alike.
"""

import http.client
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from examples import SCALE, example
from fixtures import upstream as scripted
from fixtures.process import Process, RunningSidecar, free_port
from fixtures.upstream import Upstream

from sidecar.clock import MONOTONIC

CALL_TIMEOUT = 15 / SCALE
WORKER_TIMEOUT = 30 // SCALE
OTHER_WORK = 5 / SCALE

TOGGLES = {"toggles": {"MESSAGING": {"active": True}}}
UNAVAILABLE = b'{"error_code": "CONFIGURATION_TEMPORARILY_UNAVAILABLE"}'
ALICE, BOB = "+27825550100", "+27825550199"
OURS, THEIRS = ("connect-id", "secret"), ("another", "client")

Figures = Callable[[str, str], None]


@dataclass
class App:
    """connect-id under gunicorn, one sync worker."""

    process: Process
    port: int

    def get(self, target: str) -> tuple[int, bytes]:
        """Status and body, as the mobile app sees them."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", target)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def configuration(self, phone_number: str) -> tuple[int, bytes]:
        """The request that needs connect twice."""
        return self.get("/configuration/?phone_number=" + phone_number.replace("+", "%2B"))

    def worker(self) -> int:
        """The process that answers."""
        return int(json.loads(self.get("/worker/")[1])["pid"])

    def up(self) -> bool:
        """Whether a worker answers."""
        try:
            return self.get("/worker/")[0] == 200
        except (OSError, http.client.HTTPException):
            return False


@pytest.fixture
def connect_id(command: Callable[..., Process]) -> Callable[[str], App]:
    """Starts the application in front of a URL."""

    def run(connect_url: str) -> App:
        port = free_port()
        gunicorn = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}"]
        worker = ["--workers", "1", "--worker-class", "sync", "--timeout", str(WORKER_TIMEOUT)]
        where = ["--chdir", str(Path(__file__).parent), "connect_id_app:application"]
        env = {"CONNECT_URL": connect_url, "CALL_TIMEOUT": str(CALL_TIMEOUT), "OTHER_WORK": str(OTHER_WORK)}
        app = App(command([*gunicorn, *worker, *where], env), port)
        app.process.until(app.up, within=20, what="gunicorn answers")
        return app

    return run


@contextmanager
def scaled_check(gunicorn: Process) -> Iterator[None]:
    """The master looks for stuck workers once a second, which cannot be configured.

    A signal that it ignores (SIGWINCH, not being a daemon) makes it look ten times a second, so that this is
    scaled like everything else.
    """
    over = threading.Event()

    def wake() -> None:
        while not over.wait(1 / SCALE):
            gunicorn.send_signal(signal.SIGWINCH)

    waker = threading.Thread(target=wake)
    waker.start()
    try:
        yield
    finally:
        over.set()
        waker.join()


def healthy(upstream: Upstream) -> None:
    """The service as it should be."""
    upstream.on("/api/users/invited/", scripted.ok({"invited": True}))
    upstream.on("/api/toggles/", scripted.ok(TOGGLES))


def broken(upstream: Upstream, behaviour: scripted.Behaviour) -> None:
    """The same trouble on both endpoints."""
    upstream.on("/api/users/invited/", behaviour).on("/api/toggles/", behaviour)


HANGING = pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(scripted.hang(), id="silent"),
        # Never idle for as long as a read timeout, hardly ever done: no timeout of `requests` ends this.
        pytest.param(scripted.drip(b" " * 1000, seconds=0.3), id="a-byte-now-and-then"),
    ],
)


@HANGING
def test_without_the_sidecar_the_worker_is_killed_and_the_caller_gets_nothing(
    upstream: Upstream,
    connect_id: Callable[[str], App],
    behaviour: scripted.Behaviour,
    record_property: Figures,
) -> None:
    """The outage as it was: the worker dies before its client gives up, and not a byte is answered."""
    app = connect_id(upstream.url)
    before = app.worker()
    broken(upstream, behaviour)

    started = MONOTONIC()
    with scaled_check(app.process), pytest.raises(http.client.RemoteDisconnected):
        app.configuration(ALICE)
    took = MONOTONIC() - started

    assert f"WORKER TIMEOUT (pid:{before})" in app.process.log_text()
    app.process.until(app.up, what="a new worker answers")
    assert app.worker() != before
    record_property("figure", f"without the sidecar: empty reply after {took:.2f} s, worker {before} killed")


@HANGING
def test_with_the_sidecar_the_caller_gets_exactly_the_answer_it_knows(
    upstream: Upstream,
    connect_id: Callable[[str], App],
    sidecar: Callable[..., RunningSidecar],
    behaviour: scripted.Behaviour,
    record_property: Figures,
) -> None:
    """Both calls end below the worker's timeout, the failure arrives byte for byte, nobody dies."""
    proxy = sidecar(example("connect-id"), env={"CONNECT_URL": upstream.url})
    app = connect_id(proxy.url)
    before = app.worker()
    broken(upstream, behaviour)

    started = MONOTONIC()
    with scaled_check(app.process):
        answer = app.configuration(ALICE)
    took = MONOTONIC() - started

    assert answer == (503, UNAVAILABLE)
    assert took < WORKER_TIMEOUT
    assert app.worker() == before
    assert "WORKER TIMEOUT" not in app.process.log_text()
    assert (upstream.count("/api/users/invited/"), upstream.count("/api/toggles/")) == (1, 1), "retried"
    record_property("figure", f"with the sidecar: 503 as specified after {took:.2f} s, worker {before} alive")


def test_the_breaker_spares_the_caller_and_the_upstream(
    upstream: Upstream, connect_id: Callable[[str], App], sidecar: Callable[..., RunningSidecar]
) -> None:
    """After three failures in a row the answer comes at once, with a `Retry-After`; then a probe heals."""
    proxy = sidecar(example("connect-id"), env={"CONNECT_URL": upstream.url})
    app = connect_id(proxy.url)
    broken(upstream, scripted.status(500))
    assert [app.configuration(ALICE) for _ in range(3)] == [(503, UNAVAILABLE)] * 3
    asked = upstream.count()

    refused = requests.get(proxy.url + "/api/toggles/", {"phone_number": ALICE}, auth=OURS, timeout=5)
    assert (refused.status_code, refused.content) == (503, UNAVAILABLE)
    assert int(refused.headers["Retry-After"]) >= 1
    assert upstream.count() == asked, "asked while the breaker was open"

    healthy(upstream)
    proxy.until(lambda: app.configuration(ALICE)[0] == 200, what="recovery")


def toggles(proxy: RunningSidecar, phone_number: str, auth: tuple[str, str] = OURS) -> requests.Response:
    """The second of connect-id's calls, as it makes it."""
    query = {"phone_number": phone_number}
    return requests.get(proxy.url + "/api/toggles/", query, auth=auth, timeout=CALL_TIMEOUT)


def test_toggles_are_remembered_per_number_and_credentials_for_a_bounded_time(
    upstream: Upstream, connect_id: Callable[[str], App], sidecar: Callable[..., RunningSidecar]
) -> None:
    """What a number was answered is served to it alone, marked; to others, and once too old, nothing is."""
    proxy = sidecar(example("connect-id", {"max_age": "30s"}), env={"CONNECT_URL": upstream.url})
    app = connect_id(proxy.url)
    healthy(upstream)
    assert app.configuration(ALICE) == (200, json.dumps({"invited": True, **TOGGLES}).encode())
    broken(upstream, scripted.hang())
    started = MONOTONIC()

    kept = toggles(proxy, ALICE)
    assert (kept.status_code, kept.json()) == (200, TOGGLES)
    assert kept.headers["Cache-Status"].startswith("sidecar; hit; ttl=-")
    assert kept.headers["Cache-Control"] == "no-store"
    assert int(kept.headers["Age"]) <= MONOTONIC() - started + 1

    assert toggles(proxy, BOB).content == UNAVAILABLE
    assert toggles(proxy, ALICE, THEIRS).content == UNAVAILABLE
    proxy.until(lambda: toggles(proxy, ALICE).status_code == 503, what="max_age")
    assert toggles(proxy, ALICE).content == UNAVAILABLE
    assert app.configuration(ALICE) == (503, UNAVAILABLE)


def test_no_phone_number_and_no_credential_is_written_anywhere(
    upstream: Upstream, connect_id: Callable[[str], App], sidecar: Callable[..., RunningSidecar]
) -> None:
    """Not in a log line, a metric, the status or the configuration, however the request ended."""
    proxy = sidecar(example("connect-id"), env={"CONNECT_URL": upstream.url})
    app = connect_id(proxy.url)
    healthy(upstream)
    app.configuration(ALICE)
    for behaviour in (scripted.reset(), scripted.garbage(), scripted.half_body(), scripted.empty()):
        broken(upstream, behaviour)
        app.configuration(ALICE)
        app.configuration(BOB)
    lines = proxy.wait_for_access(18)
    shown = [proxy.admin(page)[1].decode() for page in ("/metrics", "/status", "/config")]
    assert proxy.stop() == 0

    assert {line["route"] for line in lines} == {"invited-user", "toggles"}
    assert {"last_known_good", "fail_closed"} <= {line["outcome"] for line in lines}
    written = "\n".join([*shown, proxy.log_text(), app.process.log_text()])
    secrets = ["5550100", "5550199", "phone_number=", requests.auth._basic_auth_str(*OURS)]
    assert [secret for secret in secrets if secret in written] == []
