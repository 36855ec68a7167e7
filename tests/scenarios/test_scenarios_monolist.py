"""Jobs that poll a third party through its outage: real `httpx` clients, all times a tenth of production's.

The sidecar runs config/examples/monolist.yaml itself. `Retry-After` counts in whole seconds and is not scaled.
"""

import email.utils
import itertools
import json
import ssl
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import pytest
from examples import example
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar
from fixtures.upstream import Behaviour, Exchange, Upstream

from sidecar.clock import MONOTONIC, WALL

JOBS, WORKERS = 600, 12
OWN_ATTEMPTS = 3
"""What a job makes by itself where there is no sidecar."""
AMPLIFICATION = 1.25
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Every `httpx` client reads all authorities otherwise, which takes longer than its calls do here."""
LONG = 60
"""Seconds: more than a request may take, so nothing that the sidecar would wait for."""

Figures = Callable[[str, str], None]


@dataclass
class Queue:
    """A job queue: runs each job once, counts what came, and notes when a failed one is to run again."""

    base: str
    attempts: int = 1
    outcomes: Counter[str] = field(default_factory=Counter)

    def job(self, client: httpx.Client, number: int) -> str:
        """One poll; the status, or the kind of error."""
        for _ in range(self.attempts):
            try:
                outcome = str(client.get(f"{self.base}/issues/{number}").status_code)
            except httpx.HTTPError as error:
                outcome = type(error).__name__
        return outcome

    def run(self, jobs: int) -> None:
        """All jobs, by several workers with a client each."""
        share = jobs // WORKERS

        def worker(number: int) -> list[str]:
            with httpx.Client(timeout=10, verify=NO_TLS) as client:
                return [self.job(client, number * share + one) for one in range(share)]

        with ThreadPoolExecutor(WORKERS) as pool:
            self.outcomes.update(itertools.chain.from_iterable(pool.map(worker, range(WORKERS))))


def pause(answer: httpx.Response) -> float:
    """Seconds that the queue lets pass before the job runs again: as asked for, else a moment."""
    asked = answer.headers.get("Retry-After", "")
    if asked.isdigit():
        return float(asked)
    at = email.utils.parsedate_to_datetime(asked) if asked else None
    return at.timestamp() - WALL() if at else 0.1


EPHEMERAL = {"upstream_error": scripted.status(500), "reset": scripted.half_body(), "attempt_timeout": scripted.hang()}
PERSISTENT = {"404": scripted.status(404), "401": scripted.status(401)}
KINDS = {**EPHEMERAL, **PERSISTENT}
MIX = ["upstream_error"] * 12 + ["reset"] * 6 + ["attempt_timeout"] + ["404"] * 4 + ["401"]


@dataclass
class Outage:
    """Every call fails, in one way or another; each job always in the same."""

    met: Counter[str] = field(default_factory=Counter)

    async def __call__(self, exchange: Exchange) -> None:
        """A behaviour."""
        kind = MIX[int(exchange.request.path.rpartition("/")[2]) % len(MIX)]
        self.met[kind] += 1
        await KINDS[kind](exchange)


@pytest.fixture
def outage(upstream: Upstream) -> Outage:
    """The tracker is down."""
    down = Outage()
    upstream.otherwise(down)
    return down


def by_label(proxy: RunningSidecar, series: str, label: str) -> Counter[str]:
    """The series' values by one of its labels."""
    found: Counter[str] = Counter()
    for line in proxy.metrics().splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith(series + "{"):
            found[name.partition(f'{label}="')[2].partition('"')[0]] += int(float(value))
    return +found


def test_without_the_sidecar_every_job_makes_the_outage_worse(upstream: Upstream, record_property: Figures) -> None:
    """A job that tries three times is three calls, for 600 jobs as for one."""
    upstream.otherwise(scripted.status(500))
    queue = Queue(upstream.url, attempts=OWN_ATTEMPTS)
    queue.run(JOBS)
    ratio = upstream.count() / JOBS
    assert ratio == OWN_ATTEMPTS
    record_property("figure", f"without the sidecar: {JOBS} failing jobs made {upstream.count()} attempts: {ratio:.2f}")


@pytest.mark.parametrize("breaker", ["dry-run", "shipped"])
def test_an_outage_is_not_amplified_and_every_failure_is_counted_by_its_kind(
    breaker: str,
    upstream: Upstream,
    outage: Outage,
    sidecar: Callable[..., RunningSidecar],
    record_property: Figures,
) -> None:
    """At most 1.25 attempts per call by the budget alone, far fewer with the breaker; the kinds add up exactly."""
    text = example("monolist")
    if breaker == "dry-run":
        text = text.replace("breaker: {", "breaker: {dry_run: true, ")
    proxy = sidecar(text, env={"TRACKER_URL": upstream.url})
    queue = Queue(f"{proxy.url}/tracker")
    started = MONOTONIC()
    queue.run(JOBS)
    took = MONOTONIC() - started

    ratio = upstream.count() / JOBS
    assert ratio <= AMPLIFICATION
    attempts = by_label(proxy, "sidecar_attempts_total", "result")
    ephemeral = {kind: attempts[kind] for kind in EPHEMERAL}
    assert ephemeral == {kind: outage.met[kind] for kind in EPHEMERAL}
    codes = by_label(proxy, "sidecar_requests_total", "code")
    persistent = {code: codes[code] for code in PERSISTENT}
    assert persistent == {code: outage.met[code] for code in PERSISTENT}, "a 4xx was tried again"
    assert attempts.total() == sum(ephemeral.values()) + sum(persistent.values()) == upstream.count()
    assert codes.total() == queue.outcomes.total() == JOBS
    refused = by_label(proxy, "sidecar_refused_total", "reason")
    assert set(refused) <= {"breaker_open"}
    if breaker == "shipped":
        assert refused["breaker_open"] > JOBS / 2
    record_property(
        "figure",
        f"with the sidecar, breaker {breaker}: {JOBS} failing jobs made {upstream.count()} attempts: {ratio:.2f},"
        f" in {took:.1f} s; ephemeral {ephemeral}, persistent {persistent}, refused {refused['breaker_open']}",
    )


