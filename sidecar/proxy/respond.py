"""Our own answers: refusals, failures told clearly, and what was kept.

The only file that turns a reason into bytes. A body that the configuration gives is sent exactly; the default one is a
JSON object whose keys are part of the contract.
"""

import math
import re
from functools import lru_cache
from typing import Final

import msgspec

from sidecar.policy.answer import Answer
from sidecar.policy.last_known_good import Stored
from sidecar.policy.reasons import DRAINING, REASONS, TOO_MANY_CONNECTIONS
from sidecar.proxy.dates import date_line
from sidecar.wire.encode import STATUS_LINES
from sidecar.wire.errors import BadRequest
from sidecar.wire.framing import METHODS
from sidecar.wire.message import RequestHead

_JSON: Final = b"Content-Type: application/json\r\n"
_SOON: Final = b"Retry-After: 1\r\n"
_ALLOW: Final = b"Allow: " + b", ".join(sorted(METHODS)) + b"\r\n"
_SECRET: Final = re.compile(rb"auth|cookie|credential|key|passw|secret|session|sign|token").search
"""Finds the names of fields whose values are nobody's business, not even in an echo."""
_encode = msgspec.json.encode


def proxy_status(reason: str, received: int = 0, error: str = "") -> bytes:
    """The `Proxy-Status` line (RFC 9209) for a reason.

    `received`: the upstream's own status, 0 if it sent none. `error`: its error type, "" for the reason's own.
    """
    error = error or REASONS[reason].error
    if received:
        text = f'sidecar; error={error}; received-status={received}; details="{reason}"'
    else:
        text = f'sidecar; error={error}; details="{reason}"'
    return b"Proxy-Status: " + text.encode() + b"\r\n"


def error_code(reason: str) -> str:
    """What programs switch on: one word for "the upstream can't be had", the reason itself for the caller's faults."""
    return "UPSTREAM_UNAVAILABLE" if REASONS[reason].kinds else reason.upper()


@lru_cache(maxsize=1024)
def _body_template(reason: str, route: str, detail: str, *, retry: bool) -> bytes:
    body: dict[str, str | int] = {
        "error_code": error_code(reason),
        "reason": reason,
        "route": route,
        "request_id": "@",
    }
    if retry:
        body["retry_after"] = 0
    if detail:
        body["detail"] = detail
    text = _encode(body).replace(b"%", b"%%").replace(b'"@"', b'"%b"')
    return text.replace(b'"retry_after":0', b'"retry_after":%d')


def default_body(reason: str, route: str, request_id: bytes, retry_after: int, detail: str = "") -> bytes:
    """The default JSON body of our own answers. `retry_after`: seconds, 0 for none. `detail`: one sentence, or "".

    The request id goes in as it is: `ids.py` lets none pass that JSON would have to escape.
    """
    template = _body_template(reason, route, detail, retry=retry_after > 0)
    return template % ((request_id, retry_after) if retry_after else (request_id,))


@lru_cache(maxsize=1024)
def _first_lines(reason: str, status: int, answer: Answer | None, error: str) -> bytes:
    lines = [STATUS_LINES[status]]
    if answer is None:
        lines.append(_JSON)
    else:
        lines += [name + b": " + value + b"\r\n" for name, value in answer.headers]
    lines.append(proxy_status(reason, error=error))
    return b"".join(lines)


def reply_lines(
    reason: str,
    status: int,
    answer: Answer | None,
    route: str,
    request_id: bytes,
    retry_after: float,
    *,
    detail: str = "",
    error: str = "",
) -> tuple[bytes, bytes]:
    """Head lines (without the final empty one) and body of an answer of ours.

    An outage refuses thousands of times a second: what depends on the reason alone is made once (0.4 of the time).
    """
    seconds = math.ceil(retry_after)
    lines = _first_lines(reason, status, answer, error)
    body = default_body(reason, route, request_id, seconds, detail) if answer is None else answer.body
    if seconds > 0 and not names(answer, b"retry-after"):
        lines += b"Retry-After: %d\r\n" % seconds
    if status == 204 or status == 304:  # noqa: PLR1714 - twice as fast as a set
        return lines, b""
    return b"%bContent-Length: %d\r\n" % (lines, len(body)), body


