"""What a run may conclude: above all, that a suite which did not run is not a good result."""

import itertools
import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.page import replaced
from conformance import page
from conformance.__main__ import main
from conformance.lineup import ROWS
from conformance.proxies import DIRECT
from conformance.row import Command, Row, Target, python
from conformance.rows.autobahn import reported
from conformance.rows.junit import junit
from conformance.rows.marks import marked
from conformance.rows.slow import judged
from conformance.run import measure
from conformance.score import Case, Score, Standing, Verdict, best, numbered, standing
from conformance.shelf import MIRROR, PYTHON2, Missing, Repository, Shelf, told_by

PASSED, FAILED, NOT_RUN = Verdict.PASSED, Verdict.FAILED, Verdict.NOT_RUN


def score(passed: int, failed: int = 0, not_run: int = 0, *, least: int = 3, trouble: str = "") -> Score:
    """So many cases of each kind."""
    verdicts = [PASSED] * passed + [FAILED] * failed + [NOT_RUN] * not_run
    return Score(tuple(Case(str(at), verdict) for at, verdict in enumerate(verdicts)), least, trouble)


@pytest.mark.parametrize(
    "nothing",
    [
        score(0),
        score(0, least=0),
        score(0, not_run=50),
        score(2),
        score(2, not_run=1),
        score(3, trouble="the proxy ended"),
        Score.not_run(3, "no suite"),
        Score.not_run(0, "no suite"),
    ],
)
def test_what_did_not_run_whole_never_stands_level(nothing: Score) -> None:
    """Fewer cases than the suite has, none, only skipped ones, a run with trouble: no score, whatever the peers did."""
    assert not nothing.counts
    assert standing(nothing, []) is Standing.NOT_RUN
    assert standing(nothing, [score(0, 3)]) is Standing.NOT_RUN
    assert "not run" in nothing.cell() or "broke off" in nothing.cell()


def test_a_peer_that_did_not_run_is_no_yardstick() -> None:
    """It neither lifts the sidecar nor beats it."""
    assert standing(score(3), [score(2), Score.not_run(3, "not installed")]) is Standing.ALONE
    assert standing(score(2, 1), [score(3, trouble="died"), score(1, 2)]) is Standing.LEVEL


def test_the_best_peer_counts() -> None:
    """Level is as many cases as the best of them; one fewer is below."""
    assert standing(score(3), [score(2, 1), score(3)]) is Standing.LEVEL
    assert standing(score(2, 1), [score(2, 1), score(3)]) is Standing.BELOW


def test_skipped_cases_are_said_and_not_counted() -> None:
    """A client that is not installed makes no score better."""
    assert score(3, 1, 2).cell() == "3 of 4, 2 not run"


def test_names_identify_cases() -> None:
    """A suite with the same title twice has two cases."""
    names = [case.name for case in numbered([Case("a", PASSED), Case("b", PASSED), Case("a", FAILED)])]
    assert names == ["a", "b", "a (2)"]


def test_the_better_of_two_runs() -> None:
    """What passed once has passed; what the second run did not reach stays as it was; what only it reached counts."""
    first = [Case("a", PASSED), Case("b", FAILED), Case("c", FAILED)]
    again = [Case("a", FAILED), Case("b", PASSED), Case("d", FAILED)]
    verdicts = {case.name: case.verdict for case in best(first, again)}
    assert verdicts == {"a": PASSED, "b": PASSED, "c": FAILED, "d": FAILED}


def test_a_suite_is_run_again_where_it_may_and_where_it_failed(tmp_path: Path) -> None:
    """Only the rows that say so; a row of one try fails at once."""
    runs = [[Case("a", PASSED), Case("b", FAILED)], [Case("a", PASSED), Case("b", PASSED)]]

    def run(_shelf: Shelf, _target: Target) -> Iterable[Case]:
        return runs[min(next(count), 1)]

    count = itertools.count()
    assert measured(replace(row([]), run=run), tmp_path).passed == 1
    count = itertools.count()
    assert measured(replace(row([]), run=run, tries=3), tmp_path).passed == 2
    assert next(count) == 2


