"""Responses, and what the connection to the upstream makes of each.

A verdict is `status 'body'`, with `interim` before it for each 1xx that is told, `close` behind it where the connection
carries no other exchange, or `failed` with the reason's word; `...` where more bytes are waited for. The request is a
GET, or what the name says first.
"""

from typing import Final

from conformance.corpus import Seed


def _ok(*fields: bytes, body: bytes = b"", line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join((line, *fields, b"", b"")) + body


def _chunked(body: bytes, *fields: bytes) -> bytes:
    return _ok(b"Transfer-Encoding: chunked", *fields, body=body)


_HELLO: Final = _ok(b"Content-Length: 5", body=b"hello")
_HINTS: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"

SEEDS: Final = [
    Seed("a length", _HELLO, "200 'hello'"),
    Seed("empty", _ok(b"Content-Length: 0"), "200"),
    Seed(
        "fields",
        _ok(b"Content-Type: text/plain", b"Set-Cookie: a", b"Set-Cookie: b", b"X-A: \xe9", b"Content-Length: 0"),
        "200",
    ),
    Seed("no reason", _ok(b"Content-Length: 0", line=b"HTTP/1.1 200 "), "200"),
    Seed("no reason and no space", _ok(b"Content-Length: 0", line=b"HTTP/1.1 200"), "200"),
    Seed("an obs-text reason", _ok(b"Content-Length: 0", line=b"HTTP/1.1 200 \xe9"), "200"),
    Seed("chunked", _chunked(b"5\r\nhello\r\n0\r\n\r\n"), "200 'hello'"),
    Seed("chunked with a trailer", _chunked(b"5\r\nhello\r\n0\r\nX-A: b\r\n\r\n"), "200 'hello'"),
    Seed("chunked with an extension", _chunked(b"5;a=b\r\nhello\r\n0\r\n\r\n"), "200 'hello'"),
    Seed("until close", _ok(body=b"hello"), "200 'hello' ..."),
    Seed("connection: close", _ok(b"Content-Length: 5", b"Connection: close", body=b"hello"), "200 'hello' close"),
    Seed("http/1.0", _ok(b"Content-Length: 5", body=b"hello", line=b"HTTP/1.0 200 OK"), "200 'hello' close"),
    Seed("http/1.0 keep-alive", _ok(b"Content-Length: 0", b"Connection: keep-alive", line=b"HTTP/1.0 200 OK"), "200"),
    Seed("http/1.0 with a coding", _chunked(b"0\r\n\r\n").replace(b"/1.1", b"/1.0"), "200 close"),
    Seed("204", _ok(line=b"HTTP/1.1 204 No Content"), "204"),
    Seed("204 with a length", _ok(b"Content-Length: 5", line=b"HTTP/1.1 204 No Content"), "204"),
    Seed("304 with a length", _ok(b"Content-Length: 5", line=b"HTTP/1.1 304 Not Modified"), "304"),
    Seed("HEAD with a length", _ok(b"Content-Length: 5"), "200"),
    Seed("HEAD with a body", _HELLO, "200 close"),
    Seed("interim 100", b"HTTP/1.1 100 Continue\r\n\r\n" + _HELLO, "200 'hello'"),
    Seed("interim 103", _HINTS + _HELLO, "interim 200 'hello'"),
    Seed("a flood of interims", _HINTS * 9 + _HELLO, "failed malformed_response"),
    Seed(
        "101 unasked", _ok(b"Connection: Upgrade", b"Upgrade: x", line=b"HTTP/1.1 101 X"), "failed malformed_response"
    ),
    Seed("two answers", _HELLO + _HELLO, "200 'hello' close"),
    Seed("an answer and garbage", _HELLO + b"\r\n", "200 'hello' close"),
    Seed("an answer behind 204", _ok(line=b"HTTP/1.1 204 No Content") + _HELLO, "204 close"),
    Seed("half a head", b"HTTP/1.1 200 OK\r\nContent", "..."),
    Seed("half a body", _ok(b"Content-Length: 5", body=b"hel"), "200 'hel' ..."),
    Seed("half a chunk", _chunked(b"5\r\nhel"), "200 'hel' ..."),
    Seed("length and coding", _chunked(b"0\r\n\r\n", b"Content-Length: 5"), "failed malformed_response"),
    Seed("two lengths", _ok(b"Content-Length: 5", b"Content-Length: 6", body=b"hello!"), "failed malformed_response"),
    Seed(
        "the same length twice",
        _ok(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
        "failed malformed_response",
    ),
    Seed("a length list", _ok(b"Content-Length: 5, 5", body=b"hello"), "failed malformed_response"),
    Seed("a length with a plus", _ok(b"Content-Length: +5", body=b"hello"), "failed malformed_response"),
    Seed("a length with a minus", _ok(b"Content-Length: -5", body=b"hello"), "failed malformed_response"),
    Seed("a length in hexadecimal", _ok(b"Content-Length: 0x5", body=b"hello"), "failed malformed_response"),
    Seed("a length too long", _ok(b"Content-Length: 99999999999999999999"), "failed malformed_response"),
    Seed("gzip, chunked", _ok(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), "failed malformed_response"),
    Seed("identity", _ok(b"Transfer-Encoding: identity", body=b"hello"), "failed malformed_response"),
    Seed("chunked twice", _chunked(b"0\r\n\r\n", b"Transfer-Encoding: chunked"), "failed malformed_response"),
    Seed("a size of 0x", _chunked(b"0x5\r\nhello\r\n0\r\n\r\n"), "failed malformed_response"),
    Seed("a size with a bare lf", _chunked(b"5\nhello\r\n0\r\n\r\n"), "failed malformed_response"),
    Seed("a chunk too long", _chunked(b"5\r\nhello!\r\n0\r\n\r\n"), "failed malformed_response"),
    Seed("a length among trailers", _chunked(b"0\r\nContent-Length: 5\r\n\r\n"), "200"),
    Seed("a bad length among trailers", _chunked(b"0\r\nContent-Length: x\r\n\r\n"), "200"),
    Seed("HEAD with an unknown coding", _ok(b"Transfer-Encoding: gzip"), "200"),
    Seed("obs-fold", _ok(b"X-A: b", b" c", b"Content-Length: 0"), "failed malformed_response"),
    Seed("a bare cr", _ok(b"X-A: b\rc", b"Content-Length: 0"), "failed malformed_response"),
    Seed("a bare lf", _ok(b"X-A: b\nSet-Cookie: c", b"Content-Length: 0"), "failed malformed_response"),
    Seed("a nul", _ok(b"X-A: \x00", b"Content-Length: 0"), "failed malformed_response"),
    Seed("space before the colon", _ok(b"Content-Length : 5", body=b"hello"), "failed malformed_response"),
    Seed("bare lf throughout", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "..."),
    Seed("status of two digits", _ok(b"Content-Length: 0", line=b"HTTP/1.1 20 OK"), "failed malformed_response"),
    Seed("status 600", _ok(b"Content-Length: 0", line=b"HTTP/1.1 600 X"), "failed malformed_response"),
    Seed("status 099", _ok(b"Content-Length: 0", line=b"HTTP/1.1 099 X"), "failed malformed_response"),
    Seed("http/2", _ok(b"Content-Length: 0", line=b"HTTP/2 200"), "failed malformed_response"),
    Seed("http/1.2", _ok(b"Content-Length: 0", line=b"HTTP/1.2 200 OK"), "failed malformed_response"),
    Seed("http/0.9", b"<html>hello</html>", "failed malformed_response"),
    Seed("tls alert", b"\x15\x03\x03\x00\x02\x02\x28", "failed malformed_response"),
    Seed("a line before", b"\r\n" + _HELLO, "failed malformed_response"),
    Seed("an event stream", _ok(b"Content-Type: text/event-stream", body=b"data: 1\n\n"), "200 'data: 1\\n\\n' ..."),
    Seed(
        "a date to retry after",
        _ok(b"Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", b"Content-Length: 0", line=b"HTTP/1.1 503 X"),
        "503",
    ),
]
