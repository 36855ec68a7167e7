"""Message heads as they came off the wire, and how their bodies are framed."""

from typing import Any, Final

Header = tuple[bytes, bytes, bytes]
"""(lower-case name, name as it was written, value without surrounding white space)."""

CHUNKED: Final = -1
"""Body length that only the chunks themselves tell."""
UNTIL_CLOSE: Final = -2
"""Response body that ends with the connection (RFC 9112 section 6.3, rule 8)."""


class RequestHead:
    """A request's head. `length`: body bytes to come, 0 for none, or CHUNKED."""

    __slots__ = (
        "connection_tokens",
        "expects_continue",
        "headers",
        "host",
        "http10",
        "keep_alive",
        "length",
        "method",
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
    sorted: Any
    """What whoever sends the request on has made of its field lines. Heads with the same lines share it."""

    def __init__(self) -> None:
        self.sorted = None

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header by its lower-case name."""
        for low, _, value in self.headers:
            if low == name:
                return value
        return None


class ResponseHead:
    """A response's head. `length`: body bytes to come, 0 for none, CHUNKED or UNTIL_CLOSE."""

    __slots__ = ("connection_tokens", "dated", "headers", "http10", "keep_alive", "length", "relayed", "status")

    status: int
    headers: list[Header]
    length: int
    http10: bool
    keep_alive: bool
    connection_tokens: frozenset[bytes]
    dated: bool
    """Whether it has a `Date`; told by whoever sets `relayed`."""
    relayed: Any
    """What whoever passes the response on has made of it. Heads of the same bytes share it."""

    def __init__(self) -> None:
        self.dated = False
        self.relayed = None

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header by its lower-case name."""
        for low, _, value in self.headers:
            if low == name:
                return value
        return None
