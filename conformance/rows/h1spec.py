"""uNetworking/h1spec: 33 requests, whole, broken off and wrong; the origin echoes whatever body it gets."""

from collections.abc import Iterable

from conformance.row import Command, Row, Target, python
from conformance.rows.marks import marked
from conformance.score import Case
from conformance.shelf import Missing, Repository, Shelf, last_line, told_by

REPOSITORY = Repository("uNetworking", "h1spec", "f0a5650a20c575fbea0f7179a3a9cfa50f20ba6e")
CASES = 33
_LIMIT = 60.0


def origin(_shelf: Shelf, port: int) -> Command:
    """Our own echo."""
    return python("conformance.origin", str(port))


def run(shelf: Shelf, target: Target) -> Iterable[Case]:
    """All cases at once, as the suite does."""
    tree = shelf.checkout(REPOSITORY)
    deno = shelf.node("deno@2") / ".bin" / "deno"
    command = [str(deno), "run", "--no-check", "--allow-net", "http_test.ts", "127.0.0.1", str(target.port)]
    told = told_by(command, limit=_LIMIT, folder=tree)
    cases = tuple(marked(f"{told.stdout}\n{told.stderr}"))
    if not cases:
        raise Missing(f"deno: {last_line(told.stderr)}")
    return cases


ROW = Row(
    name="h1spec",
    title="uNetworking/h1spec",
    source="GitHub; runs under `deno` from npm",
    least=CASES,
    origin=origin,
    run=run,
)
