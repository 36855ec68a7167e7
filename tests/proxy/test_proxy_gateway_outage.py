"""Ten minutes of outage, told to Prometheus: a real gateway and real policies in virtual time, real rules.

The upstream of two routes hangs. Every 15 virtual seconds the metrics are scraped; promtool is given the scrapes, and
says which alerts fire when.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from fixtures.promql import DASHBOARDS, RULES, dashboard_queries, promtool, series_named
from outage import BEFORE, BLIP, OUTAGE, SCRAPE, Outage

RUNBOOKS = Path(__file__).resolve().parents[2] / "docs" / "alerts" / "README.md"

Samples = dict[str, list[str]]


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
