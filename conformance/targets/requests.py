"""A caller's bytes, as the listener reads them.

Laws: no exception; whatever the segments, and whatever heads came before, the same requests and the same refusal; what
is accepted is what h11 makes of the same bytes, but for named deviations; what is held is bounded.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from conformance import deviations, strict
from conformance.corpus.requests import STARTS
from conformance.corpus.words import WORDS
from conformance.memory import Clock, Peer
from conformance.mutate import segments
from conformance.targets import chance, hold
from sidecar.wire.errors import BadRequest
from sidecar.wire.known import KnownRequests
from sidecar.wire.message import Header, RequestHead
from sidecar.wire.server import HELD, ServerConnection

_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_SINGLY: Final = 400
"""Bytes up to which an input is delivered byte by byte as well."""
_REMEMBERED: Final = 3
"""Times until a head is surely recognised by its bytes, where that can be: it is remembered when it comes again."""
_TIMEOUT: Final = 408
_FLOOD: Final = 400_000
_SEGMENT: Final = 16_384
_ONE_IN: Final = 64
"""Inputs of which one is sent over and over at a listener that does not answer."""


@dataclass
class Asked:
    """One request as the listener understood it."""

    method: bytes
    target: bytes
    host: bytes
    fields: tuple[Header, ...]
    body: bytes = b""
    trailers: tuple[Header, ...] = ()
    whole: bool = False

    @property
    def meaning(self) -> tuple[Any, ...]:
        """What may not depend on how the bytes came. Of a body that is not whole, nobody knows how much was told."""
        body = (self.body, self.trailers) if self.whole else ()
        return (self.method, self.target, self.host, self.fields, self.whole, body)


@dataclass
class Understood:
    """What a connection made of a caller's bytes. `refusal`: status and reason, if anything was refused.

    `refused_head`: it was a HEAD, whose answer has no body. `waits`: for more of a head. `open`: another request may
    come.
    """

    asked: list[Asked] = field(default_factory=list)
    refusal: tuple[int, str] | None = None
    refused_head: bool = False
    waits: bool = False
    open: bool = True

    @property
    def meaning(self) -> tuple[Any, ...]:
        """What may not depend on how the bytes came."""
        return ([asked.meaning for asked in self.asked], self.refusal, self.waits, self.open)

    @property
    def whole(self) -> list[Asked]:
        """The requests that came completely."""
        return [asked for asked in self.asked if asked.whole]

    def shape(self) -> str:
        """As the corpus writes verdicts."""
        parts = []
        for asked in self.asked:
            body = repr(asked.body)[1:] if asked.body and (asked.whole or not self.refusal) else ""
            end = "" if asked.whole else f"{self.refusal[0]}" if self.refusal else "..."
            parts.append(" ".join(filter(None, ((asked.method + b" " + asked.target).decode("latin-1"), body, end))))
        if self.refusal and (not self.asked or self.asked[-1].whole):
            parts.append(str(self.refusal[0]))
        return " | ".join([*parts, "..."] if self.waits else parts)


class _Sink:
    """Takes one request, and answers when it is whole."""

    def __init__(self, answerer: "Answerer", connection: ServerConnection, head: RequestHead) -> None:
        self._answerer = answerer
        self._connection = connection
        # The names a request goes by stand last where the other lines are known; they are not sent on from there.
        fields = sorted(head.headers, key=lambda header: header[0] in (b"traceparent", b"x-request-id"))
        self._asked = Asked(head.method, head.target, head.host, tuple(fields))
        answerer.understood.asked.append(self._asked)
        if not head.length:
            self.request_end([])

    def request_body(self, data: bytes) -> None:
        hold("a sink is told no empty piece", given=bool(data))
        hold("a sink is told nothing after the end", given=not self._asked.whole)
        self._asked.body += data

    def request_end(self, trailers: list[Header]) -> None:
        self._asked.whole = True
        self._asked.trailers = tuple(trailers)
        if self._answerer.answers:
            self._connection.write(_OK)
            self._connection.finish(0.0, close=not self._connection.keeps_alive)

    def request_failed(self, error: BadRequest) -> None:
        hold("a whole request does not fail", given=not self._asked.whole)
        self._answerer.understood.refusal = (error.status, error.reason)
        self._connection.finish(0.0, close=True)

    def caller_gone(self) -> None:
        """The run is over."""

    def caller_full(self) -> None:
        """Never: the peer takes everything."""

    caller_ready = caller_full


class Answerer:
    """Answers every request as soon as it is whole; `answers` false: never."""

    def __init__(self, *, answers: bool = True) -> None:
        self.answers = answers
        self.understood = Understood()

    def accept(self, connection: ServerConnection, head: RequestHead) -> Any:
        """A request came."""
        return _Sink(self, connection, head)

    def reject(self, connection: ServerConnection, error: BadRequest) -> bytes:  # noqa: ARG002 - a responder's signature
        """Something came that is none."""
        if error.status == _TIMEOUT:
            self.understood.waits = True
        else:
            self.understood.refusal = (error.status, error.reason)
            self.understood.refused_head = error.to_head
        return b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % error.status


def read(pieces: Iterable[bytes], known: KnownRequests | None = None, **limits: int) -> Understood:
    """What a new connection makes of a caller's bytes. `known`: heads that came before on others."""
    answerer = Answerer()
    clock = Clock()
    peer = Peer(answerer, clock, known, **limits)
    peer.send(pieces)
    understood = answerer.understood
    understood.open = not peer.transport.ended and not peer.transport.cut
    # Half a head is what is refused with 408 once its time is over.
    clock.now += peer.server.header_timeout + 1.0
    peer.server.sweep(clock.now)
    peer.transport.end()
    return understood


