"""What a usable answer looks like. A 200 with anything else in it is a failure like any other."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from sidecar.policy.schema import Schema

_DECODE: Final = msgspec.json.Decoder().decode
_VALIDATE: Final = msgspec.json.Decoder(msgspec.Raw).decode
_BOM: Final = b"\xef\xbb\xbf"
_ABSENT: Final = object()
_SUCCESSFUL: Final = range(200, 300)
_MOST_DIGITS: Final = 9
"""Of an array index: a longer one is beyond what fits in memory, and int() would take its time over it."""


def tokens(pointer: str) -> tuple[str, ...]:
    """A JSON pointer's reference tokens, unescaped (RFC 6901 sections 3 and 4).

    Raises:
        ValueError: it is none.
    """
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"JSON pointer {pointer!r} must be empty or start with '/'")
    if "~" in pointer.replace("~0", "").replace("~1", ""):
        raise ValueError(f"JSON pointer {pointer!r} holds a '~' that is neither '~0' nor '~1'")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:])


class Unreadable(ValueError):
    """The body cannot be looked into; the message says why, without quoting it."""


class Expect:
    """One route's predicate.

    `status`: the usable ones, None for any 2xx. `content_type`: a media type, compared without parameters.
    `json_equals`: what must stand at a JSON pointer. `json_present`: pointers that must lead somewhere
    (null counts). `json_schema`: what the document must be like. `max_body`: bytes, before and after
    decompression.

    Raises:
        ValueError: a key of `json_equals` or `json_present` is no JSON pointer (RFC 6901).
    """

    __slots__ = ("_content_type", "_equals", "_json", "_looks", "_max_body", "_present", "_schema", "_status")

    def __init__(
        self,
        *,
        status: frozenset[int] | None,
        content_type: str | None,
        json_equals: Mapping[str, Any],
        json_present: Sequence[str],
        max_body: int,
        json_schema: Schema | None = None,
    ) -> None:
        self._status = _SUCCESSFUL if status is None else status
        self._content_type = None if content_type is None else _media_type(content_type.encode())
        self._equals = tuple((pointer, tokens(pointer), value) for pointer, value in json_equals.items())
        self._present = tuple((pointer, tokens(pointer)) for pointer in json_present)
        self._max_body = max_body
        self._schema = json_schema
        self._looks = bool(self._equals or self._present) or json_schema is not None
        self._json = self._looks or _is_json(self._content_type)

    @property
    def max_body(self) -> int:
        """Bytes: whoever collects the body may stop beyond them."""
        return self._max_body

    @property
    def reads_json(self) -> bool:
        """Whether the body must be JSON: it should come in an encoding that `check` can undo."""
        return self._json

    def check(self, status: int, content_type: bytes | None, body: bytes, encoding: bytes | None = None) -> str:
        """What is wrong with an answer, in one sentence that never quotes its body; "" if it is usable.

        `encoding`: its `Content-Encoding`, if any. gzip and deflate are undone to look inside.
        """
        if wrong := self._check_head(status, content_type):
            return wrong
        if len(body) > self._max_body:
            return f"body has more than {self._max_body} bytes"
        return self._look_inside(body, encoding) if self._json else ""

    def check_stream(self, status: int, content_type: bytes | None) -> str:
        """The same of an answer whose body has no end to wait for: judged by its head alone, and no JSON document."""
        return self._check_head(status, content_type) or ("a stream is no JSON document" if self._json else "")

    def _check_head(self, status: int, content_type: bytes | None) -> str:
        if status not in self._status:
            return f"status {status} is not among the expected ones"
        if self._content_type is not None and _media_type(content_type or b"") != self._content_type:
            return f"content type is not {self._content_type.decode()}"
        return ""

    def _look_inside(self, body: bytes, encoding: bytes | None) -> str:
        try:
            text = _plain(body, encoding, self._max_body).removeprefix(_BOM)
            if not self._looks:
                _validate(text)
                return ""
            document = _parse(text)
        except Unreadable as reason:
            return str(reason)
        return self._look_up(document)

    def _look_up(self, document: Any) -> str:
        for pointer, path in self._present:
            if _resolve(document, path) is _ABSENT:
                return f"nothing at {pointer!r}"
        for pointer, path, value in self._equals:
            if not _same(_resolve(document, path), value):
                return f"value at {pointer!r} is not the expected one"
        return "" if self._schema is None else self._schema.wrong(document)


def _media_type(value: bytes) -> bytes:
    return value.partition(b";")[0].strip().lower()


def _is_json(media_type: bytes | None) -> bool:
    return media_type is not None and (media_type.endswith((b"/json", b"+json")))


def _plain(body: bytes, encoding: bytes | None, limit: int) -> bytes:
    """The body without its content coding (RFC 9110 section 8.4.1), of `limit` bytes at most."""
    coding = (encoding or b"").strip().lower()
    if coding in (b"", b"identity"):
        return body
    if coding not in (b"gzip", b"x-gzip", b"deflate"):
        raise Unreadable("body has a content encoding that cannot be looked into")
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)  # either format, told by its header
    try:
        plain = inflate.decompress(body, limit + 1)
    except zlib.error:
        raise Unreadable("body is not what its content encoding says") from None
    if len(plain) > limit:
        raise Unreadable(f"body has more than {limit} bytes when decompressed")
    if not inflate.eof:
        raise Unreadable("compressed body is cut short")
    return plain


def _validate(text: bytes) -> None:
    """Grammar only: a quarter of the price of building objects, and huge numbers stay JSON."""
    try:
        _VALIDATE(text)
        if not text.isascii():
            text.decode()
    except (ValueError, RecursionError):
        raise _not_json(text) from None


def _parse(text: bytes) -> Any:
    try:
        return _DECODE(text)
    except (ValueError, RecursionError):
        raise _not_json(text) from None


def _not_json(text: bytes) -> Unreadable:
    return Unreadable("body is not JSON" if text else "body is empty")


def _resolve(document: Any, path: tuple[str, ...]) -> Any:
    """What a pointer leads to (RFC 6901 section 4), or `_ABSENT`."""
    for token in path:
        if isinstance(document, dict):
            document = document.get(token, _ABSENT)
        elif isinstance(document, list) and _is_index(token) and int(token) < len(document):
            document = document[int(token)]
        else:
            return _ABSENT
    return document


def _is_index(token: str) -> bool:
    digits = len(token) <= _MOST_DIGITS and token.isascii() and token.isdigit()
    return digits and (not token.startswith("0") or len(token) == 1)


def _same(found: Any, expected: Any) -> bool:
    """Equality of JSON values: Python's, but true is not 1, at any depth."""
    if isinstance(found, dict) and isinstance(expected, Mapping):
        return found.keys() == expected.keys() and all(_same(found[key], expected[key]) for key in found)
    if isinstance(found, list) and isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(_same, found, expected))
    return isinstance(found, bool) == isinstance(expected, bool) and bool(found == expected)
