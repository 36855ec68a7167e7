"""Ten minutes of outage, told to Prometheus: a real gateway and real policies in virtual time, real rules.

The upstream of two routes hangs. Every 15 virtual seconds the metrics are scraped; promtool is given the scrapes, and
says which alerts fire when.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
from fixtures.policies import Pool as Figures
from fixtures.promql import DASHBOARDS, RULES, dashboard_queries, promtool, series_named
from proxy_fakes import HELLO, Caller, HandClock, Line, Lines, Middle, World

from sidecar import config
from sidecar.app.build import Builder
from sidecar.proxy.gateway import Gateway
from sidecar.proxy.ids import Ids
from sidecar.proxy.target import Target
from sidecar.stores.memory import MemoryStore
from sidecar.telemetry import gauges
from sidecar.telemetry.prometheus import Prometheus
from sidecar.wire.known import KnownRequests
from sidecar.wire.pool import Pool
from sidecar.wire.timers import Timers

YAML = """
upstreams:
  connect: {endpoints: ["http://connect.test"]}
routes:
  - {name: toggles, match: {path: /toggles}, upstream: connect, critical: true, timeout: {total: 4s}}
  - name: search
    match: {path: /search}
    upstream: connect
    timeout: {total: 4s}
    fallback: [last_known_good: {max_age: 1h}]
"""
SCRAPE = 15
BEFORE, OUTAGE, BLIP, AFTER = 300, 600, 60, 900
"""Seconds."""
BETWEEN = 0.5
"""Seconds between two requests on each route."""
RUNBOOKS = Path(__file__).resolve().parents[2] / "docs" / "alerts" / "README.md"

Samples = dict[str, list[str]]


class Answering(Line):
    """A connection to an upstream that answers after 20 ms, or hangs while it is ill."""

    def send(self, sink: Any, method: bytes, data: bytes, *, whole: bool) -> None:
        super().send(sink, method, data, whole=whole)
        pool = cast("Always", self.pool)
        if not pool.ill:
            pool.world._call_later(0.02, lambda: self.answer(HELLO) if self.sink is sink else None)


class Always(Lines):
    """A pool that never runs out of connections."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.ill = False

    def lease(self, lessee: Any) -> Line | None:
        return self.idle.pop() if self.idle else Answering(self, exchanges=1)

    def lease_new(self, lessee: Any) -> None:
        lessee.connected(Answering(self))


class Outage(World):
    """The gateway of a configuration, its callers, its upstream, and whoever scrapes it."""

    def __init__(self) -> None:
        self.clock, self.wall = HandClock(), HandClock(1_700_000_000.0)
        self._later: list[Any] = []
        self.log: list[tuple[Any, ...]] = []
        self.known = KnownRequests()
        self.timers = Timers(self._call_later, self.clock)
        self.prometheus = Prometheus(wall=self.wall)
        self.connections = Always(self)
        loaded = config.parse(YAML.encode())
        built = Builder(observer=self.prometheus, clock=self.clock, rng=Middle()).build(loaded)
        for upstream in built.upstreams.values():
            for endpoint in upstream.endpoints:
                cast("Target", endpoint).pool = cast("Pool", self.connections)
        gauges.show(
            self.prometheus,
            routes=built.routes,
            upstreams=built.upstreams.values(),
            pools={"connect": [Figures(1, 2)]},
            access_log=NoLoss(),
        )
        self.gateway = Gateway(
            router=built.router,
            timers=self.timers,
            ids=Ids(Middle(1)),
            store=MemoryStore(1_000_000),
            observer=self.prometheus,
            log=self,
            clock=self.clock,
            wall=self.wall,
        )
        self.callers: dict[str, list[Caller]] = {"toggles": [], "search": []}

    def play(self, ill: int) -> Iterator[str]:
        """The upstream is well, ill for so many seconds, and well again; a scrape every 15 s."""
        for moment in range(0, BEFORE + ill + AFTER + 1, SCRAPE):
            yield self.prometheus.render(openmetrics=False).decode()
            self.connections.ill = BEFORE <= moment < BEFORE + ill
            for _ in range(int(SCRAPE / BETWEEN)):
                for name, callers in self.callers.items():
                    callers.append(self.ask(f"GET /{name} HTTP/1.1\r\nHost: app\r\n\r\n".encode())[1])
                self.advance(BETWEEN)


def as_series(scrapes: list[str]) -> Samples:
    """Values of each series over time, as promtool's tests spell them: `_` where there was none."""
    series: Samples = defaultdict(list)
    for number, scrape in enumerate(scrapes):
        for line in scrape.splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                values = series[name]
                values += ["_"] * (number - len(values))
                values.append(value)
    return series


def labelled(name: str) -> str:
    """With the labels that a scrape adds."""
    family, _, labels = name.partition("{")
    return f'{family}{{job="app",instance="a",{labels}' if labels else f'{family}{{job="app",instance="a"}}'


def answered(series: Samples, directory: Path, asked: Sequence[tuple[str, int]]) -> list[tuple[str, int, str]]:
    """Expression, seconds and what Prometheus answers, for each of them that has an answer.

    promtool is asked to expect none, and complains of each.
    """
    scrapes = max(map(len, series.values()))
    inputs = [{"series": labelled(name), "values": " ".join(values)} for name, values in series.items()]
    inputs.append({"series": 'up{job="app",instance="a"}', "values": f"1x{scrapes}"})
    questions = [{"expr": expr, "eval_time": f"{at}s", "exp_samples": []} for expr, at in asked]
    document = {
        "rule_files": [str(file) for file in RULES],
        "evaluation_interval": f"{SCRAPE}s",
        "tests": [{"interval": f"{SCRAPE}s", "input_series": inputs, "promql_expr_test": questions}],
    }
    file = directory / "outage.json"  # JSON is YAML
    file.write_text(json.dumps(document))
    _, said = promtool("test", "rules", file)
    found = re.findall(r'expr: (".*"), time: (\S+),\n\s+exp: nil\n\s+got: (.*)', said)
    return [(json.loads(expr), _seconds(at), got) for expr, at, got in found]