class Requests:
    """A caller's bytes, as the listener reads them."""

    seeds: Sequence[bytes] = STARTS
    words: Sequence[bytes] = WORDS

    def __init__(self) -> None:
        self._known = Peer(Answerer(), Clock()).server.known

    def run(self, data: bytes) -> Hashable:
        """Holds the laws of this module."""
        rng = chance(data)
        understood = read([data])
        self._same(understood, read(segments(data, rng)), "segments")
        if len(data) <= _SINGLY:
            self._same(understood, read(data[at : at + 1] for at in range(len(data))), "single bytes")
        for times in range(_REMEMBERED):
            self._same(understood, read([data], self._known), f"heads that came before, this one {times} times")
        deviation = agrees_with_h11(data, understood)
        if rng.randrange(_ONE_IN) == 0 and data:
            holds_little(data)
        shape = tuple((asked.method, asked.whole, bool(asked.body), bool(asked.trailers)) for asked in understood.asked)
        return (shape[:3], understood.refusal, understood.waits, understood.open, deviation)

    @staticmethod
    def _same(one: Understood, other: Understood, how: str) -> None:
        same = one.meaning == other.meaning
        hold(f"the same whatever the {how}", given=same, detail=f"{one.shape()} became {other.shape()}")


def agrees_with_h11(data: bytes, understood: Understood) -> str:
    """Holds that each request accepted as a whole is the one that h11 reads. Returns the deviation that applied."""
    opinion = strict.requests(data)
    for number, asked in enumerate(understood.whole):
        theirs = opinion.messages[number] if number < len(opinion.messages) else None
        ours = ((asked.method, asked.target), asked.body)
        if theirs is not None and theirs.whole and (theirs.line, theirs.body) == ours:
            continue
        name = deviations.of_request(data, opinion.refusal)
        detail = f"{ours} is {theirs} to h11, which says {opinion.refusal!r}"
        hold("what we accept h11 accepts", given=bool(name), detail=detail)
        return name
    return ""


def holds_little(data: bytes) -> None:
    """Holds that of a caller that floods a listener which does not answer no more is read than may be held."""
    answerer = Answerer(answers=False)
    peer = Peer(answerer, Clock())
    flood = data * (_FLOOD // len(data) + 1)
    whole_at = -1
    for at in range(0, len(flood), _SEGMENT):
        peer.send([flood[at : at + _SEGMENT]])
        if whole_at < 0 and answerer.understood.whole:
            whole_at = peer.transport.given
    ahead = peer.transport.given - whole_at
    bounded = whole_at < 0 or peer.transport.ended or ahead <= HELD + _SEGMENT
    hold("what is sent ahead is bounded", given=bounded, detail=ahead)
