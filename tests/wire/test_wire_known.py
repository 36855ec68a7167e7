"""Laws of known heads: recognising is parsing, for exactly the same bytes, and costs bounded memory."""

from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from sidecar.wire.errors import BadRequest
from sidecar.wire.framing import METHODS
from sidecar.wire.known import ENTRIES, LONGEST, KnownRequests, KnownResponses
from sidecar.wire.message import RequestHead
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
    return head and {name: getattr(head, name) for name in RequestHead.__slots__ if name != "sorted"}


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
    assert found.sorted is head.sorted
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


def test_a_response_head_is_known_by_all_its_bytes() -> None:
    """Its status line included."""
    known = KnownResponses()
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    head = ResponseParser().parse(data, b"GET")
    teach(known, data, head)
    assert known.recognise(bytes(bytearray(data))) is head
    assert known.recognise(data.replace(b"200", b"201")) is None
    assert known.recognise(data[:-1]) is None


def test_what_comes_once_is_not_remembered() -> None:
    """Heads with a line of their own would push out those that come again."""
    requests, responses = KnownRequests(), KnownResponses()
    for number in range(3 * ENTRIES):
        data = b"GET /a HTTP/1.1\r\nHost: h\r\ntraceparent: %d\r\n\r\n" % number
        head = parsed(data)
        assert head is not None
        requests.learn(data, head)
        answer = b"HTTP/1.1 200 OK\r\nETag: %d\r\n\r\n" % number
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
