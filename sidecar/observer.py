"""What the data plane tells whoever is watching: one method per fact, scalars only.

`telemetry` implements it; the data plane imports no metrics library. A `RouteObserver` is bound to its route
when the configuration is loaded, so that nothing is looked up by name per request.
"""

from collections.abc import Sequence
from typing import Protocol


class RouteObserver(Protocol):
    """Facts about one route."""

    def request_started(self) -> None:
        """A request was matched to the route."""

    def request_finished(
        self, method: bytes, code: int, outcome: str, seconds: float, traceparent: bytes | None = None
    ) -> None:
        """Its last byte was written, or its caller left (`code` 499).

        `seconds`: since its head was read. `traceparent`: the trace it is part of, valid; None where it has none.
        """

    def attempt_finished(self, upstream: str, result: str, connect: float, first_byte: float, total: float) -> None:
        """One attempt was judged.

        `result` is "ok" or a reason. The times are the upstream's own, in seconds; -1 where the attempt did not
        get that far (`connect` is -1 on a reused connection).
        """

    def explained(self, upstream: str, reason: str, detail: str) -> None:
        """An attempt failed for that reason, and `detail`, one sentence, says what exactly was wrong."""

    def retried(self, reason: str) -> None:
        """Another attempt follows; `reason` is the result of the one before."""

    def retry_denied(self, reason: str) -> None:
        """A retryable attempt was the last: attempts, budget, deadline, method, body, retry_after, breaker_open."""

    def hedged(self, result: str) -> None:
        """A hedge was due: won, lost (the first attempt answered), failed (neither did), client_gone, or denied."""

    def coalesced(self) -> None:
        """A request was not sent: it had waited for one that asked the same, and what that came to is its answer."""

    def refused(self, reason: str) -> None:
        """A policy refused the request or an attempt of it."""

    def would_refuse(self, reason: str) -> None:
        """A policy in dry run would have refused."""

    def fell_back(self, kind: str, reason: str) -> None:
        """A rung of the ladder answered. `kind`: last_known_good, failover, static."""

    def kept(self, stored_at: float) -> None:
        """An answer became the route's newest last known good. `stored_at`: Unix time."""

    def fault_injected(self, kind: str) -> None:
        """An attempt was hit on purpose: abort, delay, reset."""

    def tunnel_opened(self) -> None:
        """A 101 was relayed: the request's connection carries another protocol."""

    def tunnel_closed(self) -> None:
        """It does no more. `request_finished` follows."""

    def breaker_changed(self, old: str, new: str, open_for: float) -> None:
        """closed, open, half_open. `open_for`: seconds the breaker will stay open, 0 when it does not open."""


class Observer(Protocol):
    """Binds observers at load."""

    def route(self, name: str) -> RouteObserver:
        """The observer of the route of that name; "-" is for what matched none."""
        ...


class Silent:
    """Watches nothing: for simulation and for tests about other things."""

    def route(self, name: str) -> "Silent":
        """Itself, whatever the route."""
        return self

    def request_started(self) -> None: ...
    def request_finished(
        self, method: bytes, code: int, outcome: str, seconds: float, traceparent: bytes | None = None
    ) -> None: ...
    def attempt_finished(self, upstream: str, result: str, connect: float, first_byte: float, total: float) -> None: ...
    def explained(self, upstream: str, reason: str, detail: str) -> None: ...
    def retried(self, reason: str) -> None: ...
    def retry_denied(self, reason: str) -> None: ...
    def hedged(self, result: str) -> None: ...
    def coalesced(self) -> None: ...
    def refused(self, reason: str) -> None: ...
    def would_refuse(self, reason: str) -> None: ...
    def fell_back(self, kind: str, reason: str) -> None: ...
    def kept(self, stored_at: float) -> None: ...
    def fault_injected(self, kind: str) -> None: ...
    def tunnel_opened(self) -> None: ...
    def tunnel_closed(self) -> None: ...
    def breaker_changed(self, old: str, new: str, open_for: float) -> None: ...


class RequestLog(Protocol):
    """Where one line per request goes."""

    def write(
        self,
        route: str,
        method: bytes,
        path: bytes,
        query: bytes,
        status: int,
        outcome: str,
        reason: str,
        duration: float,
        upstream: float,
        attempts: int,
        bytes_in: int,
        bytes_out: int,
        request_id: bytes,
        detail: str = "",
        traceparent: bytes | None = None,
        headers: Sequence[tuple[bytes, bytes, bytes]] = (),
    ) -> None:
        """One finished request.

        `duration`: seconds from its head to our last byte. `upstream`: seconds spent waiting for upstreams, all
        attempts together; -1 if none was made. `reason` is "" where nothing needs one. `path` and `query` are as
        received (the log decides what of them it may show); `request_id` is already safe to print. `detail`: one
        sentence of ours about the reason; "" for none. `traceparent`: what upstreams were sent, or the caller sent;
        None if there is neither. `headers`: the request's fields as they came, each lower-case name, name, value.
        """


class Trace(Protocol):
    """One request that is recorded. Costs as little as it can until the request is over."""

    @property
    def context(self) -> bytes:
        """The request's own `traceparent`."""

    def attempt(self) -> bytes:
        """The `traceparent` that one more attempt sends: its span's, which is a child of the request's."""

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
        """One attempt is over.

        `context`: what `attempt` gave it, empty if nothing was sent. `number`: from 1. `result` is "ok" or a reason;
        `status` 0 if no answer came. `began`: on the data plane's clock. The times are in seconds, -1 for what did not
        happen, as in `RouteObserver.attempt_finished`.
        """

    def finished(
        self, route: str, method: bytes, code: int, outcome: str, reason: str, began: float, seconds: float
    ) -> None:
        """The request is over; nothing follows. `began`: on the data plane's clock, `seconds` ago."""


class Tracer(Protocol):
    """Says which requests are recorded: None for one that is not."""

    def join(self, context: bytes) -> Trace | None:
        """`context`: the `traceparent` that a request brought, which is one. Its sampled flag has decided."""
        ...

    def begin(self, context: bytes) -> Trace | None:
        """`context`: a `traceparent` made here: the trace begins with this request, and nobody has decided yet."""
        ...
