"""What became of the requests: one line each, and the figures of any span of time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, nan
from typing import NamedTuple

from sidecar.observer import Silent
from sidecar.simulation.exchange import CLIENT_GONE, RESCUED, SUCCESS, Exchange
from sidecar.simulation.world import World


class Entry(NamedTuple):
    """One request. `asked`, `ended`: when, in seconds of its world."""

    asked: float
    ended: float
    label: str
    reason: str
    status: int
    attempts: int
    answers: int


class Change(NamedTuple):
    """A move of a breaker. `open_for`: seconds it will stay open, 0 where it does not open."""

    at: float
    route: str
    old: str
    new: str
    open_for: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of the requests asked in one span of time. Shares are of those; times are seconds until the answer.

    success: answered by an upstream, and well. rescued: by what was kept, or by a fixed answer. refused: by a policy.
    failed: with a failure, or clearly that there is none. gone: by nobody, the caller had left. attempts: per request.
    """

    requests: int
    success: float
    rescued: float
    refused: float
    failed: float
    gone: float
    attempts: float
    p50: float
    p99: float


class Tally:
    """The requests that have ended, in the order of their ends."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, exchange: Exchange) -> None:
        """A request has ended."""
        self.entries.append(
            Entry(
                exchange.started,
                exchange.ended,
                exchange.label,
                exchange.reason,
                exchange.status,
                exchange.attempts,
                exchange.answers,
            )
        )

    def asked(self, since: float, until: float) -> list[Entry]:
        """Those that were asked in that span, its end excluded."""
        return [entry for entry in self.entries if since <= entry.asked < until]

    def figures(self, since: float = 0.0, until: float = inf) -> Figures:
        """Of those that were asked in that span. Without any, shares and times are not numbers."""
        entries = self.asked(since, until)
        count = len(entries) or nan
        labels = Counter(entry.label for entry in entries)
        times = sorted(entry.ended - entry.asked for entry in entries if entry.label != CLIENT_GONE)

        def share(*names: str) -> float:
            return sum(labels[name] for name in names) / count

        return Figures(
            requests=len(entries),
            success=share(*SUCCESS),
            rescued=share(*RESCUED),
            refused=share("refused"),
            failed=share("upstream_error", "fail_closed", "bad_request"),
            gone=share(CLIENT_GONE),
            attempts=sum(entry.attempts for entry in entries) / count,
            p50=quantile(times, 0.5),
            p99=quantile(times, 0.99),
        )

    def well_from(self, since: float, *, share: float = 0.99, span: float = 1.0) -> float:
        """The first time from `since` on after which no `span` seconds have a smaller share of success; or infinity."""
        last = max((entry.asked for entry in self.entries), default=since)
        well = inf
        start = since + span * max(0, int((last - since) / span) - 1)  # the last one that is whole
        while start >= since:
            if self.figures(start, start + span).success < share:
                break
            well = start
            start -= span
        return well


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that this share of all is not above; not a number where there are none."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else nan


class Watch(Silent):
    """The observer of a world: remembers how breakers moved."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.changes: list[Change] = []

    def route(self, name: str) -> "RouteWatch":
        """The observer of one route."""
        return RouteWatch(self, name)

    def changed(self, route: str, old: str, new: str, open_for: float) -> None:
        """A breaker moved."""
        self.changes.append(Change(self._world.now, route, old, new, open_for))


class RouteWatch(Silent):
    """Tells a watch what happens on one route."""

    def __init__(self, watch: Watch, name: str) -> None:
        self._watch = watch
        self._name = name

    def breaker_changed(self, old: str, new: str, open_for: float) -> None:
        """Its breaker moved."""
        self._watch.changed(self._name, old, new, open_for)