def once(first: Behaviour) -> Behaviour:
    """That, then success."""
    return scripted.in_turn(first, scripted.ok({"issues": []}))


def later(status: int, retry_after: str) -> Behaviour:
    """An answer that says when to come back."""
    return scripted.status(status, b"{}", headers=[("Retry-After", retry_after)])


@pytest.fixture
def tracker(upstream: Upstream, sidecar: Callable[..., RunningSidecar]) -> RunningSidecar:
    """The example before the upstream, in time enough for a second of waiting."""
    return sidecar(example("monolist", {"total": "40s"}), env={"TRACKER_URL": upstream.url})


class Asked:
    """Answers with `Retry-After`, then with success; notes when each request came, as Unix time."""

    def __init__(self, status: int, retry_after: str) -> None:
        self.came: list[float] = []
        self._turns = once(later(status, retry_after))

    async def __call__(self, exchange: Exchange) -> None:
        """A behaviour."""
        self.came.append(WALL())
        await self._turns(exchange)


def test_a_short_retry_after_is_waited_for(
    upstream: Upstream, tracker: RunningSidecar, record_property: Figures
) -> None:
    """The second attempt comes no earlier than the upstream asked, in either form, with 429 as with 503."""
    at = int(WALL() + 0.5) + 1
    words = {"seconds": "1", "date": email.utils.formatdate(at, usegmt=True)}
    cases = {f"/{status}/{form}": Asked(status, word) for status in (429, 503) for form, word in words.items()}
    for path, asked in cases.items():
        upstream.on(path, asked)
    with ThreadPoolExecutor(len(cases)) as pool:
        answers = list(
            pool.map(lambda path: httpx.get(f"{tracker.url}/tracker{path}", timeout=10, verify=NO_TLS), cases)
        )
    assert [answer.status_code for answer in answers] == [200] * len(cases)
    for path, asked in cases.items():
        first, second = asked.came
        assert second >= (first + 1 if path.endswith("seconds") else at)
    waits = ", ".join(f"{path[1:]}: {asked.came[1] - asked.came[0]:.2f} s" for path, asked in cases.items())
    record_property("figure", f"Retry-After of a second or so was waited for: {waits}")


def test_a_long_retry_after_is_passed_on_to_the_queue(upstream: Upstream, tracker: RunningSidecar) -> None:
    """At once, as the upstream wrote it, after one attempt; the queue backs off by it."""
    date = email.utils.formatdate(WALL() + LONG + 5, usegmt=True)
    for number, (status, word) in enumerate(itertools.product((429, 503), (str(LONG), date))):
        path = f"/issues/{number}"
        upstream.on(path, later(status, word))
        started = MONOTONIC()
        answer = httpx.get(f"{tracker.url}/tracker{path}", timeout=10, verify=NO_TLS)
        assert MONOTONIC() - started < LONG / 10
        assert (answer.status_code, answer.headers["Retry-After"]) == (status, word)
        assert pause(answer) >= LONG - 1
        assert upstream.count(path) == 1


def test_what_the_breaker_refuses_tells_the_queue_when_to_come_back(
    upstream: Upstream, sidecar: Callable[..., RunningSidecar], record_property: Figures
) -> None:
    """A queue that does as it is told asks once per pause: the outage costs a handful of attempts."""
    upstream.otherwise(scripted.status(500))
    proxy = sidecar(example("monolist", {"open_for": "10s"}), env={"TRACKER_URL": upstream.url})
    with httpx.Client(timeout=10, verify=NO_TLS) as client:
        answers = [client.get(f"{proxy.url}/tracker/issues")]
        while answers[-1].status_code == 500:
            answers.append(client.get(f"{proxy.url}/tracker/issues"))
        asked = upstream.count()
        assert answers[-1].json()["reason"] == "breaker_open"
        wait = pause(answers[-1])
        assert wait >= 1
        upstream.otherwise(scripted.ok({"issues": []}))
        time.sleep(wait)  # what a job queue does: the law is that it is then let in
        assert client.get(f"{proxy.url}/tracker/issues").status_code == 200
        assert upstream.count() == asked + 1
    record_property("figure", f"the breaker opened after {asked} attempts; back after Retry-After: {wait:.0f}")


def test_an_idempotency_key_lets_a_post_go_again(upstream: Upstream, tracker: RunningSidecar) -> None:
    """With the same key and body, and only with a key: twice at the upstream at most, where it was asked for."""
    body = json.dumps({"title": "Broken"}).encode()
    troubles = {"503": scripted.status(503), "reset": scripted.reset(), "hang": scripted.hang()}
    with httpx.Client(base_url=f"{tracker.url}/tracker", timeout=10, verify=NO_TLS) as client:
        for name, trouble in troubles.items():
            upstream.on(f"/keyed/{name}", once(trouble)).on(f"/plain/{name}", once(trouble))
            keyed = client.post(f"/keyed/{name}", content=body, headers={"Idempotency-Key": f"job-{name}"})
            plain = client.post(f"/plain/{name}", content=body)
            assert (keyed.status_code, plain.status_code >= 500) == (200, True)
            assert upstream.count(f"/plain/{name}") == 1
            sent = [(request.get("idempotency-key"), request.body) for request in upstream.requests(f"/keyed/{name}")]
            assert sent == [(f"job-{name}", body)] * 2
