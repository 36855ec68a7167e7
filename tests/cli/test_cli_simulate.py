"""`sidecar simulate`: a table for people, JSON for programs, the same for the same seed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli import main
from sidecar.simulation.scenarios import SCENARIOS

Output = pytest.CaptureFixture[str]
TEXT = """\
upstreams:
  u: {endpoints: ["http://127.0.0.1:9000"], retries_beyond: 0}
  spare: {endpoints: ["http://127.0.0.1:9001"]}
routes:
  - name: guarded
    match: {path: /guarded}
    upstream: u
    timeout: {total: 1s}
    fallback: [{last_known_good: {max_age: 1h, identity: [Authorization]}}]
  - name: bare
    match: {regex: "/bare/[0-9]+", methods: [POST]}
    upstream: u
    timeout: {total: 1s}
    breaker: {enabled: false}
  - name: doubled
    match: {prefix: /doubled/}
    upstream: u
    fallback: [{upstream: spare}]
"""


@pytest.fixture
def simulate(tmp_path: Path, capsys: Output) -> Callable[..., str]:
    """`simulate(...)`: what is printed; the exit code must be 0."""
    file = tmp_path / "c.yaml"
    file.write_text(TEXT)

    def run(*arguments: str) -> str:
        assert main(["simulate", str(file), "--rate", "10", *arguments]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def stories(simulate: Callable[..., str]) -> Callable[..., dict[str, Any]]:
    """The same as JSON, by route."""

    def run(*arguments: str) -> dict[str, Any]:
        return {story["route"]: story for story in json.loads(simulate("--json", *arguments))}

    return run


def during(story: dict[str, Any]) -> dict[str, Any]:
    """The figures of the phase in which something is wrong."""
    figures: dict[str, Any] = story["spans"][1]["figures"]
    return figures


def test_an_outage_is_told_phase_by_phase(simulate: Callable[..., str]) -> None:
    """What was wrong, the shares, the breaker's moves with their times, and when all was well again."""
    page = simulate("--route", "guarded", "--scenario", "outage")
    assert page.startswith("guarded: outage, for a minute nobody listens\n10 requests/s, answers of 50 ms, seed 1\n")
    assert [line.split()[0] for line in page.splitlines() if "%" in line][:3] == ["before", "outage", "after"]
    assert "breaker closed -> open for" in page
    assert "99 % succeed from" in page
    assert "doubled" not in page


def test_policies_make_the_difference(stories: Callable[..., dict[str, Any]]) -> None:
    """Kept answers rescue, a replica helps, and without a breaker each request goes out in vain."""
    told = stories("--scenario", "outage")
    assert list(told) == ["guarded", "bare", "doubled"]
    assert during(told["guarded"])["rescued"] > 0.99
    assert during(told["guarded"])["attempts"] < 0.05
    assert during(told["doubled"])["success"] > 0.99
    assert during(told["bare"])["failed"] == 1.0
    assert during(told["bare"])["attempts"] == 1.0
    assert not told["bare"]["changes"]
    assert told["bare"]["recovered"] == 0.0
    assert told["guarded"]["changes"][0]["new"] == "open"


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_every_scenario_hurts_and_ends(scenario: str, stories: Callable[..., dict[str, Any]]) -> None:
    """All is well before, less so during, and each request has an answer."""
    (story,) = stories("--scenario", scenario, "--route", "bare").values()
    before, trouble = story["spans"][0]["figures"], during(story)
    assert before["success"] > 0.99
    assert trouble["success"] < 0.95
    for span in story["spans"]:
        it = span["figures"]
        assert it["requests"] > 100
        assert sum(it[name] for name in ("success", "rescued", "refused", "failed", "gone")) == pytest.approx(1.0)


def test_callers_use_a_method_that_the_route_takes(tmp_path: Path, capsys: Output) -> None:
    """Where requests hang, a GET is tried again and a POST is not."""
    attempts = []
    for methods in ("[GET, POST]", "[POST]"):
        file = tmp_path / "c.yaml"
        file.write_text(
            'upstreams: {u: {endpoints: ["http://u.test"]}}\n'
            f"routes: [{{name: r, match: {{prefix: /, methods: {methods}}}, upstream: u, breaker: {{enabled: false}},"
            " timeout: {attempt: 500ms, total: 2s}, retry: {attempts: 3}}]\n"
        )
        assert main(["simulate", str(file), "--scenario", "hang", "--rate", "10", "--json"]) == 0
        attempts.append(during(json.loads(capsys.readouterr().out)[0])["attempts"])
    # What is sent again in vain is what its endpoint's full backlog refuses: no byte of it was.
    assert attempts[0] > 1.2
    assert attempts[1] < attempts[0]


def test_the_same_seed_is_the_same_page(simulate: Callable[..., str]) -> None:
    """And another one is another."""
    asked = ("--route", "guarded", "--scenario", "flaky", "--seed")
    assert simulate(*asked, "5") == simulate(*asked, "5")
    assert simulate(*asked, "5") != simulate(*asked, "6")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--route", "nobody"], "no route is named 'nobody'"),
        (["--rate", "0"], "--rate"),
        (["--latency", "soon"], "--latency"),
        (["--scenario", "flood"], "--scenario"),
    ],
)
def test_what_cannot_be_played_is_one_line(
    arguments: list[str], said: str, minimal_file: Callable[[str], str], capsys: Output
) -> None:
    """Exit code 2."""
    assert main(["simulate", minimal_file(""), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_file_that_is_wrong_is_said_to_be(tmp_path: Path, capsys: Output) -> None:
    """As by every command."""
    file = tmp_path / "c.yaml"
    file.write_text("routes: 1\n")
    assert main(["simulate", str(file)]) == 2
    assert "c.yaml" in capsys.readouterr().err
