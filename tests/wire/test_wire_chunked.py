"""Laws of chunked bodies: decoding is encoding's inverse under every cut, and nothing malformed passes."""

import re
from collections.abc import Callable, Iterable

import h11
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from sidecar.wire.chunked import ChunkedDecoder, ChunkError
from sidecar.wire.encode import LAST_CHUNK, chunk, last_chunk
from sidecar.wire.framing import FORBIDDEN_TRAILERS
from sidecar.wire.message import Header


def run(pieces: Iterable[bytes], decoder: ChunkedDecoder | None = None) -> tuple[bytes, bool, bytes, list[Header]]:
    """Everything a decoder says about a body that comes in these pieces."""
    decoder = decoder or ChunkedDecoder()
    payload = b""
    for piece in pieces:
        for part in decoder.feed(piece):
            assert part
            payload += part
    return payload, decoder.done, decoder.rest, decoder.trailers


def singly(data: bytes) -> list[bytes]:
    """Byte by byte."""
    return [data[index : index + 1] for index in range(len(data))]


def outcome(pieces: Iterable[bytes]) -> object:
    """What a decoder says, or that it refuses."""
    try:
        return run(pieces)
    except ChunkError:
        return "refused"


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes in any pieces."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[start:stop] for start, stop in zip([0, *places], [*places, len(data)], strict=True)]


bodies = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
token = st.from_regex(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,8}", fullmatch=True)
trailer = st.tuples(
    token.filter(lambda name: name.lower() not in FORBIDDEN_TRAILERS),
    st.from_regex(rb"(?:[\x21-\x7e\x80-\xff](?:[\t \x21-\x7e\x80-\xff]{0,8}[\x21-\x7e\x80-\xff])?)?", fullmatch=True),
)


@given(st.data(), bodies, st.lists(trailer, max_size=4), st.binary(max_size=20))
def test_decoding_is_the_inverse_of_encoding(
    data: st.DataObject, body: list[bytes], fields: list[tuple[bytes, bytes]], rest: bytes
) -> None:
    """Payload, trailers and what follows come out as they went in, however the bytes are cut."""
    trailers = [(name.lower(), name, value) for name, value in fields]
    sent = b"".join(map(chunk, body)) + last_chunk(trailers) + rest
    expected = (b"".join(body), True, rest, trailers)
    assert run([sent]) == expected
    assert run(data.draw(cuts(sent))) == expected
    assert run(singly(sent)) == expected


@given(bodies)
def test_payload_comes_as_soon_as_it_is_there(body: list[bytes]) -> None:
    """No byte of payload waits for a later one: streams are relayed without delay."""
    decoder = ChunkedDecoder()
    for piece in body:
        assert b"".join(decoder.feed(b"%x\r\n" % len(piece) + piece)) == piece
        assert decoder.feed(b"\r\n") == []
    decoder.feed(b"0\r\n\r")
    assert not decoder.done
    decoder.feed(b"\n")
    assert decoder.done


def test_a_long_chunk_is_handed_on_without_a_copy() -> None:
    """A piece that is nothing but payload is the very object that came."""
    decoder = ChunkedDecoder()
    decoder.feed(b"ffff\r\n")
    data = bytes(1000)
    assert decoder.feed(data)[0] is data


@pytest.mark.parametrize(
    "line",
    [
        b"3",
        b"03",
        b"0000000000000003",
        b"3;a",
        b"3;a=b",
        b"3 ; a = b",
        b"3;a;b=c",
        b'3;a="x;\\"\t\xff"',
        b'3\t;a=""',
    ],
)
def test_sizes_and_extensions(line: bytes) -> None:
    """RFC 9112 sections 7.1 and 7.1.1: any well-formed extension is read and dropped."""
    sent = line + b"\r\nabc\r\n" + line.replace(b"3", b"0") + b"\r\n\r\n"
    assert run([sent]) == run(singly(sent)) == (b"abc", True, b"", [])


