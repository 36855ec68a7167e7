"""Complete message heads in, RequestHead and ResponseHead out.

A connection cuts the head out of its stream, up to and with the empty line, and frames the body itself. So
httptools is fed heads alone, and what it would make of a body (a second request under `Upgrade`, a body after
HEAD, the rest of a pipeline) cannot happen. It is the strict judge of syntax; each rule it leaves open is a
line here or in framing.py.
"""

import re
from collections.abc import Callable
from typing import Final

import httptools

from sidecar.wire import framing
from sidecar.wire.encode import REASONS
from sidecar.wire.errors import BadRequest, MalformedResponse
from sidecar.wire.framing import METHODS, NO_OPTIONS, Options, check_host, connection_options
from sidecar.wire.message import UNTIL_CLOSE, Header, RequestHead, ResponseHead

_REQUEST_FIELDS: Final = frozenset(
    {b"connection", b"content-length", b"expect", b"host", b"transfer-encoding", b"upgrade"}
)
_RESPONSE_FIELDS: Final = frozenset({b"connection", b"content-length", b"transfer-encoding"})
_NO_TUNNELS: Final = "CONNECT is not served: call http:// here, and TLS to the service is made by the sidecar"
_LF: Final = 10
_CR: Final = 13
_FRAGMENT: Final = ord("#")

_VERSION: Final = re.compile(rb"HTTP/[0-9]\.[0-9]")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")
"""Groups: minor version, status. The space before an absent reason is often left out, and harmless."""
_STATUS_LINES: Final = {
    b"HTTP/1.%d %d %b" % (minor, status, reason): (status, minor == 0)
    for status, reason in REASONS.items()
    for minor in (0, 1)
}
_SWITCHING_PROTOCOLS: Final = 101
_LENGTHLESS: Final = frozenset({*range(100, 200), 204})
"""Statuses that have no length to tell (RFC 9110 section 8.6)."""


class _Judge:
    """Has httptools read heads, and keeps the field lines of the one it read last.

    `kind`: httptools' parser class. `wanted`: lower-case names to be found in `fields` as well, joined with
    ", " where a name came twice. A parser is reused for as long as each message ends with its head. Whether
    it did is told by httptools itself, which then empties `open`; it is never concluded from what we read.
    """

    __slots__ = ("_feed", "_kind", "fields", "headers", "on_header", "on_message_complete", "open")

    def __init__(
        self, kind: type[httptools.HttpRequestParser | httptools.HttpResponseParser], wanted: frozenset[bytes]
    ) -> None:
        self._kind = kind
        self._feed: Callable[[bytes], None] | None = None
        self.headers: list[Header] = []
        self.fields: dict[bytes, bytes] = {}
        self.open = {"message"}
        self.on_message_complete = self.open.clear  # both are called by httptools
        self.on_header = _collector(self.headers, self.fields, wanted)

    def read(self, head: bytes) -> None:
        """Fills `headers` and `fields`, or raises HttpParserError."""
        self.headers.clear()
        self.fields.clear()
        self.open.add("message")
        feed = self._feed
        try:
            (feed or self._renew())(head)
        except httptools.HttpParserUpgrade:
            self._feed = None
        except httptools.HttpParserError:
            self._feed = None
            if feed is None:
                raise
            # A head before this one may have closed the parser: only the verdict of a new one counts.
            self.read(head)

    def discard(self) -> None:
        """The parser is in a body, or closed: the next head gets a new one."""
        self._feed = None

    def _renew(self) -> Callable[[bytes], None]:
        self._feed = feed = self._kind(self).feed_data
        return feed


def _collector(
    headers: list[Header], fields: dict[bytes, bytes], wanted: frozenset[bytes]
) -> Callable[[bytes, bytes], None]:
    append = headers.append

    def on_header(name: bytes, value: bytes) -> None:
        low = name.lower()
        value = value.strip()  # httptools keeps trailing white space, and lets no other kind pass than OWS
        if low in wanted:
            fields[low] = fields[low] + b", " + value if low in fields else value
        append((low, name, value))

    return on_header


