"""What origin and caller say about how old an answer may get (RFC 9111 sections 4.2, 5.2; RFC 5861 section 4).

The route's own `max_age` is the operator's bound, and stands whatever is said here. Origin and caller can only lower
it: an answer is given if all three allow it. What the origin says, the operator may overrule, word by word.
"""

import re
from collections.abc import Collection, Iterable
from math import inf
from typing import Final, NamedTuple

from sidecar.policy import retry_after

Header = tuple[bytes, bytes, bytes]

OVERRULABLE: Final = frozenset(
    {"no-cache", "must-revalidate", "proxy-revalidate", "s-maxage", "stale-if-error", "private"}
)
"""What an operator may overrule. `no-store` is not among it: what must be written nowhere is not."""

_DIRECTIVE: Final = re.compile(rb'([^\s",;=]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s",;]*)))?')
_LONGEST: Final = 2.0**31
"""Seconds that anything longer is cut to (RFC 9111 section 1.2.2)."""


class Lifetime(NamedTuple):
    """Seconds, counted from when the answer was made.

    age: how many of them had passed when it came here. fresh_for: its freshness lifetime, 0 if its origin names none.
    usable_for: after which its origin forbids it even where everything else fails; infinite if it sets no bound.
    """

    age: float
    fresh_for: float
    usable_for: float


UNSAID: Final = Lifetime(0.0, 0.0, inf)
_AGING: Final = frozenset((b"age", b"cache-control", b"expires"))


def directives(headers: Iterable[Header]) -> dict[bytes, bytes]:
    """The members of `Cache-Control` in lower case with their arguments, b"" if none. Of several the first counts."""
    found: dict[bytes, bytes] = {}
    for low, _, value in headers:
        if low == b"cache-control":
            for name, quoted, plain in _DIRECTIVE.findall(value):
                found.setdefault(name.lower(), quoted or plain)
    return found


def speaks_of_age(response: Collection[Header]) -> bool:
    """Whether an answer's headers have anything to say of it; otherwise its lifetime is `UNSAID`."""
    return bool([line for line in response if line[0] in _AGING])


def lifetime(response: Collection[Header], overruled: Collection[str], now: float) -> Lifetime:
    """What an answer's headers say of it. `now`: Unix time.

    - `no-cache` (5.2.2.4): never without asking the origin. With field names, too: few caches tell that apart.
    - `must-revalidate` (5.2.2.2), `proxy-revalidate` (5.2.2.8): while it is fresh.
    - `stale-if-error=N` (RFC 5861): until it has been stale for N seconds.
    - `s-maxage` (5.2.2.10) implies `proxy-revalidate`, but an origin that says `stale-if-error` as well means that.
    """
    if not speaks_of_age(response):  # as of most APIs: a fifth of the time
        return UNSAID
    said = directives(response)
    for word in overruled:
        said.pop(word.encode(), None)
    fresh = _freshness(said, response, now)
    return Lifetime(min(_seconds(_field(response, b"age"), 0.0), _LONGEST), fresh, _usable(said, fresh))


def _usable(said: dict[bytes, bytes], fresh: float) -> float:
    if b"no-cache" in said:
        return 0.0
    if b"must-revalidate" in said or b"proxy-revalidate" in said:
        return fresh
    if b"stale-if-error" in said:
        return fresh + _seconds(said[b"stale-if-error"], 0.0)
    return fresh if b"s-maxage" in said else inf


def _freshness(said: dict[bytes, bytes], response: Collection[Header], now: float) -> float:
    """RFC 9111 section 4.2.1: the first that is given; 0 for what is no number, or no date."""
    for name in (b"s-maxage", b"max-age"):  # the first is for shared caches, as one for a whole application is
        if name in said:
            return _seconds(said[name], 0.0)
    ends = _date(_field(response, b"expires"))
    if ends is None:
        return 0.0
    made = _date(_field(response, b"date"))
    return max(0.0, ends - (now if made is None else made))


def accepts(request: Iterable[Header], *, age: float, fresh_for: float) -> bool:
    """Whether a caller takes a kept answer of that age, in seconds. Without a word about it: yes.

    - `no-cache` (5.2.1.4): no.
    - `stale-if-error=N` (RFC 5861): while it has been stale for at most N seconds, whatever else is said.
    - `max-age=N` (5.2.1.1): up to that age; `max-stale` (5.2.1.2) lets it be so much older, without a number any age.
    - `max-stale=N` alone: while it has been stale for at most N seconds.
    - `min-fresh=N` (5.2.1.3): while it stays fresh for N seconds.

    `no-store` is about keeping, not about giving (5.2.1.5). A number that is none is 0: the stricter reading.
    """
    said = directives(request)
    if not said:
        return True
    if b"no-cache" in said:
        return False
    if b"stale-if-error" in said:
        return age <= fresh_for + _seconds(said[b"stale-if-error"], 0.0)
    return age <= _limit(said, fresh_for)


def _limit(said: dict[bytes, bytes], fresh_for: float) -> float:
    limit = _seconds(said[b"max-age"], 0.0) if b"max-age" in said else inf
    if b"max-stale" in said:
        more = said[b"max-stale"]
        limit = min(limit, fresh_for) + (_seconds(more, 0.0) if more else inf)
    if b"min-fresh" in said:
        limit = min(limit, fresh_for - _seconds(said[b"min-fresh"], inf))
    return limit


def _field(headers: Iterable[Header], name: bytes) -> bytes | None:
    return next((value for low, _, value in headers if low == name), None)


def _seconds(text: bytes | None, otherwise: float) -> float:
    if text is None or not text.isdigit():
        return otherwise
    return min(float(text[:20]), _LONGEST)


def _date(text: bytes | None) -> float | None:
    """Unix time of an HTTP-date; None if it is none."""
    if text is None or text.strip().isdigit():  # those would be seconds: for `Retry-After` only
        return None
    return retry_after.parse(text, 0.0)
