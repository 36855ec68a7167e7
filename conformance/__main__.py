"""`python -m conformance`: the suites that others wrote, through the sidecar and its peers; docs/conformance.md."""

import argparse
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar

from bench.install import install
from bench.tables import as_text
from conformance import page
from conformance.lineup import ROWS
from conformance.proxies import PEERS, SIDECAR
from conformance.run import measure
from conformance.score import Standing
from conformance.shelf import Shelf

SHELF = Path(".conformance")
_USUAL = "haproxy,nginx"

T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if every row was run and the sidecar is at or above the best peer on it, else 1."""
    wanted = _options().parse_args(arguments)
    rows = _chosen(wanted.only, {row.name: row for row in ROWS})
    peers = _chosen(wanted.peers, {name: name for name in PEERS})
    if wanted.install:
        install(_say, peers)
    shelf = Shelf(SHELF.absolute())
    shelf.root.mkdir(exist_ok=True)
    results = {row.name: measure(row, shelf, [SIDECAR, *peers], _say) for row in rows}
    found = page.tables(rows, peers, results)
    print("\n\n".join(as_text(table) for table in found))
    if wanted.only:
        _say(f"\nNot written to {page.PAGE.name}: that takes a full run.")
    else:
        page.write(page.PAGE, found)
        _say(f"\nWritten to {page.PAGE}.")
    standings = [page.stands(results[row.name], peers) for row in rows]
    return 0 if all(stands is Standing.LEVEL for stands in standings) else 1


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument("--only", help="names of rows, separated by commas: " + ", ".join(row.name for row in ROWS))
    parser.add_argument("--peers", default=_USUAL, help=f"of {', '.join(PEERS)}; {_USUAL} if not given")
    parser.add_argument("--no-install", dest="install", action="store_false", help="install nothing from Debian")
    return parser


def _chosen(names: str | None, known: dict[str, T]) -> list[T]:
    wanted: Iterable[str] = names.split(",") if names else known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise SystemExit(f"conformance: no {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in wanted]


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    """Leaves by way of every `with` block, so that no program outlives the run."""
    sys.exit(128 + number)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _leave)
    sys.exit(main())
