"""Heads that came before, recognised by their bytes.

An application sends the same field lines with nearly every request, and gets the same ones back for a second at a time
(until `Date` changes). What they mean is a pure function of their bytes, so it is worked out once: a look-up and the
check of a request line take 0.3 of the time of parsing a request, a look-up alone 0.1 of parsing a response.

Many heads differ from the one before in little: a trace, an id, a date, an entity tag, a length. Such values are hidden
before the table is asked, and put back into what was found: 0.2 of parsing a request, 0.4 of parsing a response. What
says something about the rest of its head (a `Connection` that lists it, a second one of it) is not hidden but parsed.

A head is remembered when it comes the second time: others never come again. Bounded: so many heads, none longer than
2 KiB; when a table is full it starts anew, which costs two parses each. It holds what callers sent, credentials
included, in memory only and never beyond the next start.
"""

import re
from typing import Final, TypeVar

from sidecar.wire import alike
from sidecar.wire.framing import METHODS
from sidecar.wire.message import RequestHead, ResponseHead

T = TypeVar("T")

ENTRIES: Final = 256
LONGEST: Final = 2048

_PLACES: Final = 1024
_ALIKE: Final = METHODS - {b"TRACE"}
"""Methods that may have the same fields: TRACE has no body."""
_LONGEST_TARGET: Final = 2048
_LINE: Final = re.compile(rb'([A-Z-]+) (/[!"$-~]{0,%d}) HTTP/1\.1\r\n' % (_LONGEST_TARGET - 1)).match
"""A request line that needs no further look, its method apart. In the target: visible ASCII but "#"."""
_LONGEST_HEAD: Final = LONGEST + _LONGEST_TARGET
"""More is no known head alone, and hashing a body that came with its head would cost what it saves."""

_LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,17}").fullmatch


class Seen:
    """What came before, by its hash: forgets the older of two that share a place, which costs one more parse."""

    __slots__ = ("_hashes",)

    def __init__(self) -> None:
        self._hashes = [0] * _PLACES

    def before(self, block: bytes) -> bool:
        """Whether it came before. It has, from now on."""
        mark = hash(block)
        place = mark % _PLACES
        if self._hashes[place] == mark:
            return True
        self._hashes[place] = mark
        return False


class KnownRequests:
    """Field lines of requests, by all the bytes after the request line. `header_bytes`: of a head, at most."""

    __slots__ = ("_blocks", "_longest", "_nameless", "_seen")

    def __init__(self, *, header_bytes: int = _LONGEST_HEAD) -> None:
        self._longest = min(_LONGEST_HEAD, header_bytes)
        self._blocks: dict[bytes, RequestHead] = {}
        self._nameless: dict[bytes, RequestHead] = {}
        self._seen = Seen()

    def forget(self, *, header_bytes: int) -> None:
        """Starts anew: what was worked out for known heads may be about endpoints that are gone."""
        self._longest = min(_LONGEST_HEAD, header_bytes)
        self._blocks.clear()
        self._nameless.clear()

    def recognise(self, data: bytes) -> RequestHead | None:
        """The head that `data` is, if it is nothing but that and its field lines came before. Else it must be parsed.

        A known block ends with the only empty line in it, so equality with one means that `data` is one whole head.
        """
        if len(data) > self._longest:
            return None
        end = data.find(b"\r\n")
        block = data[end:]
        known = self._blocks.get(block)
        own = None
        if known is None:
            named = alike.without_names(block)
            if named is None:
                return None
            key, own = named
            known = self._nameless.get(key)
            if known is None:
                return None
        line = _LINE(data)
        if line is None:
            return None
        method, target = line.groups()
        if method not in _ALIKE:
            return None
        head = RequestHead()
        head.method = method
        head.target = target
        head.path, _, head.query = target.partition(b"?")
        head.host = known.host
        head.headers = known.headers if own is None else known.headers + own
        head.length = known.length
        head.http10 = False
        head.keep_alive = known.keep_alive
        head.expects_continue = known.expects_continue
        head.connection_tokens = known.connection_tokens
        head.upgrade = known.upgrade
        head.kin = known
        head.own = own
        return head

    def learn(self, data: bytes, head: RequestHead) -> None:
        """`data` was parsed into `head`. Remembers its field lines, where the request line has no say in them."""
        end = data.find(b"\r\n")
        block = data[end:]
        if len(block) > LONGEST or head.http10 or data[:end].split(b" ")[1] != head.target:
            return  # an absolute-form target replaces the Host field
        if head.get(b"max-forwards") is not None:
            return  # what it means depends on the method
        named = alike.without_names(block)
        if named is not None and (copy := alike.nameless(head, named[1])) is not None:
            if self._seen.before(named[0]):
                _remember(self._nameless, named[0], copy)
        elif self._seen.before(block):
            _remember(self._blocks, block, head)


class KnownResponses:
    """Whole heads of responses, by their bytes. Not for answers to HEAD, whose length means something else."""

    __slots__ = ("_alike", "_heads", "_seen", "recognise")

    def __init__(self) -> None:
        self._heads: dict[bytes, ResponseHead] = {}
        self._alike: dict[bytes, tuple[ResponseHead, int]] = {}
        self._seen = Seen()
        self.recognise = self._heads.get

    def resemble(self, data: bytes) -> ResponseHead | None:
        """The head that `data` is, if all of it but the usual came before. To be asked where it is not recognised."""
        if len(data) > LONGEST:
            return None
        parts = alike.cut(data)
        if len(parts) == 1 or (found := self._alike.get(alike.key(parts))) is None:
            return None
        kin, place = found
        head = ResponseHead()
        head.status = kin.status
        head.http10 = kin.http10
        head.keep_alive = kin.keep_alive
        head.connection_tokens = kin.connection_tokens
        head.length = kin.length
        if place:
            length = parts[place]
            if _LENGTH(length) is None:
                return None
            head.length = int(length)
        head.kin = kin
        head.own = parts[2::3]
        if self._seen.before(data):
            _remember(self._heads, data, head)
        return head

    def learn(self, data: bytes, head: ResponseHead) -> None:
        """`data` was parsed into `head`, which nobody changes from now on."""
        if len(data) > LONGEST:
            return
        parts = alike.cut(data)
        kin = alike.valueless(head, parts)
        if kin is None:
            if self._seen.before(data):
                _remember(self._heads, data, head)
        elif self._seen.before(key := alike.key(parts)):
            _remember(self._alike, key, (kin, alike.place_of_length(parts)))


def _remember(table: dict[bytes, T], key: bytes, value: T) -> None:
    if len(table) >= ENTRIES:
        table.clear()
    table[key] = value
