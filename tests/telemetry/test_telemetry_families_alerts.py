"""Laws of the rules that are shipped for Prometheus: they are valid, true to the metrics, tested, and explained."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from fixtures.promql import RULES, alerts, label_values, promtool, rules, series_named

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = ROOT / "docs" / "alerts" / "README.md"
UNIT_TESTS = sorted(Path(__file__).parent.glob("*.test.yaml"))


def section(name: str) -> str:
    """What the runbook says about an alert."""
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", RUNBOOKS.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{RUNBOOKS} has no section {name}"
    return found[1]


def test_prometheus_accepts_the_rules() -> None:
    """Syntax, names, durations, templates, and no rule twice."""
    code, said = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES)
    assert code == 0, said
    assert len(re.findall("SUCCESS", said)) == len(RULES) == 2


@pytest.mark.parametrize("file", UNIT_TESTS, ids=lambda file: file.name)
def test_alerts_fire_and_resolve_when_they_should(file: Path) -> None:
    """By promtool's unit tests, which say for each when, and what it lets pass."""
    code, said = promtool("test", "rules", file)
    assert code == 0, said
    assert "SUCCESS" in said


def test_every_alert_is_seen_to_fire_and_to_rest() -> None:
    """An alert that no test fires might never; one that no test lets rest might always."""
    fires, rests = set(), set()
    for file in UNIT_TESTS:
        for test in yaml.safe_load(file.read_text())["tests"]:
            for asked in test["promql_expr_test"]:
                (fires if asked["exp_samples"] else rests).update(re.findall(r'alertname="(\w+)"', asked["expr"]))
    assert fires == rests == set(alerts())


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_what_to_do(name: str) -> None:
    """How bad it is, in one of two words; what is the matter; and where somebody on call reads on."""
    alert = alerts()[name]
    assert name.startswith("Sidecar")
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"docs/alerts/README.md#{name.lower()}"
    for part in ("**Means.**", "**Look.**", "**Do.**", "**Resolves**"):
        assert part in section(name)
    assert f"**{alert['labels']['severity']}**" in section(name)


def test_every_section_belongs_to_an_alert() -> None:
    """No runbook for what does not exist; in the order of the rules."""
    found = [title for title in re.findall(r"^## (\w+)$", RUNBOOKS.read_text(), re.MULTILINE) if title[:7] == "Sidecar"]
    assert found == list(alerts())


@pytest.mark.parametrize("name", alerts())
def test_no_alert_fires_on_one_moment(name: str) -> None:
    """Each waits, so that one transient failure wakes nobody."""
    assert re.fullmatch(r"\d+[sm]", alerts()[name]["for"])
    seconds = int(alerts()[name]["for"][:-1]) * (60 if alerts()[name]["for"].endswith("m") else 1)
    assert seconds >= 120


def expressions() -> list[Any]:
    """One parameter per rule."""
    return [pytest.param(rule["expr"], id=rule.get("alert") or rule["record"]) for rule in rules()]


@pytest.mark.parametrize("expression", expressions())
def test_rules_are_about_what_exists(expression: str, vocabulary: dict[str, set[str]]) -> None:
    """A name or a word that is misspelt selects nothing, and an alert on nothing looks like good news."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert series_named(expression) <= vocabulary["series"] | recorded
    for label in ("outcome", "reason", "result", "kind", "state"):
        assert label_values(expression, label) <= vocabulary[label], label
