"""Message heads as they came off the wire, and how their bodies are framed."""

from typing import Any, Final

Header = tuple[bytes, bytes, bytes]
"""(lower-case name, name as it was written, value without surrounding white space)."""

CHUNKED: Final = -1
"""Body length that only the chunks themselves tell."""
HIDDEN: Final = b"\0"
"""Stands for a value that differs from head to head. No value has one."""
UNTIL_CLOSE: Final = -2
"""Response body that ends with the connection (RFC 9112 section 6.3, rule 8)."""


_NOTHING: Final[list[bytes]] = []


class RequestHead:
    """A request's head. `length`: body bytes to come, 0 for none, or CHUNKED."""

    __slots__ = (
        "asking",
        "connection_tokens",
        "expects_continue",
        "headers",
        "host",
        "http10",
        "keep_alive",
        "kin",
        "length",
        "method",
        "own",
        "path",
        "query",
        "sorted",
        "target",
        "upgrade",
    )

    method: bytes
    target: bytes
    """Origin-form, byte for byte as it came: path and query."""
    path: bytes
    query: bytes
    """What follows the first "?", without it."""
    host: bytes
    """The authority: of the `Host` field, or of an absolute-form target, which wins."""
    headers: list[Header]
    length: int
    http10: bool
    keep_alive: bool
    expects_continue: bool
    connection_tokens: frozenset[bytes]
    """Lower-case names listed in `Connection`, other than close and keep-alive: to be removed."""
    upgrade: bytes
    """Value of `Upgrade` when `Connection` lists it too; empty otherwise."""
    kin: "RequestHead | None"
    """The head whose field lines it has, `own` apart; None if there was none before it."""
    own: list[Header] | None
    """What it has beside its kin's lines: the ids it goes by. They are in `headers` too."""
    asking: Any
    """What whoever keeps answers has made of them, there too."""
    sorted: Any
    """What whoever sends the request on has made of its field lines. It is kept where they came first: in its kin."""

    def __init__(self) -> None:
        self.sorted = None
        self.asking = None
        self.own = None
        self.kin = None

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header by its lower-case name."""
        for low, _, value in self.headers:
            if low == name:
                return value
        return None


class ResponseHead:
    """A response's head. `length`: body bytes to come, 0 for none, CHUNKED or UNTIL_CLOSE."""

    __slots__ = (
        "_headers",
        "connection_tokens",
        "dated",
        "http10",
        "keep_alive",
        "kept",
        "kin",
        "length",
        "own",
        "relayed",
        "status",
    )

    status: int
    length: int
    http10: bool
    keep_alive: bool
    connection_tokens: frozenset[bytes]
    kin: "ResponseHead | None"
    """A head with the same lines, in which the values of `own` are HIDDEN; None if there was none before it."""
    own: list[bytes]
    """The values that it has where its kin's are hidden, in order."""
    dated: bool
    """Whether it has a `Date`; told by whoever sets `relayed`."""
    relayed: Any
    """What whoever passes the response on has made of it. Heads of the same bytes share it."""
    kept: Any
    """What whoever keeps it has made of it, likewise."""

    def __init__(self) -> None:
        self._headers: list[Header] | None = None
        self.dated = False
        self.kin = None
        self.own = _NOTHING
        self.relayed = None
        self.kept = None

    @property
    def headers(self) -> list[Header]:
        """All of its fields. Of a head with kin they are put together when somebody asks, as few do."""
        headers = self._headers
        if headers is None:
            assert self.kin is not None
            values = iter(self.own)
            headers = self._headers = [
                (low, name, next(values) if value is HIDDEN else value) for low, name, value in self.kin.headers
            ]
        return headers

    @headers.setter
    def headers(self, headers: list[Header]) -> None:
        self._headers = headers

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header by its lower-case name."""
        for low, _, value in self.headers:
            if low == name:
                return value
        return None
