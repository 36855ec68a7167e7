"""An endpoint as a model: workers, a backlog, a time per answer, and all that can be wrong with it.

A queue in front of a fixed number of workers is enough for what makes outages worse: latency that grows with load,
answers to callers that have left long ago, and an overload that feeds itself on retries after its cause is gone
(Bronson et al., "Metastable Failures in Distributed Systems", HotOS 2021).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, log
from typing import Final, NamedTuple, Protocol

from sidecar.simulation.world import World
from sidecar.wire.message import Header, RequestHead

ROUND_TRIP: Final = 0.0005
"""Seconds until a connection is there, or is refused."""
SPREAD: Final = 0.4
"""Of the logarithm of an answer's time: the 99th percentile is 2.5 times the median."""


class Response(NamedTuple):
    """What a server answers."""

    status: int
    body: bytes = b"{}"
    headers: tuple[Header, ...] = ()
    streams: float = 0.0
    """Seconds from the commit point to its last byte."""


class Asking(Protocol):
    """Who waits for an answer. It may have left meanwhile: the server does not notice, as most do not."""

    @property
    def request(self) -> RequestHead:
        """What it asks for."""

    def answered(self, response: Response) -> None:
        """Here it is."""

    def refused(self) -> None:
        """Nobody listens."""

    def broken(self) -> None:
        """The connection was reset before an answer came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What is wrong with a server. Nothing by default.

    refuses: nobody listens. hangs: takes requests and works on none; they are worked through when it ends. fails,
    resets: share of answers that are `status`, or a reset connection. slower: factor on the time per answer, during
    which a worker is held. added: seconds on top, during which none is. workers: share of them that work.
    """

    refuses: bool = False
    hangs: bool = False
    fails: float = 0.0
    status: int = 503
    resets: float = 0.0
    slower: float = 1.0
    added: float = 0.0
    workers: float = 1.0


WELL: Final = Condition()


def respond(_: RequestHead) -> Response:
    """The same good answer for everybody."""
    return Response(200)


class Server:
    """One endpoint.

    `median`: seconds of work per answer, drawn from a log-normal distribution. `workers`: answers worked on at once.
    `backlog`: requests that wait for a worker; beyond it connections are refused. `answer`: what a good one is.
    """

    __slots__ = (
        "_answer",
        "_backlog",
        "_busy",
        "_median",
        "_queue",
        "_rng",
        "_workers",
        "_world",
        "asked",
        "condition",
    )

    def __init__(
        self,
        world: World,
        *,
        name: str = "server",
        median: float = 0.05,
        workers: float = inf,
        backlog: float = inf,
        answer: Callable[[RequestHead], Response] = respond,
    ) -> None:
        self._world = world
        self._rng = world.rng(name)
        self._median = log(median)
        self._workers = workers
        self._backlog = backlog
        self._answer = answer
        self._queue: deque[Asking] = deque()
        self._busy = 0
        self.condition = WELL
        self.asked = 0
        """Attempts that reached it, refused ones included."""

    @property
    def waiting(self) -> int:
        """Requests in its backlog."""
        return len(self._queue)

    @property
    def well(self) -> bool:
        """What a health check would find."""
        return not (self.condition.refuses or self.condition.hangs or self.condition.fails >= 1.0)

    def become(self, condition: Condition) -> None:
        """From now on that is what is wrong with it."""
        self.condition = condition
        self._work()

    def take(self, asking: Asking) -> None:
        """An attempt arrives."""
        self._world.after(ROUND_TRIP, lambda: self._accept(asking))

    def _accept(self, asking: Asking) -> None:
        self.asked += 1
        if self.condition.refuses or len(self._queue) >= self._backlog:
            asking.refused()
            return
        self._queue.append(asking)
        self._work()

    def _work(self) -> None:
        condition = self.condition
        while self._queue and self._busy < self._workers * condition.workers and not condition.hangs:
            asking = self._queue.popleft()
            self._busy += 1
            seconds = self._rng.lognormvariate(self._median, SPREAD) * condition.slower
            self._world.after(seconds, lambda asking=asking: self._done(asking))  # type: ignore[misc]

    def _done(self, asking: Asking) -> None:
        self._busy -= 1
        if self.condition.added:
            self._world.after(self.condition.added, lambda: self._end(asking))
        else:
            self._end(asking)
        self._work()

    def _end(self, asking: Asking) -> None:
        draw = self._rng.random()
        condition = self.condition
        if condition.refuses or draw < condition.resets:  # one that dies takes along what it was working on
            asking.broken()
        elif draw < condition.resets + condition.fails:
            asking.answered(Response(condition.status))
        else:
            asking.answered(self._answer(asking.request))
