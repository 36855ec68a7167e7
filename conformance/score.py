"""What a suite said of one proxy, and what may be concluded from it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self


class Verdict(StrEnum):
    """What became of one case."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a suite. `detail`: what the suite said of a failure, on one line."""

    name: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """The cases one proxy was given.

    `least`: how many the suite is known to have. With fewer of them run, this is no score, however many passed:
    a suite that broke off after its first ten would else look perfect. `trouble`: why nothing, or not all, was run.
    """

    cases: tuple[Case, ...]
    least: int
    trouble: str = ""

    @classmethod
    def not_run(cls, least: int, why: str) -> Self:
        """No case was run."""
        return cls((), least, why)

    @property
    def passed(self) -> int:
        """How many passed."""
        return self._count(Verdict.PASSED)

    @property
    def run(self) -> int:
        """How many passed or failed."""
        return self.passed + self._count(Verdict.FAILED)

    @property
    def counts(self) -> bool:
        """Whether this may be compared with anything."""
        return not self.trouble and self.run >= max(1, self.least)

    @property
    def failures(self) -> tuple[Case, ...]:
        """The cases to explain."""
        return tuple(case for case in self.cases if case.verdict is Verdict.FAILED)

    def cell(self) -> str:
        """For a table."""
        if self.trouble and not self.run:
            return "not run"
        if not self.counts:
            return f"broke off: {self.run} of {self.least} run"
        skipped = self._count(Verdict.NOT_RUN)
        return f"{self.passed} of {self.run}" + (f", {skipped} not run" if skipped else "")

    def _count(self, verdict: Verdict) -> int:
        return sum(case.verdict is verdict for case in self.cases)


def numbered(cases: Iterable[Case]) -> tuple[Case, ...]:
    """The same, with a number behind every name that had been there before: names identify."""
    seen: Counter[str] = Counter()
    unique = []
    for case in cases:
        seen[case.name] += 1
        repeated = seen[case.name] > 1
        unique.append(replace(case, name=f"{case.name} ({seen[case.name]})") if repeated else case)
    return tuple(unique)


def best(first: Iterable[Case], again: Iterable[Case]) -> tuple[Case, ...]:
    """Of two runs, each case's better verdict: what failed and then passed depends on the machine."""
    later = {case.name: case for case in again}
    retried = [later.pop(case.name, case) if case.verdict is Verdict.FAILED else case for case in first]
    known = {case.name for case in retried}
    return (*retried, *(case for case in later.values() if case.name not in known))


class Standing(StrEnum):
    """How we stand beside the best peer on one row."""

    LEVEL = "at or above the best peer"
    BELOW = "below the best peer"
    ALONE = "no peer was run"
    NOT_RUN = "not run"


def standing(ours: Score, peers: Iterable[Score]) -> Standing:
    """Compared by cases passed, among the scores that count.

    A row on which we have no score is never level, whatever the peers did.
    """
    if not ours.counts:
        return Standing.NOT_RUN
    best = max((peer.passed for peer in peers if peer.counts), default=None)
    if best is None:
        return Standing.ALONE
    return Standing.LEVEL if ours.passed >= best else Standing.BELOW
