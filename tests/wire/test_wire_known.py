"""Laws of known heads: recognising is parsing, for exactly the same bytes, and costs bounded memory."""

from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from sidecar.wire.errors import BadRequest, MalformedResponse
from sidecar.wire.framing import METHODS
from sidecar.wire.known import ENTRIES, LONGEST, KnownRequests, KnownResponses
from sidecar.wire.message import RequestHead, ResponseHead
from sidecar.wire.parse import RequestParser, ResponseParser

FIELDS = [
    b"Accept: */*",
    b"Connection: close",
    b"Connection: keep-alive, X-Hop",
    b"Content-Length: 0",
    b"Content-Length: 003",
    b"Transfer-Encoding: chunked",
    b"Expect: 100-continue",
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"X-A: \xff",
    b"x-a:   spaced  ",
]
blocks = st.lists(st.sampled_from(FIELDS), max_size=4).map(
    lambda lines: b"\r\nHost: h:80\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
)
methods = st.sampled_from([*sorted(METHODS), b"CONNECT", b"FOO", b"get", b""])
targets = st.one_of(
    st.from_regex(rb"/[\x21-\x7e]{0,12}", fullmatch=True),
    st.binary(max_size=6),
    st.sampled_from(
        [b"*", b"http://other/x", b"/a#b", b"/?", b"/a?b?c", b"/a b", b"//h/x", b"/" + b"a" * 3000, b"/\r", b"/\n"]
    ),
)
versions = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b""])


def parsed(data: bytes) -> RequestHead | None:
    """What the parser says."""
    try:
        return RequestParser().parse(data)
    except BadRequest:
        return None


def teach(known: KnownRequests | KnownResponses, data: bytes, head: Any) -> None:
    """Twice: what comes once is not remembered."""
    known.learn(data, head)
    known.learn(data, head)


def meaning(head: RequestHead | None) -> dict[str, object] | None:
    """Everything that a head says, but what others noted on it."""
    if head is None:
        return None
    said = {name: getattr(head, name) for name in RequestHead.__slots__ if name not in ("sorted", "kin", "own")}
    return said | {"headers": sorted(head.headers)}


@given(blocks, methods, targets, versions)
@example(b"\r\nHost: h:80\r\n\r\n", b"GET", b"/a", b"HTTP/1.1")
@example(b"\r\nHost: h:80\r\n\r\n", b"GET", b"http://other/x", b"HTTP/1.1")
@example(b"\r\nHost: h:80\r\n\r\n", b"FOO", b"/a", b"HTTP/1.1")
@example(b"\r\nHost: h:80\r\n\r\n", b"CONNECT", b"/a", b"HTTP/1.1")
@example(b"\r\nHost: h:80\r\n\r\n", b"GET", b"/a#b", b"HTTP/1.1")
def test_recognising_is_parsing(block: bytes, method: bytes, target: bytes, version: bytes) -> None:
    """Where it says anything, it says what the parser says of the same bytes: learned from this head, or another."""
    first = b"GET /first HTTP/1.1" + block
    learned = parsed(first)
    assume(learned is not None)
    assert learned is not None
    known = KnownRequests()
    teach(known, first, learned)
    data = method + b" " + target + b" " + version + block
    found = known.recognise(data)
    if found is not None:
        assert meaning(found) == meaning(parsed(data))
        assert found is not learned
    itself = known.recognise(first)
    assert itself is not None
    assert meaning(itself) == meaning(learned)


@given(blocks, methods, targets, versions)
def test_whatever_is_learned_is_true_of_others(block: bytes, method: bytes, target: bytes, version: bytes) -> None:
    """A head whose request line has a say in its meaning teaches nothing: HTTP/1.0, or an absolute target."""
    data = method + b" " + target + b" " + version + block
    head = parsed(data)
    assume(head is not None)
    assert head is not None
    known = KnownRequests()
    teach(known, data, head)
    other = b"GET /other HTTP/1.1" + block
    found = known.recognise(other)
    if found is not None:
        assert meaning(found) == meaning(parsed(other))


HEAD = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


@given(st.binary(min_size=1, max_size=8), st.integers(0, len(HEAD)))
@example(b"x", len(HEAD))
@example(HEAD, len(HEAD))
@example(b"\r\n", 0)
def test_only_one_whole_head_is_recognised(extra: bytes, place: int) -> None:
    """With a byte more or less anywhere it is another message, or two, or a head with its body."""
    known = KnownRequests()
    head = parsed(HEAD)
    assert head is not None
    teach(known, HEAD, head)
    data = HEAD[:place] + extra + HEAD[place:]
    found = known.recognise(data)
    assert found is None or (b"\r\n" not in data[: data.find(b" HTTP")] and data.endswith(HEAD[6:]))
    assert known.recognise(HEAD[:place] if place < len(HEAD) else b"") is None


