"""Requests, and what the listener makes of each: accepted as what, or refused with which status.

A verdict lists what was understood, in order: `METHOD target 'body'`, a status where a message was refused (nothing
after it is read), `...` where more bytes are waited for. RFC sections are those of 9112 where no other is named.
"""

from typing import Final

from conformance.corpus import Seed


def _head(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join((line, b"Host: a.example", *fields, b"", b""))


def _get(*fields: bytes) -> bytes:
    return _head(b"GET /g HTTP/1.1", *fields)


def _post(*fields: bytes, body: bytes = b"") -> bytes:
    return _head(b"POST /p HTTP/1.1", *fields) + body


def _chunked(body: bytes, *fields: bytes) -> bytes:
    return _post(b"Transfer-Encoding: chunked", *fields, body=body)


_SMUGGLED: Final = b"GET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n"

PLAIN: Final = [
    Seed("get", _get(), "GET /g"),
    Seed("get with fields", _get(b"Accept: */*", b"X-A: 1", b"x-a: 2", b"Cookie: a=b"), "GET /g"),
    Seed("obs-text in a value", _get(b"X-A: \xe9\xff"), "GET /g"),
    Seed("empty value", _get(b"X-A:", b"X-B: \t "), "GET /g"),
    Seed("white space around a value", _get(b"X-A: \t b \t"), "GET /g"),
    Seed("empty lines before", b"\r\n\r\n" + _get(), "GET /g"),
    Seed("bare line feeds before", b"\n\n" + _get(), "GET /g"),
    Seed("half an empty line", _get() + b"\r", "GET /g | ..."),
    Seed("pipelined", _get() + _post(b"Content-Length: 3", body=b"abc") + _get(), "GET /g | POST /p 'abc' | GET /g"),
    Seed("an empty line between two", _get() + b"\r\n" + _get(), "GET /g | GET /g"),
    Seed("post with a length", _post(b"Content-Length: 3", body=b"abc"), "POST /p 'abc'"),
    Seed("post without a body", _post(b"Content-Length: 0"), "POST /p"),
    Seed("get with a body", _get(b"Content-Length: 3") + b"abc", "GET /g 'abc'"),
    Seed("half a head", b"GET /g HTTP/1.1\r\nHost:", "..."),
    Seed("half a body", _post(b"Content-Length: 5", body=b"abc"), "POST /p 'abc' ..."),
    Seed("expect 100", _post(b"Expect: 100-continue", b"Content-Length: 3", body=b"abc"), "POST /p 'abc'"),
    Seed("expect 100 twice", _post(b"Expect: 100-continue", b"Expect: 100-continue", b"Content-Length: 0"), "POST /p"),
    Seed("http/1.0", b"GET /g HTTP/1.0\r\n\r\n", "GET /g"),
    Seed("http/1.0 keep-alive", b"GET /g HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + _get(), "GET /g | GET /g"),
    Seed("http/1.0 closes", b"GET /g HTTP/1.0\r\n\r\n" + _SMUGGLED, "GET /g"),
    Seed("close", _get(b"Connection: close") + _SMUGGLED, "GET /g"),
    Seed("a body until close is no request's", _get(b"Connection: close") + b"abc", "GET /g"),
    Seed("traced", _get(b"traceparent: 00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", b"tracestate: a=b"), "GET /g"),
    Seed("patient", _get(b"X-Sidecar-Timeout: 1.5s", b"grpc-timeout: 100m"), "GET /g"),
    Seed("accept-encoding", _get(b"Accept-Encoding: br;q=1.0, gzip;q=0.8, *;q=0.1"), "GET /g"),
    Seed("te: trailers", _get(b"TE: trailers", b"Connection: TE"), "GET /g"),
]

TARGETS: Final = [
    Seed("query", _head(b"GET /g?a=1&b=%20 HTTP/1.1"), "GET /g?a=1&b=%20"),
    Seed("dots travel as they are", _head(b"GET /a/../b/%2e%2e//c HTTP/1.1"), "GET /a/../b/%2e%2e//c"),
    Seed("dots out of the root", _head(b"GET /../etc HTTP/1.1"), "GET /../etc"),
    Seed("trace", _head(b"TRACE /g HTTP/1.1"), "TRACE /g"),
    Seed("two slashes", _head(b"GET //a.example/x HTTP/1.1"), "GET //a.example/x"),
    Seed("odd but visible", _head(b'GET /"<>\\^`{|} HTTP/1.1'), 'GET /"<>\\^`{|}'),
    Seed("absolute-form", _head(b"GET http://b.example/x?y HTTP/1.1"), "GET /x?y"),
    Seed("absolute-form without a path", _head(b"GET http://b.example HTTP/1.1"), "GET /"),
    Seed("absolute-form, query alone", _head(b"GET http://b.example?y HTTP/1.1"), "GET /?y"),
    Seed("absolute-form https", _head(b"GET https://b.example:443/x HTTP/1.1"), "GET /x"),
    Seed("absolute-form with user", _head(b"GET http://u@b.example/ HTTP/1.1"), "400"),
    Seed("absolute-form, another scheme", _head(b"GET ftp://b.example/ HTTP/1.1"), "400"),
    Seed("absolute-form without a host", _head(b"GET http:///x HTTP/1.1"), "400"),
    Seed("asterisk", _head(b"OPTIONS * HTTP/1.1"), "OPTIONS *"),
    Seed("asterisk is for options", _head(b"GET * HTTP/1.1"), "400"),
    Seed("fragment", _head(b"GET /g#f HTTP/1.1"), "400"),
    Seed("no slash", _head(b"GET g HTTP/1.1"), "400"),
    Seed("connect", b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", "405"),
    Seed("connect with a path", _head(b"CONNECT /x HTTP/1.1"), "405"),
    Seed("obs-text in a target", _head(b"GET /\xe9 HTTP/1.1"), "400"),
    Seed("control in a target", _head(b"GET /\x01 HTTP/1.1"), "400"),
    Seed("delete in a target", _head(b"GET /\x7f HTTP/1.1"), "400"),
    Seed("nul in a target", _head(b"GET /\x00 HTTP/1.1"), "400"),
    Seed("line feed in a target", _head(b"GET /a\nb HTTP/1.1"), "400"),
]

LINES: Final = [
    Seed("two spaces", _head(b"GET  /g HTTP/1.1"), "400"),
    Seed("a tab for a space", _head(b"GET\t/g HTTP/1.1"), "400"),
    Seed("space at the end", _head(b"GET /g HTTP/1.1 "), "400"),
    Seed("space at the start", b" " + _get(), "400"),
    Seed("space in a target", _head(b"GET /a b HTTP/1.1"), "400"),
    Seed("http/0.9", b"GET /g\r\n\r\n", "400"),
    Seed("http/2.0", _head(b"GET /g HTTP/2.0"), "505"),
    Seed("http/1.2", _head(b"GET /g HTTP/1.2"), "505"),
    Seed("http/1.10", _head(b"GET /g HTTP/1.10"), "400"),
    Seed("small http", _head(b"GET /g http/1.1"), "400"),
    Seed("no version", _head(b"GET /g "), "400"),
    Seed("small method", _head(b"get /g HTTP/1.1"), "501"),
    Seed("unknown method", _head(b"BREW /g HTTP/1.1"), "501"),
    Seed("a method that is no token", _head(b"G(T /g HTTP/1.1"), "400"),
    Seed("no token in another version", _head(b"\xbfGET /g HTTP/2.0"), "400"),
    Seed("h2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
    Seed("tls hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"),
    Seed("proxy protocol", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n" + _get(), "400"),
    Seed("bare cr ends the line", b"GET /g HTTP/1.1\rHost: a\r\n\r\n", "400"),
    Seed("bare lf ends the line", b"GET /g HTTP/1.1\nHost: a\r\n\r\n", "400"),
    Seed("bare lf throughout", b"GET /g HTTP/1.1\nHost: a\n\n", "..."),
    Seed("bare cr before", b"\r" + _get(), "400"),
    Seed("bare cr between two", _get() + b"\r" + _get(), "GET /g | 400"),
    Seed("nul first", b"\x00" + _get(), "400"),
    Seed("byte order mark", b"\xef\xbb\xbf" + _get(), "400"),
]

FIELDS: Final = [
    Seed("no host", b"GET /g HTTP/1.1\r\n\r\n", "400"),
    Seed("two hosts", _get(b"Host: b.example"), "400"),
    Seed("the same host twice", _get(b"Host: a.example"), "400"),
    Seed("empty host", b"GET /g HTTP/1.1\r\nHost:\r\n\r\n", "400"),
    Seed("host with a path", b"GET /g HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
    Seed("host with a user", b"GET /g HTTP/1.1\r\nHost: a@b\r\n\r\n", "400"),
    Seed("host list", b"GET /g HTTP/1.1\r\nHost: a, b\r\n\r\n", "400"),
    Seed("host with a space", b"GET /g HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
    Seed("host with a port", b"GET /g HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "GET /g"),
    Seed("obs-fold", _get(b"X-A: b", b" c"), "400"),
    Seed("obs-fold by tab", _get(b"X-A: b", b"\tc"), "400"),
    Seed("fold of the first field", b"GET /g HTTP/1.1\r\n Host: a\r\n\r\n", "400"),
    Seed("space before the colon", _get(b"X-A : b"), "400"),
    Seed("no colon", _get(b"X-A"), "400"),
    Seed("empty name", _get(b": b"), "400"),
    Seed("a name that is no token", _get(b"X(A): b"), "400"),
    Seed("obs-text in a name", _get(b"X-\xe9: b"), "400"),
    Seed("nul in a value", _get(b"X-A: \x00"), "400"),
    Seed("bare cr in a value", _get(b"X-A: b\rX-B: c"), "400"),
    Seed("bare lf in a value", _get(b"X-A: b\nX-B: c"), "400"),
    Seed("control in a value", _get(b"X-A: \x01"), "400"),
    Seed("delete in a value", _get(b"X-A: \x7f"), "400"),
    Seed("bare lf ends the head", b"GET /g HTTP/1.1\r\nHost: a\r\n\n" + _SMUGGLED, "400"),
    Seed("bare cr ends the head", b"GET /g HTTP/1.1\r\nHost: a\r\n\r" + _SMUGGLED, "400"),
    Seed("connection names the host", _get(b"Connection: host, x-a", b"X-A: b"), "GET /g"),
    Seed(
        "connection names a length",
        _post(b"Connection: content-length", b"Content-Length: 3", body=b"abc"),
        "POST /p 'abc'",
    ),
    Seed(
        "connection names a coding",
        _chunked(b"3\r\nabc\r\n0\r\n\r\n", b"Connection: transfer-encoding"),
        "POST /p 'abc'",
    ),
    Seed("a hundred fields", _get(*[b"X-%d: y" % number for number in range(99)]), "GET /g"),
    Seed("too many fields", _get(*[b"X-%d: y" % number for number in range(100)]), "431"),
    Seed("too long a target", _head(b"GET /%b HTTP/1.1" % (b"a" * 8192)), "414"),
]

LENGTHS: Final = [
    Seed("plus", _post(b"Content-Length: +3", body=b"abc"), "400"),
    Seed("minus", _post(b"Content-Length: -3", body=b"abc"), "400"),
    Seed("minus nothing", _post(b"Content-Length: -0"), "400"),
    Seed("hexadecimal", _post(b"Content-Length: 0x3", body=b"abc"), "400"),
    Seed("leading zeros", _post(b"Content-Length: 003", body=b"abc"), "POST /p 'abc'"),
    Seed("trailing space", _post(b"Content-Length: 3 ", body=b"abc"), "POST /p 'abc'"),
    Seed("vertical tab", _post(b"Content-Length: \x0b3", body=b"abc"), "400"),
    Seed("a list of one value", _post(b"Content-Length: 3, 3", body=b"abc"), "400"),
    Seed("a list of two values", _post(b"Content-Length: 3, 4", body=b"abc"), "400"),
    Seed("twice the same", _post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"), "400"),
    Seed("twice, differing", _post(b"Content-Length: 0", b"Content-Length: 34", body=_SMUGGLED), "400"),
    Seed("empty", _post(b"Content-Length:"), "400"),
    Seed("a fraction", _post(b"Content-Length: 3.0", body=b"abc"), "400"),
    Seed("an exponent", _post(b"Content-Length: 3e0", body=b"abc"), "400"),
    Seed("two to the 64", _post(b"Content-Length: 18446744073709551616"), "400"),
    Seed("two to the 64 and 3", _post(b"Content-Length: 18446744073709551619", body=b"abc"), "400"),
    Seed("other digits", _post("Content-Length: ٣".encode(), body=b"abc"), "400"),
    Seed("underscore", _post(b"Content-Length: 1_0"), "400"),
    Seed("larger than allowed", _post(b"Content-Length: 10485761"), "413"),
    Seed("space before the colon of a length", _post(b"Content-Length : 3", body=b"abc"), "400"),
    Seed("a folded length", _post(b"Content-Length:", b" 3", body=b"abc"), "400"),
    Seed("underscore in the name", _post(b"Content_Length: 3") + _get(), "POST /p | GET /g"),
]

CODINGS: Final = [
    Seed("chunked", _chunked(b"3\r\nabc\r\n0\r\n\r\n"), "POST /p 'abc'"),
    Seed("chunked in capitals", _post(b"Transfer-Encoding: CHUNKED", body=b"0\r\n\r\n"), "POST /p"),
    Seed("length and coding", _chunked(b"0\r\n\r\n" + _SMUGGLED, b"Content-Length: 5"), "400"),
    Seed("coding and length", _post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), "400"),
    Seed("length nothing and coding", _chunked(b"0\r\n\r\n", b"Content-Length: 0"), "400"),
    Seed("coding in http/1.0", _head(b"POST /p HTTP/1.0", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", "400"),
    Seed("xchunked", _post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), "501"),
    Seed("identity", _post(b"Transfer-Encoding: identity"), "501"),
    Seed("gzip, chunked", _post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), "501"),
    Seed("chunked, identity", _post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"), "400"),
    Seed("chunked twice", _post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), "400"),
    Seed("chunked in two fields", _chunked(b"0\r\n\r\n", b"Transfer-Encoding: chunked"), "400"),
    Seed("chunked, then x", _chunked(b"0\r\n\r\n", b"Transfer-Encoding: x"), "400"),
    Seed("vertical tab, chunked", _post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"), "400"),
    Seed("chunked and a tab", _post(b"Transfer-Encoding: chunked\t", body=b"0\r\n\r\n"), "400"),
    Seed("chunked, comma", _post(b"Transfer-Encoding: chunked,", body=b"0\r\n\r\n"), "400"),
    Seed("comma, chunked", _post(b"Transfer-Encoding: ,chunked", body=b"0\r\n\r\n"), "400"),
    Seed("quoted", _post(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"), "400"),
    Seed("chunked with a parameter", _post(b"Transfer-Encoding: chunked;a=b", body=b"0\r\n\r\n"), "400"),
    Seed("empty coding", _post(b"Transfer-Encoding:", body=b"0\r\n\r\n"), "400"),
    Seed("folded coding", _post(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n"), "400"),
    Seed("space before the colon of a coding", _post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), "400"),
    Seed("nul in a coding", _post(b"Transfer-Encoding: chunked\x00", body=b"0\r\n\r\n"), "400"),
    Seed("underscore in the name of a coding", _post(b"Transfer_Encoding: chunked") + _get(), "POST /p | GET /g"),
    Seed("a coding hidden behind a bare cr", _post(b"X: y\rTransfer-Encoding: chunked", body=b"0\r\n\r\n"), "400"),
]

CHUNKS: Final = [
    Seed("chunk and what follows", _chunked(b"3\r\nabc\r\n0\r\n\r\n") + _get(), "POST /p 'abc' | GET /g"),
    Seed("capital digits", _chunked(b"A\r\n0123456789\r\n0\r\n\r\n"), "POST /p '0123456789'"),
    Seed("leading zeros of a size", _chunked(b"0003\r\nabc\r\n000\r\n\r\n"), "POST /p 'abc'"),
    Seed("extension", _chunked(b'3;a=b;c="d\\"e"\r\nabc\r\n0;z\r\n\r\n'), "POST /p 'abc'"),
    Seed("extension with white space", _chunked(b"3 ; a = b\r\nabc\r\n0\r\n\r\n"), "POST /p 'abc'"),
    Seed("trailers", _chunked(b"3\r\nabc\r\n0\r\nX-A: b\r\n\r\n"), "POST /p 'abc'"),
    Seed("no end yet", _chunked(b"3\r\nabc\r\n"), "POST /p 'abc' ..."),
    Seed("size of 0x", _chunked(b"0x3\r\nabc\r\n0\r\n\r\n"), "POST /p 400"),
    Seed("size with a plus", _chunked(b"+3\r\nabc\r\n0\r\n\r\n"), "POST /p 400"),
    Seed("size with a minus", _chunked(b"-3\r\nabc\r\n0\r\n\r\n"), "POST /p 400"),
    Seed("size with a space before", _chunked(b" 3\r\nabc\r\n0\r\n\r\n"), "POST /p 400"),
    Seed("size with a space behind", _chunked(b"3 \r\nabc\r\n0\r\n\r\n"), "POST /p 400"),
    Seed("size of 17 digits", _chunked(b"00000000000000003\r\nabc\r\n0\r\n\r\n"), "POST /p 400"),
    Seed("size that wraps at 64 bits", _chunked(b"10000000000000003\r\nabc\r\n0\r\n\r\n"), "POST /p 400"),
    Seed(
        "size of 16 digits", _chunked(b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n"), "POST /p 'abc\\r\\n0\\r\\n\\r\\n' ..."
    ),
    Seed("size empty", _chunked(b"\r\nabc\r\n0\r\n\r\n"), "POST /p 400"),
    Seed("size with a bare lf", _chunked(b"3\nabc\r\n0\r\n\r\n"), "POST /p 400"),
    Seed("data with a bare lf", _chunked(b"3\r\nabc\n0\r\n\r\n"), "POST /p 400"),
    Seed("data longer than its size", _chunked(b"3\r\nabcd\r\n0\r\n\r\n"), "POST /p 400"),
    Seed("data ends in cr alone", _chunked(b"3\r\nabc\r0\r\n\r\n"), "POST /p 400"),
    Seed("bare lf at the end", _chunked(b"0\r\n\n" + _SMUGGLED), "POST /p 400"),
    Seed("bare lf in an extension", _chunked(b"3;a\nb\r\nabc\r\n0\r\n\r\n"), "POST /p 400"),
    Seed("bare cr in an extension", _chunked(b"3;a\rb\r\nabc\r\n0\r\n\r\n"), "POST /p 400"),
    Seed("nul in an extension", _chunked(b"3;\x00\r\nabc\r\n0\r\n\r\n"), "POST /p 400"),
    Seed("bare semicolon", _chunked(b"3;\r\nabc\r\n0\r\n\r\n"), "POST /p 400"),
    Seed("line end in a quoted extension", _chunked(b'3;a="\r\nabc\r\n0\r\n\r\n'), "POST /p 400"),
    Seed("a length among trailers", _chunked(b"0\r\nContent-Length: 3\r\n\r\n"), "POST /p 400"),
    Seed("a coding among trailers", _chunked(b"0\r\nTransfer-Encoding: chunked\r\n\r\n"), "POST /p 400"),
    Seed("a host among trailers", _chunked(b"0\r\nHost: b\r\n\r\n"), "POST /p 400"),
    Seed("a folded trailer", _chunked(b"0\r\nX-A: b\r\n c\r\n\r\n"), "POST /p 400"),
    Seed("space before a trailer's colon", _chunked(b"0\r\nX-A : b\r\n\r\n"), "POST /p 400"),
    Seed("no trailer at all", _chunked(b"0\r\nabc\r\n\r\n"), "POST /p 400"),
]

UPGRADES: Final = [
    Seed(
        "websocket",
        _get(
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ),
        "GET /g",
    ),
    Seed(
        "upgrade with a body",
        _post(b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 3", body=b"abc"),
        "400",
    ),
    Seed("upgrade with chunks", _chunked(b"0\r\n\r\n", b"Connection: Upgrade", b"Upgrade: websocket"), "400"),
    Seed("upgrade by post", _post(b"Connection: Upgrade", b"Upgrade: websocket"), "POST /p"),
    Seed("upgrade not in connection", _post(b"Upgrade: websocket", b"Content-Length: 3", body=b"abc"), "POST /p 'abc'"),
    Seed(
        "h2c",
        _get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAoAAA"),
        "GET /g",
    ),
    Seed(
        "h2c with a body",
        _post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 3", body=b"abc"),
        "POST /p 'abc'",
    ),
]

SEEDS: Final = [*PLAIN, *TARGETS, *LINES, *FIELDS, *LENGTHS, *CODINGS, *CHUNKS, *UPGRADES]
STARTS: Final = [seed.wire for seed in (*SEEDS, *PLAIN * 4, *CHUNKS[:7] * 4)]
"""What mutations start from: as often from what is accepted as from what is not, or most inputs would be refused for
what their seed had."""
