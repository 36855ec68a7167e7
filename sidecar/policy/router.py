"""Which route a request belongs to.

The most specific one wins, whatever the order in the file: an exact path before a prefix before a regex; a
longer prefix before a shorter one; then the one with more conditions (host, methods, each header); then
file order. Everything is compared byte for byte with what came in: no decoding, no dot segments removed.
What a route does not match it does not see, and the upstream gets the same bytes.
"""

import enum
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

Header = tuple[bytes, bytes, bytes]
R = TypeVar("R")


class _Miss(enum.Enum):
    """Nothing was found: a target may be anything, None too."""

    MISS = enum.auto()


_MISS: Final = _Miss.MISS


def bare_host(host: bytes) -> bytes:
    """A host to compare: lower case, no port (RFC 3986 section 3.2.2). An IPv6 address keeps its brackets."""
    name, colon, port = host.rpartition(b":")
    return (name if colon and not port.strip(b"0123456789") else host).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a route asks of a request. Texts may be given as str.

    Exactly one of: `path` (the whole path), `prefix` (its beginning as bytes: "/api" matches "/apis", as in
    nginx and Envoy), `regex` (the whole path must match). The query is no part of the path. `methods`:
    empty for any. `host`: None for any; compared without case and port; an IPv6 address may lack its brackets.
    `headers`: lower-case name to value, of which one line must be exactly that.

    Raises:
        ValueError: not exactly one of the three, or not a regular expression.
    """

    path: bytes | str | None = None
    prefix: bytes | str | None = None
    regex: bytes | str | None = None
    methods: frozenset[bytes] = frozenset()
    host: bytes | None = None
    headers: Mapping[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = [name for name in ("path", "prefix", "regex") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("a match has exactly one of path, prefix and regex")
        value = getattr(self, given[0])
        object.__setattr__(self, given[0], value.encode() if isinstance(value, str) else value)
        if self.host is not None:
            bare = b"[%b]" % self.host if self.host.count(b":") > 1 and self.host[:1] != b"[" else self.host
            object.__setattr__(self, "host", bare_host(bare))

    @property
    def conditions(self) -> int:
        """How many things besides the path it asks for."""
        return (self.host is not None) + bool(self.methods) + len(self.headers)

    def accepts(self, method: bytes, host: bytes, headers: Iterable[Header]) -> bool:
        """Whether the conditions hold, the path apart. `host`: as it came."""
        if self.methods and method not in self.methods:
            return False
        if self.host is not None and bare_host(host) != self.host:
            return False
        if not self.headers:
            return True
        lines = {(name, value) for name, _, value in headers if name in self.headers}
        return all(line in lines for line in self.headers.items())


class _Entry(Generic[R]):
    """The candidates of one path or prefix, those with most conditions first."""

    __slots__ = ("candidates", "only", "parent", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.candidates: list[tuple[Match, R]] = []
        self.only: R | _Miss = _MISS
        """The first candidate's target if that one asks for nothing more: nobody else has a chance."""
        self.parent: _Entry[R] | None = None
        """The longest other prefix that this one begins with."""

    def choose(self, method: bytes, host: bytes, headers: Sequence[Header]) -> R | _Miss:
        for match, target in self.candidates:
            if match.accepts(method, host, headers):
                return target
        return _MISS


class Router(Generic[R]):
    """Finds the most specific match's target: one look-up for plain paths, a binary search for prefixes."""

    __slots__ = ("_exact", "_patterns", "_plain", "_prefixes", "_texts")

    def __init__(self, routes: Sequence[tuple[Match, R]]) -> None:
        # A stable sort: equals stay in file order.
        ordered = sorted(routes, key=lambda pair: -pair[0].conditions)
        exact = _entries(ordered, "path")
        self._plain = {entry.text: entry.only for entry in exact if entry.only is not _MISS}
        self._exact = {entry.text: entry for entry in exact if entry.only is _MISS}
        self._prefixes = _entries(ordered, "prefix")
        self._texts = [entry.text for entry in self._prefixes]
        self._patterns = [
            (re.compile(match.regex), match, target) for match, target in ordered if isinstance(match.regex, bytes)
        ]

    def match(self, method: bytes, host: bytes, path: bytes, headers: Sequence[Header]) -> R | None:
        """The target of the most specific match; None if nothing matches. `host`: with or without a port."""
        target = self._plain.get(path, _MISS)
        if target is _MISS and path in self._exact:
            target = self._exact[path].choose(method, host, headers)
        if target is _MISS and self._texts:
            # The longest prefix of `path` that the table holds is the greatest text not after `path`, or
            # one of the texts that this text begins with.
            place = bisect_right(self._texts, path)
            entry = self._prefixes[place - 1] if place else None
            while entry is not None:
                if path.startswith(entry.text):
                    target = entry.only
                    if target is _MISS:
                        target = entry.choose(method, host, headers)
                    if target is not _MISS:
                        return target
                entry = entry.parent
        if target is _MISS:
            target = self._match_patterns(method, host, path, headers)
        return None if target is _MISS else target

    def _match_patterns(self, method: bytes, host: bytes, path: bytes, headers: Sequence[Header]) -> R | _Miss:
        for pattern, match, target in self._patterns:
            if pattern.fullmatch(path) and match.accepts(method, host, headers):
                return target
        return _MISS


def _entries(ordered: Iterable[tuple[Match, R]], kind: str) -> list[_Entry[R]]:
    """One entry per text of that kind, in the order of the texts, linked to their parents."""
    found: dict[bytes, _Entry[R]] = {}
    for match, target in ordered:
        text = getattr(match, kind)
        if text is not None:
            found.setdefault(text, _Entry(text)).candidates.append((match, target))
    entries = [found[text] for text in sorted(found)]
    before: _Entry[R] | None = None
    for entry in entries:
        match, target = entry.candidates[0]
        entry.only = _MISS if match.conditions else target
        # In order, a text stands right after its parent or after others that begin with the same parent.
        while before is not None and not entry.text.startswith(before.text):
            before = before.parent
        entry.parent = before
        before = entry
    return entries


def shadowed(matches: Sequence[Match]) -> list[tuple[int, int]]:
    """Pairs (index of a match that can never win, index of the one that always wins before it).

    Sound but not complete: what it reports is dead; a regex that is dead only by its meaning is not found.
    """
    order = sorted(range(len(matches)), key=lambda index: _precedence(matches[index], index))
    found = []
    for place, loser in enumerate(order):
        for winner in order[:place]:
            if _covers(matches[winner], matches[loser]):
                found.append((loser, winner))
                break
    return sorted(found)


def _precedence(match: Match, index: int) -> tuple[int, int, int, int]:
    if match.path is not None:
        return 0, 0, -match.conditions, index
    if match.prefix is not None:
        return 1, -len(match.prefix), -match.conditions, index
    return 2, 0, -match.conditions, index


def _covers(winner: Match, loser: Match) -> bool:
    """Whether every request that `loser` matches is one that `winner` matches."""
    same = (winner.path, winner.prefix, winner.regex) == (loser.path, loser.prefix, loser.regex)
    return (
        (same or winner.prefix in (b"", b"/"))
        and (not winner.methods or (bool(loser.methods) and winner.methods >= loser.methods))
        and winner.host in (None, loser.host)
        and winner.headers.items() <= loser.headers.items()
    )
