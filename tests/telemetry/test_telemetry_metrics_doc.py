"""docs/metrics.md and the code say the same: every series, label, type, outcome, reason and log member."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fixtures.policies import KEPT, World
from prometheus_client.parser import text_string_to_metric_families

from sidecar.policy.reasons import REASONS
from sidecar.telemetry import gauges, tracing
from sidecar.telemetry.access_log import AccessLog
from sidecar.telemetry.histogram import BUCKETS
from sidecar.telemetry.prometheus import Prometheus

DOC = Path(__file__).parents[2] / "docs" / "metrics.md"

OUTCOMES = {
    "ok",
    "upstream_error",
    "last_known_good",
    "failover",
    "static",
    "fail_closed",
    "refused",
    "bad_request",
    "client_gone",
}
"""The contract's words."""


class NoLoss:
    """An access log that lost nothing."""

    dropped = 0


def section(title: str) -> str:
    """The text under a heading, up to the next."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", DOC.read_text(), re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of every row of the tables in a text, headings left out."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def words(cell: str) -> tuple[str, ...]:
    """What stands between backticks."""
    return tuple(re.findall(r"`([^`]+)`", cell))


@pytest.fixture
def prometheus() -> Prometheus:
    """Counters that show all there is to show."""
    made, world = Prometheus(), World()
    gauges.show(
        made,
        routes=world.routes,
        upstreams=[world.upstream],
        pools={"connect": []},
        access_log=NoLoss(),
        kept=KEPT,
        disk=KEPT,
    )
    tracing.show(made, exported=int, dropped=int)
    return made


@pytest.fixture
def documented() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Type and labels of each series in the tables."""
    found = [row for row in rows(DOC.read_text()) if len(row) == 5]
    names = [words(row[0])[0] for row in found]
    assert len(names) == len(set(names))
    return {words(row[0])[0]: (row[1], words(row[2])) for row in found}


def test_the_tables_list_what_is_counted(
    prometheus: Prometheus, documented: dict[str, tuple[str, tuple[str, ...]]]
) -> None:
    """Nothing missing, nothing more, with the right type and labels."""
    counted = {family.name: (family.kind, family.labels) for family in prometheus.families()}
    assert {name: row for name, row in documented.items() if name in counted} == counted
    others = {name for name in documented if name not in counted}
    assert all(name.startswith("process_") or name == "sidecar_build_info" for name in others)


def test_the_tables_list_what_a_scrape_shows(
    prometheus: Prometheus, documented: dict[str, tuple[str, tuple[str, ...]]]
) -> None:
    """The series that come from prometheus_client are described too."""
    shown = {}
    for family in text_string_to_metric_families(prometheus.render(openmetrics=False).decode()):
        name = family.name + "_total" if family.type == "counter" else family.name
        shown[name] = family.type
    assert shown == {name: kind for name, (kind, _) in documented.items()}


def test_every_reason_is_explained() -> None:
    """The closed vocabulary, whole and in its order."""
    assert [words(row[0])[0] for row in rows(section("Reasons"))] == list(REASONS)


def test_every_outcome_is_explained() -> None:
    """The contract's list, whole."""
    assert {words(row[0])[0] for row in rows(section("Outcomes"))} == OUTCOMES


def test_every_member_of_a_line_is_explained(tmp_path: Path) -> None:
    """The access log's members, in the order in which they are written."""
    log = AccessLog(str(tmp_path / "log"), headers=["X"])
    usual = ("r", b"GET", b"/", b"", 502, "upstream_error", "tls_failure", 0.1, 0.1, 1, 0, 0, b"id", "a sentence")
    log.write(*usual, b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", [(b"x", b"X", b"y")])
    log.close()
    members = list(json.loads((tmp_path / "log").read_bytes()))
    assert [words(row[0])[0] for row in rows(section("The access log"))] == members


def test_the_bounds_are_those_of_the_code() -> None:
    """The text names every bucket."""
    sentence = DOC.read_text().split("buckets at ")[1].split(";")[0].replace("\n", " ")
    milliseconds, seconds = sentence.split(" ms and at ")
    numbers = [float(n) / 1000 for n in re.findall(r"[\d.]+", milliseconds)]
    numbers += [float(n) for n in re.findall(r"[\d.]+", seconds)]
    assert numbers == list(BUCKETS)


def test_the_queries_are_about_series_that_exist(
    documented: dict[str, tuple[str, tuple[str, ...]]],
) -> None:
    """An example that selects nothing would look like good news."""
    names = set(re.findall(r"\bsidecar_\w+", section("Queries to start with")))
    assert len(names) > 3
    assert {name.removesuffix("_bucket") for name in names} <= set(documented)


def test_the_queries_are_promql(tmp_path: Path) -> None:
    """Each of them can be pasted as it stands: Prometheus's own parser takes it."""
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing: it comes with Debian's package `prometheus` (make test installs it)"
    section_lines = section("Queries to start with").splitlines()
    queries = [line.strip() for line in section_lines if line.startswith("    ")]
    rules = [{"record": f"example:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "rules.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "examples", "rules": rules}]}))
    checked = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(queries)} rules found" in checked.stdout