class RequestParser:
    """Heads of requests. Keeps nothing between two of them.

    `max_headers`: field lines in a head, beyond which it is refused with 431. `max_target`: bytes in a
    target, beyond which 414. The bytes of the whole head are for the connection to limit: it holds them.
    """

    __slots__ = ("_judge", "_max_headers", "_max_target")

    def __init__(self, max_headers: int = 100, max_target: int = 8192) -> None:
        self._judge = _Judge(httptools.HttpRequestParser, _REQUEST_FIELDS)
        self._max_headers = max_headers
        self._max_target = max_target

    def parse(self, head: bytes) -> RequestHead:
        """Reads one complete head, which starts with its request line and ends with an empty one.

        Raises:
            BadRequest: with the status to answer. Then the connection must be closed: what follows is
            unknown.
        """
        try:
            method, target, version = head[: head.find(_CR)].split(b" ")
        except ValueError:
            raise BadRequest(400, "bad_request", "no request line") from None
        if version != b"HTTP/1.1" or method not in METHODS:
            _check_line(method, version)
        if len(target) > self._max_target:
            raise BadRequest(414, "uri_too_long", "the request target is too long")
        judge = self._judge
        try:
            judge.read(head)
        except httptools.HttpParserError:
            raise _refusal(head, judge, version) from None
        request = RequestHead()
        request.headers = headers = judge.headers.copy()
        if len(headers) > self._max_headers:
            raise BadRequest(431, "headers_too_large", "too many header fields")
        request.method = method
        _frame_request(request, judge.fields, version)
        if judge.open:
            judge.discard()
            if not request.length:
                raise BadRequest(400, "bad_request", "the head has no end")
        elif request.length and b"upgrade" not in judge.fields:  # under which it leaves bodies to us
            raise BadRequest(400, "bad_request", "the length of the body is ambiguous")
        # httptools takes a line feed for the end of a request of HTTP/0.9.
        if target[:1] == b"/" and _FRAGMENT not in target and _LF not in target:
            request.target = target
            request.path, _, request.query = target.partition(b"?")
        else:
            _address(request, target)
        return request


def _check_line(method: bytes, version: bytes) -> None:
    """Lets a known method in HTTP/1.0 or 1.1 pass."""
    if not framing.is_token(method):  # first: of a head that is not whole yet, only the first byte is looked at
        raise BadRequest(400, "bad_request", "the method is not a token")
    if _VERSION.fullmatch(version) is None:
        raise BadRequest(400, "bad_request", "no HTTP version in the request line")
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise BadRequest(505, "version_not_supported", "neither HTTP/1.1 nor HTTP/1.0")
    if method == b"CONNECT":
        raise BadRequest(405, "method_not_allowed", _NO_TUNNELS)
    if method not in METHODS:
        raise BadRequest(501, "not_implemented", "the method is not known")


def _refusal(head: bytes, judge: _Judge, version: bytes) -> BadRequest:
    """Of a head that httptools refused: a coding that is not served has a status of its own."""
    if len(judge.headers) + 2 == head.count(b"\n"):  # it read all lines, so it is their meaning that it refused
        try:
            _length(judge.fields, http10=version == b"HTTP/1.0")
        except BadRequest as error:
            return error
    return BadRequest(400, "bad_request", "the head is not HTTP/1.1 syntax")


def _length(fields: dict[bytes, bytes], *, http10: bool) -> int:
    return framing.request_length(fields.get(b"transfer-encoding"), fields.get(b"content-length"), http10=http10)


def _frame_request(request: RequestHead, fields: dict[bytes, bytes], version: bytes) -> None:
    """Takes the fields out of `fields` one by one: mostly there is nothing left after two."""
    request.http10 = http10 = version == b"HTTP/1.0"
    value = fields.pop(b"connection", None)
    options = NO_OPTIONS if value is None else connection_options(value)
    request.connection_tokens = options.tokens
    request.keep_alive = options.keep_alive if http10 else not options.close
    host = fields.pop(b"host", None)
    if host is not None:
        check_host(host)
        request.host = host
    elif http10:
        request.host = b""
    else:  # RFC 9112 section 3.2
        raise BadRequest(400, "bad_request", "no Host in an HTTP/1.1 request")
    if fields:
        _frame_body(request, fields, options)
    else:
        request.length = 0
        request.expects_continue = False
        request.upgrade = b""


def _frame_body(request: RequestHead, fields: dict[bytes, bytes], options: Options) -> None:
    http10 = request.http10
    request.length = length = _length(fields, http10=http10)
    if length and request.method == b"TRACE":  # RFC 9110 section 9.3.8
        raise BadRequest(400, "bad_request", "a body in a TRACE request")
    if fields.get(b"content-length", b"")[:1] == b"0":
        _write_plainly(request.headers)
    request.expects_continue = b"expect" in fields and framing.expects_continue(
        fields[b"expect"], http10=http10, length=length
    )
    wanted = options.upgrade and not http10 and b"upgrade" in fields  # RFC 9110 section 7.8
    request.upgrade = framing.upgrade(fields[b"upgrade"], length=length) if wanted else b""


