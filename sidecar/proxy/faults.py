"""An operator's fault, done to an attempt: made to wait, answered in the upstream's place, or cut off.

What is made up passes through the same judgement as what comes off a socket, so that everything behind it, from the
breaker to the fallback ladder, is rehearsed too. Only what other routes share is spared: the endpoints.
"""

from typing import TYPE_CHECKING

from sidecar.policy import reasons
from sidecar.policy.fault import ABORT, DELAY, RESET, Fault
from sidecar.proxy import respond
from sidecar.wire.message import Header, ResponseHead

if TYPE_CHECKING:
    from sidecar.proxy.attempt import LiveAttempt
    from sidecar.proxy.exchange import Exchange


class Struck:
    """One attempt that was hit. Its timer strikes when the delay is over: at once, if there is none."""

    __slots__ = ("_attempt", "_exchange", "_fault")

    def __init__(self, exchange: "Exchange", attempt: "LiveAttempt", fault: Fault) -> None:
        self._exchange = exchange
        self._attempt = attempt
        self._fault = fault

    def expire(self) -> None:
        """What comes after the delay, unless the attempt, or its request, has ended meanwhile."""
        attempt = self._attempt
        if attempt.is_over:
            return
        if self._fault.reset:
            self._exchange.relay_failed(reasons.FAULT_INJECTED)
        elif self._fault.abort:
            self._abort(self._fault.abort)
        else:
            attempt.start_late()

    def _abort(self, status: int) -> None:
        exchange, attempt = self._exchange, self._attempt
        assert exchange.route is not None
        body = respond.default_body(reasons.FAULT_INJECTED, exchange.route.name, exchange.request_id, 0)
        attempt.invented = True
        attempt.sent = True  # one that answers has been asked: what may be repeated then is to be rehearsed too
        attempt.response_whole(_head(status, len(body)), b"" if exchange.method == b"HEAD" else body)


def take_over(exchange: "Exchange", attempt: "LiveAttempt") -> bool:
    """Whether the fault of the attempt's route hits it: then it is not to be started.

    Failover is spared: another upstream is what is hoped to help.
    """
    route = exchange.route
    assert route is not None
    fault = route.fault
    if fault is None or attempt.target not in route.upstream.endpoints or not fault.strikes():
        return False
    kind = RESET if fault.reset else ABORT if fault.abort else DELAY
    route.observer.fault_injected(kind)
    exchange.fault = b"X-Sidecar-Fault: %b\r\n" % kind.encode()
    # Not even without a delay at once: the path, which asked for the attempt, is still on the stack.
    exchange.timers.add(Struck(exchange, attempt, fault), attempt.started + fault.delay)
    return True


def _head(status: int, length: int) -> ResponseHead:
    head = ResponseHead()
    head.status = status
    head.headers = [_line(b"Content-Type", b"application/json"), _line(b"Content-Length", b"%d" % length), _BLAMED]
    head.length = length
    head.http10 = False
    head.keep_alive = True
    head.connection_tokens = frozenset()
    return head


def _line(name: bytes, value: bytes) -> Header:
    return name.lower(), name, value


_BLAMED = _line(b"Proxy-Status", respond.proxy_status(reasons.FAULT_INJECTED)[len(b"Proxy-Status: ") : -2])