def names(answer: Answer | None, low: bytes) -> bool:
    """Whether a configured answer has that header, by its lower-case name."""
    return answer is not None and any(name.lower() == low for name, _ in answer.headers)


def stored_lines(stored: Stored, reason: str, age: float, received: int, error: str = "") -> bytes:
    """Head lines of a last known good answer: marked as such, and not to be kept by anybody on its way.

    `ttl`: how long ago the answer stopped being fresh (RFC 9211 section 2.3), never above 0: whoever gets it is told
    that it is not the upstream's own word. One whose origin says nothing is stale from the moment it is made.
    """
    seconds = max(0, int(age))
    stale = max(0, seconds - int(stored.fresh_for))
    status = b"Cache-Status: sidecar; hit; ttl=-%d; detail=%b\r\n" % (stale, reason.encode())
    return _kept_lines(stored, seconds, status + proxy_status(reason, received, error))


def shared_lines(stored: Stored, age: float) -> bytes:
    """Head lines of an answer that another request has just brought.

    `collapsed` (RFC 9211 section 2.7): this one was not sent, for one like it was under way.
    """
    return _kept_lines(stored, max(0, int(age)), b"Cache-Status: sidecar; fwd=stale; collapsed\r\n")


def _kept_lines(stored: Stored, age: int, status: bytes) -> bytes:
    lines = [STATUS_LINES[stored.status]]
    lines += [name + b": " + value + b"\r\n" for name, value in stored.headers]
    if not any(name.lower() == b"date" for name, _ in stored.headers):
        lines.append(date_line(stored.stored_at))
    lines.append(b"Age: %d\r\nCache-Control: no-store\r\n%b" % (age, status))
    lines.append(b"Content-Length: %d\r\n" % len(stored.body))
    return b"".join(lines)


def options() -> tuple[bytes, bytes]:
    """Head lines and body for those who ask what we, and not somebody behind us, can do."""
    return STATUS_LINES[200] + _ALLOW + b"Content-Length: 0\r\n", b""


def trace(head: RequestHead) -> tuple[bytes, bytes]:
    """Head lines and body that show a request as it came, without what is secret (RFC 9110 section 9.3.8)."""
    shown = [name + b": " + value + b"\r\n" for low, name, value in head.headers if _SECRET(low) is None]
    line = b"%b %b HTTP/1.%d\r\n" % (head.method, head.target, not head.http10)
    body = b"%b%b\r\n" % (line, b"".join(shown))
    return b"%bContent-Type: message/http\r\nContent-Length: %d\r\n" % (STATUS_LINES[200], len(body)), body


def rejection(error: BadRequest, request_id: bytes, date: bytes, attempts: int = 0) -> bytes:
    """The whole response to a message that is no request we can serve. The connection closes after it.

    `date`: line of now. `attempts`: made before its body turned out to be broken.
    """
    body = _encode(
        {
            "error_code": error_code(error.reason),
            "reason": error.reason,
            "route": "-",
            "request_id": request_id.decode("latin-1"),
            "detail": error.detail,
        }
    )
    head = [
        STATUS_LINES[error.status],
        _JSON,
        proxy_status(error.reason),
        b"X-Request-Id: " + request_id + b"\r\n",
        b"X-Sidecar-Attempts: %d\r\n" % attempts if attempts else b"",
        _SOON if error.reason in {TOO_MANY_CONNECTIONS, DRAINING} else b"",
        _ALLOW if error.status == 405 else b"",  # RFC 9110 section 15.5.6
        date,
        b"Content-Length: %d\r\n" % len(body),
        b"Connection: close\r\n\r\n",
        b"" if error.to_head else body,
    ]
    return b"".join(head)
