"""An attempt has its connection: the request goes out, as far as it has come."""

from typing import TYPE_CHECKING

from sidecar.proxy import heads, recording, tunnels
from sidecar.wire.client import ClientConnection

if TYPE_CHECKING:
    from sidecar.proxy.attempt import LiveAttempt
    from sidecar.proxy.exchange import Exchange


def send(exchange: "Exchange", attempt: "LiveAttempt", connection: ClientConnection, now: float) -> None:
    """Writes an exchange's request to the connection of one of its attempts."""
    route = exchange.route
    assert route is not None
    trace = exchange.traceparent
    if exchange.trace is not None:
        trace = recording.context(exchange, exchange.trace, attempt)
    elif trace is None:
        trace = exchange.traceparent = exchange.gateway.ids.traceparent(exchange.request_id)
    total = route.total if route.total < exchange.patience else exchange.patience
    data = heads.request_bytes(
        exchange.head,
        exchange.lines,
        attempt.target,
        route.plan,
        exchange.request_id,
        trace,
        attempt.number or exchange.attempts,
        exchange.started + total - now,
    )
    if exchange.upload is not None:
        exchange.upload.send(attempt, connection, data, exchange.method)
    elif not exchange.head.upgrade or not tunnels.ask(exchange, attempt, connection, data):
        connection.send(attempt, exchange.method, data, whole=True)
