"""EventSource's own tests, its server behind the proxy and its client in front of it."""

from collections.abc import Iterable
from pathlib import Path

from conformance.row import Command, Row, Target
from conformance.rows.marks import marked
from conformance.score import Case
from conformance.shelf import Missing, Repository, Shelf, last_line, program, told_by

REPOSITORY = Repository("EventSource", "eventsource", "da4e2923df0c306bc6290cbc941a9b53e97ab6c1")
CASES = 38
PROGRAMS = Path(__file__).parent.parent / "programs"
_PACKAGES = ("tsx@4", "sinon@20", "esbuild@0.25", "eventsource-encoder@1", "eventsource-parser@3")
_LIMIT = 180.0


def origin(shelf: Shelf, port: int) -> Command:
    """The suite's server on a port of ours: its own program has the port built in."""
    return Command(_command(shelf, "serve", port))


def run(shelf: Shelf, target: Target) -> Iterable[Case]:
    """The suite's tests for Node, against a port of ours."""
    told = told_by(_command(shelf, "test", target.port), limit=_LIMIT)
    cases = tuple(marked(told.stdout))
    if not cases:
        raise Missing(f"node: {last_line(told.stderr)}")
    return cases


def _command(shelf: Shelf, what: str, port: int) -> list[str]:
    tree = shelf.checkout(REPOSITORY)
    loader = shelf.node(*_PACKAGES) / "tsx" / "dist" / "loader.mjs"
    return [program("node"), "--import", str(loader), str(PROGRAMS / "eventsource.mjs"), str(tree), what, str(port)]


ROW = Row(
    name="eventsource",
    title="EventSource's own tests",
    source="GitHub, EventSource/eventsource 4.1.1; what it needs from npm",
    least=CASES,
    origin=origin,
    run=run,
    tries=3,  # it sends events 5 ms apart, and fails where two of them are seen at once
)
