"""What the sidecar passes on, against what a reference intermediary does: `python -m conformance.differential`.

The corpus, and as many mutations of it as are asked for, go through both on real sockets. Law: what the reference
refuses is refused, or is a named deviation; and nothing that reaches the origin is anything but what a strict parser
takes for one request.

In process, `conformance.fuzz` holds the same bytes against h11.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from conformance import deviations
from conformance.corpus.requests import SEEDS, STARTS
from conformance.corpus.words import WORDS
from conformance.mutate import Mutator
from conformance.recorder import Passed
from conformance.reference import QUIET, REFERENCES, Missing, compare

_PATIENT: Final = 4 * QUIET
"""For a second look: on a busy machine, what came late looks like what was refused."""


@dataclass(frozen=True)
class Difference:
    """One case that the two do not pass on alike. `deviation`: what explains it, "" if nothing does."""

    wire: bytes
    theirs: Passed
    ours: Passed
    deviation: str
    looser: bool
    """We pass on what the reference does not."""

    def __str__(self) -> str:
        kind = self.deviation or ("UNEXPLAINED" if self.looser else "stricter")
        theirs = f"{self.theirs.requests} {self.theirs.statuses}"
        return f"{kind}: {self.wire!r}\n    reference {theirs}\n    sidecar   {self.ours.requests} {self.ours.statuses}"


def inputs(mutations: int, seed: int) -> list[bytes]:
    """The corpus, and so many mutations of it."""
    mutator = Mutator(STARTS, WORDS, Random(seed))
    return [seed.wire for seed in SEEDS] + [mutator.next() for _ in range(mutations)]


def differences(name: str, wires: Sequence[bytes]) -> list[Difference]:
    """Where the reference of that name and the sidecar differ. Those that look bad have been looked at twice.

    Raises:
        Missing: there is no such reference on this machine.
    """
    found = _differences(name, wires, QUIET)
    doubtful = [difference.wire for difference in found if _is_bad(difference)]
    if not doubtful:
        return found
    return [one for one in found if not _is_bad(one)] + _differences(name, doubtful, _PATIENT)


def unexplained(found: Sequence[Difference]) -> list[Difference]:
    """Those that break the law."""
    return [difference for difference in found if _is_bad(difference)]


def _is_bad(difference: Difference) -> bool:
    return bool(difference.ours.faults) or (difference.looser and not difference.deviation)


def _differences(name: str, wires: Sequence[bytes], quiet: float) -> list[Difference]:
    with tempfile.TemporaryDirectory() as folder:
        passed = asyncio.run(compare(name, Path(folder), wires, quiet))
    found = []
    for wire, (theirs, ours) in zip(wires, passed, strict=True):
        if theirs.requests != ours.requests or ours.faults:
            looser = not _is_part(ours, theirs)
            deviation = deviations.of_reference(name, wire) if looser else ""
            found.append(Difference(wire, theirs, ours, deviation, looser))
    return found


def _is_part(ours: Passed, theirs: Passed) -> bool:
    """Whether everything we passed on the reference passed on too, in that order."""
    left = iter(theirs.requests)
    return all(request in left for request in ours.requests)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m conformance.differential", description=__doc__.partition("\n")[0])
    parser.add_argument("--reference", choices=list(REFERENCES), default="nginx")
    parser.add_argument("--mutations", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="also what the reference passes on and we refuse")
    asked = parser.parse_args(arguments)
    wires = inputs(asked.mutations, asked.seed)
    try:
        found = differences(asked.reference, wires)
    except Missing as error:
        print(error, file=sys.stderr)
        return 2
    bad = unexplained(found)
    stricter = sum(not difference.looser for difference in found)
    print(f"{len(wires)} cases, {stricter} where the sidecar is stricter, {len(bad)} unexplained")
    for difference in found if asked.verbose else [one for one in found if one.looser]:
        print(difference)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
