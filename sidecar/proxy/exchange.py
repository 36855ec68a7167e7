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
from sidecar.policy.outcome import Verdict
from sidecar.policy.retry import SAFE
from sidecar.policy.route import Route
from sidecar.proxy import answers, heads, keeping, race, recording, turn
from sidecar.proxy.attempt import LiveAttempt
from sidecar.proxy.commands import Attempt, Collect, Relay, Sent, Wait
from sidecar.proxy.later import LATER as _LATER
from sidecar.proxy.later import Later as _Later
from sidecar.proxy.path import Path, request_path
from sidecar.proxy.upload import Upload
from sidecar.wire.encode import LAST_CHUNK, chunk, last_chunk
from sidecar.wire.errors import BadRequest
from sidecar.wire.message import Header, RequestHead, ResponseHead
from sidecar.wire.server import ServerConnection
from sidecar.wire.silence import Silence
from sidecar.wire.timers import Slot
from sidecar.wire.tunnel import Tunnel

if TYPE_CHECKING:
    from sidecar.proxy.gateway import Gateway

_log = logging.getLogger("sidecar")


_SUCCESS: Final = Verdict.SUCCESS


class Exchange:
    """One request of one caller. Is the path's `Call` and the connection's `RequestSink`.

    status, label, reason: of the answer, for the log. lines: what the request's field lines say. upload: its body, None
    if it has none. received: status of the last failed answer, 0 if there was none.
    """

    # What few requests need lies in the class until it is set.
    __slots__ = (
        "__dict__",
        "_path",
        "_upstream_seconds",
        "already_retrying",
        "attempt",
        "attempts",
        "body_to_come",
        "bytes_out",
        "clock",
        "connection",
        "ends_here",
        "expect",
        "gateway",
        "has_key",
        "head",
        "headers",
        "host",
        "label",
        "lines",
        "method",
        "path",
        "patience",
        "reason",
        "request_id",
        "route",
        "sees_bodies",
        "started",
        "status",
        "timers",
        "trace",
        "traceparent",
        "upload",
    )

    caller_is_full = False
    """It reads slower than we write: whoever begins to relay must wait."""
    chunked = False
    """The answer is being streamed in chunks."""
    fault = b""
    """The header line that says which injected fault hit an attempt."""
    close_after = False
    """Nothing may follow the answer on its connection."""
    received = 0
    bytes_in = 0
    _held: LiveAttempt | None = None
    _slot: Slot | None = None
    race: "race.Race | None" = None
    """What a second attempt beside the first takes part in, where the route hedges."""
    tunnel: Tunnel | None = None
    """What its connection has become, after a 101."""
    failed = ("", "", "")
    """Reason, detail and error of the last attempt that failed."""

    expect: Expect | None
    sees_bodies: bool

    def __init__(self, gateway: "Gateway", connection: ServerConnection, head: RequestHead) -> None:
        self.gateway = gateway
        self.connection = connection
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
        self.lines = lines = heads.sorted_request(head, gateway.ids.pseudonym)
        self.ends_here = lines.ends_here
        self.patience = lines.patience
        self.has_key = lines.has_key
        self.already_retrying = lines.retried
        request_id, self.traceparent = lines.ids if head.own is None else heads.ids_of(head.own)
        self.request_id = request_id or gateway.ids.request_id()
        self.trace = None if gateway.tracer is None else recording.begin(self, gateway.tracer)
        # The request's body.
        self.body_to_come = False
        self.upload: Upload | None = None
        if head.length:
            self.upload = Upload(connection, head.length)
            self.body_to_come = self.upload.is_small
        # Attempts, and the answer.
        self.attempts = 0
        self.attempt: LiveAttempt | None = None
        self._upstream_seconds = 0.0
        self.label = self.reason = ""
        self.status = 0
        self.bytes_out = 0
        self._path: Path = request_path(self, gateway.router, clock)

    @property
    def replayable(self) -> bool:
        """Whether the whole request can be sent again."""
        return self.upload is None or not self.upload.lost

    @property
    def may_go_twice(self) -> bool:
        """Whether two attempts at once can send it: all of it is here, and it asks for no other protocol."""
        return (self.upload is None or self.upload.is_whole) and not self.head.upgrade

    def question(self, rung: LastKnownGood) -> bytes | None:
        """What stands for all who ask the same; None where the answer would be for this caller alone."""
        return keeping.question_of_many(self, rung)

    # What its attempts ask.

    @property
    def may_resend(self) -> bool:
        """Whether sending it twice can do no harm."""
        return self.method in SAFE and self.replayable

    @property
    def seen_bytes(self) -> int:
        """Bytes of an answer that may be collected because it must be seen."""
        expect = self.expect
        return self.gateway.seen_bytes if expect is None else expect.max_body

    def silence(self, struck: Callable[[], None]) -> Silence:
        """Calls `struck` when nothing has moved towards the caller for the route's `timeout.idle`."""
        assert self.route is not None
        return Silence(self.timers, self.clock, self.route.idle, waiting=self.connection.unsent, struck=struck)

    def wall(self) -> float:
        """Unix time."""
        return self.gateway.wall()

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
        except Exception as error:  # noqa: BLE001 - a defect of ours must cost one caller an answer, not all of them
            _log.exception("exchange failed: %s", type(error).__name__)
            self._break_off(reasons.BAD_REQUEST)

    def collect(self, command: Collect) -> _Later:
        """Waits for the request's body."""
        self.connection.send_continue()
        self._slot = self.timers.add(self, command.until)
        return _LATER

    def wait(self, command: Wait) -> _Later:
        """Does nothing for a while."""
        self._slot = self.timers.add(self, self.clock() + command.seconds)
        return _LATER

    def expire(self) -> None:
        """A wait is over, or the caller did not send its body in time."""
        self._slot = None
        self.resume(False if self.body_to_come else None)

    def make_attempt(self, command: Attempt) -> _Later:
        """Begins an attempt; the one before it is over, unless its answer may yet be relayed."""
        last = self.attempt
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
        attempt = self.attempt = LiveAttempt(self, command, self.clock())
        attempt.start()
        return _LATER

    def attempt_ended(self, attempt: LiveAttempt) -> None:
        """It reached the commit point, or failed before it."""
        if attempt.total >= 0.0:
            self.attempt_measured(attempt, attempt.reason)
        if attempt.verdict is not _SUCCESS and self._held is None:
            self.received = attempt.status
            answers.explain(self, attempt)
        self.resume(attempt)

    def attempt_measured(self, attempt: LiveAttempt, result: str) -> None:
        """Its times are final."""
        self._upstream_seconds += attempt.total
        assert self.route is not None
        self.route.observer.attempt_finished(
            attempt.upstream_name, result, attempt.connect_seconds, attempt.first_byte, attempt.total
        )
        if self.trace is not None:
            recording.attempt_measured(self, self.trace, attempt, result)

    # Streaming an answer.

    def give(self, command: Relay) -> "_Later | None":
        """Passes an answer on."""
        return None if answers.relay(self, command) else _LATER

    def stream(self, attempt: LiveAttempt) -> None:
        """The rest of an attempt's answer goes to the caller as it comes."""
        self.settle_on(attempt)
        attempt.relay()

    def settle_on(self, attempt: LiveAttempt) -> None:
        """The answer is this attempt's, for as long as it takes: what another holds is let go of."""
        for other in (self.attempt, self._held):  # a failover that was no better, or what one was better than
            if other is not None and other is not attempt:
                other.cancel(other.reason)
        self.attempt, self._held = attempt, None

    def relay_interim(self, head: ResponseHead) -> None:
        """A 1xx from the upstream, for callers that know what that is."""
        if not self.head.http10 and not self.bytes_out:
            self.connection.write(heads.response_lines(head) + b"\r\n")

    def relay_body(self, data: bytes) -> None:
        """The next bytes of a streamed answer."""
        self._write(chunk(data) if self.chunked else data)

    def relay_ended(self, trailers: list[Header]) -> None:
        """A streamed answer is complete."""
        if self.chunked:
            self._write(last_chunk(trailers) if self.lines.trailers else LAST_CHUNK)
        self.resume()

    def relay_failed(self, reason: str, detail: str = "") -> None:
        """A streamed answer broke off: the caller must see that it did."""
        self.failed = reason, detail, ""
        self._break_off(reason)

    def _write(self, data: bytes) -> None:
        self.bytes_out += len(data)
        self.connection.write(data)

    # RequestSink.

    def request_body(self, data: bytes) -> None:
        """More of the caller's body."""
        self.bytes_in += len(data)
        assert self.upload is not None
        self.upload.receive(data)

    def request_end(self, trailers: list[Header]) -> None:
        """All of it is here."""
        assert self.upload is not None
        self.upload.end(heads.passed_trailers(self.head, trailers) if trailers else trailers)
        collecting, self.body_to_come = self.body_to_come and self._slot is not None, False
        if collecting:  # and not still in the bulkhead's queue
            assert self._slot is not None
            self._slot.discard(self)
            self._slot = None
            self.resume(sent=True)

    def request_failed(self, error: BadRequest) -> None:
        """The body is broken or too large, or the process ends."""
        if self.tunnel is not None:
            self.tunnel.close()
            return
        if self.bytes_out:
            self._break_off(error.reason)
            return
        self._abandon(error.reason)
        answers.reject(self, error)
        self._conclude()
        self.connection.finish(self.clock(), close=True)

    def caller_gone(self) -> None:
        """The caller closed its connection."""
        self._abandon(reasons.CLIENT_GONE)
        self._note("client_gone", self.status or 499, reasons.CLIENT_GONE)
        self._conclude()

    def caller_full(self) -> None:
        """The caller reads slowly."""
        self.caller_is_full = True
        if self.attempt is not None:
            self.attempt.pause_reading()

    def caller_ready(self) -> None:
        """It has caught up."""
        self.caller_is_full = False
        if self.attempt is not None:
            self.attempt.resume_reading()

    # Ending.

    def _finish(self) -> None:
        self._conclude()
        self.connection.finish(self.clock(), close=self.close_after)

    def _break_off(self, reason: str) -> None:
        """What was written can't be completed: close so that nobody takes it for whole."""
        self._abandon(reason)
        self._note("client_gone" if reason == reasons.CLIENT_GONE else "upstream_error", self.status, reason)
        self._conclude()
        self.connection.abort()

    def _note(self, label: str, status: int, reason: str) -> None:
        self.label = label
        self.status = status
        self.reason = reason

    def _abandon(self, reason: str) -> None:
        if self._slot is not None:
            self._slot.discard(self)
            self._slot = None
        if self.attempt is not None:
            self.attempt.cancel(reason)
        if self.race is not None:
            self.race.cancel(reason)
        self._path.close()  # gives back every permit and slot

    def _conclude(self) -> None:
        attempt, self.attempt = self.attempt, None
        if attempt is not None:
            attempt.cancel(attempt.reason)
        if self._held is not None:
            self._held.cancel(self._held.reason)
            self._held = None
        if self.upload is not None:
            self.upload.leave()
        self.gateway.finished(self, self.status, self.reason, self._upstream_seconds, self.bytes_in, self.bytes_out)


# A table, not a chain of isinstance: the commands of a plain request are found at once. Each is called with the command
# of its key, which no type of `dict` can say.
_PERFORM: Final[dict[type, Callable[[Exchange, Any], Any]]] = {
    Attempt: Exchange.make_attempt,
    Relay: Exchange.give,
    Wait: Exchange.wait,
    Collect: Exchange.collect,
    **turn.PERFORMED,
    **race.PERFORMED,
    **answers.PERFORM,
}