def test_marked_lines_are_cases() -> None:
    """The two suites that print marks; whatever else they print is none."""
    output = (
        "Running 3 tests…\n"
        "✅ Valid GET request: Response Status Code 200, Expected ranges: [[200,299]]\n"
        "❌ Fragmented method: Read operation timed out\n"
        "✅ can connect (12ms)\n"
        "   ✅\n"
        "❌ redirects: handles 301 to same origin (7ms)\n"
        "   Error: expected 1\n"
        "3 out of 4 tests passed.\n"
    )
    assert list(marked(output)) == [
        Case("Valid GET request", PASSED, "Response Status Code 200, Expected ranges: [[200,299]]"),
        Case("Fragmented method", FAILED, "Read operation timed out"),
        Case("can connect", PASSED),
        Case("redirects: handles 301 to same origin", FAILED),
    ]


def test_reports_of_pytest(tmp_path: Path) -> None:
    """Skipped is not passed; an error in a fixture is a failure; no report is no case."""
    report = tmp_path / "report.xml"
    assert list(junit(report)) == []
    report.write_text(
        "<testsuites><testsuite>"
        '<testcase classname="tests.test_a.TestA" name="one"/>'
        '<testcase classname="tests.test_a.TestA" name="two"><failure message="a\n  b">…</failure></testcase>'
        '<testcase classname="tests.test_a.TestA" name="three"><error message="broken">…</error></testcase>'
        '<testcase classname="tests.test_a.TestA" name="four"><skipped message="no"/></testcase>'
        "</testsuite></testsuites>"
    )
    assert list(junit(report)) == [
        Case("TestA.one", PASSED),
        Case("TestA.two", FAILED, "a b"),
        Case("TestA.three", FAILED, "broken"),
        Case("TestA.four", NOT_RUN),
    ]


def test_reports_of_autobahn(tmp_path: Path) -> None:
    """An echo that was right, on a connection that closed unclean, is a failure; no index is no case."""
    index = tmp_path / "index.json"
    assert list(reported(index)) == []
    found = {
        "1.1.1": {"behavior": "OK", "behaviorClose": "OK"},
        "1.1.2": {"behavior": "NON-STRICT", "behaviorClose": "INFORMATIONAL"},
        "1.1.3": {"behavior": "OK", "behaviorClose": "UNCLEAN"},
        "1.1.4": {"behavior": "FAILED", "behaviorClose": "OK"},
        "1.1.5": {},
    }
    index.write_text(json.dumps({"peer": found}))
    assert [case.verdict for case in reported(index)] == [PASSED, PASSED, FAILED, FAILED, FAILED]


def test_outputs_of_slowhttptest() -> None:
    """One probe that was not served is a failure, and so is none at all; colours are no part of a word."""
    line = "\x1b[1;32mservice available:\x1b[1;32m   \x1b[1;32m{}\x1b[0m\n"
    yes, no = line.format("YES"), line.format("NO")
    assert [judged("x", text).verdict for text in (yes, yes + no + yes, "")] == [PASSED, FAILED, FAILED]


def nobody(_shelf: Shelf, port: int) -> Command:
    """An origin that every test here can afford."""
    return python("http.server", "--bind", "127.0.0.1", str(port))


def row(cases: Iterable[Case] | Exception, least: int = 2) -> Row:
    """A suite with a foregone conclusion."""

    def run(_shelf: Shelf, _target: Target) -> Iterable[Case]:
        if isinstance(cases, Exception):
            raise cases
        return cases

    return Row("suite", "A suite", "here", least, nobody, run)


def measured(suite: Row, tmp_path: Path) -> Score:
    """With nothing between it and its origin."""
    return measure(suite, Shelf(tmp_path), [], lambda _line: None)[DIRECT]


def test_a_suite_that_cannot_be_had_is_not_run(tmp_path: Path) -> None:
    """The reason is kept for the page."""
    found = measured(row(Missing("deno is not installed")), tmp_path)
    assert (found.cell(), found.trouble) == ("not run", "deno is not installed")


