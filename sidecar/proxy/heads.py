"""Heads on their way through: what goes to the upstream, what goes back to the caller.

Order, duplicates and case of what passes are kept. Removed are the fields that belong to one connection (RFC 9110
section 7.6.1), listed in `Connection` or known; replaced are those that are ours to say.

What depends only on the bytes of a head is worked out once for all heads of the same bytes (`wire/known.py`), and what
depends on the endpoint once for each: a request's head is then one formatting of seven values.
"""

from typing import Final

from sidecar.proxy.hops import ANY, ends_here, expectation, one_hop_less, takes_trailers
from sidecar.proxy.ids import request_id_of, traceparent_of
from sidecar.proxy.patience import UNLIMITED, patience
from sidecar.proxy.target import Rewrite, Target
from sidecar.wire.encode import STATUS_LINES
from sidecar.wire.framing import HOP_BY_HOP
from sidecar.wire.message import CHUNKED, HIDDEN, Header, RequestHead, ResponseHead

# Never sent on: they belong to the caller's connection, or are answered here.
# Credentials for a proxy go on: we asked for none, and whoever behind us did must get them (RFC 9110 section 11.7.2).
_DROPPED: Final = (HOP_BY_HOP - {b"proxy-authorization"}) | {b"host"}
# Read here: said anew, or the caller's own word to us.
_NOTED: Final = frozenset(
    {
        b"grpc-timeout",
        b"idempotency-key",
        b"max-forwards",
        b"te",
        b"traceparent",
        b"tracestate",
        b"via",
        b"x-envoy-attempt-count",
        b"x-envoy-expected-rq-timeout-ms",
        b"x-envoy-upstream-rq-timeout-ms",
        b"x-request-id",
        b"x-sidecar-attempt",
        b"x-sidecar-timeout",
    }
)
# Read here, and passed on as well: they are the upstream's business too.
_ALSO_PASSED: Final = frozenset({b"grpc-timeout", b"idempotency-key", b"tracestate", b"x-envoy-attempt-count"})
_SPECIAL: Final = _DROPPED | _NOTED | {b"content-length", b"expect", b"transfer-encoding"}
_TRACESTATE: Final = frozenset({b"tracestate"})
# What `policy/expect.py` undoes (RFC 9110 section 8.4.1).
_UNDONE: Final = frozenset({b"gzip", b"x-gzip", b"deflate", b"identity"})
# They frame the message, address it or count its hops: naming them in Connection must not take them away.
_NOT_OURS_TO_DROP: Final = frozenset({b"content-length", b"transfer-encoding", b"host", b"via", b"max-forwards", b"te"})
# Said with the field that it names (RFC 9110 section 10.1.4).
_TAKES_TRAILERS: Final = b"TE: trailers\r\nConnection: TE\r\n"

_RESPONSE_SPECIAL: Final = HOP_BY_HOP | {
    b"x-request-id",
    b"x-sidecar-attempts",
    b"content-length",
    b"transfer-encoding",
}


class SortedRequest:
    """What a request's field lines say to us, and which of them go on.

    patience: seconds the caller gives, infinite if it did not say. retried: it retries on its own. has_key: it has an
    Idempotency-Key. ids: its own request id and trace, each None if it has none worth keeping. trailers: it takes
    trailers.
    ends_here: why it must go no further, or empty.
    """

    __slots__ = (
        "_lines",
        "_passed",
        "_readable",
        "_via",
        "ends_here",
        "has_key",
        "ids",
        "patience",
        "retried",
        "trailers",
    )

    def __init__(self, head: RequestHead, pseudonym: bytes) -> None:
        noted: dict[bytes, bytes] = {}
        lines = [line for header in head.headers if (line := _sorted(header, head, noted))]
        listed = head.connection_tokens - _NOT_OURS_TO_DROP
        if listed:
            lines = _without(lines, listed)
            for name in listed:
                noted.pop(name, None)
        before = noted.get(b"via")
        # The version is that of the message we received (RFC 9110 section 7.6.3).
        own = (b"1.0 " if head.http10 else b"1.1 ") + pseudonym
        self._via = own if before is None else before + b", " + own
        self.ends_here = ends_here(head.method, before, noted.get(b"max-forwards"), pseudonym)
        self._passed: dict[Target, bytes] = {}
        self._readable: dict[Target, bytes] = {}
        self.patience = patience(noted) if noted else UNLIMITED
        self.has_key = b"idempotency-key" in noted
        attempts = (noted.get(b"x-envoy-attempt-count", b"1"), noted.get(b"x-sidecar-attempt", b"1"))
        self.retried = attempts != (b"1", b"1")
        self.ids = request_id_of(noted.get(b"x-request-id")), traceparent_of(noted.get(b"traceparent"))
        self.trailers = not head.http10 and takes_trailers(noted.get(b"te", b""))
        # What belongs to a trace that we could not read says nothing about the one we begin.
        self._lines = lines if self.ids[1] is not None else _without(lines, _TRACESTATE)

    def passed(self, target: Target) -> bytes:
        """Everything that all requests with these lines say to this endpoint, `Host` apart."""
        known = self._passed.get(target)
        if known is None:
            known = self._passed[target] = self._joined(self._lines, target)
        return known

    def readable(self, target: Target) -> bytes:
        """As `passed`, but asks only for answers that can be looked into."""
        known = self._readable.get(target)
        if known is None:
            known = self._readable[target] = self._joined(_with_undone_encodings(self._lines), target)
        return known

    def _joined(self, lines: list[bytes], target: Target) -> bytes:
        if target.removed:
            lines = _without(lines, target.removed)
        own = target.added + b"Via: " + self._via + b"\r\n"
        return b"".join(lines) + (own + _TAKES_TRAILERS if self.trailers else own)


