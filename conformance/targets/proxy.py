"""Bytes through the whole proxy: a caller's, in front of an honest upstream; an upstream's, behind honest callers.

Laws: an upstream gets nothing that h11, the strict grammar or our own listener would read otherwise or refuse, and no
more requests than its caller framed; a caller gets one well-formed answer to each of its requests, in their order, its
own; an answer that looks complete is the one that the upstream completed; nothing is logged as a defect.
"""

import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final

from conformance import deviations, strict
from conformance.corpus import requests, responses
from conformance.corpus.words import WORDS
from conformance.memory import Peer, Transport, World
from conformance.mutate import segments
from conformance.targets import chance, hold
from conformance.targets.requests import Understood, read

_END: Final = b"\r\n\r\n"
_HOPS: Final = {b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"http2-settings", b"te"}
_SAID_ANEW: Final[tuple[list[tuple[bytes, bytes]], ...]] = ([], [(b"te", b"trailers"), (b"connection", b"TE")])
"""What the connection to an upstream says of its own, the handshake of an upgrade apart."""


class _Complaints(logging.Handler):
    """Keeps what is logged: an exchange that fails costs its caller an answer, and must not go unnoticed here."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Takes one."""
        self.texts.append(self.format(record).strip().splitlines()[-1])


def _listening() -> _Complaints:
    log = logging.getLogger("sidecar")
    for handler in log.handlers:
        if isinstance(handler, _Complaints):
            return handler
    complaints = _Complaints()
    log.addHandler(complaints)
    log.propagate = False
    return complaints


@dataclass
class Origin:
    """The upstream: reads what comes with h11, and answers each whole request with a body that names it.

    `script`: bytes to answer the first request with instead, in these segments.
    """

    world: World
    script: list[bytes] | None = None
    got: list[strict.Read] = field(default_factory=list)
    scripted: Transport | None = None
    _answered: dict[int, int] = field(default_factory=dict)

    def look(self) -> bool:
        """Answers what is new; says whether there was anything."""
        moved = False
        for number, (_, end) in enumerate(self.world.lines.ends):
            if end.closed or end is self.scripted:
                moved |= end.pump()
                continue
            whole = [got for got in strict.requests(bytes(end.sent)).messages if got.whole]
            for got in whole[self._answered.get(number, 0) :]:
                moved = True
                self._answered[number] = self._answered.get(number, 0) + 1
                self._answer(end, got)
        return moved

    def _answer(self, end: Transport, got: strict.Read) -> None:
        self.got.append(got)
        if self.script is not None:
            script, self.script, self.scripted = self.script, None, end
            end.receive(script)
        else:
            body = b"" if got.line[0] == b"HEAD" else tag(len(self.got), got)
            end.receive([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)])


def tag(number: int, got: strict.Read) -> bytes:
    """A body that only this request's answer has."""
    return b"tagged %d %b %b %d" % (number, *got.line, len(got.body))


class _Whole:
    """What both targets share: one world, made anew for each input."""

    words: Sequence[bytes] = WORDS

    def __init__(self) -> None:
        self._complaints = _listening()
        self._world = World()

    def _play(self, pieces: list[bytes], script: list[bytes] | None = None) -> tuple[Peer, Origin]:
        self._world.renew()
        self._complaints.texts.clear()
        caller, origin = self._world.caller(), Origin(self._world, script)
        caller.send(pieces)
        self._settle(caller, origin)
        if origin.scripted is not None:
            origin.scripted.end()
            self._settle(caller, origin)
        return caller, origin

    def _settle(self, caller: Peer, origin: Origin) -> None:
        while origin.look() | caller.settle():
            pass

    def _leave(self, caller: Peer, origin: Origin) -> None:
        """The caller leaves, and nothing of it may be left."""
        caller.transport.end()
        self._settle(caller, origin)
        gateway = self._world.gateway
        at_rest = (gateway.active, self._world.timers.pending, self._world.target.pending) == (0, 0, 0)
        hold("nothing is left of a caller that left", given=at_rest)
        hold("no defect is logged", given=not self._complaints.texts, detail=self._complaints.texts)


class Proxied(_Whole):
    """A caller's bytes, in front of an honest upstream."""

    seeds: Sequence[bytes] = requests.STARTS

    def run(self, data: bytes) -> Hashable:
        """Holds the laws of this module."""
        caller, origin = self._play(segments(data, chance(data)))
        understood = read([data])
        self._check_upstream(origin, understood)
        kind = self._check_caller(caller, origin, understood)
        self._leave(caller, origin)
        return kind

    def _check_upstream(self, origin: Origin, understood: Understood) -> None:
        whole = [((asked.method, asked.target), asked.body) for asked in understood.whole]
        left = iter(whole)
        for got in origin.got:  # in order, and each once
            hold("the upstream gets what the caller framed", given=(got.line, got.body) in left, detail=got)
        for _, end in self._world.lines.ends:
            sent = bytes(end.sent)
            opinion = strict.requests(sent)
            hold("the upstream accepts what it gets", given=not opinion.refusal, detail=opinion.refusal)
            _check_heads(sent, opinion)
            ours = [((asked.method, asked.target), asked.body) for asked in read([sent], headers=1000).whole]
            theirs = [(got.line, got.body) for got in opinion.messages if got.whole]
            hold("our own listener reads it alike", given=ours == theirs, detail=f"{ours} is {theirs} to h11")

    def _check_caller(self, caller: Peer, origin: Origin, understood: Understood) -> Hashable:
        asked = understood.asked
        methods = [one.method for one in asked]
        waits = bool(asked) and not asked[-1].whole and understood.refusal is None
        if understood.refusal is not None and (not asked or asked[-1].whole):
            methods.append(b"HEAD" if understood.refused_head else b"GET")
        opinion = _well_formed(caller.transport, methods)
        hold("answers are whole", given=all(answer.whole for answer in opinion.messages))
        statuses = [answer.line for answer in opinion.messages]
        enough = len(statuses) == len(methods) - waits or (waits and len(statuses) == len(methods))
        # What was asked to switch, or was answered before its body came, may close: it says so.
        closes = bool(opinion.messages) and (b"connection", b"close") in opinion.messages[-1].fields
        hold("every request has one answer", given=enough or closes, detail=f"{statuses} to {methods}")
        tags = [tag(number, got) for number, got in enumerate(origin.got, 1) if got.line[0] != b"HEAD"]
        bodies = [answer.body for answer in opinion.messages if answer.line == 200 and answer.body]
        hold("every caller gets its own answers", given=bodies == tags, detail=f"{bodies} for {tags}")
        return (tuple(statuses[:4]), understood.refusal, waits, len(origin.got), opinion.interims)


