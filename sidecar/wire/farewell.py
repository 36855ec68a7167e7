"""Connections whose callers are to go elsewhere: each gets its next answer, told that it is the last.

A connection that is closed while it is idle may be closed under a request that is on its way (RFC 9112 section 9.5).
Said in an answer, no caller can miss it.
"""

from typing import Any, Final

from sidecar.wire.errors import BadRequest
from sidecar.wire.message import RequestHead
from sidecar.wire.server import ServerConnection
from sidecar.wire.sinks import RequestSink, Responder

_ANY: Final = ("0.0.0.0", "::")  # noqa: S104 - names of addresses, nothing is bound here


class LastAnswer:
    """Takes one more request, in place of the responder that takes them as a rule."""

    __slots__ = ("_responder",)

    def __init__(self, responder: Responder[ServerConnection]) -> None:
        self._responder = responder

    def accept(self, connection: ServerConnection, head: RequestHead) -> RequestSink:
        """See `Responder`."""
        connection.last()
        return self._responder.accept(connection, head)

    def reject(self, connection: ServerConnection, error: BadRequest) -> bytes:
        """See `Responder`."""
        return self._responder.reject(connection, error)


def bid(connection: ServerConnection) -> None:
    """Has the connection end with the answer to the next request that comes on it. What is under way goes on."""
    if not isinstance(connection.responder, LastAnswer):
        connection.responder = LastAnswer(connection.responder)


def reached(connection: ServerConnection, name: Any) -> bool:
    """Whether it came in at a socket that is bound to `name`, as `getsockname` gives it."""
    here = connection._transport.get_extra_info("sockname")  # noqa: SLF001 - asked once in a listener's life
    if isinstance(name, str) or isinstance(here, str) or here is None:
        return bool(here == name)
    return bool(here[1] == name[1] and (name[0] in _ANY or here[0] == name[0]))
