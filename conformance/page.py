"""docs/conformance.md: people's explanations around the tables of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import page as bench_page
from bench.lineup import BY_NAME, version
from bench.machine import describe
from bench.tables import Table, as_markdown
from conformance.proxies import DIRECT, SIDECAR
from conformance.row import Row
from conformance.score import Case, Score, Standing, Verdict, standing

PAGE = Path(__file__).parent.parent / "docs" / "conformance.md"
BEGIN = "<!-- scores: written by `make conformance`, do not edit -->"
END = "<!-- end of scores -->"

Results = Mapping[str, Mapping[str, Score]]
"""Scores by the row's name, then by the proxy's."""


def write(page: Path, found: Sequence[Table]) -> None:
    """Replaces what stands between the two markers.

    Raises:
        ValueError: the page has not both of them, in order.
    """
    machine = describe()
    told = f"Run on {machine.sentence()}."
    figures = "\n\n".join([told, *(as_markdown(table) for table in found)])
    page.write_text(bench_page.replaced(page.read_text(), figures, begin=BEGIN, end=END))


def tables(rows: Sequence[Row], peers: Sequence[str], results: Results) -> list[Table]:
    """The scores; every case that failed somewhere; what was not run, and why; who took part."""
    columns = [DIRECT, SIDECAR, *peers]
    scores = [
        (row.title, *(results[row.name][name].cell() for name in columns), stands(results[row.name], peers).value)
        for row in rows
    ]
    found = [Table("Scores", ("suite", *columns, ""), scores)]
    if failed := [line for row in rows for line in _failed(row, columns, results[row.name])]:
        found.append(Table("Cases that failed", ("suite", "case", *columns), failed, numbers=False))
    if missing := [line for row in rows for line in _missing(row, columns, results[row.name])]:
        found.append(Table("Not run", ("suite", "through", "why"), missing, numbers=False))
    return [*found, _who(rows, peers)]


def stands(scores: Mapping[str, Score], peers: Sequence[str]) -> Standing:
    """The sidecar on one row."""
    return standing(scores[SIDECAR], [scores[name] for name in peers])


def _failed(row: Row, columns: Sequence[str], scores: Mapping[str, Score]) -> list[Sequence[str]]:
    """A line per case that failed anywhere, in the suite's order, with the verdict of each column."""
    by_name = {name: {case.name: case for case in scores[name].cases} for name in columns}
    failed = dict.fromkeys(case.name for name in columns for case in scores[name].failures)
    return [(row.name, _cell(case), *(_verdict(by_name[name].get(case)) for name in columns)) for case in failed]


def _verdict(case: Case | None) -> str:
    return case.verdict if case else Verdict.NOT_RUN


def _missing(row: Row, columns: Sequence[str], scores: Mapping[str, Score]) -> list[Sequence[str]]:
    return [(row.name, name, _cell(scores[name].trouble)) for name in columns if scores[name].trouble]


def _who(rows: Sequence[Row], peers: Sequence[str]) -> Table:
    proxies = [(name, version(BY_NAME[name])) for name in (SIDECAR, *peers)]
    suites = [(row.title, row.source) for row in rows]
    return Table("Who took part", ("", "version, or where from"), [*proxies, *suites], numbers=False)


def _cell(text: str) -> str:
    """Nothing in it ends the cell."""
    return text.replace("|", "\\|").replace("\n", " ")
