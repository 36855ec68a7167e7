"""What somebody should know: breakers that moved, at once; refusals, counted, once per interval.

An outage refuses thousands of requests a second. A line for each would bury the one that says why, so the
counters that are kept anyway are compared with what they were at the last summary: the hot path pays nothing.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

from sidecar.clock import MONOTONIC, Clock
from sidecar.telemetry.journal import Journal
from sidecar.telemetry.message import given, spoken
from sidecar.telemetry.outages import ESCALATE_AFTER, Outages
from sidecar.telemetry.prometheus import Prometheus
from sidecar.telemetry.route import RouteMetrics

INTERVAL: Final = 10.0
"""Seconds between summaries."""

_TOLD_APART: Final = 100
"""Failures that are told one by one per interval; a bound, should what is wrong be different each time."""

_TELL_LOST_EVERY: Final = 600.0
"""Seconds between two errors about lost lines: a full disk stays full."""

_log = logging.getLogger("sidecar")
_NO_FAILURES: Final = frozenset({"ok", "client_gone"})
"""Results of attempts that say nothing against the upstream."""

Handshakes = Callable[[], Mapping[str, tuple[int, str]]]
_Counts = dict[tuple[str, str, str], int]
"""By kind of count (refused, would_refuse, fail_closed, failure), route and reason."""


class Lossy(Protocol):
    """A log that may have lost lines."""

    @property
    def dropped(self) -> int:
        """How many since the start."""

    @property
    def failure(self) -> str:
        """Why the last were lost."""


class Events:
    """Writes to the logger `sidecar`. Knows no loop: the application calls `tick` every `INTERVAL` seconds.

    prometheus: whose counters are summed up, and whose transitions are reported from now on.
    access_log: whose lost lines are reported, if there is one.
    handshakes: asked how many TLS handshakes of callers failed so far, and why the last one, by listener.
    journal: where moves of breakers are taken down as well.
    escalate_after: seconds after which a breaker that still is open is an error. broken: whether it is, by route.
    """

    def __init__(
        self,
        prometheus: Prometheus,
        access_log: Lossy | None = None,
        *,
        clock: Clock = MONOTONIC,
        handshakes: Handshakes = dict,
        journal: Journal | None = None,
        escalate_after: float = ESCALATE_AFTER,
        broken: Callable[[str], bool] = lambda route: True,  # noqa: ARG005 - nobody knows better
    ) -> None:
        self._prometheus = prometheus
        self._access_log = access_log
        self._clock = clock
        self._ticked = clock()
        self._before = self._last = self._counts()
        self._dropped = 0
        self._explained: set[tuple[str, str, str]] = set()
        self._handshakes = handshakes
        self._journal = Journal() if journal is None else journal
        self._refused_handshakes: dict[str, int] = {}
        self._told_lost: float | None = None
        self._outages = Outages(
            after=escalate_after,
            clock=clock,
            broken=broken,
            answers=lambda route: prometheus.route(route).requests.by(2),
        )
        prometheus.on_transition(self.transition)
        prometheus.on_explained(self.explained)

    def transition(self, route: str, old: str, new: str, open_for: float) -> None:
        """A breaker moved: one line, at once.

        When it opens, the line says what the route's attempts came to since the last summary but one:
        between one and two intervals, so that there is something to say just after a summary too.
        """
        fields: dict[str, Any] = {"route": route, "from": old, "to": new}
        text = f"breaker of {route}: {old} to {new}"
        if new == "closed":
            text += self._ended(route, fields)
        if new != "open":
            self._journal.add("breaker", route, text, **fields)
            _say(logging.INFO, "breaker", text, fields)
            return
        self._outages.opened(route)
        fields["open_for"] = round(open_for, 3)
        text += f" for {open_for:.1f} s"
        if failures := _by_route(_risen(self._before, self._counts()), "failure").get(route):
            fields["failures"] = failures
            text += f", after {_listed(failures)}"
        self._journal.add("breaker", route, text, **fields)
        _say(logging.WARNING, "breaker", text, fields)

    def explained(self, upstream: str, reason: str, detail: str) -> None:
        """An attempt failed, and this is what was wrong: one line, once per interval, however often it happens."""
        failure = upstream, reason, detail
        if failure in self._explained or len(self._explained) >= _TOLD_APART:
            return
        self._explained.add(failure)
        fields = {"upstream": upstream, "reason": reason, "detail": detail}
        _say(logging.WARNING, "failure", f"upstream {upstream}: {reason}: {detail}", fields)

    def tick(self) -> None:
        """One line for everything refused since the last call; none where there was nothing."""
        now, counts = self._clock(), self._counts()
        seconds = now - self._ticked
        risen = _risen(self._last, counts)
        self._ticked, self._before, self._last = now, self._last, counts
        self._explained.clear()
        self._summarise(seconds, risen)
        self._escalate()
        self._report_lost_lines()
        self._report_handshakes()

    def _summarise(self, seconds: float, risen: _Counts) -> None:
        kinds = {kind: _by_route(risen, kind) for kind in ("refused", "would_refuse", "fail_closed")}
        said = {kind: routes for kind, routes in kinds.items() if routes}
        if not said:
            return
        parts = (f"{kind} {_listed_by_route(routes)}" for kind, routes in said.items())
        text = f"in {seconds:.0f} s: {'; '.join(parts)}"
        _say(logging.WARNING, "summary", text, {"seconds": round(seconds, 1), **said})

    def _ended(self, route: str, fields: dict[str, Any]) -> str:
        """What there is to say about the whole outage, now that it is over."""
        outage = self._outages.closed(route)
        if outage is None:
            return ""
        seconds, callers = outage
        fields |= {"seconds": round(seconds, 1), "callers": callers}
        return f", well again after {spoken(seconds)}; callers got meanwhile: {given(callers) or 'nothing, none came'}"

    def _escalate(self) -> None:
        late = self._outages.late()
        if not late:
            return
        callers: Counter[str] = sum((Counter(got) for _, got in late.values()), Counter())
        seconds = max(seconds for seconds, _ in late.values())
        text = f"breaker of {', '.join(late)}: not closed for {spoken(seconds)}"
        text += f"; callers got since: {given(callers) or 'nothing, none came'}"
        fields = {"routes": list(late), "seconds": round(seconds, 1), "callers": dict(callers)}
        _say(logging.ERROR, "outage", text, fields)

    def _report_lost_lines(self) -> None:
        """One error when it begins and one per ten minutes while it goes on; each counts what was lost since."""
        if self._access_log is None or self._access_log.dropped == self._dropped:
            return
        now = self._clock()
        if self._told_lost is not None and now - self._told_lost < _TELL_LOST_EVERY:
            return
        lost, self._dropped, self._told_lost = self._access_log.dropped - self._dropped, self._access_log.dropped, now
        why = self._access_log.failure or "it was full for a while"
        _say(
            logging.ERROR,
            "access_log",
            f"access log lost {lost} lines: {why}",
            {"lines": lost, "reason": why},
        )

    def _report_handshakes(self) -> None:
        for listener, (failed, why) in self._handshakes().items():
            count = failed - self._refused_handshakes.get(listener, 0)
            self._refused_handshakes[listener] = failed
            if count > 0:  # a listener that was closed and bound again counts from 0
                text = f"{count} TLS handshakes failed on {listener}, the last one because {why}"
                _say(logging.WARNING, "handshakes", text, {"listener": listener, "count": count, "last": why})

    def _counts(self) -> _Counts:
        return {key: count for route in self._prometheus.routes() for key, count in _read(route)}


def _read(route: RouteMetrics) -> Iterator[tuple[tuple[str, str, str], int]]:
    for reason, count in route.refusals.by(0).items():
        yield ("refused", route.name, reason), count
    for reason, count in route.would_refuse_counts.by(0).items():
        yield ("would_refuse", route.name, reason), count
    if failed_closed := route.requests.by(2).get("fail_closed"):
        yield ("fail_closed", route.name, "requests"), failed_closed
    for times in route.upstreams.values():
        for result, count in times.results.by(0).items():
            if result not in _NO_FAILURES:
                yield ("failure", route.name, f"{times.name} {result}"), count


def _risen(before: _Counts, after: _Counts) -> _Counts:
    return {key: count - before.get(key, 0) for key, count in after.items() if count > before.get(key, 0)}


def _by_route(counts: _Counts, wanted: str) -> dict[str, dict[str, int]]:
    routes: dict[str, dict[str, int]] = {}
    for (kind, route, reason), count in counts.items():
        if kind == wanted:
            routes.setdefault(route, {})[reason] = count
    return routes


def _listed_by_route(routes: Mapping[str, Mapping[str, int]]) -> str:
    return ", ".join(f"{route} ({_listed(counts)})" for route, counts in routes.items())


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.items())


def _say(level: int, event: str, text: str, fields: Mapping[str, Any]) -> None:
    _log.log(level, "%s", text, extra={"fields": {"event": event, **fields}})
