"""What an answer is worth, apart from how it came. More in test_proxy_attempt.py, where it comes in pieces."""

import pytest
from proxy_fakes import parsed

from sidecar.policy.expect import Expect
from sidecar.proxy.judge import is_event_stream, must_see

ANY = Expect(status=None, content_type=None, json_equals={}, json_present=(), max_body=1000)


@pytest.mark.parametrize(
    ("kind", "is_one"),
    [
        (b"Content-Type: text/event-stream\r\n", True),
        (b"content-type: Text/Event-Stream; charset=utf-8\r\n", True),
        (b"Content-Type: text/plain\r\n", False),
        (b"", False),
    ],
)
def test_an_event_stream_is_one_by_its_type(kind: bytes, is_one: bool) -> None:  # noqa: FBT001
    """In any case of letters, whatever its parameters."""
    head, _ = parsed(b"HTTP/1.1 200 OK\r\n" + kind + b"\r\n")
    assert is_event_stream(head) is is_one


@pytest.mark.parametrize(
    ("head", "expected", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", True, True),
        (b"HTTP/1.1 201 Made\r\nContent-Length: 5\r\n\r\n", True, False),
        (b"HTTP/1.1 404 No\r\nContent-Length: 5\r\n\r\n", False, False),
        (b"HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\n", False, False),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", False, False),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 0\r\n\r\n", True, True),
    ],
)
def test_what_must_be_whole(head: bytes, expected: bool, kept: bool) -> None:  # noqa: FBT001
    """What `expect` judges, and what may be kept; never what has no end, nor what is judged by its status."""
    answer, _ = parsed(head)
    assert must_see(answer, ANY) is expected
    assert must_see(answer, None) is kept
