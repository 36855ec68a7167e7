"""How it goes at the moment: rates and shares over the last seconds, from counters that are kept anyway.

Requests pay nothing: what was counted is copied on a tick, and compared with what it is when somebody asks. While
nobody does, a copy every few seconds is enough to have something to say to the first who will.
"""

from array import array
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isnan, nan
from operator import sub
from typing import Any, Final, NamedTuple

from sidecar.clock import MONOTONIC, WALL, Clock
from sidecar.telemetry.histogram import quantile
from sidecar.telemetry.prometheus import Prometheus
from sidecar.telemetry.route import RouteMetrics

SPAN: Final = 10.0
"""Seconds that a rate looks back."""
WATCHED: Final = 60.0
"""Seconds after a question during which somebody is taken to watch."""
EVERY: Final = 1.0
"""Seconds between two copies while somebody watches."""
SELDOM: Final = 5.0
"""Seconds between two copies otherwise, and between two points of the past."""
POINTS: Final = 120
"""Of the past that are kept: ten minutes."""

ERRORS: Final = ("upstream_error", "fail_closed", "refused")
"""Outcomes with which a caller got no usable answer."""
RESCUED: Final = ("last_known_good", "failover", "static")
"""Outcomes with which a fallback answered."""

FIGURES: Final = ("requests_per_second", "error_share", "fallback_share", "refused_share", "p50", "p99")
"""Of each point of the past, in this order."""


class _Copy(NamedTuple):
    """The counters of one route at one moment."""

    outcomes: Mapping[str, int]
    refused: int
    buckets: tuple[int, ...]


class _Snapshot(NamedTuple):
    at: float
    routes: Mapping[str, _Copy]


_NOTHING: Final = _Copy({}, 0, ())
_QUIET: Final[Mapping[str, Any]] = {
    "requests_per_second": 0.0,
    **dict.fromkeys(("error_share", "fallback_share", "refused_share", "p50", "p99")),
    "outcomes": {},
}
"""What there is to say where nothing happened."""


@dataclass(slots=True)
class _Past:
    """When its points were, in Unix time, and the figures of each route, point after point: 3 kB. No figure: NaN."""

    times: deque[float] = field(default_factory=lambda: deque(maxlen=POINTS))
    routes: "dict[str, array[float]]" = field(default_factory=dict)


class Rates:
    """Of all routes. Called on the loop.

    prometheus: whose counters. The application calls `tick` every `EVERY` seconds.
    """

    def __init__(self, prometheus: Prometheus, *, clock: Clock = MONOTONIC, wall: Clock = WALL) -> None:
        self._prometheus = prometheus
        self._clock = clock
        self._wall = wall
        self._asked = float("-inf")
        self._pointed = clock()
        self._snapshots = deque([self._snapshot()])
        self._past = _Past()

    def tick(self) -> None:
        """Copies the counters, if it is time."""
        now = self._clock()
        wanted = EVERY if now - self._asked < WATCHED else SELDOM
        if now - self._snapshots[-1].at < wanted - EVERY / 2:  # ticks are never exact
            return
        self._snapshots.append(self._snapshot())
        while len(self._snapshots) > 2 and self._snapshots[1].at <= now - SPAN - EVERY:
            self._snapshots.popleft()
        if now - self._pointed >= SELDOM - EVERY / 2:
            self._pointed = now
            self._add_point()

    def __call__(self, route: str) -> dict[str, Any]:
        """What `/status` says of a route, and how many of which outcome there were (`outcomes`).

        `seconds`: how long ago the comparison begins: 10, less after a start, up to 15 for the first who asks.
        Shares are of the requests that finished in that time, 0 to 1, and None where none did; so are `p50` and
        `p99`, in seconds. `error_share`: whose callers got no usable answer. `fallback_share`: whom a fallback
        answered. `refused_share`: what was not sent upstream, whoever answered then.
        """
        self._asked = self._clock()
        return self._compared(self._prometheus.route(route), self._before())

    def past(self) -> dict[str, Any]:
        """Points of the last ten minutes, oldest first: `times`, and by route the list of each of `FIGURES`."""
        times = list(self._past.times)
        return {
            "times": [round(at, 1) for at in times],
            "routes": {name: _listed(points, len(times)) for name, points in self._past.routes.items()},
        }

    def _before(self) -> _Snapshot:
        """The copy to compare with: the one nearest to ten seconds ago."""
        then = self._clock() - SPAN
        return min(self._snapshots, key=lambda snapshot: abs(snapshot.at - then))

    def _compared(self, route: RouteMetrics, before: _Snapshot) -> dict[str, Any]:
        return _compared(before.routes.get(route.name, _NOTHING), route, self._clock() - before.at)

    def _snapshot(self) -> _Snapshot:
        return _Snapshot(self._clock(), {route.name: _copied(route) for route in self._prometheus.routes()})

    def _add_point(self) -> None:
        self._past.times.append(self._wall())
        before = self._before()
        for route in self._prometheus.routes():
            rates = self._compared(route, before)
            points = self._past.routes.setdefault(route.name, array("f"))
            points.extend(nan if rates[figure] is None else rates[figure] for figure in FIGURES)
            del points[: -POINTS * len(FIGURES)]


def _copied(route: RouteMetrics) -> _Copy:
    return _Copy(route.requests.by(2), sum(route.refusals.values()), tuple(route.duration.counts))


def _compared(before: _Copy, route: RouteMetrics, seconds: float) -> dict[str, Any]:
    after = _copied(route)
    if after == before:  # as most are, most of the time: a tenth of the price
        return {"seconds": round(seconds), **_QUIET}
    old = before.buckets or (0,) * len(after.buckets)
    counts = list(map(sub, after.buckets, old))
    finished = sum(counts)
    outcomes = dict(_risen(before.outcomes, after.outcomes))
    bounds = route.duration.bounds
    return {
        "seconds": round(seconds),
        "requests_per_second": round(finished / seconds, 2) if seconds > 0.0 else 0.0,
        "error_share": _share(sum(outcomes.get(word, 0) for word in ERRORS), finished),
        "fallback_share": _share(sum(outcomes.get(word, 0) for word in RESCUED), finished),
        "refused_share": _share(after.refused - before.refused, finished),
        "p50": _rounded(quantile(bounds, counts, 0.5)),
        "p99": _rounded(quantile(bounds, counts, 0.99)),
        "outcomes": outcomes,
    }


def _risen(before: Mapping[str, int], after: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    for word, count in after.items():
        if count != (was := before.get(word, 0)):
            yield word, count - was


def _share(part: int, whole: int) -> float | None:
    return round(min(1.0, part / whole), 4) if whole else None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def _listed(points: "array[float]", length: int) -> dict[str, list[float | None]]:
    """By figure. A route that came later has nothing where the others began."""
    missing: list[float | None] = [None] * (length - len(points) // len(FIGURES))
    values = [None if isnan(value) else round(value, 4) for value in points]
    return {figure: missing + values[place :: len(FIGURES)] for place, figure in enumerate(FIGURES)}
