"""A request to switch to another protocol: what of it is passed on, and the tunnel that begins with the 101.

The handshake is an exchange like any other: permit, timeouts, verdict, retries, ladder. Once its 101 is relayed, the
path waits until the tunnel has ended, and holds its bulkhead slot for as long: one connection is one connection.

What a caller sends before it has the 101 is held. If another answer comes, the caller's connection closes after it:
what was sent ahead was never meant to be a request, and must not be read as one.
"""

from functools import partial
from typing import TYPE_CHECKING, Final

from sidecar.policy import reasons
from sidecar.wire.client import ClientConnection
from sidecar.wire.tunnel import CALLER_RESET, CLOSED, ENDED, IDLE, UPSTREAM_RESET, Tunnel

if TYPE_CHECKING:
    from sidecar.proxy.attempt import LiveAttempt
    from sidecar.proxy.exchange import Exchange

_REASONS: Final = {
    ENDED: "",
    IDLE: reasons.DEADLINE,
    CLOSED: reasons.DRAINING,
    CALLER_RESET: reasons.CLIENT_GONE,
    UPSTREAM_RESET: reasons.RESET,
}
_LABELS: Final = {CALLER_RESET: "client_gone", UPSTREAM_RESET: "upstream_error"}
"""Of tunnels that broke off; the others were answered, as their 101 was."""


def allowed(value: bytes, protocols: frozenset[bytes]) -> bytes:
    """The members of an `Upgrade` whose name, or name and version, is among `protocols` (lower-case)."""
    members = [member.strip(b" \t") for member in value.split(b",")]
    return b", ".join(
        [member for member in members if member.lower() in protocols or member.partition(b"/")[0].lower() in protocols]
    )


def ask(exchange: "Exchange", attempt: "LiveAttempt", connection: ClientConnection, data: bytes) -> bool:
    """Sends a request with its `Upgrade`, if the route allows any of it. `data`: its head without those fields.

    False: to be sent as the plain request that it is too (RFC 9110 section 7.8: `Upgrade` may be ignored).
    """
    assert exchange.route is not None
    asked = allowed(exchange.head.upgrade, exchange.route.upgrades)
    if not asked:
        return False
    exchange.close_after = True
    head = b"%bConnection: Upgrade\r\nUpgrade: %b\r\n\r\n" % (data[:-2], asked)
    connection.send(attempt, exchange.method, head, whole=True)
    connection.may_switch(asked)
    return True


def begin(exchange: "Exchange", attempt: "LiveAttempt", lines: bytes) -> None:
    """Relays a 101, `lines` of its head being passed on, and makes one of the two connections."""
    route = exchange.route
    assert route is not None
    protocols = b", ".join([value for low, _, value in attempt.head.headers if low == b"upgrade"])
    head = b"%bConnection: Upgrade\r\nUpgrade: %b\r\nX-Request-Id: %b\r\nX-Sidecar-Attempts: %d\r\n\r\n"
    data = head % (lines + exchange.fault, protocols, exchange.request_id, exchange.attempts)
    exchange.bytes_out += len(data)
    exchange.connection.write(data)
    exchange.settle_on(attempt)
    upstream = attempt.hand_over()
    route.observer.tunnel_opened()
    exchange.tunnel = Tunnel(
        exchange.connection,
        upstream,
        timers=exchange.timers,
        clock=exchange.clock,
        idle=route.idle,
        ended=partial(_end, exchange),
    )


def _end(exchange: "Exchange", tunnel: Tunnel) -> None:
    exchange.tunnel = None
    exchange.bytes_in += tunnel.bytes_in
    exchange.bytes_out += tunnel.bytes_out
    exchange.reason = _REASONS[tunnel.how] or exchange.reason
    exchange.label = _LABELS.get(tunnel.how, exchange.label)
    assert exchange.route is not None
    exchange.route.observer.tunnel_closed()
    exchange.resume()
