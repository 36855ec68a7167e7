"""Last known good: which answers may be kept, under which key, and what of them.

Kept answers go to whoever asks the same question again while the upstream fails. So the key holds
everything that the answer may depend on, and what might depend on anything else is not kept: a lost rescue
is a pity, somebody else's answer is a disaster. How old an answer may get is for `freshness.py` to say.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter
from typing import Final, NamedTuple, Protocol

Header = tuple[bytes, bytes, bytes]
"""(lower-case name, name as written, value), as on the wire."""

CREDENTIALS: Final = frozenset((b"authorization", b"cookie", b"proxy-authorization"))
"""Request headers that say who asks."""
NEGOTIATED: Final = (b"accept", b"accept-encoding", b"accept-language", b"origin")
"""Request headers that answers commonly vary by: part of every key."""

NEWS: Final = frozenset((200, 304, 401, 403, 404, 410))
"""Statuses of answers to GET that bear on what is kept: a new one; it still holds; it is gone, or not for this one."""

_HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_SAID_ANEW: Final = frozenset(
    (
        b"age",
        b"cache-control",
        b"cache-status",
        b"content-length",
        b"expires",
        b"pragma",
        b"proxy-status",
        b"x-request-id",
        b"x-sidecar-attempts",
    )
)
"""What we state ourselves about an answer that is served again: twice would be a contradiction."""
_DROPPED: Final = _HOP_BY_HOP | _SAID_ANEW | {b"set-cookie", b"set-cookie2"}


class Stored(NamedTuple):
    """A kept answer. `headers`: (name as written, value), as `cleaned` left them.

    stored_at: Unix time at which its origin made it or last confirmed it, as far as it says so (`Age`). fresh_for,
    usable_for: seconds from then, see `freshness.Lifetime`.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    stored_at: float
    fresh_for: float = 0.0
    usable_for: float = float("inf")


class Store(Protocol):
    """Where answers are kept. Bounded; whatever is least recently used goes first."""

    def get(self, key: bytes) -> Stored | None:
        """The answer under a key of `key`, if it is still there."""
        ...

    def put(self, key: bytes, stored: Stored) -> object:
        """Keeps an answer, in place of an older one."""
        ...

    def forget(self, key: bytes) -> object:
        """Keeps nothing under that key any more."""
        ...


def identity(headers: Iterable[Header], declared: tuple[bytes, ...]) -> list[tuple[bytes, bytes | None]]:
    """The part of a key that comes from a request's headers: (lower-case name, value), one per line received.

    `declared`: the route's identity headers, in lower case. They come first without their values, so that a
    route that declares others after a reload asks other questions. What answers commonly vary by
    (`NEGOTIATED`) is always part of it.
    """
    schema, wanted = _wanted(declared)
    lines = [(low, value) for low, _, value in headers if low in wanted]
    lines.sort(key=_name)  # by name only: lines of the same name mean something else in another order
    return [*schema, *lines]


@lru_cache(maxsize=1024)
def _wanted(declared: tuple[bytes, ...]) -> tuple[tuple[tuple[bytes, None], ...], frozenset[bytes]]:
    return tuple((name, None) for name in sorted(set(declared))), frozenset((*declared, *NEGOTIATED))


_name: Final = itemgetter(0)


def key(
    route: str,
    method: bytes,
    host: bytes,
    path: bytes,
    query: bytes,
    identity: Iterable[tuple[bytes, bytes | None]],
) -> bytes:
    """32 bytes that stand for one question by one asker; no credential can be read from them.

    Every part is preceded by its length, and a missing value is not an empty one: two different questions
    never make the same bytes before they are hashed.
    """
    return key_of(route, method, host, path, query, _spelt(identity))


def key_of(route: str, method: bytes, host: bytes, path: bytes, query: bytes, asker: bytes) -> bytes:
    """The same, of what `asker` made of the identity."""
    name = route.encode()
    asked = b"%d:%b%d:%b%d:%b%d:%b%d:%b%b" % (
        len(name),
        name,
        len(method),
        method,
        len(host),
        host,
        len(path),
        path,
        len(query),
        query,
        asker,
    )
    return blake2b(asked, digest_size=32).digest()


def _spelt(identity: Iterable[tuple[bytes, bytes | None]]) -> bytes:
    parts = []
    for header, value in identity:
        if value is None:
            parts.append(b"%d:%b-" % (len(header), header))
        else:
            parts.append(b"%d:%b%d:%b" % (len(header), header, len(value), value))
    return b"".join(parts)


def asker(headers: Sequence[Header], declared: tuple[bytes, ...]) -> bytes | None:
    """What in a request's headers its key depends on; None where nothing is kept or served (`undeclared`)."""
    return None if undeclared(headers, declared) else _spelt(identity(headers, declared))


