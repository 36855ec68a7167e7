"""What Prometheus gets from a running sidecar: bounded, true, and readable in both formats."""

import json
import random
import re
import string
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_caller import Caller, request
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar, free_port
from fixtures.promql import DASHBOARDS, dashboard_queries, promtool, rules, series_named
from fixtures.upstream import Upstream
from prometheus_client.openmetrics.parser import text_string_to_metric_families

CONFIG = """
state: {{last_known_good: {{store: disk, path: "{kept}"}}}}
access_log: {{path: "{log}"}}
upstreams:
  up: {{endpoints: ["{up}"]}}
  dead: {{endpoints: ["http://127.0.0.1:{dead}"], ejection: {{consecutive_failures: 0}}}}
routes:
  - {{name: answered, match: {{prefix: /answered/}}, upstream: up, fallback: [last_known_good: {{max_age: 1h}}]}}
  - {{name: dead, match: {{prefix: /dead/}}, upstream: dead, breaker: {{enabled: false}}}}
"""
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def up() -> Iterator[Upstream]:
    """An upstream that answers."""
    with Upstream(otherwise=scripted.ok({"a": 1})) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def sidecar(up: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    """One process."""
    directory = tmp_path_factory.mktemp("scraped")
    running = RunningSidecar(
        CONFIG.format(up=up.url, dead=free_port(), kept=directory / "kept", log=directory / "access.log"), directory
    )
    yield running
    running.stop()


def scraped(sidecar: RunningSidecar, accept: str) -> tuple[str, str]:
    """Media type and text."""
    asked = urllib.request.Request(sidecar.admin_url + "/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(asked, timeout=5) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def series(sidecar: RunningSidecar) -> set[str]:
    """Names and labels of everything in a scrape."""
    return {line.rpartition(" ")[0] for line in sidecar.metrics().splitlines() if not line.startswith("#")}


CHANCE = random.Random(7)


def word(least: int = 1) -> str:
    """A name that nobody has thought of."""
    return "".join(CHANCE.choices(string.ascii_letters + string.digits, k=CHANCE.randrange(least, 20)))


def stranger() -> bytes:
    """A request of a caller that makes everything up, on a route or on none."""
    path = CHANCE.choice(["/", "/", "/", "/dead/"]) + "/".join(word() for _ in range(CHANCE.randrange(1, 5)))
    method = CHANCE.choice(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
    headers = {"Host": f"{word()}.test", "X-Request-Id": word(), "User-Agent": word(), f"X-{word()}": word()}
    return request(method, f"{path}?{word()}={word()}", headers)


def pipelined(sidecar: RunningSidecar, count: int) -> None:
    """So many of them on one connection."""
    with Caller(sidecar.port) as caller:
        caller.send(b"".join(stranger() for _ in range(count)))
        for _ in range(count):
            assert caller.answer().status in {404, 502}


def invented(sidecar: RunningSidecar) -> None:
    """A method that does not exist: refused, and the connection closed."""
    with Caller(sidecar.port) as caller:
        caller.send(request(word(4).upper(), "/" + word()))
        assert caller.answer().status in {400, 501}


def test_strangers_make_no_series(sidecar: RunningSidecar) -> None:
    """Ten thousand random paths, queries, hosts, ids, methods: after the first thousand nothing new is counted."""
    for _ in range(10):
        pipelined(sidecar, 90)
    for _ in range(100):
        invented(sidecar)
    known = series(sidecar)
    for _ in range(90):
        pipelined(sidecar, 90)
    for _ in range(900):
        invented(sidecar)
    assert series(sidecar) == known
    assert len(known) < 500
    answered = sum(
        float(line.rpartition(" ")[2])
        for line in sidecar.metrics().splitlines()
        if line.startswith("sidecar_requests_total{")
    )
    assert answered >= 10_000


def ask(sidecar: RunningSidecar, path: str, trace: str, flags: str) -> int:
    """A request that is part of a trace; its status."""
    with Caller(sidecar.port) as caller:
        return caller.ask("GET", path, {"traceparent": f"00-{trace}-b7ad6b7169203331-{flags}"}).status


def test_an_exemplar_leads_to_a_trace(sidecar: RunningSidecar) -> None:
    """A recorded trace stands behind its bucket, and behind the count of what went wrong, in OpenMetrics alone."""
    assert ask(sidecar, "/answered/a", TRACE, "01") == 200
    assert ask(sidecar, "/dead/a", TRACE[::-1], "01") == 502
    kind, text = scraped(sidecar, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text")
    shown: dict[str, set[Any]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.exemplar is not None:
                shown.setdefault(sample.labels["route"], set()).add((sample.name, sample.exemplar.labels["trace_id"]))
    assert shown == {
        "answered": {("sidecar_request_duration_seconds_bucket", TRACE)},
        "dead": {("sidecar_request_duration_seconds_bucket", TRACE[::-1]), ("sidecar_requests_total", TRACE[::-1])},
    }
    kind, plain = scraped(sidecar, "text/plain")
    assert kind.startswith("text/plain")
    assert TRACE not in plain


def test_promtool_reads_both_formats(sidecar: RunningSidecar, tmp_path: Path) -> None:
    """Its linter has nothing to say of the text, and its OpenMetrics parser takes the other, exemplars and all."""
    ask(sidecar, "/answered/a", TRACE, "01")
    assert promtool("check", "metrics", given=sidecar.metrics()) == (0, "")
    _, text = scraped(sidecar, "application/openmetrics-text")
    assert " # {trace_id=" in text
    # Its importer is the one command that reads OpenMetrics, and wants a time behind each value.
    timed = re.sub(r"(?m)^([^#\n][^\n]*?[ }] ?[0-9.e+-]+)( # [^\n]*)?$", r"\1 1800000000\2", text)
    file = tmp_path / "metrics.txt"
    file.write_text(timed)
    code, said = promtool("tsdb", "create-blocks-from", "openmetrics", file, tmp_path / "blocks")
    assert code == 0, said
    file.write_text(timed.replace(" # {trace_id=", " # {trace_id"))
    assert promtool("tsdb", "create-blocks-from", "openmetrics", file, tmp_path / "worse")[0] != 0


def test_rules_and_dashboard_speak_of_what_is_scraped(sidecar: RunningSidecar) -> None:
    """Every name in them is one of this process, or recorded by the rules."""
    ask(sidecar, "/answered/a", TRACE, "01")
    found = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", sidecar.metrics(), re.MULTILINE):
        found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    found |= {rule["record"] for rule in rules() if "record" in rule}
    asked = [rule["expr"] for rule in rules()]
    asked += [query for file in DASHBOARDS for query in dashboard_queries(json.loads(file.read_text()))]
    assert len(asked) > 50
    assert set().union(*map(series_named, asked)) <= found


def test_the_contracts_series_are_there(sidecar: RunningSidecar) -> None:
    """Those that dashboards of others rely on, by their names and labels."""
    ask(sidecar, "/answered/a", TRACE, "01")
    found = series(sidecar)
    for expected in (
        'sidecar_requests_total{route="answered",method="GET",code="200",outcome="ok"}',
        'sidecar_request_duration_seconds_bucket{route="answered",le="+Inf"}',
        'sidecar_attempts_total{route="answered",upstream="up",result="ok"}',
        'sidecar_upstream_duration_seconds_count{route="answered",upstream="up",phase="first_byte"}',
        'sidecar_breaker_state{route="answered",state="half_open"}',
        'sidecar_breaker_transitions_total{route="answered",from="closed",to="open"}',
        'sidecar_last_known_good_age_seconds{route="answered"}',
        'sidecar_last_known_good_max_age_seconds{route="answered"}',
        'sidecar_in_flight{route="answered"}',
        'sidecar_queued{route="answered"}',
        'sidecar_connections{upstream="up",state="idle"}',
        'sidecar_config_reloads_total{result="rejected"}',
        "process_cpu_seconds_total",
        "process_open_fds",
    ):
        assert expected in found, expected
    assert any(name.startswith('sidecar_endpoint_ejected{upstream="up",endpoint="http://') for name in found)
    assert any(name.startswith("sidecar_build_info{") for name in found)
