"""The bulkhead: how many requests of a route may be under way at once, and how many may wait until they are.

The queue is first come, first served, bounded in length and in time. A slot that becomes free is handed to whoever has
waited longest before anybody else can see it, so nobody overtakes. Who could not get one in time anyway is
refused at once, instead of being made to wait for a refusal (Nichols and Jacobson, "Controlling Queue Delay", 2012,
on why a queue must be bounded in time; we refuse at its end, not at its head, because the time is known on arrival).
"""

from collections import OrderedDict
from typing import Final, Protocol

from sidecar.clock import Clock
from sidecar.policy import reasons
from sidecar.policy.adaptive import AdaptiveLimit
from sidecar.policy.outcome import Outcome

_STALE: Final = 10.0
"""Seconds after which the pace of departures is no longer believed."""
_GENERATION: Final = 8
"""Departures that the pace is averaged over, at least; as many as there are slots, if those are more."""


def _unread() -> float:
    """The clock of a bulkhead without a queue, which never looks."""
    return 0.0


class Waiter(Protocol):
    """Who wants to know what becomes of a ticket."""

    def slot_given(self) -> None:
        """It holds a slot from now on. Called while somebody else leaves: what follows may leave again."""

    def withdrawn(self) -> None:
        """Its place in the queue is gone."""


class Ticket:
    """A place in the queue. `until`: when it is given up, on the bulkhead's clock. `given`: its slot came."""

    __slots__ = ("given", "until", "waiter")

    def __init__(self, until: float) -> None:
        self.until = until
        self.given = False
        self.waiter: Waiter | None = None


class Bulkhead:
    """A counted number of slots. Whoever entered, or was given a slot, must leave, whatever happens in between.

    `limit`: slots. `queue`: requests that may wait. `queue_timeout`: how long one may, in seconds. `adaptive`: what
    moves the limit; its ceiling is `limit`. `clock`: needed where there is a queue.

    Laws: never more than `limit` enter (a limit that falls sends nobody away); slots are given in the order in
    which tickets were; while somebody waits, no slot is free.
    """

    __slots__ = (
        "_adaptive",
        "_clock",
        "_closed",
        "_full_since",
        "_handing",
        "_pace",
        "_places",
        "_queue",
        "_timeout",
        "in_flight",
        "limit",
    )

    def __init__(
        self,
        limit: int,
        *,
        queue: int = 0,
        queue_timeout: float = 0.0,
        adaptive: AdaptiveLimit | None = None,
        clock: Clock = _unread,
    ) -> None:
        self.limit = limit if adaptive is None else adaptive.limit
        self.in_flight = 0
        self._adaptive = adaptive
        self._queue: OrderedDict[Ticket, None] = OrderedDict()  # the only one that takes from its middle and its head
        self._places = queue
        self._timeout = queue_timeout
        self._clock = clock
        self._handing = self._closed = False
        self._pace = 0.0  # seconds between two departures while it is full
        self._full_since = clock()

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return len(self._queue)

    @property
    def adaptive(self) -> bool:
        """Whether `judge` is to be told of every attempt."""
        return self._adaptive is not None

    def enter(self) -> bool:
        """Takes a slot; False if there is none, or somebody waits for it."""
        if self.in_flight >= self.limit or self._queue:
            return False
        self.in_flight += 1
        if self._places and self.in_flight == self.limit:
            self._fill()
        return True

    def leave(self) -> None:
        """Gives the slot back, to whoever has waited longest."""
        assert self.in_flight > 0, "left more often than entered"
        if self._places and self.in_flight >= self.limit:
            self._note_departure()
        self.in_flight -= 1
        if self._queue:
            self._hand_over()

    def line_up(self, until: float) -> Ticket | str:
        """A place in the queue, or the reason why there is none. `until`: when the whole request ends."""
        if len(self._queue) >= self._places:
            return reasons.BULKHEAD_FULL
        now = self._clock()
        ends = min(now + self._timeout, until)
        if now + self.expected_wait(now) >= ends:
            return reasons.QUEUE_TIMEOUT
        ticket = Ticket(ends)
        self._queue[ticket] = None
        return ticket

    def withdraw(self, ticket: Ticket) -> None:
        """Gives a place back, or the slot that came of it and was not taken. At most once per ticket."""
        if ticket.waiter is not None:
            ticket.waiter.withdrawn()
        if ticket.given:
            self.leave()
        else:
            self._queue.pop(ticket, None)

    def expected_wait(self, now: float) -> float:
        """Seconds that whoever lines up now will wait, at the pace of late; 0.0 while that is not known."""
        # As if somebody left right now: an upstream that hangs slows the pace down before anybody has left.
        pace = max(self._pace, self._paced(now)) if self.in_flight >= self.limit else self._pace
        return (len(self._queue) + 1) * pace

    def judge(self, outcome: Outcome) -> None:
        """Tells an adaptive limit of an attempt."""
        adaptive = self._adaptive
        if adaptive is not None and adaptive.judge(outcome, self.in_flight):
            if self.limit > self.in_flight >= adaptive.limit:
                self._fill()
            self.limit = adaptive.limit
            if self._queue:
                self._hand_over()

    def close(self) -> None:
        """Hands nothing over any more: those who wait are about to be refused, all of them."""
        self._closed = True

    def _hand_over(self) -> None:
        # A waiter may be done at once and leave again: the loop below goes on with that, or a long queue would be as
        # deep a recursion.
        if self._handing or self._closed:
            return
        self._handing = True
        try:
            while self._queue and self.in_flight < self.limit:
                ticket, _ = self._queue.popitem(last=False)
                ticket.given = True
                self.in_flight += 1
                if ticket.waiter is not None:
                    ticket.waiter.slot_given()
        finally:
            self._handing = False

    def _fill(self) -> None:
        now = self._clock()
        if now - self._full_since > _STALE:
            self._pace = 0.0
        self._full_since = now

    def _note_departure(self) -> None:
        now = self._clock()
        self._pace = self._paced(now)
        self._full_since = now

    def _paced(self, now: float) -> float:
        return self._pace + (now - self._full_since - self._pace) / max(self.limit, _GENERATION)

    def __repr__(self) -> str:
        waiting = f", {self.queued} waiting" if self._queue else ""
        return f"<Bulkhead {self.in_flight}/{self.limit}{waiting}>"