def predicted(series: Samples, directory: Path) -> dict[tuple[str, str], list[int]]:
    """Seconds since the outage began at which each alert fires, by its name and route, as promtool says."""
    moments = range(0, max(map(len, series.values())) * SCRAPE, SCRAPE)
    fired = defaultdict(list)
    for _, at, got in answered(series, directory, [('ALERTS{alertstate="firing"}', at) for at in moments]):
        for labels in re.findall(r"\{([^}]*)\}", got):
            found = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            fired[found["alertname"], found.get("route", "")].append(at - BEFORE)
    return fired


def _seconds(text: str) -> int:
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", text))


def clock(seconds: int) -> str:
    """Minutes and seconds."""
    return f"{seconds // 60}:{seconds % 60:02}"


class NoLoss:
    """An access log that lost nothing."""

    dropped = 0


class Story(NamedTuple):
    """What happened, and what promtool says of it."""

    outage: Outage
    series: Samples
    fired: dict[tuple[str, str], list[int]]


def told(ill: int, directory: Path) -> Story:
    """An outage of so many seconds."""
    outage = Outage()
    scrapes = list(outage.play(ill))
    outage.advance(60.0)
    series = as_series(scrapes)
    return Story(outage, series, predicted(series, directory))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Ten minutes."""
    return told(OUTAGE, tmp_path_factory.mktemp("rules"))


def test_three_alerts_fire_once_and_resolve(story: Story, record_property: Callable[[str, object], None]) -> None:
    """None before the outage, none that is about something else, each without a gap, all over soon after its end."""
    assert set(story.fired) == {
        ("SidecarFailClosed", "toggles"),
        ("SidecarBreakerOpen", "toggles"),
        ("SidecarBreakerOpen", "search"),
        ("SidecarFallback", "search"),
    }
    for (name, route), moments in sorted(story.fired.items(), key=lambda item: item[1]):
        record_property(
            "figure", f"{name} of {route} fires at {clock(moments[0])}, is over at {clock(moments[-1] + SCRAPE)}"
        )
        assert moments == list(range(moments[0], moments[-1] + 1, SCRAPE)), "it flapped"
        assert 0 < moments[0] < OUTAGE + 120
        assert OUTAGE < moments[-1] < OUTAGE + 330


def test_the_runbook_tells_the_same_story(story: Story) -> None:
    """Its table has every alert when promtool has it; which of two timers strikes first moves it a scrape."""
    table = re.findall(r"^\| (\d+):(\d\d) \|.*\| `(\w+)` (fires|resolves)", RUNBOOKS.read_text(), re.MULTILINE)
    written = {(int(minutes) * 60 + int(seconds), name, what) for minutes, seconds, name, what in table}
    found = {(moments[0], name, "fires") for (name, _), moments in story.fired.items()}
    found |= {(moments[-1] + SCRAPE, name, "resolves") for (name, _), moments in story.fired.items()}
    assert {(name, what) for _, name, what in written} == {(name, what) for _, name, what in found}
    for at, *alert in found:
        assert any(abs(at - said) <= SCRAPE for said, *other in written if other == alert), (at, *alert)


def test_the_metrics_counted_what_callers_saw(story: Story) -> None:
    """Every caller had an answer; the route that keeps answers gave nothing else, the critical one 503 meanwhile."""
    totals = {name: story.outage.prometheus.totals(name) for name in story.outage.callers}
    for name, callers in story.outage.callers.items():
        assert all(caller.ends == ["finished"] for caller in callers)
        assert totals[name].requests == len(callers)
        assert totals[name].in_flight == 0
    assert {caller.status for caller in story.outage.callers["search"]} == {200}
    failed = [caller for caller in story.outage.callers["toggles"] if caller.status == 503]
    assert totals["toggles"].by_outcome == {
        "ok": len(story.outage.callers["toggles"]) - len(failed),
        "fail_closed": len(failed),
    }
    assert set(totals["search"].by_outcome) == {"ok", "last_known_good"}


def test_the_dashboard_shows_it(story: Story, tmp_path: Path) -> None:
    """In the middle of it, and just after it, every query of every panel has an answer, but for what did not happen."""
    (file,) = DASHBOARDS
    queries = sorted(set(dashboard_queries(json.loads(file.read_text()))))
    moments = (BEFORE + 60, BEFORE + OUTAGE + 60)
    found = answered(story.series, tmp_path, [(query, at) for query in queries for at in moments])
    silent = set(queries) - {query for query, _, got in found if got != "nil"}
    quiet = {name for query in silent for name in series_named(query)}
    assert quiet == {
        "sidecar_admin_actions_total",
        "sidecar_endpoint_healthy",
        "sidecar_hedges_total",
        "sidecar_queued",
        "sidecar_retries_denied_total",
        "sidecar_retries_total",
        "sidecar_would_refuse_total",
    }


def test_a_minute_of_it_wakes_nobody(tmp_path: Path) -> None:
    """Breakers open, callers are told, everything is counted; no alert."""
    story = told(BLIP, tmp_path)
    assert story.outage.prometheus.totals("toggles").by_outcome["fail_closed"] > 50
    assert story.outage.prometheus.route("search").transitions["closed", "open"] == 1
    assert story.fired == {}
