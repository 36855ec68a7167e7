"""Which requests are recorded as spans, and what is kept of them until they are exported.

Nothing is built on the way of a request but one small object and a tuple per attempt: spans are made of them by the
thread that sends them (`span_export.py`). So this module knows no OpenTelemetry, and imports fast.

The decision is the caller's where it made one (its sampled flag), and that of chance by the trace's id otherwise: a
trace that is recorded at one ratio is at every higher one too (OpenTelemetry's TraceIdRatioBased). Looked at are the
last 56 bits, the ones that W3C Trace Context level 2 calls random; those before them hold the variant where an
application's request id is a UUID, and would send all of them the same way.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple

from sidecar.clock import WALL, Clock
from sidecar.telemetry.prometheus import Prometheus

QUEUED: Final = 2048
"""Requests that wait to be exported, at most: what comes then is dropped and counted. About 2 MB when full."""
_RANDOM_BITS: Final = 56
_NOTHING: Final = b"g"
"""Not a hexadecimal digit: no id reaches it."""
_SAMPLED: Final = b"13579bdf"


class AttemptFacts(NamedTuple):
    """One attempt. `span`: 16 hexadecimal digits. Times in seconds: `began` on the data plane's clock, -1 for none."""

    span: bytes
    number: int
    upstream: str
    endpoint: str
    result: str
    status: int
    began: float
    connect: float
    first_byte: float
    total: float
    is_hedge: bool


@dataclass(slots=True)
class RequestFacts:
    """One recorded request, with all that is needed to make spans of it.

    trace, span, parent: hexadecimal digits; `parent` is "" where the trace begins here. skew: Unix time minus the data
    plane's clock, for its own times and those of its attempts alike.
    """

    trace: bytes
    span: bytes
    parent: bytes
    flags: bytes
    attempts: list[AttemptFacts] = field(default_factory=list)
    route: str = "-"
    method: bytes = b""
    code: int = 0
    outcome: str = ""
    reason: str = ""
    began: float = 0.0
    ended: float = 0.0
    skew: float = 0.0


class RequestTrace:
    """Implements `sidecar.observer.Trace`."""

    __slots__ = ("_facts", "_tracer", "context")

    def __init__(self, tracer: "Tracer", facts: RequestFacts) -> None:
        self._tracer = tracer
        self._facts = facts
        self.context = b"00-%b-%b-%b" % (facts.trace, facts.span, facts.flags)
        """See `Trace`."""

    def attempt(self) -> bytes:
        """See `Trace`."""
        facts = self._facts
        return b"00-%b-%b-%b" % (facts.trace, self._tracer.span_id(), facts.flags)

    def attempt_finished(
        self,
        context: bytes,
        number: int,
        upstream: str,
        endpoint: str,
        result: str,
        status: int,
        began: float,
        connect: float,
        first_byte: float,
        total: float,
        *,
        is_hedge: bool,
    ) -> None:
        """See `Trace`."""
        span = context[36:52] or self._tracer.span_id()
        self._facts.attempts.append(
            AttemptFacts(span, number, upstream, endpoint, result, status, began, connect, first_byte, total, is_hedge)
        )

    def finished(
        self, route: str, method: bytes, code: int, outcome: str, reason: str, began: float, seconds: float
    ) -> None:
        """See `Trace`."""
        facts = self._facts
        facts.route = route
        facts.method = method
        facts.code = code
        facts.outcome = outcome
        facts.reason = reason
        facts.began = began
        facts.ended = began + seconds
        self._tracer.keep(facts)


class Tracer:
    """Implements `sidecar.observer.Tracer`. Runs on the loop; `take` is for the one thread that exports.

    ratio: the share of traces beginning here that is recorded, from 0 to 1. on_many: called when enough wait to be
    worth a message.
    """

    def __init__(
        self, *, ratio: float, rng: Random, wall: Clock = WALL, queued: int = QUEUED, many: int = QUEUED // 8
    ) -> None:
        self._from = b"%014x" % round((1.0 - ratio) * (1 << _RANDOM_BITS)) if ratio else _NOTHING
        self._bits = rng.getrandbits
        self._wall = wall
        self._queued = queued
        self._many = many
        self._waiting: deque[RequestFacts] = deque()
        self.on_many: Callable[[], None] | None = None
        self.dropped = 0
        """Spans that found no room in the queue."""

    def begin(self, context: bytes) -> RequestTrace | None:
        """See `sidecar.observer.Tracer`."""
        if context[21:35] < self._from:
            return None
        return RequestTrace(self, RequestFacts(context[3:35], context[36:52], b"", b"01"))

    def join(self, context: bytes) -> RequestTrace | None:
        """See `sidecar.observer.Tracer`."""
        if context[54] not in _SAMPLED:
            return None
        # Of the flags we know two: that it is recorded, and that its id is random (level 2 of the recommendation).
        flags = b"%02x" % (int(context[53:55], 16) & 3)
        return RequestTrace(self, RequestFacts(context[3:35], self.span_id(), context[36:52], flags))

    def span_id(self) -> bytes:
        """16 hexadecimal digits, not all of them 0."""
        return b"%016x" % (self._bits(64) | 1)

    def keep(self, facts: RequestFacts) -> None:
        """Puts a finished request into the queue, if there is room."""
        waiting = len(self._waiting)
        if waiting >= self._queued:
            self.dropped += 1 + len(facts.attempts)
            return
        facts.skew = self._wall() - facts.ended
        self._waiting.append(facts)
        if waiting + 1 == self._many and self.on_many is not None:
            self.on_many()

    def take(self, most: int) -> list[RequestFacts]:
        """The oldest of those that wait, up to `most`: they are the caller's now."""
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(most, len(waiting)))]

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)


def show(prometheus: Prometheus, *, exported: Callable[[], int], dropped: Callable[[], int]) -> None:
    """Adds the counts of spans to the scrape."""
    prometheus.counter(
        "sidecar_spans_exported_total",
        "Spans that the collector took.",
        (),
        lambda: [((), exported())],
    )
    prometheus.counter(
        "sidecar_spans_dropped_total",
        "Spans lost because too many waited, or because the collector did not take them.",
        (),
        lambda: [((), dropped())],
    )