def question(
    route: str,
    method: bytes,
    host: bytes,
    path: bytes,
    query: bytes,
    headers: Sequence[Header],
    declared: tuple[bytes, ...],
) -> bytes | None:
    """The key of a request, to keep under and to serve from; None where it must do neither (`undeclared`)."""
    who = asker(headers, declared)
    return None if who is None else key_of(route, method, host, path, query, who)


def undeclared(request: Iterable[Header], declared_identity: Collection[bytes]) -> str:
    """Which credential the key would miss, in a sentence; "" if none.

    Asked before an answer is kept and before one is served: a request that says who asks in a header that the
    route does not declare is neither kept for others nor served from them.
    """
    for name, _, _ in request:
        if name in CREDENTIALS and name not in declared_identity:
            return f"the request carries {name.decode()}, which is not among the route's identity headers"
    return ""


_ASKING: Final = CREDENTIALS | {b"cache-control"}
_SAYING: Final = frozenset((b"cache-control", b"vary"))


def storable(
    request: Sequence[Header],
    response: Sequence[Header],
    *,
    declared_identity: Iterable[bytes],
    overruled: Collection[str] = (),
) -> str:
    """Why an answer must not be kept, in a sentence; "" if it may.

    That it is a complete 200 to GET is for the caller to know.

    `request`: the header lines that reach the upstream. `overruled`: words of the origin that the operator does not
    heed. Refused are: credentials without a declared identity; `no-store` on either side, `private` (RFC 9111 sections
    5.2.1.5, 5.2.2.5, 5.2.2.7: we serve a whole application); `Vary` by `*` or by anything that is not in the key.

    An answer to a request with `Authorization` needs no `public` (section 3.5): it is only given to who sends the same.
    """
    declared = frozenset(declared_identity)
    return request_forbids(request, declared) or answer_forbids(response, declared, overruled)


def request_forbids(request: Sequence[Header], declared: Collection[bytes]) -> str:
    """What of that the request says."""
    # Most say nothing that matters here: to leave out the other lines first takes a third of the time.
    request = [line for line in request if line[0] in _ASKING]
    if not request:
        return ""
    if reason := undeclared(request, declared):
        return reason
    return "the request says no-store" if b"no-store" in _tokens(request, b"cache-control") else ""


def answer_forbids(response: Sequence[Header], declared: frozenset[bytes], overruled: Collection[str] = ()) -> str:
    """What of that the answer says."""
    response = [line for line in response if line[0] in _SAYING]
    if not response:
        return ""
    directives = _tokens(response, b"cache-control")
    if b"no-store" in directives:
        return "the answer says no-store"
    if b"private" in directives and "private" not in overruled:
        return "the answer says private"
    return _varies(response, declared)


def _varies(response: Sequence[Header], declared: frozenset[bytes]) -> str:
    """By what the answer varies that the key does not hold.

    Credentials are always well: `undeclared` keeps requests away that carry one which the key does not hold.
    """
    by = _tokens(response, b"vary") - declared - _IN_EVERY_KEY
    if not by:
        return ""
    if b"*" in by:
        return "the answer varies by more than the request says"
    return "the answer varies by a header that is not among the route's identity headers"


_IN_EVERY_KEY: Final = frozenset((*NEGOTIATED, *CREDENTIALS, b"host"))


def cleaned(headers: Sequence[Header]) -> tuple[tuple[bytes, bytes], ...]:
    """What is kept of an answer's headers: (name as written, value).

    Gone: `Set-Cookie`; the connection's own (RFC 9110 section 7.6.1) and those that `Connection` lists;
    `Content-Length` and what we say ourselves when the answer is served again.
    """
    listed = _tokens([line for line in headers if line[0] == b"connection"], b"connection")
    dropped = _DROPPED if listed <= _LISTED else _DROPPED | listed  # a set of this size takes as long as all the rest
    return tuple([(name, value) for low, name, value in headers if low not in dropped])


_LISTED: Final = frozenset((b"close", b"keep-alive"))


def confirms(response: Iterable[Header], stored: Stored) -> bool:
    """Whether a 304 speaks of the kept answer: the same `ETag`, or, without one, the same `Last-Modified` (4.3.4)."""
    new = {low: value for low, _, value in response if low in _VALIDATORS}
    old = {name.lower(): value for name, value in stored.headers if name.lower() in _VALIDATORS}
    for name in _VALIDATORS:
        if name in new:
            return old.get(name, b"").removeprefix(b"W/") == new[name].removeprefix(b"W/")
    return False


_VALIDATORS: Final = (b"etag", b"last-modified")


def _tokens(headers: Iterable[Header], name: bytes) -> set[bytes]:
    """The members of a list-valued header in lower case, without their arguments.

    Quoted arguments are not parsed: a comma inside of one can only add a token, never hide one.
    """
    found: set[bytes] = set()
    for low, _, value in headers:
        if low == name:
            found.update(part.partition(b"=")[0].strip(b' \t"').lower() for part in value.split(b","))
    found.discard(b"")
    return found