def _well_formed(caller: Transport, methods: list[bytes]) -> strict.Opinion:
    """What h11 makes of the answers to a caller, which it must accept; the last may be cut off, visibly."""
    sent = bytes(caller.sent)
    opinion = strict.responses(sent, methods, ended=caller.ended and not caller.cut)
    hold("answers are well-formed", given=not opinion.refusal, detail=f"{opinion.refusal}: {sent!r}")
    hold("nothing follows the last answer", given=caller.cut or not opinion.rest, detail=opinion.rest)
    head = sent[: sent.find(_END) + len(_END)]
    in_grammar = not opinion.messages or strict.RESPONSE_HEAD.fullmatch(head) is not None
    hold("a head passed on is in the grammar", given=in_grammar, detail=head)
    return opinion


def _check_heads(sent: bytes, opinion: strict.Opinion) -> None:
    """Each head is in the strict grammar, and has no field of the caller's connection."""
    at = 0
    for got in opinion.messages:
        at = sent.index(b"%b " % got.line[0], at)
        head = sent[at : sent.index(_END, at) + len(_END)]
        hold("a head sent on is in the grammar", given=strict.REQUEST_HEAD.fullmatch(head) is not None, detail=head)
        hops = [(name, value) for name, value in got.fields if name in _HOPS]
        ours = hops in _SAID_ANEW or any(name == b"upgrade" for name, _ in hops)
        hold("hop-by-hop fields end here", given=ours, detail=hops)
        at += len(head)


_GET: Final = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
_POST: Final = b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
_WEBSOCKET: Final = (
    b"GET /w HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_CALLERS: Final[list[tuple[bytes, list[bytes]]]] = [
    (_GET, [b"GET"]),
    (_GET * 3, [b"GET"] * 3),
    (b"HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n" + _GET, [b"HEAD", b"GET"]),
    (_POST + _GET, [b"POST", b"GET"]),
    (b"GET /t HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n" + _GET, [b"GET"] * 2),
    (b"GET /o HTTP/1.0\r\n\r\n", [b"GET"]),
    (_WEBSOCKET, [b"GET"]),
]


class Answers(_Whole):
    """An upstream's bytes, behind honest callers: of several in a row, the first gets them as its answer."""

    seeds: Sequence[bytes] = [seed.wire for seed in responses.SEEDS]

    def run(self, data: bytes) -> Hashable:
        """Holds the laws of this module."""
        rng = chance(data)
        pieces, methods = rng.choice(_CALLERS)
        # Where another request follows at once, what is left over comes in the same read as what it is left over from:
        # a moment later it is the next request's answer to any client of HTTP/1.1.
        script = segments(data, rng) if len(methods) == 1 else [data]
        caller, origin = self._play([pieces], script)
        kind = self._check(data, caller, origin, methods, switches=pieces is _WEBSOCKET)
        self._leave(caller, origin)
        return kind

    def _check(self, data: bytes, caller: Peer, origin: Origin, methods: list[bytes], *, switches: bool) -> Hashable:
        end = caller.transport
        if end.sent.startswith(b"HTTP/1.1 101 "):
            hold("nobody is switched who did not ask", given=switches)
            return ("switched", end.ended, end.cut)
        opinion = _well_formed(end, methods)
        whole = [answer for answer in opinion.messages if answer.whole]
        hold("a caller that is not cut off is answered", given=end.cut or end.ended or len(whole) == len(methods))
        for number, answer in enumerate(whole):
            if not any(name == b"proxy-status" for name, _ in answer.fields):
                self._check_answer(data, number, answer, origin, methods[number])
        first = opinion.messages[0] if opinion.messages else None
        return (len(whole), first and (first.line, bool(first.body)), end.ended, end.cut, opinion.interims)

    @staticmethod
    def _check_answer(data: bytes, number: int, answer: strict.Read, origin: Origin, method: bytes) -> None:
        if number:
            own = tag(number + 1, origin.got[number]) if number < len(origin.got) else None
            hold("no answer is another's", given=answer.body == own, detail=f"{answer.body!r} for {own!r}")
            return
        opinion = strict.responses(data, [method], ended=True)
        theirs = opinion.messages[0] if opinion.messages else None
        alike = theirs is not None and theirs.whole and (theirs.line, theirs.body) == (answer.line, answer.body)
        named = deviations.of_response(data, method, opinion.refusal)
        detail = f"{answer} where h11 says {opinion.refusal!r}"
        hold("what looks complete is complete", given=alike or bool(named), detail=detail)
