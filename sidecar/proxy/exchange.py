"""One request being answered: does on sockets what `path.py` asks for.

No task and no await: the path's generator is resumed from the callbacks of connections and timers. A request that finds
an idle connection costs two turns of the loop, one per side.

Rules:
1. `resume` is only called from outside of itself; a command that is done at once returns what the path is sent,
   one that is done later returns `_LATER` and resumes then.
2. An exchange ends once, in `_conclude`: answered, or abandoned because the caller left or the answer broke off.
3. Once a byte of an answer is written, a failure closes the caller's connection; it is never made to look complete.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sidecar.policy import reasons
from sidecar.policy.expect import Expect
from sidecar.policy.fallback import LastKnownGood
from sidecar.policy.last_known_good import Stored, question
from sidecar.policy.outcome import Verdict
from sidecar.policy.route import Route
from sidecar.proxy import heads, respond
from sidecar.proxy.attempt import LiveAttempt
from sidecar.proxy.path import Attempt, Collect, Keep, Path, Recall, Relay, Reply, Sent, Serve, Wait, request_path
from sidecar.proxy.replay import KEPT, Replay
from sidecar.wire.client import ClientConnection
from sidecar.wire.encode import LAST_CHUNK, chunk, last_chunk
from sidecar.wire.errors import BadRequest
from sidecar.wire.message import CHUNKED, Header, RequestHead, ResponseHead
from sidecar.wire.server import ServerConnection
from sidecar.wire.timers import Slot

if TYPE_CHECKING:
    from sidecar.proxy.gateway import Gateway

_log = logging.getLogger("sidecar")


class _Later:
    """What a command returns whose end is yet to come."""


_LATER: Final = _Later()
_SUCCESS: Final = Verdict.SUCCESS
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
_SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})


class Exchange:
    """One request of one caller. Is the path's `Call` and the connection's `RequestSink`."""

    # What few requests need lies in the class until it is set.
    __slots__ = (
        "__dict__",
        "_attempt",
        "_bytes_out",
        "_connection",
        "_gateway",
        "_lines",
        "_path",
        "_reason",
        "_status",
        "_traceparent",
        "_upstream_seconds",
        "already_retrying",
        "attempts",
        "body_to_come",
        "clock",
        "expect",
        "has_key",
        "head",
        "headers",
        "host",
        "label",
        "method",
        "path",
        "patience",
        "replay",
        "request_id",
        "route",
        "sees_bodies",
        "started",
        "timers",
    )

    caller_is_full = False
    """It reads slower than we write: whoever begins to relay must wait."""
    _bytes_in = 0
    _chunked = False
    _close_after = False
    _held: LiveAttempt | None = None
    _received = 0
    _slot: Slot | None = None
    _upload: LiveAttempt | None = None
    _upstream_is_full = False

    expect: Expect | None
    sees_bodies: bool

    def __init__(self, gateway: "Gateway", connection: ServerConnection, head: RequestHead) -> None:
        self._gateway = gateway
        self._connection = connection
        self.clock = clock = gateway.clock
        self.timers = gateway.timers
        self.head = head
        # What the path reads.
        self.started = clock()
        self.method = head.method
        self.host = head.host
        self.path = head.path
        self.headers = head.headers
        self.route: Route | None = None
        self._lines = lines = heads.sorted_request(head)
        self.patience = lines.patience
        self.has_key = lines.has_key
        self.already_retrying = lines.retried
        self.request_id = lines.request_id or gateway.ids.request_id()
        # The request's body.
        length = head.length
        self.replay = Replay() if length else None
        self.body_to_come = 0 < length <= KEPT
        # Attempts, and the answer.
        self.attempts = 0
        self._attempt: LiveAttempt | None = None
        self._upstream_seconds = 0.0
        self.label = self._reason = ""
        self._status = 0
        self._traceparent = lines.traceparent
        self._bytes_out = 0
        self._path: Path = request_path(self, gateway.router, clock)

    @property
    def replayable(self) -> bool:
        """Whether the whole request can be sent again."""
        replay = self.replay
        return replay is None or not replay.lost

    # What its attempts ask.

    @property
    def may_resend(self) -> bool:
        """Whether sending it twice can do no harm."""
        return self.method in _SAFE and self.replayable

    @property
    def seen_bytes(self) -> int:
        """Bytes of an answer that may be collected because it must be seen."""
        expect = self.expect
        return self._gateway.seen_bytes if expect is None else expect.max_body

    @property
    def idle_seconds(self) -> float:
        """How long an event stream may be silent."""
        assert self.route is not None
        return self.route.idle

    def wall(self) -> float:
        """Unix time."""
        return self._gateway.wall()

    # Driving the path.

    def resume(self, sent: Sent = None) -> None:
        """Goes on with the path until something must be waited for."""
        path = self._path
        try:
            while True:
                command = path.send(sent)
                done = _PERFORM[command.__class__](self, command)
                if done is _LATER:
                    return
                sent = done
        except StopIteration:
            self._finish()
        except Exception as error:
            # A defect of ours must cost one caller an answer, not everybody the process.
            _log.exception("exchange failed: %s", type(error).__name__)
            self._break_off(reasons.BAD_REQUEST)

    def _perform_collect(self, command: Collect) -> "bool | _Later":
        self._connection.send_continue()
        self._slot = self.timers.add(self, command.until)
        return _LATER

    def _perform_wait(self, command: Wait) -> "_Later":
        self._slot = self.timers.add(self, self.clock() + command.seconds)
        return _LATER

    def expire(self) -> None:
        """A wait is over, or the caller did not send its body in time."""
        self._slot = None
        self.resume(False if self.body_to_come else None)

    def _perform_attempt(self, command: Attempt) -> "_Later":
        last = self._attempt
        if last is not None:
            if command.in_doubt and self._held is None:
                self._held = last  # the first of them is what may yet be relayed
            else:
                last.cancel(last.reason)
        self.attempts += 1
        route = self.route
        assert route is not None
        self.expect = route.expect
        self.sees_bodies = route.sees_bodies
        attempt = self._attempt = LiveAttempt(self, command, self.clock())
        attempt.start()
        return _LATER

    def send_request(self, attempt: LiveAttempt, connection: ClientConnection, now: float) -> None:
        """Writes the request to a connection, as far as it has come."""
        data = self._request_head(attempt, now)
        replay = self.replay
        if replay is None:
            connection.send(attempt, self.method, data, whole=True)
        else:
            self._send_with_body(attempt, connection, data, replay)

    def _send_with_body(self, attempt: LiveAttempt, connection: ClientConnection, data: bytes, replay: Replay) -> None:
        body = b"".join(replay.pieces)
        if self.head.length == CHUNKED:
            body = chunk(body) + (last_chunk(replay.trailers) if replay.complete else b"")
        connection.send(attempt, self.method, data + body, whole=replay.complete)
        if not replay.complete:
            self._upload = attempt
            self._upstream_is_full = False
            replay.forget_overflow()
            self._connection.send_continue()
            self._connection.resume()

    def _request_head(self, attempt: LiveAttempt, now: float) -> bytes:
        route = self.route
        assert route is not None
        trace = self._traceparent
        if trace is None:
            trace = self._traceparent = self._gateway.ids.traceparent(self.request_id)
        total = route.total if route.total < self.patience else self.patience
        return heads.request_bytes(
            self.head,
            self._lines,
            attempt.target,
            route.plan,
            self.request_id,
            trace,
            self.attempts,
            self.started + total - now,
        )

    def attempt_ended(self, attempt: LiveAttempt) -> None:
        """It reached the commit point, or failed before it."""
        if self._upload is not None and attempt.connection is None:
            self._upload = None
        if attempt.total >= 0.0:
            self.attempt_measured(attempt, attempt.reason)
        if attempt.verdict is not _SUCCESS and self._held is None:
            self._received = attempt.status
        self.resume(attempt)

    def attempt_measured(self, attempt: LiveAttempt, result: str) -> None:
        """Its times are final."""
        self._upstream_seconds += attempt.total
        assert self.route is not None
        self.route.observer.attempt_finished(
            attempt.upstream_name, result, attempt.connect_seconds, attempt.first_byte, attempt.total
        )

    # Answering.

    def _perform_relay(self, command: Relay) -> "_Later | None":
        attempt = command.outcome
        assert isinstance(attempt, LiveAttempt)
        head = attempt.head
        body = attempt.body
        self._status = attempt.status
        self.label = command.label
        lines = heads.response_lines(head)
        if command.rescued or attempt.reason != reasons.OK:
            self._reason = command.rescued or attempt.reason
            if command.rescued:
                lines += respond.proxy_status(command.rescued)
        if body is None:
            self._write_answer(lines + self._frame_stream() if head.length < 0 else lines, b"")
            self._stream(attempt)
            return _LATER
        if head.length < 0:
            framing, body = self._frame_collected(attempt, body)
            lines += framing
        self._write_answer(lines, body)
        return None

    def _frame_stream(self) -> bytes:
        if self.head.http10:
            self._close_after = True
            return b""
        self._chunked = True
        return _CHUNKED

    def _frame_collected(self, attempt: LiveAttempt, body: bytes) -> tuple[bytes, bytes]:
        if attempt.trailers and self._lines.trailers and not self.head.http10:
            return _CHUNKED, chunk(body) + last_chunk(attempt.trailers)
        return b"Content-Length: %d\r\n" % len(body), body

    def _stream(self, attempt: LiveAttempt) -> None:
        last = self._attempt
        if last is not None and last is not attempt:  # a failover that was no better
            last.cancel(last.reason)
        self._attempt = attempt
        attempt.relay()

    def relay_interim(self, head: ResponseHead) -> None:
        """A 1xx from the upstream, for callers that know what that is."""
        if not self.head.http10 and not self._bytes_out:
            self._connection.write(heads.response_lines(head) + b"\r\n")

    def relay_body(self, data: bytes) -> None:
        """The next bytes of a streamed answer."""
        self._write(chunk(data) if self._chunked else data)

    def relay_ended(self, trailers: list[Header]) -> None:
        """A streamed answer is complete."""
        if self._chunked:
            self._write(last_chunk(trailers) if self._lines.trailers else LAST_CHUNK)
        self.resume()

    def relay_failed(self, reason: str) -> None:
        """A streamed answer broke off: the caller must see that it did."""
        self._break_off(reason)

    def _perform_serve(self, command: Serve) -> None:
        stored = command.stored
        self._note_answer("last_known_good", stored.status, command.reason)
        age = self.wall() - stored.stored_at
        self._write_answer(respond.stored_lines(stored, command.reason, age, self._received), stored.body)

    def _perform_reply(self, command: Reply) -> None:
        self._note_answer(command.label, command.status, command.reason)
        retry_after = command.retry_after
        if command.reason == reasons.REQUEST_TIMEOUT:
            self._close_after = True  # RFC 9110 section 15.5.9
        if not retry_after and command.reason in _ASK_AGAIN and command.label != "static":
            retry_after = 1.0  # whoever asks again at once would only be refused again
        name = "-" if self.route is None else self.route.name
        lines, body = respond.reply_lines(
            command.reason, command.status, command.answer, name, self.request_id, retry_after
        )
        self._write_answer(lines, b"" if self.method == b"HEAD" else body)

    def _note_answer(self, label: str, status: int, reason: str) -> None:
        self.label = label
        self._status = status
        self._reason = reason

    def _write_answer(self, lines: bytes, body: bytes) -> None:
        """Adds the lines that every answer carries, and the end of the head."""
        last = b""
        if not self._connection.keeps_alive or self._close_after:
            self._close_after = True
            last = b"Connection: close\r\n"
        elif self.head.http10:
            last = b"Connection: keep-alive\r\n"
        if self.attempts:
            data = b"%bX-Request-Id: %b\r\nX-Sidecar-Attempts: %d\r\n%b\r\n%b" % (
                lines,
                self.request_id,
                self.attempts,
                last,
                body,
            )
        else:
            data = b"%bX-Request-Id: %b\r\n%b\r\n%b" % (lines, self.request_id, last, body)
        self._bytes_out += len(data)
        self._connection.write(data)

    def _write(self, data: bytes) -> None:
        self._bytes_out += len(data)
        self._connection.write(data)

    # Remembering.

    def _question(self, rung: LastKnownGood) -> bytes | None:
        head = self.head
        if head.length:
            return None  # what its body asks is not in the key
        assert self.route is not None
        return question(self.route.name, self.method, self.host, self.path, head.query, self.headers, rung.identity)

    def _perform_recall(self, command: Recall) -> Stored | None:
        asked = self._question(command.rung)
        stored = None if asked is None else self._gateway.store.get(asked)
        if stored is None or self.wall() - stored.stored_at > command.rung.max_age:
            return None
        return stored

    def _perform_keep(self, command: Keep) -> None:
        attempt = command.outcome
        assert isinstance(attempt, LiveAttempt) and self.route is not None
        asked = self._question(command.rung)
        if attempt.body is not None and asked is not None:
            self._gateway.keep(self.route, command.rung, self.head, asked, attempt)

    # RequestSink.

    def request_body(self, data: bytes) -> None:
        """More of the caller's body."""
        self._bytes_in += len(data)
        replay = self.replay
        assert replay is not None
        connection = None if self._upload is None else self._upload.connection
        if connection is None:
            replay.keep(data)
            if replay.full and not self.body_to_come:
                self._connection.pause()
        else:
            replay.sent(data)
            connection.send_body(chunk(data) if self.head.length == CHUNKED else data)

    def request_end(self, trailers: list[Header]) -> None:
        """All of it is here."""
        replay = self.replay
        assert replay is not None
        replay.complete = True
        replay.trailers = trailers
        upload = self._upload
        if upload is not None:
            self._upload = None
            if upload.connection is not None:
                if self.head.length == CHUNKED:
                    upload.connection.send_body(last_chunk(trailers))
                upload.connection.sent_all()
        elif self.body_to_come and self._slot is not None:
            self._slot.discard(self)
            self._slot = None
            self.body_to_come = False
            self.resume(True)

    def request_failed(self, error: BadRequest) -> None:
        """The body is broken or too large."""
        if self._bytes_out:
            self._break_off(error.reason)
            return
        self._abandon(error.reason)
        self._note_answer("bad_request", error.status, error.reason)
        self._write(respond.rejection(error, self.request_id, self.attempts))
        self._conclude()
        self._connection.finish(self.clock(), close=True)

    def caller_gone(self) -> None:
        """The caller closed its connection."""
        self._abandon(reasons.CLIENT_GONE)
        self._note_answer("client_gone", self._status or 499, reasons.CLIENT_GONE)
        self._conclude()

    def caller_full(self) -> None:
        """The caller reads slowly."""
        self.caller_is_full = True
        if self._attempt is not None:
            self._attempt.pause_reading()

    def caller_ready(self) -> None:
        """It has caught up."""
        self.caller_is_full = False
        if self._attempt is not None:
            self._attempt.resume_reading()

    def awaits_body(self, attempt: LiveAttempt) -> bool:
        """Whether it is the caller that is slow: the upstream takes all that comes, and waits for the rest."""
        return self._upload is attempt and not self._upstream_is_full

    def pause_caller(self) -> None:
        """The upstream takes the body slowly."""
        self._upstream_is_full = True
        self._connection.pause()

    def resume_caller(self) -> None:
        """It has caught up."""
        self._upstream_is_full = False
        self._connection.resume()

    # Ending.

    def _finish(self) -> None:
        self._conclude()
        self._connection.finish(self.clock(), close=self._close_after)

    def _break_off(self, reason: str) -> None:
        """What was written can't be completed: close so that nobody takes it for whole."""
        self._abandon(reason)
        self._reason = reason
        self.label = "upstream_error"
        self._conclude()
        self._connection.abort()

    def _abandon(self, reason: str) -> None:
        if self._slot is not None:
            self._slot.discard(self)
            self._slot = None
        if self._attempt is not None:
            self._attempt.cancel(reason)
        self._path.close()  # gives back every permit and slot

    def _conclude(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel(attempt.reason)
        if self._held is not None:
            self._held.cancel(self._held.reason)
            self._held = None
        if self._upload is not None:
            self._upload = None
        self._gateway.finished(
            self, self._status, self._reason, self._upstream_seconds, self._bytes_in, self._bytes_out
        )


_ASK_AGAIN: Final = frozenset(
    {reasons.BREAKER_OPEN, reasons.NO_ENDPOINT, reasons.BULKHEAD_FULL, reasons.QUEUE_TIMEOUT, reasons.RATE_LIMITED,
     reasons.DRAINING}
)  # fmt: skip

# A table, not a chain of isinstance: the commands of a plain request are found at once. Each is called with the command
# of its key, which no type of `dict` can say.
_PERFORM: Final[dict[type, Callable[[Exchange, Any], Any]]] = {
    Attempt: Exchange._perform_attempt,
    Relay: Exchange._perform_relay,
    Wait: Exchange._perform_wait,
    Collect: Exchange._perform_collect,
    Recall: Exchange._perform_recall,
    Keep: Exchange._perform_keep,
    Serve: Exchange._perform_serve,
    Reply: Exchange._perform_reply,
}
