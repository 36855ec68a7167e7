"""Autobahn's WebSocket suite: its fuzzing client in front of the proxy, its echo peer behind it.

Left out of the full set: compression (12, 13), which no intermediary touches, and the two slowest groups of the timing
section (9.7, 9.8): 289 cases remain. It runs on CPython 2.7 alone.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from conformance.row import Command, Row, Target
from conformance.score import Case, Verdict
from conformance.shelf import Missing, Shelf, last_line, told_by

CASES = 289
LEFT_OUT = ("12.*", "13.*", "9.7.*", "9.8.*")
_PACKAGE = "autobahntestsuite==25.10.1"
_LIMIT = 900.0
_GOOD = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})
_GOOD_CLOSE = frozenset({"OK", "INFORMATIONAL"})


def origin(shelf: Shelf, port: int) -> Command:
    """The suite's own echo peer."""
    python2, environment = shelf.python2(_PACKAGE)
    arguments = ["-m", "testeeserver", "-w", f"ws://127.0.0.1:{port}"]
    return Command([python2, "-m", "autobahntestsuite.wstest", *arguments], environment)


def run(shelf: Shelf, target: Target) -> Iterable[Case]:
    """The suite's client, one case after the other."""
    python2, environment = shelf.python2(_PACKAGE)
    specification = target.folder / "specification.json"
    specification.write_text(json.dumps(_specification(target)))
    command = [python2, "-m", "autobahntestsuite.wstest", "-m", "fuzzingclient", "-s", str(specification)]
    told = told_by(command, limit=_LIMIT, folder=target.folder, environment=environment)
    cases = tuple(reported(target.folder / "reports" / "index.json"))
    if not cases:
        raise Missing(f"wstest: {last_line(told.stdout + told.stderr)}")
    return cases


def reported(index: Path) -> Iterator[Case]:
    """A case per entry of the suite's index; nothing where it wrote none. A case passes with a clean close only."""
    if not index.is_file():
        return
    for cases in json.loads(index.read_text()).values():
        for name, found in cases.items():
            behaviour, close = found.get("behavior", ""), found.get("behaviorClose", "")
            good = behaviour in _GOOD and close in _GOOD_CLOSE
            yield Case(name, Verdict.PASSED if good else Verdict.FAILED, f"{behaviour}, close {close}")


def _specification(target: Target) -> dict[str, object]:
    return {
        "outdir": str(target.folder / "reports"),
        "servers": [{"agent": "peer", "url": f"ws://127.0.0.1:{target.port}"}],
        "cases": ["*"],
        "exclude-cases": list(LEFT_OUT),
        "exclude-agent-cases": {},
    }


ROW = Row(
    name="autobahn",
    title="Autobahn WebSocket, quick set",
    source="PyPI, autobahntestsuite 25.10.1 on CPython 2.7",
    least=CASES,
    origin=origin,
    run=run,
    keep_host=False,  # its echo peer refuses a Host with another port than its own
)