def test_heads_of_the_same_lines_share_what_was_made_of_them() -> None:
    """`sorted` and the field lines are worked out once; what a request is of its own is not shared."""
    known = KnownRequests()
    head = parsed(HEAD)
    assert head is not None
    teach(known, HEAD, head)
    head.sorted = object()
    found = known.recognise(HEAD.replace(b"/a", b"/b?c"))
    assert found is not None
    assert found.kin is head
    assert found.headers is head.headers
    assert (found.path, found.query, head.path) == (b"/b", b"c", b"/a")


def test_memory_is_bounded() -> None:
    """So many heads, none longer than so much; the latest is always known."""
    requests, responses = KnownRequests(), KnownResponses()
    for number in range(3 * ENTRIES):
        data = b"GET /a HTTP/1.1\r\nHost: h\r\nX: %d\r\n\r\n" % number
        head = parsed(data)
        assert head is not None
        teach(requests, data, head)
        assert requests.recognise(data) is not None
        answer = b"HTTP/1.1 200 OK\r\nX: %d\r\n\r\n" % number
        teach(responses, answer, ResponseParser().parse(answer, b"GET"))
        assert responses.recognise(answer) is not None
        assert len(requests._blocks) <= ENTRIES
        assert len(responses._heads) <= ENTRIES
    long = b"GET /a HTTP/1.1\r\nHost: h\r\nX: %b\r\n\r\n" % (b"x" * LONGEST)
    head = parsed(long)
    assert head is not None
    teach(requests, long, head)
    assert requests.recognise(long) is None
    answer = b"HTTP/1.1 200 OK\r\nX: %b\r\n\r\n" % (b"x" * LONGEST)
    teach(responses, answer, ResponseParser().parse(answer, b"GET"))
    assert responses.recognise(answer) is None


def answered(data: bytes) -> ResponseHead | None:
    """What the parser says."""
    try:
        return ResponseParser().parse(data, b"GET")
    except MalformedResponse:
        return None


def said(head: ResponseHead | None) -> tuple[object, ...] | None:
    """Everything that a response's head says."""
    if head is None:
        return None
    return head.status, head.headers, head.length, head.http10, head.keep_alive, head.connection_tokens


def test_a_response_head_is_known_by_all_its_bytes() -> None:
    """Its status line included."""
    known = KnownResponses()
    data = b"HTTP/1.1 200 OK\r\nServer: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    head = answered(data)
    teach(known, data, head)
    assert known.recognise(bytes(bytearray(data))) is head
    assert known.recognise(data.replace(b"200", b"201")) is None
    assert known.recognise(data[:-1]) is None