MALFORMED = [
    b"\r\n",
    b" 3\r\nabc\r\n",
    b"3 \r\nabc\r\n",
    b"3\t\r\nabc\r\n",
    b"+3\r\nabc\r\n",
    b"-3\r\nabc\r\n",
    b"0x3\r\nabc\r\n",
    b"3_0\r\nabc\r\n",
    b"g\r\nabc\r\n",
    b"\xb3\r\nabc\r\n",
    b"00000000000000003\r\nabc\r\n",
    b"fffffffffffffffff\r\nabc\r\n",
    b"3\nabc\r\n",
    b"3\rabc\r\n",
    b"3\r\r\nabc\r\n",
    b"3\r\nabc\n",
    b"3\r\nabc\r",
    b"3\r\nabcd\r\n",
    b"3\r\nabc0\r\n\r\n",
    b"3\r\nab\r\n0\r\n\r\n",
    b"3;\r\nabc\r\n",
    b"3;;a\r\nabc\r\n",
    b"3;a=\r\nabc\r\n",
    b"3;=b\r\nabc\r\n",
    b"3;a b\r\nabc\r\n",
    b"3;a \r\nabc\r\n",
    b"3;a=b c\r\nabc\r\n",
    b'3;a="b\r\nabc\r\n',
    b'3;a="b"c\r\nabc\r\n',
    b"3;a=\x00\r\nabc\r\n",
    b"3;a\x0b\r\nabc\r\n",
    b"3;a\nb\r\nabc\r\n",
    b"3;a\rb\r\nabc\r\n",
    b'3;a="\n"\r\nabc\r\n',
    b"3;\x80\r\nabc\r\n",
    b"3 abc\r\n",
    b"0\r\nA\r\n\r\n",
    b"0\r\nA : b\r\n\r\n",
    b"0\r\n: b\r\n\r\n",
    b"0\r\n A: b\r\n\r\n",
    b"0\r\nA: b\r\n c\r\n\r\n",
    b"0\r\nA: b\n\r\n",
    b"0\r\nA: \x00\r\n\r\n",
    b"0\r\nA: b\rc\r\n\r\n",
    b"0\r\n\n",
    b"0\n\r\n",
    b"0\r\n\r\r\n",
]


@pytest.mark.parametrize("sent", MALFORMED)
def test_what_is_no_chunked_body(sent: bytes) -> None:
    """Refused whether it comes whole or byte by byte, and nothing after the fault is payload."""
    assert outcome([sent + b"0\r\n\r\n"]) == "refused"
    assert outcome(singly(sent + b"0\r\n\r\n")) == "refused"


@pytest.mark.parametrize("name", sorted(FORBIDDEN_TRAILERS))
def test_trailers_that_belong_before_the_body(name: bytes) -> None:
    """Framing, routing and authentication are refused in any case (RFC 9110 section 6.5.1)."""
    assert outcome([b"0\r\n" + name.title() + b": x\r\n\r\n"]) == "refused"


def test_a_fault_is_told_without_quoting() -> None:
    """The detail is a sentence of ours."""
    with pytest.raises(ChunkError, match=r"^malformed chunk size or extension$"):
        ChunkedDecoder().feed(b"secret\r\n")


def test_a_chunk_that_is_too_long_is_found_at_once() -> None:
    """The first byte that is not its end tells; nobody waits for a line feed."""
    decoder = ChunkedDecoder()
    decoder.feed(b"3\r\nabc")
    with pytest.raises(ChunkError):
        decoder.feed(b"x")


# Limits: the numbers at the edge pass, one more does not.


@pytest.mark.parametrize("pieces", [lambda data: [data], singly])
def test_overhead_is_bounded(pieces: Callable[[bytes], list[bytes]]) -> None:
    """What is not payload is at most `max_overhead` and 32 bytes for each chunk."""

    def sent(extension: int) -> bytes:
        return b"1;" + b"a" * extension + b"\r\nx\r\n0\r\n\r\n"

    def limited() -> ChunkedDecoder:
        return ChunkedDecoder(max_overhead=100)

    assert run(pieces(sent(96)), limited())[1]
    with pytest.raises(ChunkError, match="too much chunk framing"):
        run(pieces(sent(97)), limited())


def test_overhead_is_bounded_before_the_line_ends() -> None:
    """An extension without end is not held beyond the limit."""
    decoder = ChunkedDecoder(max_overhead=100)
    decoder.feed(b"1;" + b"a" * 98)
    with pytest.raises(ChunkError, match="too much chunk framing"):
        decoder.feed(b"a")


def test_ten_thousand_tiny_chunks_pass() -> None:
    """They are slow to send, not slow to read; each brings its own allowance."""
    sent = b"1\r\nx\r\n" * 10_000 + LAST_CHUNK
    assert run([sent]) == (b"x" * 10_000, True, b"", [])


def test_trailers_are_bounded() -> None:
    """By number and by bytes, the end of their line included."""
    line = b"A: b\r\n"

    def limited() -> ChunkedDecoder:
        return ChunkedDecoder(max_trailers=2, max_trailer_bytes=20)

    assert len(run([b"0\r\n" + line * 2 + b"\r\n"], limited())[3]) == 2
    with pytest.raises(ChunkError, match="too many trailer fields"):
        run([b"0\r\n" + line * 3 + b"\r\n"], limited())
    assert run([b"0\r\nA: 3456789012345\r\n\r\n"], limited())[1]
    for pieces in ([b"0\r\nA: 34567890123456\r\n\r\n"], singly(b"0\r\n" + b"A" * 21)):
        with pytest.raises(ChunkError, match="trailer section is too large"):
            run(pieces, limited())