def test_a_suite_that_breaks_off_is_not_a_score(tmp_path: Path) -> None:
    """Though all of its cases that ran have passed."""
    assert measured(row([Case("a", PASSED)]), tmp_path).cell() == "broke off: 1 of 2 run"
    assert measured(row([Case("a", PASSED), Case("b", PASSED)]), tmp_path).cell() == "2 of 2"


def test_a_suite_whose_origin_does_not_start_is_not_run(tmp_path: Path) -> None:
    """For no proxy."""
    broken = replace(row([]), origin=lambda _shelf, _port: Command([sys.executable, "-c", "raise SystemExit('no')"]))
    assert measured(broken, tmp_path).cell() == "not run"


def test_a_run_without_a_score_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks the exit code learns that nothing was shown."""

    def nowhere(_shelf: Shelf, _port: int) -> Command:
        raise Missing("no suite")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("conformance.__main__.ROWS", (replace(row([]), origin=nowhere),))
    assert main(["--only", "suite", "--no-install"]) == 1


@pytest.mark.parametrize("suite", ROWS, ids=lambda suite: suite.name)
def test_every_row_knows_how_many_cases_it_has(suite: Row) -> None:
    """Else breaking off after the first would be perfect."""
    assert suite.least >= 3


def test_a_suite_that_nobody_has_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the sentence says where it was looked for."""
    monkeypatch.setenv(MIRROR, str(tmp_path / "nowhere"))
    monkeypatch.setattr("conformance.shelf.GITHUB", str(tmp_path / "no-network"))
    with pytest.raises(Missing, match=r"nobody/nothing: .*nowhere.*no-network"):
        Shelf(tmp_path / "shelf").checkout(Repository("nobody", "nothing", "0" * 40))


def test_a_mirror_serves_the_fixed_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not whatever is newest there; and what is on the shelf already is not fetched again."""
    origin = tmp_path / "mirror" / "owner+suite"
    git = ["git", "-C", str(origin), "-c", "user.name=n", "-c", "user.email=e@example.com"]
    told_by(["git", "init", "--quiet", str(origin)], limit=10)
    for text in ("first", "second"):
        (origin / "file").write_text(text)
        told_by([*git, "add", "file"], limit=10)
        told_by([*git, "commit", "--quiet", "-m", text], limit=10)
    first = told_by([*git, "rev-parse", "HEAD~1"], limit=10).stdout.strip()
    monkeypatch.setenv(MIRROR, str(tmp_path / "mirror"))
    shelf = Shelf(tmp_path / "shelf")
    assert (shelf.checkout(Repository("owner", "suite", first)) / "file").read_text() == "first"
    monkeypatch.setenv(MIRROR, str(tmp_path / "gone"))
    assert (shelf.checkout(Repository("owner", "suite", first)) / "file").read_text() == "first"


def test_a_python_that_is_not_2_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even when it is named for it."""
    monkeypatch.setenv(PYTHON2, sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Missing, match=r"no CPython 2\.7"):
        Shelf(tmp_path).python2("anything")


def test_the_page_shows_failures_and_reasons() -> None:
    """A line per case that failed anywhere, a line per proxy that was not run."""
    results = {
        "suite": {
            DIRECT: Score((Case("a", PASSED), Case("b", PASSED)), 2),
            "sidecar": Score((Case("a", PASSED), Case("b", FAILED)), 2),
            "nginx": Score.not_run(2, "not installed"),
        }
    }
    scores, failed, missing, *_ = page.tables([row([])], ["nginx"], results)
    assert scores.rows == [("A suite", "2 of 2", "1 of 2", "not run", "no peer was run")]
    assert failed.rows == [("suite", "b", "passed", "failed", "not run")]
    assert missing.rows == [("suite", "nginx", "not installed")]


def test_the_page_can_be_written() -> None:
    """It has the two markers, and text around them."""
    text = page.PAGE.read_text()
    written = replaced(text, "SCORES", begin=page.BEGIN, end=page.END)
    assert "SCORES" in written
    assert written.startswith(text.partition(page.BEGIN)[0])
    assert written.endswith(text.partition(page.END)[2])


def test_the_page_names_every_row() -> None:
    """Each has been run, or the page says why not."""
    told = page.PAGE.read_text()
    for suite in ROWS:
        assert f"| {suite.title} | " in told