VARYING = [b"Date", b"ETag", b"etag", b"Content-Length", b"content-length", b"X-Request-Id", b"Last-Modified"]
PLAIN = [
    b"Server: a",
    b"Connection: close",
    b"Connection: ETag",
    b"Transfer-Encoding: chunked",
    b"X: \xff",
    b"ETag: \xe4",
]
values = st.one_of(
    st.sampled_from(
        [b"0", b"1", b"03", b"55", b"-1", b"1, 1", b"", b" 7", b"7 ", b"7\t", b"\0", b"a\0b", b'"x y"', b"\x7f"]
    ),
    st.from_regex(rb"[\x20-\x7e]{1,8}", fullmatch=True),
)
statuses = st.sampled_from(
    [b"200 OK", b"204 No Content", b"304 Not Modified", b"404 Not Found", b"503 Service Unavailable"]
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Two heads of the same lines, or nearly, whose values differ."""
    status = draw(statuses)
    names = draw(st.lists(st.one_of(st.sampled_from(VARYING), st.none()), max_size=4))
    plain = [draw(st.sampled_from(PLAIN)) if name is None else b"" for name in names]

    def head() -> bytes:
        lines = [line if name is None else name + b": " + draw(values) for name, line in zip(names, plain, strict=True)]
        return b"HTTP/1.1 " + status + b"\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"

    return head(), head()


@given(pairs())
@example(
    (
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    )
)
@example((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 007\r\n\r\n"))
@example((b"HTTP/1.1 200 OK\r\nETag: a\r\nDate: b\r\n\r\n", b"HTTP/1.1 200 OK\0\0ETag\0Date\r\n\r\n"))
def test_what_is_alike_is_read_as_if_it_were_parsed(two: tuple[bytes, bytes]) -> None:
    """Whatever was learned from one head: where another is said to resemble it, the parser says the same of it."""
    first, second = two
    learned = answered(first)
    assume(learned is not None)
    known = KnownResponses()
    teach(known, first, learned)
    for data in (first, second):
        found = known.recognise(data) or known.resemble(data)
        if found is not None:
            assert said(found) == said(answered(data))


def test_answers_that_differ_in_the_usual_resemble_each_other() -> None:
    """An entity tag, a date, a length; the head of one that comes again is known as a whole."""
    head = b"HTTP/1.1 200 OK\r\nServer: a\r\nDate: %b\r\nContent-Length: %d\r\nETag: %b\r\n\r\n"
    known = KnownResponses()
    for _ in range(2):
        known.learn(head % (b"now", 5, b'"a"'), ResponseParser().parse(head % (b"now", 5, b'"a"'), b"GET"))
    other = head % (b"then", 70, b'"b"')
    found = known.resemble(other)
    assert found is not None
    assert (found.length, found.get(b"date"), found.get(b"server")) == (70, b"then", b"a")
    assert known.recognise(other) is None
    known.resemble(other)
    assert known.recognise(other) is not None


NAMES = [
    b"traceparent: a",
    b"Traceparent: b",
    b"traceparent: b",
    b"X-Request-Id: r",
    b"x-request-id: s",
    b"X-Request-ID: ",
]
OTHERS = [b"tracestate: a=1", b"Connection: traceparent", b"Accept: */*", b"X: a\0traceparent", b"TRACEPARENT: c"]


@given(
    st.lists(st.sampled_from([*NAMES, *OTHERS]), max_size=4), st.lists(st.sampled_from([*NAMES, *OTHERS]), max_size=4)
)
@example([b"traceparent: a", b"Accept: */*", b"X-Request-Id: r"], [b"traceparent: a", b"Accept: */*\0X-Request-Id"])
def test_requests_that_go_by_other_names_are_read_as_if_they_were_parsed(
    first: list[bytes], second: list[bytes]
) -> None:
    """Whatever was learned from one, and also where a name has a say in what the rest means."""
    heads = [
        b"GET /a HTTP/1.1\r\nHost: h\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
        for lines in (first, second)
    ]
    learned = parsed(heads[0])
    assume(learned is not None)
    known = KnownRequests()
    teach(known, heads[0], learned)
    for data in heads:
        found = known.recognise(data)
        if found is not None:
            assert meaning(found) == meaning(parsed(data))


def test_a_request_that_goes_by_another_name_is_recognised() -> None:
    """It shares what was made of the other lines, and has its names beside them."""
    head = b"GET /a HTTP/1.1\r\nHost: h\r\ntraceparent: %b\r\nAccept: */*\r\nX-Request-Id: %b\r\n\r\n"
    known = KnownRequests()
    teach(known, head % (b"a", b"b"), parsed(head % (b"a", b"b")))
    found, other = known.recognise(head % (b"c", b"d")), known.recognise(head % (b"e", b"f"))
    assert found is not None
    assert other is not None
    assert found.own == [(b"traceparent", b"traceparent", b"c"), (b"x-request-id", b"X-Request-Id", b"d")]
    assert (found.get(b"x-request-id"), found.kin) == (b"d", other.kin)


def test_what_comes_once_is_not_remembered() -> None:
    """Heads with a line of their own would push out those that come again."""
    requests, responses = KnownRequests(), KnownResponses()
    for number in range(3 * ENTRIES):
        data = b"GET /a HTTP/1.1\r\nHost: h\r\nCookie: %d\r\n\r\n" % number
        head = parsed(data)
        assert head is not None
        requests.learn(data, head)
        answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: %d\r\n\r\n" % number
        responses.learn(answer, ResponseParser().parse(answer, b"GET"))
        assert requests.recognise(data) is None
        assert responses.recognise(answer) is None


def test_no_head_is_larger_than_it_may_be() -> None:
    """Known lines with a longer target make a head that limits.header_bytes refuses."""
    known = KnownRequests(header_bytes=40)
    head = parsed(HEAD)
    assert head is not None
    teach(known, HEAD, head)
    assert known.recognise(HEAD) is not None
    assert known.recognise(HEAD.replace(b"/a", b"/" + b"a" * 40)) is None


def test_what_depends_on_the_method_is_not_shared() -> None:
    """`Max-Forwards` counts for two methods only (RFC 9110 section 7.6.2)."""
    known, parser = KnownRequests(), RequestParser()
    data = b"OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 3\r\n\r\n"
    for _ in range(3):
        known.learn(data, parser.parse(data))
    assert known.recognise(data) is None
    assert known.recognise(data.replace(b"OPTIONS", b"GET")) is None


def test_trace_is_never_recognised() -> None:
    """It may have no body, whatever came before with the same lines (RFC 9110 section 9.3.8)."""
    known, parser = KnownRequests(), RequestParser()
    data = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
    for _ in range(3):
        known.learn(data, parser.parse(data))
    assert known.recognise(data.replace(b"POST", b"PUT")) is not None
    assert known.recognise(data.replace(b"POST", b"TRACE")) is None


def test_what_holds_the_byte_for_hidden_is_like_nothing() -> None:
    """Or it could pass for a head in which that byte stands for a value."""
    head = b"HTTP/1.1 200 OK\r\nETag: a\r\nServer: x\r\nDate: b\r\n\r\n"
    known = KnownResponses()
    teach(known, head, answered(head))
    assert known.resemble(head.replace(b": a", b": c")) is not None
    assert known.resemble(b"HTTP/1.1 200 OK\r\nDate: c\r\nServer: x\0\r\n\r\n\0ETag") is None
    assert known.resemble(b"HTTP/1.1 200 OK\0\r\nServer: x\0\r\n\r\n\0ETag\0Date") is None
