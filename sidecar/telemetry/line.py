"""How an access-log line is spelt: a template per kind of request, and escapes for what its caller sent."""

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Literal, NamedTuple

Format = Literal["json", "text"]

Key = tuple[str, bytes, int, str, str, str, int, bool]
"""Route, method, status, outcome, reason, detail, attempts, and whether there is no upstream time."""


class _Spelling(NamedTuple):
    template: Callable[[Key], bytes]
    """Has places for time, path, redaction, duration, upstream time (unless there is none), bytes in and out,
    request id."""
    escape: Callable[[bytes], bytes]
    same: Callable[[bool], bytes]
    """A table for `bytes.translate`: what it leaves as it is needs no escape. True: and holds no "?"."""
    with_more: Callable[[bytes, bytes | None, Mapping[str, bytes]], bytes]
    """A line with the caller's trace and headers put in at its end."""


def json_template(key: Key) -> bytes:
    """One JSON object. Its members keep their order; docs/metrics.md names them."""
    route, method, status, outcome, reason, detail, attempts, no_upstream = key
    upstream = b"null" if no_upstream else b"%.3f"
    return b"".join(
        (
            b'{"time":"%b","route":' + _quoted(route) + b',"method":' + _quoted(_readable(method)),
            b',"path":"%b%b","status":' + str(status).encode(),
            b',"outcome":' + _quoted(outcome) + b',"reason":' + _quoted(reason),
            b',"detail":' + _quoted(detail) if detail else b"",
            b',"duration_ms":%.3f,"upstream_ms":' + upstream + b',"attempts":' + str(attempts).encode(),
            b',"bytes_in":%d,"bytes_out":%d,"request_id":"%b"}\n',
        ),
    )


def text_template(key: Key) -> bytes:
    """One line for people: time, route, method, path, status, outcome (and reason), then named numbers."""
    route, method, status, outcome, reason, detail, attempts, no_upstream = key
    upstream = b"-" if no_upstream else b"%.3fms"
    why = f"{outcome}({reason})" if reason else outcome
    return b"".join(
        (
            b"%b " + _plain(route) + b" " + _plain(_readable(method)) + b" %b%b ",
            str(status).encode() + b" " + _plain(why) + b" duration=%.3fms upstream=" + upstream,
            b" attempts=" + str(attempts).encode() + b" in=%d out=%d id=%b",
            b" detail=" + _quoted(detail) + b"\n" if detail else b"\n",
        ),
    )


def escape_json(text: bytes) -> bytes:
    r"""The inside of a JSON string, in ASCII. Bytes that are no UTF-8 read as `\xff`."""
    return json.dumps(_readable(text))[1:-1].replace("\x7f", r"\u007f").encode()


def escape_text(text: bytes) -> bytes:
    r"""Printable ASCII without spaces, so that a line keeps its columns; every other byte as `\xff`."""
    return _UNPRINTABLE.sub(lambda found: b"\\x%02x" % found[0][0], text)


def json_with_more(line: bytes, traceparent: bytes | None, headers: Mapping[str, bytes]) -> bytes:
    """Adds `trace_id` if there is a trace, and `headers` if there are any. A trace id is 32 hexadecimal digits."""
    more = b"" if traceparent is None else b',"trace_id":"%b"' % _trace_id(traceparent)
    if headers:
        pairs = (_quoted_name(name) + b':"' + escape_json(value) + b'"' for name, value in headers.items())
        more += b',"headers":{' + b",".join(pairs) + b"}"
    return line[:-2] + more + b"}\n"


def text_with_more(line: bytes, traceparent: bytes | None, headers: Mapping[str, bytes]) -> bytes:
    """The same as words at the end."""
    more = b"" if traceparent is None else b" trace=" + _trace_id(traceparent)
    for name, value in headers.items():
        more += b" " + name.encode() + b"=" + escape_text(value)
    return line[:-1] + more + b"\n"


def _trace_id(traceparent: bytes) -> bytes:
    return traceparent[3:35]  # https://www.w3.org/TR/trace-context/#traceparent-header-field-values


def _quoted_name(name: str) -> bytes:
    return json.dumps(name).encode()


_UNPRINTABLE: Final = re.compile(rb"[^!#-\[\]-~]")


def _readable(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")


def _quoted(word: str) -> bytes:
    return json.dumps(word).encode().replace(b"%", b"%%")


def _plain(word: str) -> bytes:
    return escape_text(word.encode("utf-8", "backslashreplace")).replace(b"%", b"%%")


_PRINTABLE: Final = bytes(range(0x21, 0x7F))


def _same(harmless: bytes, no_query: bool) -> bytes:  # noqa: FBT001 - bound below
    doubtful = b'"\\?' if no_query else b'"\\'
    return bytes(byte if byte in harmless and byte not in doubtful else ord("_") for byte in range(256))


FORMATS: Final[dict[Format, _Spelling]] = {
    "json": _Spelling(json_template, escape_json, partial(_same, b" " + _PRINTABLE), json_with_more),
    "text": _Spelling(text_template, escape_text, partial(_same, _PRINTABLE), text_with_more),
}
