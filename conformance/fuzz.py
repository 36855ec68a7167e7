"""Fuzzing: `python -m conformance.fuzz --seconds 600 --seed 1`.

Inputs are mutated out of the corpus and of what proved to be of a new kind on the way. The same seed gives the same
inputs in the same order, on any machine. A finding is made as small as it can be, written to `.fuzz/`, and shown;
`--replay FILE` runs one again. Exit code 1: something was found.

`--engine atheris` (`pip install atheris`, on Linux) lets libFuzzer look at branches instead: see guided.py.
"""

import argparse
import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from conformance.mutate import Mutator, minimised
from conformance.targets import Target
from conformance.targets.pieces import Chunks, Settings, Values
from conformance.targets.proxy import Answers, Proxied
from conformance.targets.requests import Requests
from conformance.targets.responses import Responses
from sidecar.clock import MONOTONIC

TARGETS: Final[dict[str, Callable[[], Target]]] = {
    "requests": Requests,
    "responses": Responses,
    "proxy": Proxied,
    "answers": Answers,
    "chunks": Chunks,
    "values": Values,
    "settings": Settings,
}
FOUND: Final = Path(".fuzz")
HANG: Final = 5.0
"""Seconds after which one input counts as a hang: a thousand times what any takes."""
_TURN: Final = 1.0
"""Seconds before the next target has its turn."""
_REPORT: Final = 10.0
_ENOUGH: Final = 20
"""Findings after which a run ends: more of them say no more."""


class Hang(BaseException):
    """An input took too long."""


@contextlib.contextmanager
def watched(seconds: float) -> Iterator[None]:
    """Raises Hang in what takes longer. A timer that was set before goes on afterwards."""

    def strike(*_: object) -> None:
        raise Hang(f"took more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, strike)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def fault(target: Target, data: bytes) -> tuple[Hashable, str]:
    """The input's kind, and what is wrong with it: a line for people, "" if nothing is."""
    try:
        with watched(HANG):
            return target.run(data), ""
    except (Exception, Hang) as error:  # noqa: BLE001 - whatever it is, it is a finding
        last = traceback.extract_tb(error.__traceback__)[-1]
        return None, f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"


@dataclass
class Finding:
    """An input that broke a law."""

    target: str
    what: str
    data: bytes


@dataclass
class Fuzzer:
    """One target under way. `kinds`: what has been seen so far."""

    name: str
    seed: int
    executions: int = 0
    seconds: float = 0.0
    kinds: set[Hashable] = field(default_factory=set)
    findings: dict[str, Finding] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.target = TARGETS[self.name]()
        self._mutator = Mutator(self.target.seeds, self.target.words, Random(self.seed))
        self._first = list(dict.fromkeys(self.target.seeds))

    def run(self, seconds: float = 0.0, executions: int = 0) -> None:
        """Goes on until so many seconds are over and so many more inputs were tried. The seeds come first."""
        started = MONOTONIC()
        until, last = started + seconds, self.executions + executions
        while self.executions < last or MONOTONIC() < until:
            self.try_one(self._first.pop(0) if self._first else self._mutator.next())
        self.seconds += MONOTONIC() - started

    def try_one(self, data: bytes) -> None:
        """Runs one input and keeps what it shows."""
        self.executions += 1
        kind, what = fault(self.target, data)
        if what:
            self._found(what, data)
        elif kind not in self.kinds:
            self.kinds.add(kind)
            self._mutator.add(data)

    def _found(self, what: str, data: bytes) -> None:
        law = what.partition(" (")[0].partition(":")[2].partition(":")[0]
        if law not in self.findings:  # one input of each kind of fault is enough

            def fails(shorter: bytes) -> bool:
                again = fault(self.target, shorter)[1]
                return again.partition(" (")[0].partition(":")[2].partition(":")[0] == law

            data = minimised(data, fails)
            self.findings[law] = Finding(self.name, fault(self.target, data)[1] or what, data)

    @property
    def line(self) -> str:
        """Its figures."""
        rate = self.executions / self.seconds if self.seconds else 0.0
        return f"{self.name:<10} {self.executions:>9} inputs  {rate:>7.0f}/s  {len(self.kinds):>5} kinds" + (
            f"  {len(self.findings)} FOUND" if self.findings else ""
        )


def write(finding: Finding, seed: int, number: int) -> Path:
    """Keeps a finding: its bytes alone, so that any tool can send them; what it broke stands beside it."""
    FOUND.mkdir(exist_ok=True)
    path = FOUND / f"{finding.target}-{seed}-{number}.bin"
    path.write_bytes(finding.data)
    path.with_suffix(".txt").write_text(f"{finding.what}\n\n{finding.data!r}\n")
    return path


def replay(path: Path) -> int:
    """Runs one input again: `.fuzz/TARGET-SEED-NUMBER.bin`, or any file whose name begins with a target's."""
    target = TARGETS[path.name.partition("-")[0].partition(".")[0]]()
    kind = target.run(path.read_bytes())
    print(f"nothing wrong; its kind is {kind}")
    return 0


def fuzz(names: list[str], seconds: float, seed: int) -> int:
    """Gives each target its turn until the time is over."""
    fuzzers = [Fuzzer(name, seed) for name in names]
    started = reported = MONOTONIC()
    while (now := MONOTONIC()) - started < seconds and sum(len(fuzzer.findings) for fuzzer in fuzzers) < _ENOUGH:
        for fuzzer in fuzzers:
            fuzzer.run(min(_TURN, seconds / len(fuzzers)))
        if now - reported >= _REPORT:
            reported = now
            print(f"-- {now - started:.0f} s", *(fuzzer.line for fuzzer in fuzzers), sep="\n", flush=True)
    print(f"== seed {seed}, {MONOTONIC() - started:.0f} s", *(fuzzer.line for fuzzer in fuzzers), sep="\n")
    findings = [finding for fuzzer in fuzzers for finding in fuzzer.findings.values()]
    for number, finding in enumerate(findings):
        print(f"{write(finding, seed, number)}: {finding.what}\n    {finding.data!r}")
    return 1 if findings else 0


def with_atheris(names: list[str], seconds: float, seed: int) -> int:
    """The same laws under libFuzzer, in a process of its own; the first target alone."""
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: pip install atheris (Linux)", file=sys.stderr)
        return 2
    command = [sys.executable, "-m", "conformance.guided", names[0], str(int(seconds)), str(seed % 2**31)]
    return subprocess.run(command, check=False).returncode


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m conformance.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=None, help="as an earlier run printed it; drawn if left out")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="these alone; may come several times")
    parser.add_argument("--engine", choices=["own", "atheris"], default="own")
    parser.add_argument("--replay", type=Path, metavar="FILE")
    asked = parser.parse_args(arguments)
    if asked.replay is not None:
        return replay(asked.replay)
    seed = int.from_bytes(os.urandom(4)) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    run = with_atheris if asked.engine == "atheris" else fuzz
    return run(asked.target or list(TARGETS), asked.seconds, seed)


if __name__ == "__main__":
    sys.exit(main())
