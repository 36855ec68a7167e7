"""One attempt under way, in virtual time. Becomes its own outcome, as that of `proxy/attempt.py` does."""

from typing import TYPE_CHECKING, Final, cast

from sidecar.policy import reasons
from sidecar.policy.fault import Fault
from sidecar.policy.outcome import Outcome, Verdict
from sidecar.proxy.commands import Attempt
from sidecar.proxy.judge import judge
from sidecar.simulation.server import Response
from sidecar.wire.message import RequestHead, ResponseHead

if TYPE_CHECKING:
    from sidecar.proxy.attempt import LiveAttempt
    from sidecar.simulation.exchange import Exchange

_NEUTRAL: Final = Verdict.NEUTRAL
_FAILURE: Final = Verdict.FAILURE


class VirtualAttempt(Outcome):
    """Ends once: answered, refused, reset, timed out or let go of. Is what a server waits with (`server.Asking`)."""

    head: ResponseHead
    body: bytes | None = None
    streams: float = 0.0
    """Seconds that its answer still takes once it is relayed."""

    def __init__(self, exchange: "Exchange", command: Attempt, *, is_hedge: bool = False) -> None:
        super().__init__(_NEUTRAL)
        if is_hedge:
            self.is_hedge = True
        self.command = command
        self.is_over = False
        self._exchange = exchange
        self._started = exchange.world.now
        self._timer = exchange.world.after(command.timeout, self._time_out)

    @property
    def request(self) -> RequestHead:
        """What it asks for."""
        return self._exchange.head

    def start(self) -> None:
        """Goes to its endpoint, unless an operator's fault stands in the way."""
        exchange = self._exchange
        route = exchange.route
        assert route is not None
        fault = route.fault
        if fault is not None and self.command.endpoint in route.upstream.endpoints and fault.strikes():
            exchange.world.after(fault.delay, lambda: self._struck(fault))
        else:
            exchange.gateway.reach(self)

    def cancel(self) -> None:
        """Nobody wants it any more. Its server goes on with it."""
        self.is_over = True
        self._timer.cancel()

    def _struck(self, fault: Fault) -> None:
        if self.is_over:
            return
        if fault.reset:
            self._exchange.leave()
        elif fault.abort:
            self.invented = True
            self.answered(Response(fault.abort))
        else:
            self._exchange.gateway.reach(self)

    # What servers say.

    def answered(self, response: Response) -> None:
        """An answer is here, as far as it is collected before it is judged."""
        if self.is_over:
            return
        head = self.head = ResponseHead()
        head.headers = list(response.headers)
        head.status = self.status = response.status
        self.streams = response.streams
        self.body = None if response.streams else response.body
        self.whole = self.body is not None
        self.sent = True
        # Without `expect`: what a model answers is made up, and as good as the model says.
        judge(cast("LiveAttempt", self), self.body, None, self._exchange.method, self._exchange.world.wall)
        self._end()

    def refused(self) -> None:
        """Nobody listens there."""
        self._fail(reasons.CONNECT_FAILURE, sent=False)

    def broken(self) -> None:
        """No answer will come."""
        self._fail(reasons.RESET, sent=True)

    def _time_out(self) -> None:
        self._fail(reasons.ATTEMPT_TIMEOUT, sent=True)

    def _fail(self, reason: str, *, sent: bool) -> None:
        if not self.is_over:
            self.verdict, self.reason, self.sent = _FAILURE, reason, sent
            self._end()

    def _end(self) -> None:
        self.cancel()
        self.elapsed = self._exchange.world.now - self._started
        self._exchange.attempt_ended(self)
