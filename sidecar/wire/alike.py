"""Heads that differ in little: which of their values are hidden before a table is asked (known.py).

Pure functions over the bytes of a head. What is hidden is replaced by `HIDDEN`, a byte that no head has: data that
holds one is never alike to anything, or it could pass for a head in which that byte stands for a value.
"""

import re
from typing import Final

from sidecar.wire.message import HIDDEN, Header, RequestHead, ResponseHead

_NAMED: Final = re.compile(rb"\r\n([Tt]raceparent|[Xx]-[Rr]equest-[Ii][Dd]): ([!-~]{1,128})(?=\r\n)").split
"""What nearly every request has of its own. Neither travels as it stands: whoever sends it on says it anew."""
_NAMES: Final = frozenset({b"traceparent", b"x-request-id"})
_ONE, _TWO = 4, 7
_NOT_MODIFIED: Final = 304

_VARIES: Final = re.compile(
    rb"\r\n([Cc]ontent-[Ll]ength|[Dd]ate|[Ee][Tt]ag|[Ll]ast-[Mm]odified|[Xx]-[Rr]equest-[Ii][Dd])"
    rb": ([!-~](?:[ -~]{0,126}[!-~])?)(?=\r\n)"
).split
"""What differs from one answer to the next, though the rest of the head is the same."""


def without_names(block: bytes) -> tuple[bytes, list[Header]] | None:
    """A request's field lines with the names it goes by hidden, and these; None if it has none, or one twice."""
    parts = _NAMED(block)
    if len(parts) not in (_ONE, _TWO) or HIDDEN in block:
        return None
    own = [(parts[1].lower(), parts[1], parts[2])]
    key = parts[0] + HIDDEN + parts[1] + parts[3]
    if len(parts) == _TWO:
        own.append((parts[4].lower(), parts[4], parts[5]))
        if own[0][0] == own[1][0]:
            return None
        key += HIDDEN + parts[4] + parts[6]
    return key, own


def nameless(head: RequestHead, own: list[Header]) -> RequestHead | None:
    """A copy of the head without its names. None if these have to do with what the other lines mean."""
    # What `tracestate` is worth depends on the trace; a name in other letters than usual was not hidden.
    related = sum(low in _NAMES or low == b"tracestate" for low, _, _ in head.headers)
    if head.connection_tokens or related != len(own):
        return None
    copy = RequestHead()
    for name in RequestHead.__slots__:
        setattr(copy, name, getattr(head, name))
    copy.headers = [header for header in head.headers if header[0] not in _NAMES]
    copy.sorted = copy.asking = copy.kin = None
    return copy


def cut(data: bytes) -> list[bytes]:
    """A response's head, cut at the values that vary: text, name, value, text, and so on. Whole, if it has none."""
    return _VARIES(data) if HIDDEN not in data else [data]


def key(parts: list[bytes]) -> bytes:
    """What heads have in common that differ in these values alone: what stands between them, and their names."""
    return HIDDEN.join(parts[::3] + parts[1::3])


def place_of_length(parts: list[bytes]) -> int:
    """Where among them the value of `Content-Length` is; 0 if there is none."""
    names = [name.lower() for name in parts[1::3]]
    return 2 + 3 * names.index(b"content-length") if b"content-length" in names else 0


def valueless(head: ResponseHead, parts: list[bytes]) -> ResponseHead | None:
    """A copy of the head with these values hidden. None if there are none, or they say something about the rest."""
    place = place_of_length(parts)
    # A 304 may tell the length of what it does not carry, 0 included (RFC 9110 section 8.6).
    frames = not place or (head.status != _NOT_MODIFIED and parts[place] == b"%d" % head.length)
    if len(parts) == 1 or head.connection_tokens or not frames:
        return None
    own = list(zip(parts[1::3], parts[2::3], strict=True))
    hidden = [(low, name, HIDDEN if (name, value) in own else value) for low, name, value in head.headers]
    if sum(value is HIDDEN for _, _, value in hidden) != len(own):
        return None
    copy = ResponseHead()
    copy.status = head.status
    copy.http10 = head.http10
    copy.keep_alive = head.keep_alive
    copy.connection_tokens = head.connection_tokens
    copy.length = head.length
    copy.headers = hidden
    return copy
