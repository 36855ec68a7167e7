"""What is wrong with routes: one incident per route, from its first sign to its end.

A breaker that goes from open to half-open and back is one incident, however often it does. Nothing here reads a clock
or writes a log by itself: whoever tells people (`digest`) looks at what is here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from sidecar.clock import Clock
from sidecar.telemetry.watched import FAIL_CLOSED, Subjects, Watched

Kind = Literal["breaker_open", "fail_closed"]

_SILENT: Final = frozenset({FAIL_CLOSED, "client_gone", "bad_request", "refused"})
"""Outcomes that do not show that a route answers again."""


@dataclass(slots=True, eq=False, kw_only=True)
class Incident:
    """One route's.

    since, ended: on the monotonic clock; at: Unix time of its start. before: what callers had been given by then.
    kinds: what was wrong, in the order in which it came. failures: what opened the breaker, by upstream and reason.
    """

    route: str
    upstream: str
    since: float
    at: float
    before: Mapping[str, int]
    watched: Watched
    kinds: list[Kind] = field(default_factory=list)
    failures: Mapping[str, int] = field(default_factory=dict)
    ended: float | None = None
    told: bool = False
    """Somebody heard of it."""
    escalated: bool = False
    """And heard again, because it took so long."""

    def callers(self) -> dict[str, int]:
        """What they were given since it began, by outcome."""
        now = self.watched.answers()
        risen = {outcome: count - self.before.get(outcome, 0) for outcome, count in now.items()}
        return {outcome: count for outcome, count in risen.items() if count > 0}

    def seconds(self, now: float) -> float:
        """How long it took, or has taken so far."""
        return (now if self.ended is None else self.ended) - self.since


class Incidents:
    """Of all routes; keeps those that ended until they are forgotten.

    on: the kinds that count. quiet: seconds without another failure until a route that failed closed may be well
    again; that it answered somebody is needed too, for silence proves nothing.
    """

    def __init__(self, on: Collection[str], *, quiet: float, clock: Clock, wall: Clock) -> None:
        self._breakers = "breaker_open" in on
        self._closed = FAIL_CLOSED in on
        self._quiet = quiet
        self._clock = clock
        self._wall = wall
        self._known: dict[str, Incident] = {}
        self._counts: dict[str, int] = {}
        self._failing: dict[str, tuple[float, int]] = {}
        """When a route last was seen to fail closed, and how many it had answered by then."""
        self._rose_from: dict[str, int] = {}
        """What the count of those was before it last rose: a look sees failures after they were counted."""

    @property
    def all(self) -> Collection[Incident]:
        """Under way, or ended and not forgotten, in the order in which they began."""
        return self._known.values()

    def look(self, subjects: Subjects) -> None:
        """Takes down what has changed. Cheap enough for once a second: 200 routes take a millisecond."""
        for name, watched in subjects.items():
            self.look_at(name, watched)
        now = self._clock()
        for name, incident in self._known.items():
            if name not in subjects and incident.ended is None:  # no longer configured
                self._failing.pop(name, None)
                incident.ended = now

    def look_at(self, name: str, watched: Watched) -> None:
        """The same for one route, whose breaker has just moved."""
        now = self._clock()
        wrong = self._wrong(name, watched, now)
        if wrong:
            self._take(name, watched, wrong, now)
            return
        incident = self._known.get(name)
        if incident is not None and incident.ended is None and self._is_over(incident, watched):
            incident.ended = now

    def explain(self, route: str, failures: Mapping[str, int]) -> None:
        """What opened the breaker, where that is known; the first word stands."""
        incident = self._known.get(route)
        if incident is not None and failures and not incident.failures:
            incident.failures = dict(failures)

    def forget(self, incident: Incident) -> None:
        """Its end was told, or need not be."""
        self._known.pop(incident.route, None)

    def _wrong(self, name: str, watched: Watched, now: float) -> list[Kind]:
        wrong: list[Kind] = []
        if self._breakers and watched.broken():
            wrong.append("breaker_open")
        if self._closed and self._fails(name, watched, now):
            wrong.append("fail_closed")
        return wrong

    def _fails(self, name: str, watched: Watched, now: float) -> bool:
        count = watched.failed_closed()
        before, self._counts[name] = self._counts.get(name, count), count
        if count > before:
            self._rose_from[name] = before
            self._failing[name] = now, _answered(watched)
        elif name in self._failing:
            at, answered = self._failing[name]
            if now - at >= self._quiet and _answered(watched) > answered:
                del self._failing[name]
        return name in self._failing

    def _take(self, name: str, watched: Watched, wrong: list[Kind], now: float) -> None:
        incident = self._known.get(name)
        if incident is None:
            before = dict(watched.answers())
            if "fail_closed" in wrong:
                before[FAIL_CLOSED] = self._rose_from[name]
            incident = self._known[name] = Incident(
                route=name,
                upstream=watched.upstream,
                since=now,
                at=self._wall(),
                before=before,
                watched=watched,
            )
        incident.ended = None  # it has come back before anybody heard that it was over: the same one
        incident.kinds += [kind for kind in wrong if kind not in incident.kinds]

    def _is_over(self, incident: Incident, watched: Watched) -> bool:
        # A breaker that says nothing of either does not prolong what was another kind of failure.
        broken = self._breakers and "breaker_open" in incident.kinds and watched.broken() is not False
        return not broken and incident.route not in self._failing


def _answered(watched: Watched) -> int:
    return sum(count for outcome, count in watched.answers().items() if outcome not in _SILENT)
