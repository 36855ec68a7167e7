"""The circuit breaker: who may ask an upstream that keeps failing.

    closed ──tripped──▶ open ──waited──▶ half_open ──recovered──▶ closed
                          ▲                  │
                          └───probe_failed───┘

`admit` grants a permit or refuses; a permit is settled exactly once, with the verdict of its attempt. Rules:

- A permit belongs to the generation (count of moves) it was granted in. What comes back after the breaker has
  moved on is a straggler and changes nothing: it neither extends an open time nor closes an open breaker.
- Half-open grants at most `probes` permits at once, each on a lease: one that is never settled is taken back.
- Neutral verdicts (the caller left) free the permit and say nothing.
- A success never opens a closed breaker, unless it was slow and the slow-call rule is on.
- An operator may hold it open or closed for a time. Held open it is like any open breaker, for as long as was said:
  it probes afterwards. Held closed it counts and does not trip; what it counted has its say afterwards.

The state itself, its counters and its listeners are pybreaker's (`sidecar.policy.machine`).
"""

import enum
from collections.abc import Callable
from random import Random
from typing import Final

from sidecar.policy.machine import CLOSED, HALF_OPEN, OPEN, Machine, OnChange
from sidecar.policy.outcome import Verdict
from sidecar.policy.window import Window

# Members are bound here: reading one off its enum costs a tenth of a permit's whole price.
_SUCCESS: Final = Verdict.SUCCESS
_FAILURE: Final = Verdict.FAILURE
_NEUTRAL: Final = Verdict.NEUTRAL

_BUCKETS: Final = 10
_TOTAL: Final = 0
_FAILED: Final = 1
_SLOW: Final = 2


class Event(enum.Enum):
    """What moves a breaker."""

    TRIPPED = "tripped"
    WAITED = "waited"
    PROBE_FAILED = "probe_failed"
    RECOVERED = "recovered"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"


MOVES: Final = {
    (CLOSED, Event.TRIPPED): OPEN,
    (OPEN, Event.WAITED): HALF_OPEN,
    (HALF_OPEN, Event.PROBE_FAILED): OPEN,
    (HALF_OPEN, Event.RECOVERED): CLOSED,
    (CLOSED, Event.FORCED_OPEN): OPEN,
    (HALF_OPEN, Event.FORCED_OPEN): OPEN,
    (OPEN, Event.FORCED_CLOSED): CLOSED,
    (HALF_OPEN, Event.FORCED_CLOSED): CLOSED,
}


class IllegalMove(RuntimeError):
    """An event came in a state that does not know it: a defect of ours."""


class PermitSettled(RuntimeError):
    """A permit was settled twice: a defect of whoever holds it."""


class Permit:
    """Leave to make one attempt. Settle it exactly once."""

    __slots__ = ("_breaker", "_generation")

    would_have_refused = False
    """Whether it was granted only because the breaker runs dry."""

    def __init__(self, breaker: "Breaker", generation: int) -> None:
        self._breaker: Breaker | None = breaker
        self._generation = generation

    def settle(self, verdict: Verdict, elapsed: float) -> None:
        """What the attempt came to, and its seconds until the commit point.

        Raises:
            PermitSettled: it was settled before.
        """
        breaker = self._breaker
        if breaker is None:
            raise PermitSettled
        self._breaker = None
        breaker.record(self._generation, verdict, elapsed)


class Probe(Permit):
    """A permit of a half-open breaker, on a lease."""

    __slots__ = ("expires",)

    def __init__(self, breaker: "Breaker", generation: int, expires: float) -> None:
        super().__init__(breaker, generation)
        self.expires = expires

    def settle(self, verdict: Verdict, elapsed: float) -> None:
        """As any permit; after `expires` it is a straggler's."""
        breaker = self._breaker
        if breaker is None:
            raise PermitSettled
        self._breaker = None
        breaker.probed(self, verdict, elapsed)


class DryPermit(Permit):
    """Leave that a breaker in earnest would not have given: its outcome must not feed the machine."""

    __slots__ = ()

    would_have_refused = True

    def settle(self, verdict: Verdict, elapsed: float) -> None:  # noqa: ARG002 - a permit's signature
        """Says nothing to the breaker."""
        if self._breaker is None:
            raise PermitSettled
        self._breaker = None


