"""Several endpoints, end to end: priorities, weights, health checks, one that dies among three hundred callers."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from app_caller import Caller, ask
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar
from fixtures.upstream import Exchange, Upstream

from sidecar import __version__

CALLERS = 300

CONFIG = """
drain: {{timeout: 0s}}
upstreams:
  ranked:
    endpoints: [{{url: "{first}", priority: 0}}, {{url: "{second}", priority: 1}}]
    ejection: {{consecutive_failures: 2, for: 500ms, for_max: 500ms}}
    slow_start: 0s
  cold:
    endpoints: ["{dead}", {{url: "{second}", priority: 1}}]
  weighted:
    endpoints: [{{url: "{first}", weight: 3}}, {{url: "{second}", weight: 1}}, {{url: "{dead}", weight: 0}}]
  checked:
    endpoints: ["{first}/sub", "{second}"]
    health_check: {{path: /well, interval: 200ms, timeout: 200ms, unhealthy_after: 3, healthy_after: 2}}
    headers: {{set: {{Authorization: "Bearer of-the-check"}}}}
    ejection: {{consecutive_failures: 0}}
    slow_start: 0s
  lone:
    endpoints: ["{second}"]
    health_check: {{path: /lone, interval: 1100ms, timeout: 1s, unhealthy_after: 1, healthy_after: 1}}
  crowd:
    endpoints: ["{first}", "{second}", "{dead}"]
    pool: {{connections: 400}}
    connect_timeout: 8s
defaults:
  timeout: {{total: 8s}}
  breaker: {{enabled: false}}
  retry: {{attempts: 2, budget: {{ratio: 100%, per_second: 1000}}, backoff: {{base: 1ms, max: 1ms}}}}
routes:
  - {{name: ranked, match: {{prefix: /ranked/}}, upstream: ranked}}
  - {{name: cold, match: {{prefix: /cold/}}, upstream: cold}}
  - {{name: once, match: {{prefix: /once/}}, upstream: ranked, retry: {{attempts: 1}}}}
  - {{name: weighted, match: {{prefix: /weighted/}}, upstream: weighted}}
  - {{name: checked, match: {{prefix: /checked/}}, upstream: checked, retry: {{attempts: 1}}}}
  - {{name: lone, match: {{prefix: /lone/}}, upstream: lone}}
  - {{name: crowd, match: {{prefix: /crowd/}}, upstream: crowd}}
"""


class Place:
    """A sidecar, and the endpoints behind it."""

    def __init__(self, sidecar: RunningSidecar, first: Upstream, second: Upstream) -> None:
        self.sidecar = sidecar
        self.first = first
        self.second = second
        self._told = 0

    def mend(self) -> None:
        """Everything works again, and is known to; what was said of it is forgotten."""
        for name, server in (("first", self.first), ("second", self.second)):
            server.otherwise(scripted.ok({"by": name}))
            for path in ("/sub/well", "/well", "/lone", "/weighted/x"):
                server.on(path, scripted.ok({"by": name}))
        metric = "sidecar_endpoint_healthy{"
        self.sidecar.until(
            lambda: all(line.endswith(" 1") for line in self.sidecar.metrics().splitlines() if line.startswith(metric)),
            what="health",
        )
        self.sidecar.until(lambda: self.who("/once/x") == (200, "first"), what="the first priority")
        self._told = self.sidecar.stderr().count("\n")

    def who(self, path: str, method: str = "GET", body: bytes = b"") -> tuple[int, Any]:
        """Status, and who answered."""
        answer = ask(self.sidecar.port, method, path, body=body)
        return answer.status, answer.json.get("by", answer.json.get("reason"))

    def healthy(self, upstream: str, endpoint: str) -> float:
        """The metric of one endpoint."""
        return self.sidecar.metric(f'sidecar_endpoint_healthy{{upstream="{upstream}",endpoint="{endpoint}"}}')

    def events(self, endpoint: str) -> list[str]:
        """What the process log said about its health since all was well."""
        lines = self.sidecar.stderr().splitlines()[self._told :]
        return [line for line in lines if f"{endpoint} is healthy" in line or f"{endpoint} is unhealthy" in line]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One for all."""
    directory: Path = tmp_path_factory.mktemp("endpoints")
    with Upstream() as first, Upstream() as second, socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))  # never listening: connections are refused
        refusing = f"http://127.0.0.1:{dead.getsockname()[1]}"
        running = RunningSidecar(CONFIG.format(first=first.url, second=second.url, dead=refusing), directory)
        try:
            yield Place(running, first, second)
            assert running.stop() == 0
            assert "Traceback" not in running.log_text(), running.log_text()
            assert "exchange failed" not in running.log_text(), running.log_text()
        finally:
            running.kill()


