"""What all exchanges share, bound once when the configuration is loaded."""

from typing import Final

from sidecar.clock import Clock
from sidecar.observer import Observer, RequestLog, Tracer
from sidecar.policy.last_known_good import Store
from sidecar.policy.reasons import NO_ROUTE
from sidecar.policy.route import Route
from sidecar.policy.router import Router
from sidecar.proxy.answers import why
from sidecar.proxy.attempt import SEEN
from sidecar.proxy.dates import Dates
from sidecar.proxy.exchange import Exchange
from sidecar.proxy.ids import Ids
from sidecar.proxy.respond import rejection
from sidecar.wire.errors import BadRequest
from sidecar.wire.message import RequestHead
from sidecar.wire.server import ServerConnection
from sidecar.wire.timers import Timers

UNMATCHED: Final = "-"
"""The route of what matched none, in logs and labels."""


class Gateway:
    """Answers what listeners accept. `router` may be replaced at any time; requests under way keep theirs."""

    __slots__ = (
        "_log",
        "_unmatched",
        "accepted",
        "active",
        "clock",
        "dates",
        "ids",
        "router",
        "seen_bytes",
        "store",
        "timers",
        "tracer",
        "wall",
    )

    def __init__(
        self,
        *,
        router: Router[Route],
        timers: Timers,
        ids: Ids,
        store: Store,
        observer: Observer,
        log: RequestLog,
        clock: Clock,
        wall: Clock,
        tracer: Tracer | None = None,
    ) -> None:
        self.router = router
        self.timers = timers
        self.ids = ids
        self.store = store
        self.clock = clock
        self.wall = wall
        self.dates = Dates(wall)
        self.tracer = tracer
        self.seen_bytes = SEEN
        self.active = self.accepted = 0
        self._log = log
        self._unmatched = observer.route(UNMATCHED)

    def accept(self, connection: ServerConnection, head: RequestHead) -> Exchange:
        """A request came: starts on its path."""
        self.active += 1
        self.accepted += 1
        exchange = Exchange(self, connection, head)
        exchange.resume()
        return exchange

    def reject(self, connection: ServerConnection, error: BadRequest) -> bytes:  # noqa: ARG002 - a responder's signature
        """The answer to a message that is no request; counted, and logged without a word of what it said."""
        request_id = self.ids.request_id()
        data = rejection(error, request_id, self.dates.line())
        self._unmatched.request_started()
        self._unmatched.request_finished(b"", error.status, "bad_request", 0.0)
        self._log.write(
            UNMATCHED,
            b"-",
            b"-",
            b"",
            error.status,
            "bad_request",
            error.reason,
            0.0,
            -1.0,
            0,
            0,
            len(data),
            request_id,
        )
        return data

    def finished(
        self,
        exchange: Exchange,
        status: int,
        reason: str,
        upstream_seconds: float,
        bytes_in: int,
        bytes_out: int,
    ) -> None:
        """An exchange is over: one count, one line."""
        self.active -= 1
        seconds = self.clock() - exchange.started
        route = exchange.route
        if route is None:
            name = UNMATCHED
            observer = self._unmatched
            observer.request_started()
            if reason == NO_ROUTE:
                observer.refused(NO_ROUTE)
        else:
            name = route.name
            observer = route.observer
        method = exchange.method
        label = exchange.label
        observer.request_finished(method, status, label, seconds, exchange.traceparent)
        if exchange.trace is not None:
            exchange.trace.finished(name, method, status, label, reason, exchange.started, seconds)
        head = exchange.head
        attempts = exchange.attempts
        self._log.write(
            name,
            method,
            head.path,
            head.query,
            status,
            label,
            reason,
            seconds,
            upstream_seconds if attempts else -1.0,
            attempts,
            bytes_in,
            bytes_out,
            exchange.request_id,
            why(exchange, reason)[0] if reason else "",
            exchange.traceparent,
            head.headers,
        )
