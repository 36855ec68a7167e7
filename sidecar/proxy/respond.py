"""Our own answers: refusals, failures told clearly, and what was kept.

The only file that turns a reason into bytes. A body that the configuration gives is sent exactly; the default one is a
JSON object whose keys are part of the contract.
"""

import math
from functools import lru_cache
from typing import Final

import msgspec

from sidecar.policy.answer import Answer
from sidecar.policy.last_known_good import Stored
from sidecar.policy.reasons import REASONS
from sidecar.wire.encode import STATUS_LINES
from sidecar.wire.errors import BadRequest

_JSON: Final = b"Content-Type: application/json\r\n"
_encode = msgspec.json.encode


def proxy_status(reason: str, received: int = 0) -> bytes:
    """The `Proxy-Status` line (RFC 9209) for a reason; `received`: the upstream's own status, 0 if it sent none."""
    if received:
        text = f'sidecar; error={REASONS[reason].error}; received-status={received}; details="{reason}"'
    else:
        text = f'sidecar; error={REASONS[reason].error}; details="{reason}"'
    return b"Proxy-Status: " + text.encode() + b"\r\n"


def error_code(reason: str) -> str:
    """What programs switch on: one word for "the upstream can't be had", the reason itself for the caller's faults."""
    return "UPSTREAM_UNAVAILABLE" if REASONS[reason].kinds else reason.upper()


@lru_cache(maxsize=1024)
def _body_template(reason: str, route: str, *, retry: bool) -> bytes:
    body: dict[str, str | int] = {
        "error_code": error_code(reason),
        "reason": reason,
        "route": route,
        "request_id": "@",
    }
    if retry:
        body["retry_after"] = 0
    text = _encode(body).replace(b"%", b"%%").replace(b'"@"', b'"%b"')
    return text.replace(b'"retry_after":0', b'"retry_after":%d')


def default_body(reason: str, route: str, request_id: bytes, retry_after: int) -> bytes:
    """The default JSON body of our own answers. `retry_after`: seconds, 0 for none.

    The request id goes in as it is: `ids.py` lets none pass that JSON would have to escape.
    """
    template = _body_template(reason, route, retry=retry_after > 0)
    return template % ((request_id, retry_after) if retry_after else (request_id,))


@lru_cache(maxsize=1024)
def _first_lines(reason: str, status: int, answer: Answer | None) -> bytes:
    lines = [STATUS_LINES[status]]
    if answer is None:
        lines.append(_JSON)
    else:
        lines += [name + b": " + value + b"\r\n" for name, value in answer.headers]
    lines.append(proxy_status(reason))
    return b"".join(lines)


def reply_lines(
    reason: str, status: int, answer: Answer | None, route: str, request_id: bytes, retry_after: float
) -> tuple[bytes, bytes]:
    """Head lines (without the final empty one) and body of an answer of ours.

    An outage refuses thousands of times a second: what depends on the reason alone is made once (0.4 of the time).
    """
    seconds = math.ceil(retry_after)
    lines = _first_lines(reason, status, answer)
    body = default_body(reason, route, request_id, seconds) if answer is None else answer.body
    if seconds > 0 and not _names(answer, b"retry-after"):
        lines += b"Retry-After: %d\r\n" % seconds
    if status == 204 or status == 304:  # noqa: PLR1714 - twice as fast as a set
        return lines, b""
    return b"%bContent-Length: %d\r\n" % (lines, len(body)), body


def _names(answer: Answer | None, low: bytes) -> bool:
    return answer is not None and any(name.lower() == low for name, _ in answer.headers)


def stored_lines(stored: Stored, reason: str, age: float, received: int) -> bytes:
    """Head lines of a last known good answer: marked as such, and not to be kept by anybody on its way.

    `ttl`: how long the answer stays fresh; negative: how long ago it stopped (RFC 9211 section 2.3). One whose origin
    says nothing about it is stale from the moment it is made.
    """
    lines = [STATUS_LINES[stored.status]]
    lines += [name + b": " + value + b"\r\n" for name, value in stored.headers]
    seconds = max(0, int(age))
    ttl = int(stored.fresh_for) - seconds
    lines.append(b"Age: %d\r\n" % seconds)
    lines.append(b"Cache-Control: no-store\r\n")
    lines.append(b"Cache-Status: sidecar; hit; ttl=%d; detail=%b\r\n" % (ttl, reason.encode()))
    lines.append(proxy_status(reason, received))
    lines.append(b"Content-Length: %d\r\n" % len(stored.body))
    return b"".join(lines)


def rejection(error: BadRequest, request_id: bytes, attempts: int = 0) -> bytes:
    """The whole response to a message that is no request we can serve. The connection closes after it.

    `attempts`: made before its body turned out to be broken.
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
        b"Content-Length: %d\r\n" % len(body),
        b"Connection: close\r\n\r\n",
        body,
    ]
    return b"".join(head)