@pytest.fixture
def place(everything: Place) -> Place:
    """With nothing broken: endpoints are the test's to break."""
    everything.mend()
    return everything


def test_the_next_priority_answers_within_the_request_until_the_first_is_back(place: Place) -> None:
    """No caller of a safe method sees the failure; once ejected the first is not asked; it returns by itself."""
    before = place.second.count("/ranked/x")
    for _ in range(20):
        assert place.who("/ranked/x") == (200, "first")
    assert place.second.count("/ranked/x") == before
    place.first.otherwise(scripted.reset())
    before = place.first.count("/ranked/x")
    for _ in range(10):
        assert place.who("/ranked/x") == (200, "second")
    assert 2 <= place.first.count("/ranked/x") - before < 10  # ejected after two, back every 500 ms
    place.first.otherwise(scripted.ok({"by": "first"}))
    place.sidecar.until(lambda: place.who("/ranked/x") == (200, "first"), what="the return")


def test_what_may_have_been_acted_upon_is_not_sent_to_the_next_priority(place: Place) -> None:
    """A POST whose bytes were sent stays one request, whatever became of it."""
    place.first.otherwise(scripted.reset())
    assert place.who("/ranked/post", "POST", b"{}") == (502, "reset")
    assert place.second.count("/ranked/post") == 0


def test_what_was_not_sent_goes_to_the_next_priority_whatever_its_method(place: Place) -> None:
    """The first refuses connections: nothing of the POST has left us, and its caller sees nothing of it."""
    before = place.sidecar.metric('sidecar_retries_total{route="cold",reason="connect_failure"}')
    assert place.who("/cold/x", "POST", b"{}") == (200, "second")
    (request,) = place.second.requests("/cold/x")
    assert (request.method, request.body) == ("POST", b"{}")
    assert place.sidecar.metric('sidecar_retries_total{route="cold",reason="connect_failure"}') == before + 1


def test_one_attempt_is_one_endpoint(place: Place) -> None:
    """`attempts: 1` fails over by ejection alone: from the third request on."""
    place.first.otherwise(scripted.status(503))
    assert [place.who("/once/x")[0] for _ in range(4)] == [503, 503, 200, 200]


def test_weights_share_the_load(place: Place) -> None:
    """Three to one over four hundred requests; what is drained gets none."""
    with Caller(place.sidecar.port) as caller:
        found = Counter(caller.ask("GET", "/weighted/x").json["by"] for _ in range(400))
    assert 255 <= found["first"] <= 345  # 300, give or take five standard deviations
    assert found["second"] == 400 - found["first"]


def test_weights_hold_among_many_at_once(place: Place) -> None:
    """As many are under way at the heavier one as its weight says."""
    inside: Counter[str] = Counter()
    most: Counter[str] = Counter()

    def busy(name: str) -> scripted.Behaviour:
        async def behave(exchange: Exchange) -> None:
            inside[name] += 1
            most[name] = max(most[name], inside[name])
            await scripted.held(scripted.ok())(exchange)
            inside[name] -= 1

        return behave

    place.first.on("/weighted/x", busy("first"))
    place.second.on("/weighted/x", busy("second"))
    with ThreadPoolExecutor(40) as pool:
        asked = [pool.submit(ask, place.sidecar.port, "GET", "/weighted/x") for _ in range(40)]
        place.sidecar.until(lambda: sum(inside.values()) == 40, what="all of them inside")
        place.first.release()
        place.second.release()
        assert {one.result().status for one in asked} == {200}
    assert 26 <= most["first"] <= 33