def _write_plainly(headers: list[Header]) -> None:
    """Leaves one way to write a length: with leading zeros it is octal to somebody."""
    for index, (low, name, value) in enumerate(headers):
        if low == b"content-length":
            headers[index] = (low, name, b"%d" % int(value))


def _address(request: RequestHead, target: bytes) -> None:
    """The forms of a target that are rare: absolute-form, and `*`."""
    if _FRAGMENT in target or _LF in target:  # RFC 9112 section 3.2: no form has a fragment
        raise BadRequest(400, "bad_request", "a fragment or line feed in the request target")
    if target != b"*":
        request.host, target = framing.absolute_form(target, request.method)
        # To whom it speaks so we are a proxy, which must not keep such a connection (RFC 9112 section 9.3).
        request.keep_alive = request.keep_alive and not request.http10
        # And the credentials for a proxy are for us: they must not travel on (RFC 9110 section 11.7.2).
        request.headers = [
            (low, name, request.host if low == b"host" else value)
            for low, name, value in request.headers
            if low != b"proxy-authorization"
        ]
    elif request.method != b"OPTIONS":  # section 3.2.4
        raise BadRequest(400, "bad_request", "the target * is for OPTIONS")
    request.target = target
    request.path, _, request.query = target.partition(b"?")


class ResponseParser:
    """Heads of responses. Keeps nothing between two of them. `max_headers`: field lines allowed in one."""

    __slots__ = ("_judge", "_max_headers")

    def __init__(self, max_headers: int = 100) -> None:
        self._judge = _Judge(httptools.HttpResponseParser, _RESPONSE_FIELDS)
        self._max_headers = max_headers

    def parse(self, head: bytes, method: bytes) -> ResponseHead:
        """Reads one complete head, which starts with its status line and ends with an empty one.

        Args:
            head: interim responses come as heads of their own.
            method: of the request that is answered; HEAD has no body.

        Raises:
            MalformedResponse: it is no response, or not one to be trusted.
        """
        end = head.find(_CR)
        line = head[:end]
        response = ResponseHead()
        response.status, response.http10 = _STATUS_LINES.get(line) or _status_line(line)
        judge = self._judge
        try:
            # The status line is read by now. Under a 204 the message ends with its head whatever its fields
            # say, so that the parser can be used again: 0.9 of the time of making one each time.
            judge.read(b"HTTP/1.1 204 " + head[end:])
        except httptools.HttpParserError:
            raise MalformedResponse("the head is not HTTP/1.1 syntax") from None
        if judge.open:
            judge.discard()
            raise MalformedResponse("the head has no end")
        response.headers = judge.headers.copy()
        if len(response.headers) > self._max_headers:
            raise MalformedResponse("too many header fields")
        _frame_response(response, method, judge.fields)
        return response


def _status_line(line: bytes) -> tuple[int, bool]:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise MalformedResponse("no HTTP/1.1 status line with a status of 100 to 599")
    return int(match[2]), match[1] == b"0"


def _frame_response(response: ResponseHead, method: bytes, fields: dict[bytes, bytes]) -> None:
    status = response.status
    value = fields.get(b"connection")
    options = NO_OPTIONS if value is None else connection_options(value)
    response.connection_tokens = options.tokens
    coding = fields.get(b"transfer-encoding")
    written = fields.get(b"content-length")
    response.length = length = framing.response_length(status, method, coding, written)
    response.keep_alive = length != UNTIL_CLOSE and (
        # RFC 9112 section 6.1: a coding in HTTP/1.0 is faulty framing, so close after it
        options.keep_alive and coding is None if response.http10 else not options.close
    )
    if written is not None and written[:1] == b"0":
        _write_plainly(response.headers)
    if status in _LENGTHLESS:
        response.headers = [h for h in response.headers if h[0] not in (b"content-length", b"transfer-encoding")]
        if status == _SWITCHING_PROTOCOLS and not (options.upgrade and response.get(b"upgrade")):
            raise MalformedResponse("a 101 that says not to what")  # RFC 9110 section 7.8
