"""What every client is asked to do: laws of an exchange that a proxy between must not break.

A case raises AssertionError, or whatever its client raises. `url` is that of conformance.origin, or of a proxy in front
of it.
"""

import hashlib
from collections.abc import Callable
from typing import Any

from conformance.clients.answer import Answer, Client, Question
from conformance.origin import PATTERN

Run = Callable[[Client, str], None]

_MANY = 20
_LARGE = 1024 * 1024
_LONG = "v" * 8000


def _inspected(client: Client, question: Question) -> Any:
    answer = client.ask(question)
    assert answer.status == 200, answer.status
    return answer.json()


def _values(seen: Any, name: str) -> list[str]:
    return [value for low, value in seen["headers"] if low == name]


def get(client: Client, url: str) -> None:
    """The method, the target and a field arrive as they were sent."""
    seen = _inspected(client, Question(f"{url}/inspect?a=1&b=%2F%20", headers={"X-Asked": "as it is"}))
    assert seen["method"] == "GET"
    assert seen["target"] == "/inspect?a=1&b=%2F%20"
    assert _values(seen, "x-asked") == ["as it is"]


def head(client: Client, url: str) -> None:
    """HEAD has the length that GET has, and no body; the connection is good for another request."""
    answer = client.ask(Question(f"{url}/bytes?n=5000", "HEAD"))
    assert (answer.status, answer.get("content-length"), answer.body) == (200, ["5000"], b"")
    get(client, url)


def upload(client: Client, url: str) -> None:
    """A megabyte of known length arrives whole."""
    body = bytes(range(256)) * (_LARGE // 256)
    seen = _inspected(client, Question(f"{url}/inspect", "POST", body=body))
    assert (seen["length"], seen["sha256"]) == (_LARGE, hashlib.sha256(body).hexdigest())


def upload_in_pieces(client: Client, url: str) -> None:
    """So does a body whose length is not told."""
    pieces = [b"a" * 10, b"b" * 70_000, b"c"]
    seen = _inspected(client, Question(f"{url}/inspect", "PUT", pieces=pieces))
    assert seen["sha256"] == hashlib.sha256(b"".join(pieces)).hexdigest()


def empty_upload(client: Client, url: str) -> None:
    """A body of no bytes is a body."""
    seen = _inspected(client, Question(f"{url}/inspect", "POST", body=b""))
    assert (seen["method"], seen["length"]) == ("POST", 0)


def expect_continue(client: Client, url: str) -> None:
    """A caller that says it waits for `100 Continue` gets it, or sends anyway: the body arrives."""
    seen = _inspected(client, Question(f"{url}/inspect", "POST", {"Expect": "100-continue"}, b"e" * 100_000))
    assert seen["length"] == 100_000


def download(client: Client, url: str) -> None:
    """A megabyte comes whole."""
    assert client.ask(Question(f"{url}/bytes?n={_LARGE}")).body == b"x" * _LARGE


def download_in_chunks(client: Client, url: str) -> None:
    """So does a body whose length was not told."""
    assert client.ask(Question(f"{url}/chunked?n=200")).body == b"c" * 200_000


def download_until_close(client: Client, url: str) -> None:
    """And one that ended with the origin's connection."""
    assert client.ask(Question(f"{url}/close")).body == PATTERN


def resumed(client: Client, url: str) -> None:
    """A part that was asked for is that part, and says so."""
    answer = client.ask(Question(f"{url}/range", headers={"Range": "bytes=1000-1999"}))
    assert (answer.status, answer.get("content-range")) == (206, [f"bytes 1000-1999/{len(PATTERN)}"])
    assert answer.body == PATTERN[1000:2000]


def beyond_the_end(client: Client, url: str) -> None:
    """A part that is not there is refused by the origin, and its refusal arrives."""
    answer = client.ask(Question(f"{url}/range", headers={"Range": "bytes=999999-"}))
    assert (answer.status, answer.get("content-range")) == (416, [f"bytes */{len(PATTERN)}"])


def compressed(client: Client, url: str) -> None:
    """A coding that the client undoes was left as it was."""
    answer = client.ask(Question(f"{url}/gzip", headers={"Accept-Encoding": "gzip"}))
    assert answer.body == PATTERN


def redirected(client: Client, url: str) -> None:
    """302 leads to the other target, 307 there with the same method and body."""
    target = f"{url}/redirect?to=/inspect%3Fthere=1"
    assert _inspected(client, Question(target, follow=True))["target"] == "/inspect?there=1"
    again = _inspected(client, Question(f"{target}&code=307", "POST", body=b"twelve bytes", follow=True))
    assert (again["method"], again["length"]) == ("POST", 12)


def large_fields(client: Client, url: str) -> None:
    """A field of 8,000 bytes passes both ways."""
    assert _values(_inspected(client, Question(f"{url}/inspect", headers={"X-Long": _LONG})), "x-long") == [_LONG]
    assert client.ask(Question(f"{url}/headers?size=8000")).get("x-large") == [_LONG]


def repeated_fields(client: Client, url: str) -> None:
    """Two `Set-Cookie` are two."""
    answer = client.ask(Question(f"{url}/cookies"))
    assert answer.get("set-cookie") == ["a=1; Path=/", "b=2; Path=/"]


def without_body(client: Client, url: str) -> None:
    """204 and 304 have no body, and leave the connection good."""
    for status in (204, 304):
        answer = client.ask(Question(f"{url}/status?code={status}"))
        assert (answer.status, answer.body) == (status, b"")
    get(client, url)


def errors(client: Client, url: str) -> None:
    """The origin's own errors arrive as they are."""
    for status in (400, 404, 410, 429, 500, 501, 503, 599):
        answer = client.ask(Question(f"{url}/status?code={status}", "POST", body=b"x"))
        assert (answer.status, answer.body) == (status, b"status")


def methods(client: Client, url: str) -> None:
    """Methods other than the usual ones are methods."""
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
        assert _inspected(client, Question(f"{url}/inspect", method))["method"] == method


def early_hints(client: Client, url: str) -> None:
    """An interim answer is not taken for the final one, nor the final one for the answer to the next request."""
    answer: Answer = client.ask(Question(f"{url}/early"))
    assert (answer.status, answer.body) == (200, b"final")
    get(client, url)


def many(client: Client, url: str) -> None:
    """Twenty requests in a row, each answered with its own answer."""
    for number in range(_MANY):
        assert _inspected(client, Question(f"{url}/inspect?n={number}"))["target"] == f"/inspect?n={number}"


CASES: dict[str, Run] = {
    case.__name__.replace("_", " "): case
    for case in (
        *(get, head, upload, upload_in_pieces, empty_upload, expect_continue),
        *(download, download_in_chunks, download_until_close, resumed, beyond_the_end, compressed),
        *(redirected, large_fields, repeated_fields, without_body, errors, methods, many, early_hints),
    )
}
"""By name, in order."""

NOT_OF = {
    ("requests", "early hints"): "http.client takes any 1xx but 100 for the final answer",
    ("urllib3", "early hints"): "http.client takes any 1xx but 100 for the final answer",
    ("node http", "redirected"): "it follows none",
    ("node fetch", "expect continue"): "it refuses to send the field",
    ("undici", "expect continue"): "it refuses to send the field",
}
"""(client, case) that the client cannot do, with or without a proxy, and why."""
