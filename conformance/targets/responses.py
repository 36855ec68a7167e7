"""An upstream's bytes, as the connection to it reads them.

Laws: no exception; whatever the segments, and whatever heads came before, the same response; a response that is taken
as complete is the one that h11 reads as complete, but for named deviations; a byte too many and nothing else is sent on
the connection.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from conformance import deviations, strict
from conformance.corpus.responses import SEEDS
from conformance.corpus.words import WORDS
from conformance.memory import Clock, Lines
from conformance.mutate import segments
from conformance.targets import chance, hold
from sidecar.wire.errors import UpstreamError
from sidecar.wire.message import UNTIL_CLOSE, Header, ResponseHead

_SINGLY: Final = 400
_REMEMBERED: Final = 3
"""Times until a head is surely recognised by its bytes: it is remembered when it comes again."""
_REQUEST: Final = b"%b / HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass
class Answered:
    """What a connection told of one response. `closed`: it carries no other exchange."""

    head: ResponseHead | None = None
    body: bytes = b""
    trailers: tuple[Header, ...] = ()
    interims: list[int] = field(default_factory=list)
    whole: bool = False
    failed: str = ""
    closed: bool = False

    @property
    def meaning(self) -> tuple[Any, ...]:
        """What may not depend on how the bytes came. Of a failure, how much was told before is chance."""
        if self.failed:
            return (self.failed, self.closed)
        head = self.head
        known = None if head is None else (head.status, tuple(head.headers), head.length, head.connection_tokens)
        return (known, self.body, self.trailers, tuple(self.interims), self.whole, self.closed)

    def shape(self) -> str:
        """As the corpus writes verdicts."""
        if self.failed:
            return f"failed {self.failed}"
        parts = ["interim"] * len(self.interims)
        if self.head is not None:
            parts.append(str(self.head.status))
        if self.body:
            parts.append(repr(self.body)[1:])
        if not self.whole:
            parts.append("...")
        elif self.closed:
            parts.append("close")
        return " ".join(parts)


class _Sink:
    """Takes one response."""

    def __init__(self) -> None:
        self.answered = Answered()

    def response_interim(self, head: ResponseHead) -> None:
        self._open()
        self.answered.interims.append(head.status)

    def response_whole(self, head: ResponseHead, body: bytes) -> None:
        self.response_head(head)
        self.answered.body = body
        self.answered.whole = True

    def response_switched(self, head: ResponseHead) -> None:
        hold("nobody is switched who did not ask", given=False, detail=head.status)

    def response_head(self, head: ResponseHead) -> None:
        self._open()
        hold("one final head", given=self.answered.head is None)
        self.answered.head = head

    def response_body(self, data: bytes) -> None:
        self._open()
        hold("a sink is told no empty piece", given=bool(data))
        self.answered.body += data

    def response_end(self, trailers: list[Header]) -> None:
        self._open()
        self.answered.whole = True
        self.answered.trailers = tuple(trailers)

    def response_failed(self, error: UpstreamError) -> None:
        self._open()
        self.answered.failed = error.reason

    def upstream_full(self) -> None:
        """Never: the peer takes everything."""

    upstream_ready = upstream_full

    def _open(self) -> None:
        hold("one end", given=not self.answered.whole and not self.answered.failed)


def read(
    pieces: Iterable[bytes], method: bytes = b"GET", *, lines: Lines | None = None, ends: bool = False
) -> Answered:
    """What a new connection makes of an upstream's bytes. `lines`: a pool that saw others. `ends`: the peer leaves."""
    sink = _Sink()
    lines = lines or Lines(Clock(), [])
    connection = lines.make()
    transport = lines.ends.pop()[1]
    connection.send(sink, method, _REQUEST % method, whole=True)
    transport.receive(pieces)
    if ends:
        transport.end()
    answered = sink.answered
    free = answered.whole and not connection.closed
    hold("a free connection is free in its pool", given=lines.is_free(connection) == free)
    answered.closed = connection.closed
    answered = replace(answered)  # as it was before it was let go of
    connection.close()
    transport.pump()
    return answered


class Responses:
    """An upstream's bytes, as the connection to it reads them."""

    seeds: Sequence[bytes] = [seed.wire for seed in SEEDS]
    words: Sequence[bytes] = WORDS

    def __init__(self) -> None:
        self._lines = Lines(Clock(), [])

    def run(self, data: bytes) -> Hashable:
        """Holds the laws of this module."""
        rng = chance(data)
        method = rng.choice((b"GET", b"GET", b"POST", b"HEAD"))
        answered = read([data], method)
        self._same(answered, read(segments(data, rng), method), "segments")
        if len(data) <= _SINGLY:
            self._same(answered, read([data[at : at + 1] for at in range(len(data))], method), "single bytes")
        for times in range(_REMEMBERED):
            other = read([data], method, lines=self._lines)
            self._same(answered, other, f"heads that came before, this one {times} times")
        ended = read([data], method, ends=True)
        hold("an ended connection is closed", given=ended.closed)
        hold("an end makes a response whole or a failure", given=ended.whole != bool(ended.failed))
        deviation = agrees_with_h11(data, method, ended)
        head = answered.head
        return (
            head and (head.status // 100, head.length if head.length < 0 else head.length > 0, head.http10),
            *(answered.failed, answered.whole, answered.closed, len(answered.interims), bool(answered.trailers)),
            *(ended.whole, deviation, len(head.connection_tokens) if head else 0),
        )

    @staticmethod
    def _same(one: Answered, other: Answered, how: str) -> None:
        same = one.meaning == other.meaning
        hold(f"the same whatever the {how}", given=same, detail=f"{one.shape()} became {other.shape()}")


def agrees_with_h11(data: bytes, method: bytes, ended: Answered) -> str:
    """Holds that a response taken as complete is the one that h11 reads. Returns the deviation that applied."""
    if not ended.whole:
        return ""
    assert ended.head is not None
    opinion = strict.responses(data, [method], ended=True)
    theirs = opinion.messages[0] if opinion.messages else None
    ours = (ended.head.status, ended.body)
    if theirs is not None and theirs.whole and (theirs.line, theirs.body) == ours:
        poisoned = not opinion.rest or ended.head.length == UNTIL_CLOSE or ended.closed
        hold("bytes that are left over close the connection", given=poisoned)
        return ""
    name = deviations.of_response(data, method, opinion.refusal)
    detail = f"{ours} is {theirs} to h11, which says {opinion.refusal!r}"
    hold("what we take as complete h11 takes as complete", given=bool(name), detail=detail)
    return name