def test_a_check_takes_an_endpoint_out_and_brings_it_back(place: Place) -> None:
    """Asked with the upstream's headers, after its base path; told once each way; calls go elsewhere meanwhile."""
    name = f"{place.first.url}/sub"
    (asked, *_) = place.first.wait_for(3, "/sub/well")
    assert asked.get("authorization") == "Bearer of-the-check"
    assert asked.get("host") == f"127.0.0.1:{place.first.port}"
    assert (asked.get("connection"), asked.get("user-agent"), asked.body) == ("close", f"sidecar/{__version__}", b"")
    assert place.healthy("checked", name) == 1
    place.first.on("/sub/well", scripted.status(500))
    place.sidecar.until(lambda: place.healthy("checked", name) == 0, what="the check's word")
    assert {place.who("/checked/x") for _ in range(20)} == {(200, "second")}
    (told,) = (one for one in place.sidecar.status()["upstreams"] if one["name"] == "checked")
    assert told["endpoints"][0]["health"] == {"healthy": False, "last_failure": "unexpected_response: status 500"}
    assert told["endpoints"][1]["health"]["healthy"]
    place.first.on("/sub/well", scripted.status(302))
    place.sidecar.until(lambda: place.healthy("checked", name) == 1, what="the return")
    place.sidecar.until(lambda: place.who("/checked/x") == (200, "first"), what="its first call")
    unhealthy, healthy = place.events(name)
    assert f"upstream checked: {name} is unhealthy: unexpected_response: status 500" in unhealthy
    assert f"upstream checked: {name} is healthy" in healthy


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (scripted.hang(), "attempt_timeout: no answer within 0.2 s"),
        (scripted.reset(), "reset: connection closed before the response"),
        (scripted.garbage(), "malformed_response: no HTTP/1.1 status line"),
    ],
)
def test_a_check_fails_in_other_ways(place: Place, behaviour: scripted.Behaviour, why: str) -> None:
    """A hanging one costs no more than its timeout, and needs no whole answer to pass again."""
    name = f"{place.first.url}/sub"
    place.first.on("/sub/well", behaviour)
    place.sidecar.until(lambda: place.events(name), what="the transition")
    assert why in place.events(name)[0]
    place.first.on("/sub/well", scripted.half_body(by_reset=False))  # its head is all that counts
    place.sidecar.until(lambda: len(place.events(name)) == 2, what="the return")


def test_all_unhealthy_is_said_at_once_and_with_the_time_of_the_next_check(place: Place) -> None:
    """No request is sent where the checks say that none would be answered."""
    place.second.on("/lone", scripted.status(404))
    place.sidecar.until(lambda: place.healthy("lone", place.second.url) == 0, what="the check's word")
    answer = ask(place.sidecar.port, "GET", "/lone/x")
    assert (answer.status, answer.json["reason"], answer.get("retry-after")) == (503, "no_endpoint", "2")
    assert answer.attempts is None
    assert place.second.count("/lone/x") == 0
    place.second.on("/lone", scripted.ok())
    place.sidecar.until(lambda: place.who("/lone/x") == (200, "second"), what="the return")


def test_one_bad_endpoint_costs_three_hundred_callers_nothing(place: Place) -> None:
    """Each gets its own answer, from one that works; the bad one is ejected."""

    def echoing(name: str) -> scripted.Behaviour:
        async def behave(exchange: Exchange) -> None:
            await scripted.ok({"by": name, "path": exchange.request.path})(exchange)

        return behave

    place.first.otherwise(echoing("first"))
    place.second.otherwise(echoing("second"))
    ready = threading.Barrier(30)

    def calls(number: int) -> list[tuple[int, bool]]:
        with Caller(place.sidecar.port) as caller:
            ready.wait(10)
            paths = [f"/crowd/{number}-{turn}" for turn in range(CALLERS // 30)]
            answers = [(path, caller.ask("GET", path)) for path in paths]
            return [(answer.status, answer.json["path"] == path) for path, answer in answers]

    with ThreadPoolExecutor(30) as pool:
        found = Counter(one for many in pool.map(calls, range(30)) for one in many)
    assert found == {(200, True): CALLERS}
    (told,) = (one for one in place.sidecar.status()["upstreams"] if one["name"] == "crowd")
    assert [one["ejected"] for one in told["endpoints"]] == [False, False, True]
