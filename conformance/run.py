"""A run: every row, on the origin alone and then through each proxy in turn."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.child import Unusable
from bench.place import free_port
from conformance import proxies
from conformance.proxies import DIRECT
from conformance.row import Row, Target
from conformance.score import Case, Score, best, numbered
from conformance.shelf import Missing, Shelf

Say = Callable[[str], None]


def measure(row: Row, shelf: Shelf, names: Sequence[str], say: Say) -> dict[str, Score]:
    """The row's scores by name, `DIRECT` among them. What could not be run has a score that says why."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        try:
            with _origin(row, shelf, Path(folder)) as port:
                return {name: _score(row, shelf, name, port, say) for name in (DIRECT, *names)}
        except (Missing, Unusable) as error:
            say(f"{row.name}: not run: {error}")
            return {name: Score.not_run(row.least, str(error)) for name in (DIRECT, *names)}


@contextmanager
def _origin(row: Row, shelf: Shelf, folder: Path) -> Iterator[int]:
    port = free_port()
    with proxies.origin(row.origin(shelf, port), port, folder):
        yield port


def _score(row: Row, shelf: Shelf, name: str, origin_port: int, say: Say) -> Score:
    with tempfile.TemporaryDirectory(prefix=f"conformance-{name}-") as folder:
        try:
            with _in_front(row, name, origin_port, Path(folder)) as port:
                score = Score(_cases(row, shelf, port, Path(folder)), row.least)
        except (Missing, Unusable) as error:
            score = Score.not_run(row.least, str(error))
    say(f"{row.name}: {name}: {score.cell()}" + (f": {score.trouble}" if score.trouble else ""))
    return score


def _cases(row: Row, shelf: Shelf, port: int, folder: Path) -> tuple[Case, ...]:
    """Run again while some fail and tries are left; of each case the better verdict."""
    cases: tuple[Case, ...] = ()
    for number in range(row.tries):
        again = numbered(row.run(shelf, Target(port=port, folder=_empty(folder / f"suite-{number}"))))
        cases = best(cases, again)
        if not Score(cases, row.least).failures:
            break
    return cases


@contextmanager
def _in_front(row: Row, name: str, origin_port: int, folder: Path) -> Iterator[int]:
    if name == DIRECT:
        yield origin_port
    else:
        with proxies.running(name, origin_port, folder, keep_host=row.keep_host) as port:
            yield port


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder
