"""Framing and hop-by-hop rules of an HTTP/1.1 intermediary: pure functions over field values.

A value that came in several field lines is given as one, joined with ", " (RFC 9110 section 5.3): a repeated
`Host` or `Content-Length` is malformed then, and a repeated `Transfer-Encoding` or `Connection` is a list.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from sidecar.wire.errors import BadRequest, MalformedResponse
from sidecar.wire.message import CHUNKED, UNTIL_CLOSE, ResponseHead

HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Lower-case names of fields that end at this hop: RFC 9110 section 7.6.1, the proxy authentication of
section 11.7, and the settings of the h2c upgrade that RFC 9113 section 3.1 withdrew. `Trailer` is not one:
trailers are relayed."""

FORBIDDEN_TRAILERS: Final = HOP_BY_HOP | {
    b"authorization",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"host",
    b"max-forwards",
    b"set-cookie",
    b"trailer",
    b"www-authenticate",
}
"""Framing, routing and authentication never come after the body (RFC 9110 section 6.5.1)."""

METHODS: Final = frozenset(
    b"ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE"
    b" NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE"
    b" TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE".split()
)
"""The methods that are served; CONNECT is known and refused (RFC 9110 section 9.1)."""

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_MAX_HOST = 255 + 6
_FINAL = 200
_BODILESS = frozenset({204, 304})
_LENGTH_DIGITS = 20  # of 2**64
_HOST = re.compile(
    rb"(?:\[(?:[0-9A-Fa-f:.]+|v[0-9A-Fa-f]+\.[!$&-.0-;=A-Z_a-z~]+)\]|(?:[!$&-.0-9;=A-Z_a-z~]|%[0-9A-Fa-f]{2})+)"
    rb"(?::[0-9]{0,5})?"
)


class Options(NamedTuple):
    """What a message's `Connection` says."""

    tokens: frozenset[bytes]
    """Lower-case names of the fields that end at this hop."""
    close: bool
    keep_alive: bool
    """Asked for, which HTTP/1.0 has to do, and `close` not (RFC 9112 section 9.3)."""
    upgrade: bool


_NONE: Final = frozenset[bytes]()
NO_OPTIONS: Final = Options(_NONE, close=False, keep_alive=False, upgrade=False)


def _options(value: bytes) -> Options:
    tokens = frozenset(token.strip(b" \t") for token in value.lower().split(b",")) - {b""}
    return Options(
        tokens - {b"close", b"keep-alive"} or _NONE,
        close=b"close" in tokens,
        keep_alive=b"keep-alive" in tokens and b"close" not in tokens,
        upgrade=b"upgrade" in tokens,
    )


_USUAL: Final = {
    value: _options(value) for value in (b"keep-alive", b"Keep-Alive", b"close", b"Close", b"Upgrade", b"upgrade")
}


def connection_options(value: bytes) -> Options:
    """Reads the value of `Connection` (RFC 9110 section 7.6.1). What no field is called removes nothing."""
    return _USUAL.get(value) or _options(value)


def request_length(transfer_encoding: bytes | None, content_length: bytes | None, *, http10: bool) -> int:
    """Body length of a request: bytes, 0 for none, or CHUNKED (RFC 9112 section 6.3).

    Raises:
        BadRequest: 400 where two recipients could disagree on the length, 501 for a coding other than
        chunked.
    """
    if transfer_encoding is not None:
        if content_length is not None:  # section 6.3, rule 3: the mark of a smuggled request
            raise BadRequest(400, "bad_request", "Transfer-Encoding and Content-Length in one request")
        if http10:  # section 6.1: HTTP/1.0 has no transfer codings; the framing is faulty
            raise BadRequest(400, "bad_request", "Transfer-Encoding in an HTTP/1.0 request")
        return _request_coding(transfer_encoding)
    if content_length is None:
        return 0  # rule 7
    if not _is_length(content_length):  # rule 5
        raise BadRequest(400, "bad_request", "Content-Length is not one decimal number")
    return int(content_length)


def _is_length(value: bytes) -> bool:
    return value.isdigit() and len(value) < _LENGTH_DIGITS


def _request_coding(value: bytes) -> int:
    if value.lower() == b"chunked":
        return CHUNKED
    codings = [coding.strip(b" \t").lower() for coding in value.split(b",")]
    if b"chunked" in codings[:-1] or not all(map(_TOKEN.fullmatch, codings)):
        # section 6.3, rule 4: chunked is not the last coding, or was applied twice (section 7.1)
        raise BadRequest(400, "bad_request", "Transfer-Encoding does not end with a single chunked")
    raise BadRequest(501, "not_implemented", "the only transfer coding served is chunked")  # section 6.1


def response_length(status: int, method: bytes, transfer_encoding: bytes | None, content_length: bytes | None) -> int:
    """Body length of a response: bytes, 0 for none, CHUNKED or UNTIL_CLOSE (RFC 9112 section 6.3).

    Raises:
        MalformedResponse: the length is ambiguous, or a transfer coding is not `chunked`.
    """
    length = UNTIL_CLOSE  # rule 8
    if content_length is not None:
        if not _is_length(content_length):  # rule 5
            raise MalformedResponse("Content-Length is not one decimal number")
        if transfer_encoding is not None:  # rule 3
            raise MalformedResponse("Transfer-Encoding and Content-Length in one response")
        length = int(content_length)  # rule 6
    if method == b"HEAD" or status < _FINAL or status in _BODILESS:  # rule 1
        return 0
    if transfer_encoding is not None:  # rule 4; no other coding was asked for (RFC 9110 section 10.1.4)
        if transfer_encoding.lower() != b"chunked":
            raise MalformedResponse("a transfer coding other than chunked")
        return CHUNKED
    return length


@lru_cache(maxsize=1024)
def check_host(host: bytes) -> None:
    """Lets an authority pass, or raises. What passed is remembered: an application talks to few hosts.

    Raises:
        BadRequest: 400; it is not `uri-host [":" port]` with a host (RFC 9110 sections 4.2.1 and 7.2): empty,
            repeated, with user information, a path, white space or control characters.
    """
    if len(host) > _MAX_HOST or _HOST.fullmatch(host) is None:
        raise BadRequest(400, "bad_request", "Host is not one host with an optional port")


def absolute_form(target: bytes, method: bytes) -> tuple[bytes, bytes]:
    """Splits `http://host/path` into the authority and the origin-form target (RFC 9112 section 3.2.2).

    Raises:
        BadRequest: 400; the scheme is neither http nor https, or the authority is malformed.
    """
    scheme, _, rest = target.partition(b"://")
    if scheme.lower() not in (b"http", b"https"):
        raise BadRequest(400, "bad_request", "the target is neither a path nor an http URI")
    end = min((i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0), default=len(rest))
    host, target = rest[:end], rest[end:]
    check_host(host)
    if target[:1] == b"/":
        return host, target
    if not target and method == b"OPTIONS":  # section 3.2.4: the last proxy asks about the server as a whole
        return host, b"*"
    return host, b"/" + target


def is_token(value: bytes) -> bool:
    """Whether it is a `token` (RFC 9110 section 5.6.2)."""
    return _TOKEN.fullmatch(value) is not None


def expects_continue(value: bytes, *, http10: bool, length: int) -> bool:
    """Whether the caller waits for a 100 before it sends the body (RFC 9110 section 10.1.1).

    In HTTP/1.0 it must be ignored, and without a body there is nothing to wait with. Other expectations are
    not ours to refuse (the 417 is a MAY): they go to the upstream, which knows what it can meet.
    """
    if http10 or length == 0:
        return False
    return b"100-continue" in [member.strip(b" \t") for member in value.lower().split(b",")]


def is_asked(head: ResponseHead, asked: bytes) -> bool:
    """Whether a 101 switches to what the request's `Upgrade` asked for, and to nothing else (RFC 9110 section 7.8)."""
    named = {member for low, _, value in head.headers if low == b"upgrade" for member in _members(value)}
    return bool(named) and named.issubset(_members(asked))


def _members(value: bytes) -> list[bytes]:
    return [member for part in value.lower().split(b",") if (member := part.strip(b" \t"))]


def upgrade(value: bytes, *, length: int) -> bytes:
    """The protocols a request asks to switch to, without h2c, which is to be ignored (RFC 9113 section 3.1).

    Raises:
        BadRequest: 400; a body would stand between the request and the first byte of the other protocol.
        (With
            h2c alone it is a plain request: Java's client offers h2c with each first one, bodies included.)
    """
    members = [member.strip(b" \t") for member in value.split(b",")]
    wanted = b", ".join([member for member in members if member and member.lower() not in (b"h2c", b"h2")])
    if wanted and length != 0:
        raise BadRequest(400, "bad_request", "a body in a request to upgrade")
    return wanted
