"""Laws of what is the same in every message."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.chunked import ChunkedDecoder
from sidecar.wire.encode import CONTINUE, LAST_CHUNK, REASONS, STATUS_LINES, chunk, last_chunk
from sidecar.wire.parse import ResponseParser


@pytest.mark.parametrize("status", range(100, 600))
def test_every_status_has_a_line_that_others_read(status: int) -> None:
    """100 to 599, each with its own code, well-formed for our parser and for h11."""
    line = STATUS_LINES[status]
    fields = b"Connection: upgrade\r\nUpgrade: x\r\n" if status == 101 else b""
    assert ResponseParser().parse(line + fields + b"\r\n", b"GET").status == status
    peer = h11.Connection(h11.CLIENT)
    peer.send(
        h11.Request(method="GET", target="/", headers=[("Host", "a"), ("Connection", "upgrade"), ("Upgrade", "x")])
    )
    peer.receive_data(line + fields + b"\r\n")
    event = peer.next_event()
    assert isinstance(event, h11.Response | h11.InformationalResponse)
    assert event.status_code == status
    assert event.reason == REASONS.get(status, b"")


def test_reasons_are_those_of_the_standard() -> None:
    """RFC 9110 section 15, whichever Python this is."""
    named = {200: b"OK", 413: b"Content Too Large", 414: b"URI Too Long", 422: b"Unprocessable Content"}
    assert {status: REASONS[status] for status in named} == named
    assert STATUS_LINES[299] == b"HTTP/1.1 299 \r\n"


def test_continue_is_a_whole_head() -> None:
    """It is sent as it is."""
    assert ResponseParser().parse(CONTINUE, b"POST").status == 100


def test_no_data_is_no_chunk() -> None:
    """An empty chunk would end the body."""
    assert chunk(b"") == b""


@given(st.binary(min_size=1))
def test_a_chunk_holds_what_was_put_in(data: bytes) -> None:
    """It is read back whole, and does not end the body."""
    decoder = ChunkedDecoder()
    assert b"".join(decoder.feed(chunk(data))) == data
    assert not decoder.done


def test_the_last_chunk_carries_the_trailers() -> None:
    """In order, with their names as written; without any it is LAST_CHUNK."""
    trailers = [(b"x-a", b"X-A", b"1"), (b"b", b"b", b"")]
    decoder = ChunkedDecoder()
    assert decoder.feed(last_chunk(trailers)) == []
    assert decoder.done
    assert decoder.trailers == trailers
    assert last_chunk([]) == LAST_CHUNK
