"""One request being answered: does in virtual time what `path.py` asks for, as `proxy/exchange.py` does on sockets."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final

from sidecar.policy.fallback import LastKnownGood
from sidecar.policy.last_known_good import Stored
from sidecar.policy.outcome import Outcome
from sidecar.policy.route import Route
from sidecar.proxy import keeping
from sidecar.proxy.commands import (
    Alone,
    Attempt,
    Await,
    Beside,
    Collect,
    Command,
    Keep,
    Own,
    Queue,
    Recall,
    Relay,
    Reply,
    Sent,
    Serve,
    Settle,
    Share,
    Wait,
)
from sidecar.proxy.later import LATER, Later
from sidecar.proxy.path import request_path
from sidecar.simulation.attempt import VirtualAttempt
from sidecar.simulation.world import Timer
from sidecar.wire.message import Header, RequestHead

if TYPE_CHECKING:
    from sidecar.simulation.gateway import Gateway

CLIENT_GONE: Final = "client_gone"
"""The label of a request whose caller did not wait for the end."""
SUCCESS: Final = frozenset({"ok", "failover"})
"""Labels of answers that an upstream gave, and well."""
RESCUED: Final = frozenset({"last_known_good", "static"})
"""Labels of answers that stand in for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller sends.

    `patience`: seconds that it told us it would wait. `body_in`: seconds until all of its (small) body is here; 0
    without one. `replayable`: whether the body was kept.
    """

    method: bytes = b"GET"
    host: bytes = b"app"
    path: bytes = b"/"
    query: bytes = b""
    headers: tuple[Header, ...] = ()
    patience: float = inf
    already_retrying: bool = False
    has_key: bool = False
    body_in: float = 0.0
    replayable: bool = True


class Exchange:
    """Is the path's `Call`, and what `keeping` may know of whoever asks.

    label, status, reason, body: of the answer, once there is one. answers: how many were begun. command: what the path
    waits for. ended: when it was over, infinite until it is. Laws: one answer, unless its caller left before; and one
    end.
    """

    ends_here = ""

    def __init__(self, gateway: "Gateway", request: Request) -> None:
        self.gateway = gateway
        self.world = gateway.world
        # What the path reads.
        self.started = self.world.now
        self.method, self.host, self.path = request.method, request.host, request.path
        self.headers = list(request.headers)
        self.patience = request.patience
        self.already_retrying = request.already_retrying
        self.has_key = request.has_key
        self.replayable = request.replayable
        self.route: Route | None = None
        self.body_to_come = request.body_in > 0.0
        self.head = self._head(request)
        # What becomes of it.
        self.label = self.reason = ""
        self.status = self.attempts = self.answers = 0
        self.body: bytes | None = b""
        self.ended = inf
        self.command: Command | None = None
        self._path = request_path(self, gateway.router, self.world.clock)
        self._timer: Timer | None = None
        self._upload = self.world.after(request.body_in, self._body_came) if 0.0 < request.body_in < inf else None
        self._under_way: list[VirtualAttempt] = []

    def _head(self, request: Request) -> RequestHead:
        head = RequestHead()
        head.method, head.host, head.path, head.query = request.method, request.host, request.path, request.query
        head.headers = self.headers
        head.length = int(request.body_in > 0.0)
        head.upgrade = b""
        return head

    @property
    def may_go_twice(self) -> bool:
        """Whether all of it is here."""
        return not self.body_to_come

    @property
    def succeeded(self) -> bool:
        """Whether its caller has an answer that it need not ask for again."""
        return self.label in SUCCESS or self.label in RESCUED

    def resume(self, sent: Sent = None) -> None:
        """Goes on with the path until something must be waited for."""
        try:
            while True:
                command = self.command = self._path.send(sent)
                done = _PERFORM[command.__class__](self, command)
                if isinstance(done, Later):
                    return
                sent = done
        except StopIteration:
            self._end()

    def leave(self) -> None:
        """Its caller is gone, or was cut off. No harm if it has ended."""
        if self.ended < inf:
            return
        self._forget_timer()
        self._let_go()
        self._path.close()  # gives back every permit and slot
        self.label = CLIENT_GONE
        self._end()

    def attempt_ended(self, attempt: VirtualAttempt) -> None:
        """It came to something."""
        self._under_way.remove(attempt)
        self.resume(attempt)

    def _end(self) -> None:
        assert self.ended == inf, "a request ended twice"
        assert not self._under_way, "an attempt outlived its request"
        if self._upload is not None:
            self._upload.cancel()
        self.command = None
        self.ended = self.world.now
        self.gateway.finished(self)

    def _body_came(self) -> None:
        self.body_to_come = False
        if isinstance(self.command, Collect):
            self._forget_timer()
            self.resume(sent=True)

    # What the bulkhead, or a flight, tells who waits.

    def slot_given(self) -> None:
        """A slot of the bulkhead, after a turn in its queue; or the end of the flight."""
        self._forget_timer()
        self.resume(sent=True)

    def withdrawn(self) -> None:
        """No longer in the queue."""
        self._forget_timer()

    # Commands.

    def queue(self, command: Queue) -> Later:
        """Stands in line."""
        command.ticket.waiter = self
        return self._later(command.until, False)  # noqa: FBT003 - what the path is sent

    def collect(self, command: Collect) -> Later:
        """Waits for the rest of the body."""
        return self._later(command.until, False)  # noqa: FBT003 - what the path is sent

    def wait(self, command: Wait) -> Later:
        """Does nothing for a while."""
        return self._later(self.world.now + command.seconds, None)

    def attempt(self, command: Attempt) -> Later:
        """Begins an attempt."""
        return self._begin(VirtualAttempt(self, command))

    def alone(self, command: Alone) -> Later:
        """The same, and the time until another may join it."""
        self._later(self.world.now + command.alone, None)
        return self.attempt(command)

    def beside(self, command: Beside) -> Later:
        """Begins that other one."""
        return self._begin(VirtualAttempt(self, command, is_hedge=True))

    def wait_on(self, _: Await) -> Later:
        """Whatever is under way goes on."""
        return LATER

    def settle(self, _: Settle) -> None:
        """One stands: it has ended, and the other is let go of."""
        self._forget_timer()
        self._let_go()

    def relay(self, command: Relay) -> Later | None:
        """Passes an answer on."""
        outcome = command.outcome
        assert isinstance(outcome, VirtualAttempt)
        self._answer(command.label, outcome.status, command.rescued or _blamed(outcome), outcome.body)
        return self._later(self.world.now + outcome.streams, None) if outcome.streams else None

    def serve(self, command: Serve) -> None:
        """Answers with what was kept."""
        self._answer("last_known_good", command.stored.status, command.reason, command.stored.body)

    def share(self, command: Share) -> None:
        """Answers with what another request has just brought."""
        self._answer("ok", command.stored.status, "", command.stored.body)

    def reply(self, command: Reply) -> None:
        """Answers itself."""
        self._answer(command.label, command.status, command.reason, None)

    def own(self, _: Own) -> None:
        """Answers as the one who was asked."""
        self._answer("ok", 200, "", None)

    def recall(self, command: Recall) -> Stored | None:
        """Looks for a last known good answer."""
        return keeping.recall(self, command)

    def keep(self, command: Keep) -> bool:
        """Remembers one."""
        return keeping.keep(self, command)

    def question(self, rung: LastKnownGood) -> bytes | None:
        """What stands for all who ask the same."""
        return keeping.question_of_many(self, rung)

    def _answer(self, label: str, status: int, reason: str, body: bytes | None) -> None:
        self.label, self.status, self.reason, self.body = label, status, reason, body
        self.answers += 1

    def _begin(self, attempt: VirtualAttempt) -> Later:
        self.attempts += 1
        self._under_way.append(attempt)
        attempt.start()
        return LATER

    def _later(self, when: float, sent: Sent) -> Later:
        self._timer = self.world.at(when, lambda: self.resume(sent))
        return LATER

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _let_go(self) -> None:
        for attempt in self._under_way:
            attempt.cancel()
        self._under_way.clear()


def _blamed(outcome: Outcome) -> str:
    return "" if outcome.reason == "ok" else outcome.reason


_PERFORM: Final[dict[type, Callable[[Exchange, Any], Later | Sent]]] = {
    Alone: Exchange.alone,
    Attempt: Exchange.attempt,
    Await: Exchange.wait_on,
    Beside: Exchange.beside,
    Collect: Exchange.collect,
    Keep: Exchange.keep,
    Own: Exchange.own,
    Queue: Exchange.queue,
    Recall: Exchange.recall,
    Relay: Exchange.relay,
    Reply: Exchange.reply,
    Serve: Exchange.serve,
    Settle: Exchange.settle,
    Share: Exchange.share,
    Wait: Exchange.wait,
}
