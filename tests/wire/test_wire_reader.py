"""Laws of reading requests: what is asked for, in any segments, is what was sent, and no more is ever looked at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_fakes import cuts, singly

from sidecar.wire.encode import LAST_CHUNK, chunk
from sidecar.wire.errors import BadRequest
from sidecar.wire.known import KnownRequests
from sidecar.wire.message import CHUNKED
from sidecar.wire.parse import RequestParser
from sidecar.wire.reader import RequestReader

HEAD = b"GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n"


def reader(*, header_bytes: int = 1024, body: int = 100) -> RequestReader:
    """One with small limits."""
    return RequestReader(header_bytes=header_bytes, body=body, parser=RequestParser(), known=KnownRequests())


def refused(read: RequestReader, data: bytes, *, segments: bool = False) -> BadRequest:
    """Why these bytes are no request."""
    for piece in singly(data) if segments else [data]:
        read.waiting += piece
        try:
            assert read.head() is None
        except BadRequest as error:
            return error
    pytest.fail("nothing was refused")


class Counting(bytearray):
    """Counts the bytes that searches may look at."""

    looked = 0

    def find(self, what: bytes, start: int = 0, stop: int | None = None) -> int:  # type: ignore[override]
        """As a bytearray's."""
        self.looked += (len(self) if stop is None else stop) - start
        return super().find(what, start, len(self) if stop is None else stop)


def test_a_slow_head_is_looked_at_once() -> None:
    """A head that comes byte by byte costs its length, not its square."""
    data = b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 20000 + b"\r\n\r\n"
    read = reader(header_bytes=32768)
    read.waiting = waiting = Counting()
    heads = []
    for piece in singly(data):
        read.waiting += piece
        heads.append(read.head())
    assert [head for head in heads if head] == heads[-1:]
    assert waiting.looked < 8 * len(data)


@given(st.data())
def test_empty_lines_before_a_request_are_ignored(data: st.DataObject) -> None:
    """However many, however cut: RFC 9112 section 2.2."""
    read = reader()
    before = data.draw(st.lists(st.sampled_from([b"\r\n", b"\n"]), max_size=4))
    heads = []
    for piece in data.draw(cuts(b"".join(before) + HEAD)):
        read.waiting += piece
        heads.append(read.head())
    assert [head.target for head in heads if head] == [b"/a?b"]
    assert not read.waiting


@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 2000, 414),
        (b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 2000, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 2000 + b"\r\n\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b" GET / HTTP/1.1\r\n", 400),
        (b"\x00\r\n\r\n", 400),
        (b"\x7fELF", 400),
        (b"\rGET / HTTP/1.1\r\n", 400),  # a carriage return alone ends no line
        (b"\r\n\r\rGET / HTTP/1.1\r\n\r\n", 400),
    ],
)
def test_what_can_become_no_request_is_refused_before_it_ends(data: bytes, status: int, *, segments: bool) -> None:
    """No later than the byte that settles it: limits hold for unfinished heads, and other protocols are answered."""
    assert refused(reader(), data, segments=segments).status == status


def test_a_head_may_have_exactly_the_limit() -> None:
    """`header_bytes` is the most that is served, not the first that is refused."""
    assert reader(header_bytes=len(HEAD)).is_head(HEAD)
    assert not reader(header_bytes=len(HEAD) - 1).is_head(HEAD)
    read = reader(header_bytes=len(HEAD))
    read.waiting += HEAD
    assert read.head() is not None
    assert refused(reader(header_bytes=len(HEAD) - 1), HEAD).status == 431


@pytest.mark.parametrize("data", [HEAD + b"x", HEAD[:-1], b"\r\n" + HEAD, b"", b"GET", HEAD + HEAD])
def test_only_one_whole_head_is_alone(data: bytes) -> None:
    """What begins with an empty line, ends early or goes on is not taken in one step."""
    assert not reader().is_head(data)


def test_nothing_behind_a_head_is_read_before_it_is_asked_for() -> None:
    """What comes after a request waits as bytes, malformed or not: it may be its body."""
    read = reader()
    read.waiting += b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nno : HTTP"
    head = read.head()
    assert head is not None
    assert head.length == 9
    assert read.rest() == b"no : HTTP"
    assert not read.waiting


def test_a_counted_body_too_large_is_refused_at_its_head() -> None:
    """Nobody is asked to answer what can't be served; the limit itself is served."""
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
    assert refused(reader(), head % 101).status == 413
    assert reader().read(head % 100).length == 100


def chunked_reader() -> RequestReader:
    """One that has begun a chunked body."""
    read = reader()
    assert read.read(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").length == CHUNKED
    return read


@given(st.data(), st.lists(st.binary(min_size=1, max_size=40), max_size=6))
def test_a_chunked_body_is_refused_once_it_is_too_large(data: st.DataObject, pieces: list[bytes]) -> None:
    """Payload up to the limit passes, however it is cut; one byte more does not."""
    size = sum(map(len, pieces))
    payload = b""
    try:
        read = chunked_reader()
        for piece in data.draw(cuts(b"".join(map(chunk, pieces)) + LAST_CHUNK + HEAD)):
            body = read.body
            if body is None:
                read.waiting += piece
            else:
                payload += read.payload(body, piece)
    except BadRequest as error:
        assert error.status == 413  # noqa: PT017 - the law has two sides
        assert size > 100
    else:
        assert size <= 100
        assert payload == b"".join(pieces)
        assert read.body is None
        assert bytes(read.waiting) == HEAD


def test_a_broken_chunk_is_the_callers_fault() -> None:
    """What the decoder refuses is answered with 400."""
    read = chunked_reader()
    body = read.body
    assert body is not None
    with pytest.raises(BadRequest) as caught:
        read.payload(body, b"zz\r\n")
    assert caught.value.status == 400


def test_heads_are_the_same_whether_known_or_not() -> None:
    """The third of the same field lines is read as the second was, without a look at them."""
    read = reader()
    _, second, third = read.read(HEAD), read.read(HEAD), read.read(HEAD.replace(b"/a?b", b"/c"))
    assert (third.path, third.query, third.host) == (b"/c", b"", b"h")
    assert third.headers is second.headers
