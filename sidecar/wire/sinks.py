"""Who is told what comes on a connection: one sink per message, told exactly one end."""

from typing import Protocol, TypeVar

from sidecar.wire.errors import BadRequest, UpstreamError
from sidecar.wire.message import Header, RequestHead, ResponseHead

C_contra = TypeVar("C_contra", contravariant=True)


class RequestSink(Protocol):
    """Who answers one request.

    Hears exactly one end of the request's body, `request_end` or `request_failed`, unless it finished before or the
    caller left; the latter at any time if the process ends; and nothing after it finished, aborted, or heard
    `caller_gone`.
    """

    def request_body(self, data: bytes) -> None:
        """The next bytes of the body, never empty."""

    def request_end(self, trailers: list[Header]) -> None:
        """The body is complete. Not told for requests without one."""

    def request_failed(self, error: BadRequest) -> None:
        """The body is broken or too large, or the process ends; the connection will close after the answer."""

    def caller_gone(self) -> None:
        """The caller closed its connection. Nothing can be written any more."""

    def caller_full(self) -> None:
        """The caller reads slower than we write: pause."""

    def caller_ready(self) -> None:
        """It has caught up."""


class Responder(Protocol[C_contra]):
    """Who is asked to answer what comes on one kind of connections."""

    def accept(self, connection: C_contra, head: RequestHead) -> RequestSink:
        """A request came. It may be answered, and `connection.finish` called, before this returns."""
        ...

    def reject(self, connection: C_contra, error: BadRequest) -> bytes:
        """The whole response, `Connection: close` included, to a message that is no request."""
        ...


class ResponseSink(Protocol):
    """Who hears what comes back.

    Hears exactly one of `response_whole`, `response_switched`, `response_end` and `response_failed`, as the last thing,
    unless it let go by `abandon`. What it hears after it paused the connection is at most the rest of one read.
    """

    def response_interim(self, head: ResponseHead) -> None:
        """A 1xx other than 100 came (103 Early Hints, say)."""

    def response_switched(self, head: ResponseHead) -> None:
        """A 101 came, to a protocol that was asked for: the connection is to be handed over, or let go, now."""

    def response_whole(self, head: ResponseHead, body: bytes) -> None:
        """All of the response came at once, and the connection is not the sink's any more."""

    def response_head(self, head: ResponseHead) -> None:
        """The final head came."""

    def response_body(self, data: bytes) -> None:
        """The next bytes of the body, never empty."""

    def response_end(self, trailers: list[Header]) -> None:
        """The response is complete; the connection is not the sink's any more."""

    def response_failed(self, error: UpstreamError) -> None:
        """It will never be complete; the connection is gone."""

    def upstream_full(self) -> None:
        """The upstream takes the request body slower than it comes: pause the caller."""

    def upstream_ready(self) -> None:
        """It can take more."""
