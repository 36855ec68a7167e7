"""How long an attempt may take alone before another joins it: a fixed time, or what most attempts take.

"The Tail at Scale" (Dean and Barroso, 2013) sends the second request after the 95th percentile of the expected
latency, which bounds the additional load to 5 % whatever the upstream is. Measured here per route, over the newest
attempts that might have been hedged.
"""

from collections import deque
from collections.abc import Collection
from math import ceil, inf
from typing import Final

from sidecar.policy import reasons
from sidecar.policy.outcome import Outcome, Verdict

SHARE: Final = 0.95
"""Of the attempts: as many are over when a second one joins those that are not."""
REMEMBERED: Final = 200
"""Attempts that are counted, the newest."""
FEWEST: Final = 40
"""Attempts that must be known before any is hedged: of fewer, the slowest two would be the measure."""
_AGAIN: Final = 20
"""Attempts between two reckonings."""
_LATE: Final = frozenset({reasons.ATTEMPT_TIMEOUT, reasons.DEADLINE, reasons.OVERTAKEN})


class Delay:
    """Seconds, the same for every attempt. `after` is infinite where none is to be hedged."""

    __slots__ = ("after",)

    def __init__(self, after: float) -> None:
        self.after = after

    def judge(self, outcome: Outcome) -> None:
        """Takes note of an attempt that was first. A fixed time is indifferent to it."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.after:g}s>"


class Tail(Delay):
    """The time in which `SHARE` of the newest `REMEMBERED` attempts were answered; infinite until `FEWEST` are known.

    An attempt that was overtaken by its hedge, or that came to its timeout, counts as slower than every answer. So the
    rank stays true although it was never seen how long it would have taken; and an upstream that is slow for more than
    one in twenty moves the delay up, to where a second attempt would not have helped anyway.
    """

    __slots__ = ("_newest", "_since")

    def __init__(self) -> None:
        super().__init__(inf)
        self._newest: deque[float] = deque(maxlen=REMEMBERED)
        self._since = 0

    def judge(self, outcome: Outcome) -> None:
        """Takes note of an attempt that was first. Quick errors, and callers who left, say nothing of time."""
        if outcome.verdict is Verdict.SUCCESS:
            self._newest.append(outcome.elapsed)
        elif outcome.reason in _LATE and outcome.verdict is not Verdict.CUT_SHORT:
            self._newest.append(inf)
        else:
            return
        self._since += 1
        if self._since >= _AGAIN and len(self._newest) >= FEWEST:
            self._since = 0
            self.after = quantile(self._newest, SHARE)


def quantile(values: Collection[float], share: float) -> float:
    """The smallest of `values` that at least `share` of them do not exceed. There must be one."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]