def test_each_byte_is_looked_at_once() -> None:
    """A long line that comes byte by byte is not read again with each: what is held only grows."""
    looked_at = 0

    class Counting(bytes):
        def find(self, *args: object) -> int:
            nonlocal looked_at
            looked_at += len(self)
            return super().find(*args)  # type: ignore[arg-type]

    decoder = ChunkedDecoder()
    line = b"1;" + b"a" * 10_000
    for byte in singly(line):
        decoder.feed(Counting(byte))
    assert looked_at <= len(line)


def test_what_comes_after_the_end_is_kept_apart() -> None:
    """All of it, in order: it is the next message's."""
    decoder = ChunkedDecoder()
    decoder.feed(LAST_CHUNK + b"GET ")
    assert decoder.feed(b"/") == []
    assert decoder.rest == b"GET /"


# Against a grammar, and against a peer.

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
EXTENSIONS = (
    rb"(?:[ \t]*;[ \t]*"
    + TOKEN
    + rb"(?:[ \t]*=[ \t]*(?:"
    + TOKEN
    + rb'|"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*"))?)*'
)
SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})" + EXTENSIONS + rb"\r\n")
TRAILERS = re.compile(rb"(?:" + TOKEN + rb":[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n")


def reference(data: bytes) -> tuple[bytes, bytes] | None:
    """Payload and rest of a complete body, read in the plainest way; None where there is none."""
    payload = b""
    while match := SIZE_LINE.match(data):
        size = int(match[1], 16)
        data = data[match.end() :]
        if not size:
            end = TRAILERS.match(data)
            return (payload, data[end.end() :]) if end else None
        if data[size : size + 2] != b"\r\n":
            return None
        payload, data = payload + data[:size], data[size + 2 :]
    return None


SPICE = [
    b"\r\n",
    b"\n",
    b"\r",
    b";",
    b"=",
    b'"',
    b"\\",
    b" ",
    b"0",
    b"3",
    b"f",
    b"x",
    b"0\r\n",
    b";a=b",
    b"A: b\r\n",
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A chunked body with a few bytes put in, taken out or replaced."""
    body = [
        b"%x%b\r\n%b\r\n" % (len(data), draw(st.sampled_from([b"", b";a", b';a="b"'])), data) for data in draw(bodies)
    ]
    data = b"".join(body) + draw(st.sampled_from([b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"0;a\r\n\r\n", b""]))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 2)))
        data = data[:start] + draw(st.sampled_from(SPICE) | st.binary(max_size=2)) + data[stop:]
    return data


@given(st.data(), mutated() | st.binary(max_size=60))
@example(None, b"0\r\n\r\n")
@example(None, b"ffffffffffffffff\r\nx")
def test_accepts_what_the_grammar_has_and_nothing_else(data: st.DataObject | None, sent: bytes) -> None:
    """What the plain reading accepts is accepted, with the same payload and rest, and nothing else."""
    told = outcome([sent])
    expected = reference(sent)
    if expected is None:
        assert told == "refused" or (isinstance(told, tuple) and not told[1])
    elif told != "refused":  # a trailer that is forbidden
        assert isinstance(told, tuple)
        assert (told[0], told[1], told[2]) == (expected[0], True, expected[1])
    else:
        assert b"\r\n0" in b"\r\n" + sent
        assert any(name in sent.lower() for name in FORBIDDEN_TRAILERS)
    if data is not None:
        assert outcome(data.draw(cuts(sent))) == told
    assert outcome(singly(sent)) == told


@given(mutated())
def test_what_is_accepted_is_accepted_by_h11(sent: bytes) -> None:
    """And read the same: whoever comes after us sees no other body."""
    assume(not re.search(rb"[ \t];", sent))  # white space that RFC 9112 section 7.1.1 allows and h11 does not
    told = outcome([sent])
    if not isinstance(told, tuple) or not told[1]:
        return
    peer = h11.Connection(h11.SERVER)
    peer.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + sent)
    payload = b""
    assert isinstance(peer.next_event(), h11.Request)
    while isinstance(event := peer.next_event(), h11.Data):
        payload += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert payload == told[0]
    assert len(event.headers) == len(told[3])
    assert bytes(peer.trailing_data[0]) == told[2]


@pytest.mark.parametrize("name", sorted(FORBIDDEN_TRAILERS))
def test_a_lenient_decoder_drops_what_belongs_before_the_body(name: bytes) -> None:
    """The body and its other trailers are good; what is no trailer at all is still refused."""
    sent = b"1\r\na\r\n0\r\nX: 1\r\n" + name.title() + b": x\r\nY: 2\r\n\r\n"
    payload, done, _, trailers = run(singly(sent), ChunkedDecoder(lenient=True))
    assert (payload, done, trailers) == (b"a", True, [(b"x", b"X", b"1"), (b"y", b"Y", b"2")])
    with pytest.raises(ChunkError):
        run([b"0\r\n" + name + b" : x\r\n\r\n"], ChunkedDecoder(lenient=True))
