"""How long to go on with one notification: when to try again, and when to give up. Pure."""

from random import Random
from typing import Final, NamedTuple

GIVE_UP_AFTER: Final = 3600.0
"""Seconds. The outage that there is to tell of may be the receiver's own network: its end must still arrive."""
LONGEST: Final = 60.0
"""Seconds between two tries."""
LONGEST_ASKED: Final = 900.0
"""Seconds that a receiver may ask us to wait; one that asks for more is asked again then."""

_AGAIN: Final = frozenset({408, 425, 429})


class Reply(NamedTuple):
    """What came of one try.

    why: "" if it was taken, otherwise what was wrong, in a word of ours. status: 0 if none came. retry_after: seconds,
    if the receiver asked to wait.
    """

    why: str
    status: int = 0
    retry_after: float | None = None


class Delivery:
    """One message's tries, from `now` on, on a monotonic clock."""

    def __init__(self, now: float, rng: Random) -> None:
        self._until = now + GIVE_UP_AFTER
        self._rng = rng
        self._wait = 1.0

    def wait(self, reply: Reply, now: float) -> float | None:
        """Seconds until the next try; None if there is to be none.

        Asked again are those that could not be reached, those with a 5xx, and 408, 425 and 429. Any other status says
        that the same words would be refused again.
        """
        if 0 < reply.status < 500 and reply.status not in _AGAIN:
            return None
        planned = self._wait * (0.5 + 0.5 * self._rng.random())
        self._wait = min(self._wait * 2.0, LONGEST)
        wait = max(planned, min(reply.retry_after or 0.0, LONGEST_ASKED))
        return wait if now + wait <= self._until else None
