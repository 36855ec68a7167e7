"""A request that is recorded: who decides that it is, and what is told of it.

Whether it is recorded is known at its head, because its attempts send on another `traceparent` then. For all others the
whole price is one question at the head; where nothing is recorded at all, not even that.
"""

from typing import TYPE_CHECKING

from sidecar.observer import Trace, Tracer

if TYPE_CHECKING:
    from sidecar.proxy.attempt import LiveAttempt
    from sidecar.proxy.exchange import Exchange


def begin(exchange: "Exchange", tracer: Tracer) -> Trace | None:
    """Asks whether the request is recorded, and gives it a trace to be part of if it came without one."""
    given = exchange.traceparent
    if given is None:
        made = exchange.traceparent = exchange.gateway.ids.traceparent(exchange.request_id)
        trace = tracer.begin(made)
    else:
        trace = tracer.join(given)
    if trace is not None:
        exchange.traceparent = trace.context
    return trace


def context(exchange: "Exchange", trace: Trace, attempt: "LiveAttempt") -> bytes:
    """What an attempt says of the trace; the same when it has to be sent again."""
    if not attempt.context:
        attempt.context = trace.attempt()
        attempt.number = attempt.number or exchange.attempts  # others may follow before its answer is over
    return attempt.context


def attempt_measured(exchange: "Exchange", trace: Trace, attempt: "LiveAttempt", result: str) -> None:
    """An attempt of a recorded request is over."""
    trace.attempt_finished(
        attempt.context,
        attempt.number or exchange.attempts,
        attempt.upstream_name,
        attempt.target.name,
        result,
        attempt.status,
        attempt.started,
        attempt.connect_seconds,
        attempt.first_byte,
        attempt.total,
        is_hedge=attempt.is_hedge,
    )
