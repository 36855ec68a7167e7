"""Laws of bodies: the payload is what was sent, in any pieces, and not a byte beyond it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_fakes import cuts

from sidecar.wire.body import Body
from sidecar.wire.chunked import ChunkError
from sidecar.wire.encode import chunk, last_chunk
from sidecar.wire.message import CHUNKED, UNTIL_CLOSE


def fed(body: Body, pieces: list[bytes]) -> bytes:
    """The payload of these pieces; what comes after the end is given back in `rest`."""
    payload = b""
    for index, piece in enumerate(pieces):
        payload += body.feed(piece)
        if not body.left:
            body.rest += b"".join(pieces[index + 1 :])
            break
    return payload


@given(st.data(), st.binary(min_size=1, max_size=100), st.binary(max_size=20))
def test_a_counted_body_has_its_length(data: st.DataObject, sent: bytes, rest: bytes) -> None:
    """Cut anywhere, it ends with its last byte, and what follows is not its own."""
    body = Body(len(sent))
    assert fed(body, data.draw(cuts(sent + rest))) == sent
    assert (body.left, body.size, body.rest, body.trailers) == (0, len(sent), rest, [])


@given(st.data(), st.lists(st.binary(min_size=1, max_size=30), max_size=5), st.binary(max_size=20))
def test_a_chunked_body_ends_with_its_last_chunk(data: st.DataObject, sent: list[bytes], rest: bytes) -> None:
    """As a counted one, with trailers."""
    trailer = (b"x-sum", b"X-Sum", b"1")
    wire = b"".join(map(chunk, sent)) + last_chunk([trailer]) + rest
    body = Body(CHUNKED)
    assert body.left == CHUNKED
    assert fed(body, data.draw(cuts(wire))) == b"".join(sent)
    assert (body.left, body.size, body.rest, body.trailers) == (0, len(b"".join(sent)), rest, [trailer])


def test_tiny_chunks_come_as_one_piece() -> None:
    """Ten thousand chunks in one read are one piece: what passes it on writes once."""
    body = Body(CHUNKED)
    assert body.feed(chunk(b"x") * 10000) == b"x" * 10000


@given(st.lists(st.binary(min_size=1, max_size=50)))
def test_a_body_until_close_never_ends_by_itself(pieces: list[bytes]) -> None:
    """Every byte is payload; only the connection knows its end."""
    body = Body(UNTIL_CLOSE)
    assert fed(body, pieces) == b"".join(pieces)
    assert body.left == UNTIL_CLOSE


def test_no_body_has_ended() -> None:
    """Of length 0 there is nothing to feed."""
    assert Body(0).left == 0


def test_broken_chunks_raise() -> None:
    """The decoder's word is passed on."""
    with pytest.raises(ChunkError):
        Body(CHUNKED).feed(b"-1\r\n")
