"""One row of the table: a suite, its origin, and how it is run against one port."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conformance.score import Case
from conformance.shelf import Shelf

ROOT = Path(__file__).parent.parent
"""Of the repository."""


@dataclass(frozen=True, slots=True)
class Command:
    """How an origin is started: it listens on a port of 127.0.0.1 that stands in `arguments`."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def python(module: str, *arguments: str) -> Command:
    """A module of this repository, from whatever directory it is started in."""
    return Command([sys.executable, "-m", module, *arguments], {"PYTHONPATH": str(ROOT)})


@dataclass(frozen=True, slots=True)
class Target:
    """What a suite is pointed at. `port` is the proxy's, or the origin's own where nothing is between."""

    port: int
    folder: Path
    """Empty, and this run's own."""


@dataclass(frozen=True, slots=True)
class Row:
    """A suite.

    `least` is how many of its cases must have run for a score. `origin` and `run` may raise Missing, where the suite
    or a program is not to be had. Without `keep_host` the origin is to see its own address in `Host`.
    `tries`: a suite that counts in milliseconds is run again, for whomever it fails, so often in all.
    """

    name: str
    title: str
    source: str
    """Where it comes from, with its version, for the page."""
    least: int
    origin: Callable[[Shelf, int], Command]
    run: Callable[[Shelf, Target], Iterable[Case]]
    keep_host: bool = True
    tries: int = 1
