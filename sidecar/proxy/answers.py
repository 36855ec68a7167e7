"""What the caller is given: an upstream's answer passed on, a kept one, or our own.

Functions of an exchange, one per command of the path. They write to the caller and note what will stand in the log.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sidecar.policy import reasons
from sidecar.proxy import heads, keeping, respond, tunnels
from sidecar.proxy.attempt import LiveAttempt
from sidecar.proxy.commands import Keep, Own, Recall, Relay, Reply, Serve, Share
from sidecar.proxy.path import told
from sidecar.wire.encode import chunk, last_chunk
from sidecar.wire.errors import BadRequest

if TYPE_CHECKING:
    from sidecar.proxy.exchange import Exchange

_SWITCHING_PROTOCOLS: Final = 101
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
_ASK_AGAIN: Final = frozenset(
    {
        reasons.BREAKER_OPEN,
        reasons.NO_ENDPOINT,
        reasons.BULKHEAD_FULL,
        reasons.QUEUE_TIMEOUT,
        reasons.RATE_LIMITED,
        reasons.DRAINING,
    }
)


def relay(exchange: "Exchange", command: Relay) -> bool:
    """Passes an upstream's answer on. False: only its head so far, the rest follows as it comes."""
    attempt = command.outcome
    assert isinstance(attempt, LiveAttempt)
    head = attempt.head
    body = attempt.body
    exchange.status = attempt.status
    exchange.label = command.label
    lines = heads.response_lines(head)
    if not head.dated:  # RFC 9110 section 6.6.1: whoever has a clock says when it came
        lines += exchange.gateway.dates.line()
    if command.label != "ok":  # a 429 that is passed on needs no reason: it is the upstream's own word
        exchange.reason = command.rescued or attempt.reason
        if command.rescued:
            lines += respond.proxy_status(command.rescued, error=why(exchange, command.rescued)[1])
    if body is None:
        if attempt.status == _SWITCHING_PROTOCOLS:
            tunnels.begin(exchange, attempt, lines)
            return False
        _write(exchange, lines + _framing(exchange) if head.length < 0 else lines, b"")
        exchange.stream(attempt)
        return False
    if head.length < 0:
        framing, body = _framed(exchange, attempt, body)
        lines += framing
    _write(exchange, lines, body)
    return True


def _framing(exchange: "Exchange") -> bytes:
    if exchange.head.http10:
        exchange.close_after = True
        return b""
    exchange.chunked = True
    return _CHUNKED


def _framed(exchange: "Exchange", attempt: LiveAttempt, body: bytes) -> tuple[bytes, bytes]:
    """An answer whose length nobody had said, now that all of it is here."""
    if attempt.trailers and exchange.lines.trailers and not exchange.head.http10:
        return _CHUNKED, chunk(body) + last_chunk(attempt.trailers)
    return b"Content-Length: %d\r\n" % len(body), body


def serve(exchange: "Exchange", command: Serve) -> None:
    """Answers with what was kept."""
    stored = command.stored
    _note(exchange, "last_known_good", stored.status, command.reason)
    age = exchange.gateway.wall() - stored.stored_at
    error = why(exchange, command.reason)[1]
    _write(exchange, respond.stored_lines(stored, command.reason, age, exchange.received, error), stored.body)


def share(exchange: "Exchange", command: Share) -> None:
    """Answers with what another request for the same has brought."""
    stored = command.stored
    _note(exchange, "ok", stored.status, "")
    _write(exchange, respond.shared_lines(stored, exchange.gateway.wall() - stored.stored_at), stored.body)


def reply(exchange: "Exchange", command: Reply) -> None:
    """Answers ourselves."""
    _note(exchange, command.label, command.status, command.reason)
    if command.reason == reasons.REQUEST_TIMEOUT:
        exchange.close_after = True  # RFC 9110 section 15.5.9
    retry_after = command.retry_after
    if not retry_after and command.reason in _ASK_AGAIN and command.label != "static":
        retry_after = 1.0  # whoever asks again at once would only be refused again
    name = "-" if exchange.route is None else exchange.route.name
    detail, error = why(exchange, command.reason)
    lines, body = respond.reply_lines(
        command.reason,
        command.status,
        command.answer,
        name,
        exchange.request_id,
        retry_after,
        detail=detail if command.reason in reasons.EXPLAINED else "",
        error=error,
    )
    if not respond.names(command.answer, b"date"):
        lines += exchange.gateway.dates.line()
    _write(exchange, lines, b"" if exchange.method == b"HEAD" else body)


def reject(exchange: "Exchange", error: BadRequest) -> None:
    """Answers a request whose rest can't be read, or that is cut short because the process ends."""
    if exchange.route is not None and reasons.REASONS[error.reason].kinds:
        exchange.route.observer.refused(error.reason)
        exchange.close_after = True
        reply(exchange, told(exchange.route, error.reason))
        return
    _note(exchange, "bad_request", error.status, error.reason)
    data = respond.rejection(error, exchange.request_id, exchange.gateway.dates.line(), exchange.attempts)
    exchange.bytes_out += len(data)
    exchange.connection.write(data)


def own(exchange: "Exchange", _: Own) -> None:
    """Answers as the one who was asked."""
    _note(exchange, "ok", 200, "")
    lines, body = respond.trace(exchange.head) if exchange.method == b"TRACE" else respond.options()
    _write(exchange, lines + exchange.gateway.dates.line(), body)


def explain(exchange: "Exchange", attempt: LiveAttempt) -> None:
    """An attempt failed: notes what is known of it beyond its reason, and tells who watches."""
    reason, detail = attempt.reason, attempt.detail
    exchange.failed = reason, detail, attempt.error
    if detail and reason in reasons.EXPLAINED and exchange.route is not None:
        exchange.route.observer.explained(attempt.upstream_name, reason, detail)


def why(exchange: "Exchange", reason: str) -> tuple[str, str]:
    """What lies behind a reason: one sentence, and an error type of RFC 9209. Each "" where there is none."""
    found, detail, error = exchange.failed
    return (detail, error) if found == reason else ("", "")


def _note(exchange: "Exchange", label: str, status: int, reason: str) -> None:
    exchange.label = label
    exchange.status = status
    exchange.reason = reason
    if exchange.head.upgrade:
        exchange.close_after = True  # what came ahead of a 101 must not be read as a request


def _write(exchange: "Exchange", lines: bytes, body: bytes) -> None:
    """Adds the lines that every answer carries, and the end of the head."""
    last = exchange.fault
    if not exchange.connection.keeps_alive or exchange.close_after:
        exchange.close_after = True
        last += b"Connection: close\r\n"
    elif exchange.head.http10:
        last += b"Connection: keep-alive\r\n"
    if exchange.attempts:
        data = b"%bX-Request-Id: %b\r\nX-Sidecar-Attempts: %d\r\n%b\r\n%b" % (
            lines,
            exchange.request_id,
            exchange.attempts,
            last,
            body,
        )
    else:
        data = b"%bX-Request-Id: %b\r\n%b\r\n%b" % (lines, exchange.request_id, last, body)
    exchange.bytes_out += len(data)
    exchange.connection.write(data)


PERFORM: Final[dict[type, Callable[["Exchange", Any], Any]]] = {
    Recall: keeping.recall,
    Keep: keeping.keep,
    Serve: serve,
    Share: share,
    Reply: reply,
    Own: own,
}
"""Who does what, for the commands that are done at once."""