class Breaker:
    """One route's breaker (or one upstream's, shared by its routes).

    It trips on `consecutive_failures` (0: off), or when of at least `minimum_requests` within `window`
    seconds a share of `failure_ratio` failed (0: off), or of `slow_ratio` took longer than
    `slow_longer_than` seconds (None: off). What was throttled or cut short counts in the ratio only, and neither
    extends nor ends a row of failures.

    It stays open for `open_for` seconds, twice as long after every round of probes that failed, up to
    `open_for_max`; each time ± `jitter` (a share), so that replicas do not return as one. A close that
    lasted `open_for_max` brings the time back to `open_for`. In half-open, `successes_to_close` good probes
    close it, any other but a neutral one, or a slow one, opens it again; `minimum_requests` has no say there. `lease`:
    seconds after which a probe counts as lost; must be longer than any attempt may last.

    `dry_run`: all of this happens, and nothing is refused. Times are on `clock`, which must not step
    backwards.
    """

    __slots__ = (
        "_clock",
        "_closed",
        "_consecutive",
        "_dry_run",
        "_failure_ratio",
        "_generation",
        "_held_until",
        "_jitter",
        "_machine",
        "_minimum",
        "_open_for",
        "_open_for_max",
        "_planned",
        "_probes",
        "_probing",
        "_rng",
        "_slow_after",
        "_slow_ratio",
        "_storage",
        "_successes",
        "_until",
        "_window",
        "lease",
        "left_closed",
        "since",
    )

    def __init__(
        self,
        *,
        consecutive_failures: int,
        failure_ratio: float,
        window: float,
        minimum_requests: int,
        slow_longer_than: float | None,
        slow_ratio: float,
        open_for: float,
        jitter: float,
        open_for_max: float,
        probes: int,
        successes_to_close: int,
        lease: float,
        dry_run: bool,
        clock: Callable[[], float],
        rng: Random,
        on_change: OnChange,
    ) -> None:
        self._consecutive = consecutive_failures or float("inf")
        self._failure_ratio = failure_ratio or float("inf")
        self._minimum = minimum_requests
        self._slow_after = float("inf") if slow_longer_than is None else slow_longer_than
        self._slow_ratio = slow_ratio
        self._open_for = self._planned = min(open_for, open_for_max)
        self._open_for_max = open_for_max
        self._jitter = jitter
        self._probes = probes
        self._successes = successes_to_close
        self.lease = lease
        self._dry_run = dry_run
        self._clock = clock
        self._rng = rng

        self._window = Window(width=window / _BUCKETS, buckets=_BUCKETS, counters=3)
        self._machine = Machine(
            fail_max=consecutive_failures,
            reset_timeout=open_for,
            success_threshold=successes_to_close,
            on_change=on_change,
        )
        self._storage = self._machine.storage
        self._closed = True
        self._generation = 0
        self._probing: list[Probe] = []
        self._until = float("-inf")
        self._held_until = float("-inf")
        self.since = clock()
        """When the breaker last moved (or was made), on its clock."""
        self.left_closed = self.since
        """When it was last closed: what it has been through since then is one outage."""

    @property
    def state(self) -> str:
        """closed, open or half_open. An open breaker whose time is over moves at the next `admit`."""
        return self._machine.state

    @property
    def dry_run(self) -> bool:
        """Whether it only pretends to refuse."""
        return self._dry_run

    def retry_after(self) -> float:
        """Seconds of open time left; 0 when it is not open."""
        return max(0.0, self._until - self._clock())

    def forced(self) -> tuple[str, float] | None:
        """The state an operator holds it in, open or closed, and the seconds left of that; None if nobody does."""
        left = self._held_until - self._clock()
        return (self._machine.state, left) if left > 0.0 else None

    def force(self, state: str, seconds: float) -> None:
        """Holds it open or closed for `seconds` from now, in place of whatever held it before.

        Permits that are out are stragglers' if this moves it. Half-open follows an opening, as ever.
        """
        now = self._clock()
        self._held_until = now + seconds
        if state != self._machine.state:
            self._move(Event.FORCED_OPEN if state == OPEN else Event.FORCED_CLOSED)
        elif state == OPEN:
            self._until = self._held_until

    def release(self) -> None:
        """Nobody holds it any more: one that was held open probes with the next request."""
        if self.forced() is not None:
            self._held_until = float("-inf")
            self._until = min(self._until, self._clock())

    def report_to(self, on_change: OnChange) -> None:
        """Tells this one of its moves from now on."""
        self._machine.report_to(on_change)

    def admit(self) -> Permit | None:
        """Leave for one attempt, or None: refused."""
        if self._closed:
            return Permit(self, self._generation)
        return self._probe(self._clock())

    def would_refuse(self) -> bool:
        """Whether `admit` would refuse now. Takes no permit and moves nothing: a later `admit` has the last word."""
        if self._closed or self._dry_run:
            return False
        now = self._clock()
        if now < self._until:
            return True
        # Open, with its time over, it has no probes out.
        return sum(now < probe.expires for probe in self._probing) >= self._probes

    def _probe(self, now: float) -> Permit | None:
        if now < self._until:  # only ever true while open
            return self._refuse()
        if self._machine.state == OPEN:
            self._move(Event.WAITED)
        if len(self._probing) >= self._probes:
            self._probing = [probe for probe in self._probing if now < probe.expires]
            if len(self._probing) >= self._probes:
                return self._refuse()
        probe = Probe(self, self._generation, now + self.lease)
        self._probing.append(probe)
        return probe

    def _refuse(self) -> Permit | None:
        return DryPermit(self, self._generation) if self._dry_run else None

    def record(self, generation: int, verdict: Verdict, elapsed: float) -> None:
        """For permits only: an attempt admitted while closed ended."""
        if generation != self._generation:
            return
        if verdict is _SUCCESS:
            if self._storage.counter:
                self._storage.reset_counter()
            now = self._clock()
            window = self._window
            if now >= window.ends:
                window.roll(now)
            window.bucket[_TOTAL] += 1
            if elapsed > self._slow_after:
                window.bucket[_SLOW] += 1
                self._trip_if_due()
        elif verdict is not _NEUTRAL:
            self._failed(verdict, elapsed)

    def _failed(self, verdict: Verdict, elapsed: float) -> None:
        now = self._clock()
        window = self._window
        if now >= window.ends:
            window.roll(now)
        bucket = window.bucket
        bucket[_TOTAL] += 1
        bucket[_FAILED] += 1
        bucket[_SLOW] += elapsed > self._slow_after
        if verdict is _FAILURE:
            self._storage.increment_counter()
        self._trip_if_due()

    def _trip_if_due(self) -> None:
        due = self._storage.counter >= self._consecutive or self._ratio_reached()
        if due and self._clock() >= self._held_until:
            self._move(Event.TRIPPED)

    def _ratio_reached(self) -> bool:
        total, failed, slow = self._window.sums()
        if total < self._minimum:
            return False
        return failed >= self._failure_ratio * total or 0 < slow >= self._slow_ratio * total

    def probed(self, probe: Probe, verdict: Verdict, elapsed: float) -> None:
        """For probes only: an attempt admitted while half-open ended."""
        if probe not in self._probing:
            return  # the breaker moved on, or the lease was taken back
        self._probing.remove(probe)
        if verdict is _NEUTRAL or self._clock() >= probe.expires:
            return
        if verdict is not _SUCCESS or elapsed > self._slow_after:
            self._move(Event.PROBE_FAILED)
            return
        self._storage.increment_success_counter()
        if self._storage.success_counter >= self._successes:
            self._move(Event.RECOVERED)

    def _move(self, event: Event) -> None:
        """Takes the way that `MOVES` knows from here. All is in place before the listener hears of it."""
        old = self._machine.state
        new = MOVES.get((old, event))
        if new is None:
            raise IllegalMove(f"{event.value} while {old}")
        now = self._clock()
        if new == OPEN:
            self._plan(event, now)
        self.since = now
        if old == CLOSED:
            self.left_closed = now
        self._generation += 1
        self._probing.clear()
        self._closed = new == CLOSED
        if new == CLOSED:
            self._window.clear()
        if new != OPEN:
            self._until = float("-inf")
        self._machine.move(new)

    def _plan(self, event: Event, now: float) -> None:
        """How long to stay open."""
        if event is Event.FORCED_OPEN:
            self._until = self._held_until
            self._storage.open_for = self._until - now
            return
        if event is Event.PROBE_FAILED:
            self._planned = min(self._planned * 2.0, self._open_for_max)
        elif now - self.since >= self._open_for_max:
            self._planned = self._open_for
        self._storage.open_for = self._planned * (1.0 + self._jitter * (2.0 * self._rng.random() - 1.0))
        self._until = now + self._storage.open_for

    def __repr__(self) -> str:
        total, failed, slow = self._window.sums()
        return (
            f"<Breaker {self.state} row={self._storage.counter} window={failed}/{total} slow={slow}"
            f" probing={len(self._probing)} good={self._storage.success_counter} open_for={self._planned:g}"
            f"{' dry' if self._dry_run else ''}>"
        )
