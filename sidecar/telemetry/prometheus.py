"""All counters of the process, and the scrape that shows them."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from sidecar.clock import WALL, Clock
from sidecar.telemetry import families
from sidecar.telemetry.exposition import (
    OPENMETRICS_TYPE,
    TEXT_TYPE,
    Counts,
    Family,
    labels,
    number,
)
from sidecar.telemetry.histogram import BUCKETS
from sidecar.telemetry.route import UNMATCHED, Explanation, RouteMetrics, Transition

if TYPE_CHECKING:
    from sidecar.telemetry.process import ProcessMetrics

PIECE: Final = 64 * 1024
"""Bytes of a scrape that are made at a stretch: 0.2 ms. A histogram alone has 2 KiB."""
_LINES: Final = 16
"""Lines, or histograms, after which it is seen whether it was enough."""

Read = Callable[[], Iterable[tuple[Sequence[str], float]]]
"""Label values, hashable, and value of every series of a family, as they are now."""


@dataclass(frozen=True, slots=True)
class Totals:
    """One route since the start, for /status."""

    in_flight: int
    tunnels: int
    requests: int
    by_outcome: Mapping[str, int]
    refused_by_reason: Mapping[str, int]
    would_refuse_by_reason: Mapping[str, int]
    fallbacks: Mapping[str, int]
    p50: float | None
    """Seconds, estimated from the buckets; None before the first request."""
    p99: float | None
    newest_age: float | None
    """Seconds since the newest answer was kept; None if there is none."""


class Prometheus:
    """Implements `sidecar.observer.Observer`.

    Not thread-safe: it is fed and scraped on the loop.
    """

    def __init__(self, *, buckets: Sequence[float] = BUCKETS, wall: Clock = WALL) -> None:
        self._bounds = tuple(buckets)
        self._wall = wall
        self._routes: dict[str, RouteMetrics] = {}
        self._read: dict[str, tuple[Family, Read]] = {}
        self._shown: dict[str, dict[Sequence[str], _Shown]] = {}
        self._process: ProcessMetrics | None = None
        self._on_transition: Transition | None = None
        self._on_explained: Explanation | None = None
        self._is_newest = True
        self._reloads = Counts(families.CONFIG_RELOADS)
        self._reloads.update({("ok",): 0, ("rejected",): 0})

    def route(self, name: str) -> RouteMetrics:
        """The observer of the route of that name: the same one each time, so that counts outlive a reload."""
        found = self._routes.get(name)
        if found is None:
            found = self._routes[name] = RouteMetrics(name, self._bounds, self._changed, self._explained, self._wall)
        return found

    def routes(self) -> Iterable[RouteMetrics]:
        """All that were ever asked for."""
        return self._routes.values()

    def on_transition(self, call: Transition) -> None:
        """Calls `call` at every change of a breaker's state."""
        self._on_transition = call

    def on_explained(self, call: Explanation) -> None:
        """Calls `call` at every failure of which more is known than its reason."""
        self._on_explained = call

    def reloads(self) -> Mapping[str, int]:
        """How many were taken (ok) and rejected."""
        return self._reloads.by(0)

    def config_loaded(self, *, ok: bool) -> None:
        """A new configuration was taken, or was rejected."""
        self._reloads["ok" if ok else "rejected",] += 1
        self._is_newest = ok

    def gauge(self, name: str, help: str, labels: tuple[str, ...], read: Read) -> None:  # noqa: A002 - the word of the format
        """Adds a gauge whose series are read at every scrape. The same name again takes its place."""
        self._show(Family(name, "gauge", labels, help), read)

    def counter(self, name: str, help: str, labels: tuple[str, ...], read: Read) -> None:  # noqa: A002 - the same
        """The same for a count that somebody else keeps. `name` ends in `_total`."""
        self._show(Family(name, "counter", labels, help), read)

    def families(self) -> list[Family]:
        """Everything a scrape shows but `process_*` and `sidecar_build_info`."""
        return [*families.COUNTED, *(family for family, _ in self._read.values())]

    def totals(self, route: str) -> Totals:
        """What /status shows of a route; zeros for one that never was asked for."""
        found = self.route(route)
        return Totals(
            in_flight=found.in_flight,
            tunnels=found.tunnels,
            requests=found.duration.count,
            by_outcome=found.requests.by(2),
            refused_by_reason=found.refusals.by(0),
            would_refuse_by_reason=found.would_refuse_counts.by(0),
            fallbacks=found.fallbacks.by(0),
            p50=found.duration.quantile(0.5),
            p99=found.duration.quantile(0.99),
            newest_age=None if found.newest is None else self._age(found.newest),
        )

    def load(self) -> None:
        """Imports prometheus_client (tens of ms): call it in a thread before the first scrape."""
        if self._process is None:
            from sidecar.telemetry.process import ProcessMetrics  # noqa: PLC0415 - see above

            self._process = ProcessMetrics()

    def render(self, openmetrics: bool) -> bytes:  # noqa: FBT001 - the two formats
        """The whole scrape: OpenMetrics 1.0, with exemplars, or Prometheus text 0.0.4."""
        return b"".join(self.pieces(openmetrics))

    def pieces(self, openmetrics: bool) -> Iterator[bytes]:  # noqa: FBT001 - the two formats
        """The same in pieces of about `PIECE` bytes, for whoever has other things to do in between.

        What is counted meanwhile may show in one family and not yet in another; every series is true at its moment.
        """
        self.load()
        assert self._process is not None
        parts: list[bytes] = []
        size = 0
        for family, made in self._families(openmetrics):
            parts.append(family.head(openmetrics))
            lines = iter(made)
            while some := list(islice(lines, _LINES)):
                parts += some
                size += sum(map(len, some))
                if size >= PIECE:
                    yield b"".join(parts)
                    parts.clear()
                    size = 0
        parts.append(self._process.render(openmetrics))
        yield b"".join(parts)

    @staticmethod
    def content_type(openmetrics: bool) -> str:  # noqa: FBT001 - the two formats
        """The media type of `render`'s answer."""
        return OPENMETRICS_TYPE if openmetrics else TEXT_TYPE

    def _show(self, family: Family, read: Read) -> None:
        self._read[family.name] = (family, read)
        self._shown.pop(family.name, None)

    def _changed(self, route: str, old: str, new: str, open_for: float) -> None:
        if self._on_transition is not None:
            self._on_transition(route, old, new, open_for)

    def _explained(self, upstream: str, reason: str, detail: str) -> None:
        if self._on_explained is not None:
            self._on_explained(upstream, reason, detail)

    def _age(self, stored_at: float) -> float:
        return max(0.0, self._wall() - stored_at)

    def _families(self, openmetrics: bool) -> Iterator[tuple[Family, Iterable[bytes]]]:  # noqa: FBT001 - the two formats
        routes = list(self._routes.values())
        upstreams = [times for route in routes for times in route.upstreams.values()]
        yield families.REQUESTS, _requests(routes) if openmetrics else _counts(route.requests for route in routes)
        yield families.REQUEST_DURATION, _durations(routes, openmetrics)
        yield families.ATTEMPTS, _counts(times.results for times in upstreams)
        yield (
            families.UPSTREAM_DURATION,
            (h.lines() for times in upstreams for h in (times.connect, times.first_byte, times.total)),
        )
        yield families.RETRIES, _counts(route.retries for route in routes)
        yield families.RETRIES_DENIED, _counts(route.denied for route in routes)
        yield families.HEDGES, _counts(route.hedges for route in routes)
        yield families.COALESCED, _counts(route.coalescings for route in routes)
        yield families.TRANSITIONS, _counts(route.transitions for route in routes)
        yield families.REFUSED, _counts(route.refusals for route in routes)
        yield families.WOULD_REFUSE, _counts(route.would_refuse_counts for route in routes)
        yield families.FALLBACKS, _counts(route.fallbacks for route in routes)
        yield families.FAULTS, _counts(route.faults for route in routes)
        yield from self._read_off(routes)

    def _read_off(self, routes: Iterable[RouteMetrics]) -> Iterator[tuple[Family, Iterable[bytes]]]:
        matched = [route for route in routes if route.name != UNMATCHED]
        kept = [(route.name, route.newest) for route in routes if route.newest is not None]
        yield families.KEPT_AGE, self._lines(families.KEPT_AGE, (((n,), self._age(at)) for n, at in kept))
        yield families.IN_FLIGHT, self._lines(families.IN_FLIGHT, (((r.name,), r.in_flight) for r in matched))
        yield families.TUNNELS, self._lines(families.TUNNELS, (((r.name,), r.tunnels) for r in matched))
        yield families.CONFIG_RELOADS, [self._reloads.lines()]
        yield families.CONFIG_TAKEN, self._lines(families.CONFIG_TAKEN, [((), int(self._is_newest))])
        for family, read in list(self._read.values()):
            yield family, self._lines(family, read())

    def _lines(self, family: Family, samples: Iterable[tuple[Sequence[str], float]]) -> list[bytes]:
        """At once, not bit by bit: what is read must not change under the reading."""
        known = self._shown.setdefault(family.name, {})
        lines = []
        for values, value in samples:
            shown = known.get(values)
            if shown is None:
                shown = known[values] = _Shown(f"{family.name}{labels(family.labels, values)} ".encode())
            if shown.value != value:
                shown.value = value
                shown.line = b"%b%b\n" % (shown.series, number(value))
            lines.append(shown.line)
        return lines


class _Shown:
    """What the last scrape said of a series. Most gauges move rarely: their line is ready."""

    __slots__ = ("line", "series", "value")

    def __init__(self, series: bytes) -> None:
        self.series = series
        self.value = math.nan
        self.line = b""


def _requests(routes: Iterable[RouteMetrics]) -> Iterator[bytes]:
    return (route.requests.lines_with(route.exemplars.by_failure()) for route in routes if route.requests)


def _durations(routes: Iterable[RouteMetrics], openmetrics: bool) -> Iterator[bytes]:  # noqa: FBT001 - the two formats
    if openmetrics:
        return (route.duration.lines_with(route.exemplars.by_bucket()) for route in routes)
    return (route.duration.lines() for route in routes)


def _counts(all_counts: Iterable[Counts]) -> Iterator[bytes]:
    return (counts.lines() for counts in all_counts if counts)