def _sorted(header: Header, head: RequestHead, noted: dict[bytes, bytes]) -> bytes:
    """The line to send on, or nothing; notes what is said to us."""
    low, name, value = header
    if low not in _SPECIAL:
        return name + b": " + value + b"\r\n"
    if low == b"content-length":
        return b"%b: %d\r\n" % (name, head.length)  # our own spelling of it: "003" must not travel
    if low == b"transfer-encoding":
        return name + b": chunked\r\n"
    if low in _NOTED:
        noted[low] = noted[low] + b", " + value if low in noted else value
    elif low == b"expect":
        value = expectation(value)
        return name + b": " + value + b"\r\n" if value and not head.http10 else b""
    if low == b"max-forwards":
        value = one_hop_less(head.method, value)
    elif low not in _ALSO_PASSED:
        return b""
    return name + b": " + value + b"\r\n"


def _without(lines: list[bytes], names: frozenset[bytes]) -> list[bytes]:
    return [line for line in lines if line.partition(b":")[0].lower() not in names]


def _with_undone_encodings(lines: list[bytes]) -> list[bytes]:
    """`Accept-Encoding` without what could not be undone. Not asked at all, servers do not compress."""
    kept = []
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() == b"accept-encoding":
            members = [member.strip() for member in value.split(b",")]
            undone = [member for member in members if member.partition(b";")[0].strip().lower() in _UNDONE]
            kept.append(name + b": " + (b", ".join(undone) or b"identity") + b"\r\n")
        else:
            kept.append(line)
    return kept


def sorted_request(head: RequestHead, pseudonym: bytes) -> SortedRequest:
    """What the head's field lines say; shared with every later head that has the same.

    `pseudonym`: our name in `Via`.
    """
    first = head.kin or head
    known = first.sorted
    if known is None:
        known = first.sorted = SortedRequest(first, pseudonym)
    assert isinstance(known, SortedRequest)
    return known


def ids_of(own: list[Header]) -> tuple[bytes | None, bytes | None]:
    """Request id and trace among what a request has of its own, each None if there is none worth keeping."""
    found = {low: value for low, _, value in own}
    return request_id_of(found.get(b"x-request-id")), traceparent_of(found.get(b"traceparent"))


def request_bytes(
    head: RequestHead,
    lines: SortedRequest,
    target: Target,
    rewrite: Rewrite | None,
    request_id: bytes,
    traceparent: bytes,
    number: int,
    remaining: float,
) -> bytes:
    """The head of one attempt. `remaining`: seconds of the whole request's time.

    The target travels byte for byte unless the route rewrites it.
    """
    path = head.target
    authority = target.authority
    if rewrite is None:
        passed = lines.passed(target)
    else:
        passed = lines.readable(target) if rewrite.looks_inside else lines.passed(target)
        if path != ANY:
            path = rewrite.replacement + path[rewrite.matched :]
        if rewrite.keep_host:
            authority = head.host
    base = target.base_path
    if path == ANY:  # it is no path: nothing may be put in front of it
        base = b""
    return (
        b"%b %b%b HTTP/1.1\r\nHost: %b\r\n%bX-Request-Id: %b\r\ntraceparent: %b\r\n"
        b"X-Sidecar-Attempt: %d\r\nX-Envoy-Expected-Rq-Timeout-Ms: %d\r\n\r\n"
    ) % (
        head.method,
        base,
        path,
        authority,
        passed,
        request_id,
        traceparent,
        number,
        int(remaining * 1000) or 1,  # 0 would say that there is no limit
    )


def passed_trailers(head: RequestHead | ResponseHead, trailers: list[Header]) -> list[Header]:
    """The fields after a body that go on: what would not pass in the head does not pass here either."""
    ours = _SPECIAL if isinstance(head, RequestHead) else _RESPONSE_SPECIAL
    return [field for field in trailers if field[0] not in ours and field[0] not in head.connection_tokens]


def response_lines(head: ResponseHead) -> bytes:
    """Status line and header lines as the caller gets them, framing of streams apart."""
    known = head.relayed
    if known is None:
        kin = head.kin
        known = head.relayed = b"".join(_response_lines(head) if kin is None else _filled(head, kin))
    assert isinstance(known, bytes)
    return known


def _filled(head: ResponseHead, kin: ResponseHead) -> list[bytes]:
    """What its kin's lines become with its own values in them. They are cut once where these go (0.4 of the time)."""
    if kin.relayed is None:
        first, *rest = b"".join(_response_lines(kin)).split(HIDDEN)
        names = [low for low, _, value in kin.headers if value is HIDDEN]
        passed = [n for n, low in enumerate(names) if low not in _RESPONSE_SPECIAL or low == b"content-length"]
        kin.relayed = first, list(zip(passed, rest, strict=True))
    first, rest = kin.relayed
    head.dated = kin.dated
    own = head.own
    filled = [first]
    for number, piece in rest:
        filled += own[number], piece
    return filled


def _response_lines(head: ResponseHead) -> list[bytes]:
    lines = [STATUS_LINES[head.status]]
    head.dated = head.get(b"date") is not None
    listed = head.connection_tokens - _NOT_OURS_TO_DROP
    for low, name, value in head.headers:
        if low not in _RESPONSE_SPECIAL:
            if low not in listed:
                lines.append(name + b": " + value + b"\r\n")
        elif low == b"content-length" and head.length != CHUNKED:
            lines.append(name + b": " + value + b"\r\n")
    return lines
