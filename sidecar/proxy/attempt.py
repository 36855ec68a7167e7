"""One attempt under way: leases a connection, sends, waits for the answer, and becomes its own outcome.

The commit point: an answer whose length is known and at most 64 KiB, and any that `expect` or last-known-good must see,
is collected before the caller gets its first byte, so that a reset in mid-body is still an attempt that can be retried
or rescued. Longer ones, and event streams, commit at their head: they are held, with the upstream paused, until the
path says `Relay`. So does a 101, whose connection is then handed over (tunnels.py).

An attempt ends once: `Exchange.attempt_ended` before the commit point, `relay_ended` or `relay_failed` after it.
"""

from typing import TYPE_CHECKING, Final, cast

from sidecar.policy import reasons
from sidecar.policy.outcome import Outcome, Verdict
from sidecar.policy.retry import SAFE
from sidecar.proxy import faults
from sidecar.proxy.commands import Attempt
from sidecar.proxy.heads import passed_trailers
from sidecar.proxy.judge import is_event_stream, judge, judge_too_large, must_see
from sidecar.proxy.sending import send
from sidecar.proxy.target import Target
from sidecar.wire.client import ClientConnection
from sidecar.wire.errors import Reset, UpstreamError
from sidecar.wire.message import Header, ResponseHead
from sidecar.wire.silence import Silence
from sidecar.wire.timers import Slot

if TYPE_CHECKING:
    from sidecar.proxy.exchange import Exchange

COLLECTED: Final = 65536
"""Bytes of an answer of known length that are collected before the commit point."""
STALE_WITHIN: Final = 0.2
"""Seconds, beside two round trips, within which a reset is taken for that of a connection that was dead before."""
SEEN: Final = 1024 * 1024
"""Bytes that last-known-good may collect where `expect.max_body` sets no other bound."""

_CONNECTING, _AWAITING, _COLLECTING, _HELD, _RELAYING, _DONE = range(6)
_NO_TRAILERS: Final[list[Header]] = []
_SUCCESS: Final = Verdict.SUCCESS
_NEUTRAL: Final = Verdict.NEUTRAL


