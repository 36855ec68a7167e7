"""Who asks: many that come by chance, or a crowd in which each waits for its answer before it asks again.

Both are needed. Those that come by chance do not slow down because an upstream does (users, webhooks); a crowd does
(workers, pollers), and comes back as one when it can.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

from sidecar.simulation.exchange import Exchange, Request
from sidecar.simulation.gateway import Gateway
from sidecar.simulation.tally import Tally
from sidecar.simulation.world import Timer

Asks = Callable[[int], Request]
"""What the caller of that number sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How a caller behaves.

    `timeout`: seconds after which it leaves, told or not. `retries`: how often it asks again on its own after anything
    but a success, which no header says. `pause`: seconds before it does.
    """

    timeout: float = inf
    retries: int = 0
    pause: float = 0.1


_PLAIN: Final = Habits()


class Errand:
    """One thing that a caller wants, with all the times it asks for it. `done` is called at the end."""

    __slots__ = ("_done", "_gateway", "_habits", "_left", "_request", "_tally", "_timer")

    def __init__(
        self, gateway: Gateway, tally: Tally, request: Request, habits: Habits, done: Callable[[], object]
    ) -> None:
        self._gateway = gateway
        self._tally = tally
        self._request = request
        self._habits = habits
        self._done = done
        self._left = habits.retries
        self._timer: Timer | None = None

    def ask(self) -> None:
        """Sends the request."""
        exchange = self._gateway.accept(self._request, self._ended)
        if self._habits.timeout < inf and exchange.ended == inf:
            self._timer = self._gateway.world.after(self._habits.timeout, exchange.leave)

    def _ended(self, exchange: Exchange) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._tally.add(exchange)
        if self._left > 0 and not exchange.succeeded:
            self._left -= 1
            self._gateway.world.after(self._habits.pause, self.ask)
        else:
            self._done()


def arrive(gateway: Gateway, tally: Tally, asks: Asks, *, rate: float, until: float, habits: Habits = _PLAIN) -> None:
    """Callers come by chance, `rate` per second on average, until then (a Poisson process)."""
    world = gateway.world
    chance = world.rng("arrivals")

    def come(number: int) -> None:
        if world.now < until:
            world.after(chance.expovariate(rate), lambda: come(number + 1))
            Errand(gateway, tally, asks(number), habits, lambda: None).ask()

    world.after(chance.expovariate(rate), lambda: come(0))


def crowd(
    gateway: Gateway, tally: Tally, asks: Asks, *, count: int, think: float, until: float, habits: Habits = _PLAIN
) -> None:
    """`count` callers that each pause for `think` seconds on average between an answer and the next question."""
    world = gateway.world
    chance = world.rng("pauses")

    def come(number: int) -> None:
        if world.now < until:
            Errand(gateway, tally, asks(number), habits, lambda: pause(number)).ask()

    def pause(number: int) -> None:
        world.after(chance.expovariate(1.0 / think), lambda: come(number))

    for number in range(count):
        pause(number)
