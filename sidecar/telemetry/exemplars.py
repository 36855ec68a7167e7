"""Exemplars: for a bucket, and for what went wrong, one trace to look at (OpenMetrics 1.0.0 sections 4.6 and 5.1.3).

A trace whose flags call it recorded can be opened in a tracing system. So once a route has seen one, only such are
shown; until then any will do: its id stands in the upstream's logs, and where we made it, it is the request's id in our
own. One is taken per bucket and scrape, and one per series of failures. A plain request pays three look-ups: 0.07 µs.
"""

from collections.abc import Iterator
from typing import Final

from sidecar.clock import Clock

RECORDED: Final = frozenset(b"13579bdf")
"""Digits at `FLAGS` that have the lowest bit: "sampled" (W3C Trace Context section 3.2.2.5)."""
FLAGS: Final = 54
"""Where that digit stands in a `traceparent`, whatever a later version adds behind it."""

Series = tuple[object, ...]
"""A key of `Counts`."""


class Exemplars:
    """Of one route.

    `wanted` is public because the hot path reads it where it stands: whether a bucket would take any trace.
    """

    __slots__ = ("_by_bucket", "_by_failure", "_only_recorded", "_open", "_told", "_wall", "wanted")

    def __init__(self, buckets: int, wall: Clock) -> None:
        self.wanted = [True] * buckets
        self._wall = wall
        self._open = [True] * buckets
        self._told: set[Series] = set()
        self._by_bucket: dict[int, bytes] = {}
        self._by_failure: dict[Series, bytes] = {}
        self._only_recorded = False

    def take(self, bucket: int, seconds: float, traceparent: bytes, failure: Series | None) -> None:
        """A request whose trace may be shown. `failure`: the series that counts it, where it did not go well."""
        if not self._only_recorded and traceparent[FLAGS] in RECORDED:
            self._forget_the_others()
        elif self._only_recorded and traceparent[FLAGS] not in RECORDED:
            return
        if self._open[bucket]:
            self._open[bucket] = self.wanted[bucket] = False
            self._by_bucket[bucket] = self._exemplar(traceparent, seconds)
        if failure is not None and failure not in self._told:
            self._told.add(failure)
            self._by_failure[failure] = self._exemplar(traceparent, 1)

    def by_bucket(self) -> Iterator[tuple[int, bytes]]:
        """What to write behind the buckets' lines, by their place. Each is open to another from now on."""
        buckets = len(self._open)
        self._open = [True] * buckets
        self.wanted = [not self._only_recorded] * buckets
        return iter(self._by_bucket.items())

    def by_failure(self) -> dict[Series, bytes]:
        """What to write behind the counts of requests that did not go well; the same."""
        self._told.clear()
        return self._by_failure

    def _forget_the_others(self) -> None:
        self._only_recorded = True
        self._by_bucket.clear()
        self._by_failure.clear()
        self._told.clear()
        self._open = [True] * len(self._open)
        self.wanted = [False] * len(self._open)

    def _exemplar(self, traceparent: bytes, value: float) -> bytes:
        return b' # {trace_id="%b"} %a %.3f' % (traceparent[3:35], value, self._wall())
