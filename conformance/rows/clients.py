"""Real clients through the proxy, each asked to do the same things."""

from collections.abc import Iterable, Iterator

from conformance.clients.answer import Make
from conformance.clients.cases import CASES, NOT_OF, Run
from conformance.clients.libraries import LIBRARIES
from conformance.clients.programs import programs
from conformance.row import Command, Row, Target, python
from conformance.score import Case, Verdict
from conformance.shelf import Missing, Shelf


def origin(_shelf: Shelf, port: int) -> Command:
    """Our own, which answers in every form there is."""
    return python("conformance.origin", str(port))


def run(shelf: Shelf, target: Target) -> Iterable[Case]:
    """Every client one after the other. The cases of one that is not installed are not run."""
    url = f"http://127.0.0.1:{target.port}"
    for name, make in {**LIBRARIES, **programs(shelf)}.items():
        yield from _client(name, make, url)


def possible(client: str) -> dict[str, Run]:
    """The cases that a client can do at all."""
    return {case: run for case, run in CASES.items() if (client, case) not in NOT_OF}


def _client(name: str, make: Make, url: str) -> Iterator[Case]:
    try:
        client = make()
    except Missing as missing:
        yield from (Case(f"{name}: {case}", Verdict.NOT_RUN, str(missing)) for case in possible(name))
        return
    try:
        for case, attempt in possible(name).items():
            try:
                attempt(client, url)
            except Exception as error:  # noqa: BLE001 - a client raises what it likes; any of it is the verdict
                yield Case(f"{name}: {case}", Verdict.FAILED, f"{type(error).__name__}: {error}"[:200])
            else:
                yield Case(f"{name}: {case}", Verdict.PASSED)
    finally:
        client.close()


ROW = Row(
    name="clients",
    title="real clients",
    source="conformance/clients: " + ", ".join(LIBRARIES) + "; curl, Node's http and fetch, undici; Java's HttpClient",
    least=sum(len(possible(name)) for name in LIBRARIES),
    origin=origin,
    run=run,
)