class LiveAttempt(Outcome):
    """Reads as an Outcome once it has ended; an object of its own per attempt would cost half a microsecond more.

    body, trailers: the whole answer's, once it is complete and nothing of it was relayed. connect_seconds, first_byte,
    total: the upstream's own times in seconds, -1 for what did not happen.
    """

    __slots__ = (
        "_exchange",
        "_phase",
        "_slot",
        "_until",
        "body",
        "connection",
        "first_byte",
        "head",
        "started",
        "target",
        "total",
        "upstream_name",
    )

    head: ResponseHead
    # Rare enough to lie in the class until set.
    connect_seconds = -1.0
    trailers = _NO_TRAILERS
    number = 0
    """Which of its request's attempts it is, from 1; 0 while that is simply the latest."""
    context = b""
    """The `traceparent` of its own that it was sent with, where the request is recorded."""
    _resent = False
    _silence: Silence | None = None
    _limit = COLLECTED
    _size = 0
    _pieces: list[bytes]

    def __init__(self, exchange: "Exchange", command: Attempt, now: float) -> None:
        self.verdict = _NEUTRAL
        self.reason = reasons.OK
        self.status = 0
        self.elapsed = 0.0
        self.sent = False
        self.target = cast("Target", command.endpoint)
        self.upstream_name = command.upstream.name
        self.started = now
        self.first_byte = self.total = -1.0
        self.connection: ClientConnection | None = None
        self.body: bytes | None = None
        self._exchange = exchange
        self._phase = _CONNECTING
        self._until = command.until
        self._slot: Slot = exchange.timers.add(self, now + command.timeout)

    # What the exchange does with it.

    def start(self) -> None:
        """Asks for a connection, and sends on it when there is one."""
        exchange = self._exchange
        route = exchange.route
        assert route is not None
        if route.fault is not None and faults.take_over(exchange, self):
            return
        pool = self.target.pool
        # What may be sent twice needs no look at the connection: one that the peer has just closed costs a `_resend`.
        lease = pool.lease if exchange.method in SAFE and exchange.upload is None else pool.lease_quiet
        connection = lease(self)
        if connection is not None:
            self._send(connection, self.started)

    def start_late(self) -> None:
        """The same after an injected delay."""
        connection = self.target.pool.lease_quiet(self)
        if connection is not None:
            self._send(connection, self._now())

    @property
    def is_over(self) -> bool:
        """Whether nothing will come of it any more."""
        return self._phase == _DONE

    def relay(self) -> None:
        """The rest of a held answer goes to the caller as it comes, until the request's time is over."""
        exchange = self._exchange
        self._phase = _RELAYING
        if is_event_stream(self.head):
            # It has no end to wait for: its bound is the silence between two events.
            self._silence = exchange.silence(self._fall_silent)
        else:
            self._slot = exchange.timers.add(self, self._until)
        pieces, self._pieces = self._pieces, []
        for piece in pieces:
            exchange.relay_body(piece)
        if not exchange.caller_is_full:
            self.resume_reading()

    def hand_over(self) -> ClientConnection:
        """Its connection, after a 101. From now on nothing of it reaches this attempt."""
        connection, self.connection = self.connection, None
        assert connection is not None
        self._phase = _DONE
        self._measure(self.reason)
        return connection

    def pause_reading(self) -> None:
        """The caller is slower than the upstream."""
        if self.connection is not None and self._phase == _RELAYING:
            self.connection.pause()

    def resume_reading(self) -> None:
        """The caller has caught up."""
        if self._silence is not None:
            self._silence.heard()  # as long as it was not read, the upstream could not be
        if self.connection is not None:
            self.connection.resume()

    def cancel(self, reason: str) -> None:
        """Nobody wants the answer any more, for that reason, which says nothing about the upstream."""
        phase = self._phase
        if phase == _DONE:
            return
        if phase == _CONNECTING:
            self.target.pool.cancel(self)
        self._let_go()
        self.verdict = _NEUTRAL
        self._measure(self.reason if phase == _HELD else reason)

    def expire(self) -> None:
        """Its timer struck."""
        if self._phase == _CONNECTING:
            self.target.pool.cancel(self)
        relaying = self._phase == _RELAYING
        upload = self._exchange.upload
        waits_for_caller = self._phase == _AWAITING and upload is not None and upload.keeps_waiting(self)
        self._let_go()
        if relaying:
            self._measure(reasons.DEADLINE)
            self._exchange.relay_failed(reasons.DEADLINE)
        elif waits_for_caller:
            self.reason = reasons.REQUEST_TIMEOUT  # neutral: the upstream could not have answered yet
            self._end()
        else:
            self._fail(reasons.ATTEMPT_TIMEOUT, "no complete answer within the attempt's timeout")

    # Lessee.

    def connected(self, connection: ClientConnection) -> None:
        """A connection is ours, after a while."""
        self._send(connection, self._now())

    def connect_failed(self, error: UpstreamError) -> None:
        """There is no connection to be had, or the request could not be sent on it."""
        if self._phase == _DONE:  # what could not be sent may have ended the attempt already
            return
        self._let_go()
        self.error = error.error
        self._fail(error.reason, error.detail)

    # ResponseSink.

    def response_whole(self, head: ResponseHead, body: bytes) -> None:
        """All of the answer came at once."""
        exchange = self._exchange
        self._slot.discard(self)
        self._phase = _DONE
        self.connection = None
        self.head = head
        self.status = status = head.status
        self.body = body
        self.elapsed = self.total = self.first_byte = exchange.clock() - self.started
        if status < 400 and not exchange.sees_bodies:
            self.verdict = _SUCCESS
        elif len(body) > exchange.seen_bytes and must_see(head, exchange.expect):
            judge_too_large(self, exchange.expect)
        else:
            self._judge(body)
        exchange.attempt_ended(self)

    def response_interim(self, head: ResponseHead) -> None:
        """A 1xx on its way to the caller."""
        self._exchange.relay_interim(head)

    def response_switched(self, head: ResponseHead) -> None:
        """A 101, which is judged now: however its tunnel ends says nothing about the upstream."""
        self._slot.discard(self)
        self._phase = _HELD
        self.head = head
        self.status = head.status
        self.verdict = _SUCCESS
        self.elapsed = self.first_byte = self._now() - self.started
        self._exchange.attempt_ended(self)

    def response_head(self, head: ResponseHead) -> None:
        """The answer's head: decide whether to collect the body or to commit now."""
        self.first_byte = self._now() - self.started
        self.head = head
        self.status = head.status
        self._pieces = []
        length = head.length
        exchange = self._exchange
        if exchange.sees_bodies and must_see(head, exchange.expect):
            self._limit = exchange.seen_bytes
            if length > self._limit:
                self._overflow()
                return
        elif length < 0 or length > COLLECTED or (length and is_event_stream(head)):
            self._commit()
            return
        self._phase = _COLLECTING

    def response_body(self, data: bytes) -> None:
        """More of the body."""
        if self._phase == _RELAYING:
            if self._silence is not None:
                self._silence.heard()
            self._exchange.relay_body(data)
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._phase == _COLLECTING and self._size > self._limit:
            self._overflow()

    def response_end(self, trailers: list[Header]) -> None:
        """The answer is complete, and the connection is somebody else's."""
        if trailers:
            trailers = passed_trailers(self.head, trailers)
        self.connection = None
        self._stop_timers()
        phase, self._phase = self._phase, _DONE
        if phase == _RELAYING:
            self._measure(self.reason)
            self._exchange.relay_ended(trailers)
            return
        self.body = b"".join(self._pieces)
        if trailers:
            self.trailers = trailers
        if phase == _COLLECTING:
            self._judge(self.body)
            self.elapsed = self.total = self._now() - self.started
            self._exchange.attempt_ended(self)
        else:
            self._measure(self.reason)

    def response_failed(self, error: UpstreamError) -> None:
        """The answer will never be complete."""
        phase = self._phase
        if phase == _AWAITING and self._may_resend(error):
            self._resend()
            return
        self._let_go()
        self.error = error.error
        if phase == _RELAYING:
            self._measure(error.reason)
            self._exchange.relay_failed(error.reason, error.detail)
        elif phase == _HELD:
            # Nothing of it was promised to the caller yet: it is no answer any more.
            self.reason = error.reason
            self._measure(error.reason)
        else:
            self._fail(error.reason, error.detail)

    def upstream_full(self) -> None:
        """The upstream takes the body slower than the caller sends it."""
        if self._exchange.upload is not None:
            self._exchange.upload.pause()

    def upstream_ready(self) -> None:
        """It takes more."""
        if self._exchange.upload is not None:
            self._exchange.upload.resume()

    # Inside.

    def _send(self, connection: ClientConnection, now: float) -> None:
        self.connection = connection
        if not connection.exchanges:
            self.connect_seconds = connection.connect_seconds
        self._phase = _AWAITING
        self.sent = True
        send(self._exchange, self, connection, now)

    def _now(self) -> float:
        return self._exchange.clock()

    def _overflow(self) -> None:
        if self._exchange.expect is not None:
            self._let_go()
            judge_too_large(self, self._exchange.expect)
            self._end()
        else:
            self._commit()

    def _commit(self) -> None:
        self._slot.discard(self)
        self._phase = _HELD
        if self.connection is not None:
            self.connection.pause()
        self.whole = False
        self._judge(None)
        self.elapsed = self._now() - self.started
        self._exchange.attempt_ended(self)

    def _judge(self, body: bytes | None) -> None:
        exchange = self._exchange
        judge(self, body, exchange.expect, exchange.method, exchange.wall)

    def _fail(self, reason: str, detail: str) -> None:
        self.verdict = Verdict.FAILURE
        self.reason = reason
        self.detail = detail
        self._end()

    def _end(self) -> None:
        self.elapsed = self.total = self._now() - self.started
        self._exchange.attempt_ended(self)

    def _measure(self, result: str) -> None:
        self.total = self._now() - self.started
        self._exchange.attempt_measured(self, result)

    def _let_go(self) -> None:
        """From now on nothing that happens on the connection or the timer reaches this attempt."""
        self._phase = _DONE
        self._stop_timers()
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abandon()

    def _may_resend(self, error: UpstreamError) -> bool:
        """A peer that closed an idle connection while our request was on its way: safe methods go once more."""
        stale = isinstance(error, Reset) and error.reused and error.silent
        if not stale or self._resent or not self._exchange.may_resend:
            return False
        # A connection that was dead before says so within a round trip. Later the upstream had begun to work on it:
        # to send it again would be a retry, which has a budget.
        connection = self.connection
        trip = connection.connect_seconds if connection is not None else 0.0
        return self._now() - self.started <= STALE_WITHIN + 2 * trip

    def _resend(self) -> None:
        self._resent = True
        self._phase = _CONNECTING
        self.connection = None
        self.target.pool.lease_new(self)

    def _stop_timers(self) -> None:
        self._slot.discard(self)
        if self._silence is not None:
            self._silence.stop()
            self._silence = None

    def _fall_silent(self) -> None:
        """Nothing moved for too long: the upstream said nothing, or the caller took nothing of what it had said."""
        reason = reasons.CLIENT_GONE if self._exchange.caller_is_full else reasons.DEADLINE
        self._let_go()
        self._measure(reason)
        self._exchange.relay_failed(reason)
