"""Two attempts at one request at a time: does on sockets what `hedging.py` asks for.

While it lasts the path waits for whichever of the two ends first, and is resumed by that one's end as ever. Only the
time before the second one, and what becomes of the one that is no longer wanted, are dealt with here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sidecar.policy import reasons
from sidecar.proxy.attempt import LiveAttempt
from sidecar.proxy.commands import Alone, Await, Beside, Settle
from sidecar.proxy.later import LATER, Later

if TYPE_CHECKING:
    from sidecar.proxy.exchange import Exchange


class Race:
    """Of one exchange. Its timer strikes when the first attempt has been alone for long enough."""

    __slots__ = ("_exchange", "_slot", "second")

    def __init__(self, exchange: "Exchange", command: Alone) -> None:
        self._exchange = exchange
        self._slot = exchange.timers.add(self, exchange.clock() + command.alone)
        self.second: LiveAttempt | None = None

    def expire(self) -> None:
        """Time for a second one."""
        self._exchange.resume()

    def stop(self) -> None:
        """It is too late for that."""
        self._slot.discard(self)

    def cancel(self, reason: str) -> None:
        """The request is over; the exchange lets go of the first attempt itself."""
        self.stop()
        if self.second is not None:
            self.second.cancel(reason)


def begin(exchange: "Exchange", command: Alone) -> Later:
    """The first attempt, and the time until another may join it."""
    exchange.race = Race(exchange, command)  # before it begins: it may end at once
    return exchange.make_attempt(command)


def join(exchange: "Exchange", command: Beside) -> Later:
    """The second attempt."""
    race, first = exchange.race, exchange.attempt
    assert race is not None
    assert first is not None
    first.number = exchange.attempts  # it may still be waiting for its connection
    exchange.attempts += 1
    second = race.second = LiveAttempt(exchange, command, exchange.clock())
    second.number = exchange.attempts
    second.is_hedge = True
    second.start()
    return LATER


def wait_on(_: "Exchange", __: Await) -> Later:
    """Nothing to do: whatever is under way goes on."""
    return LATER


def settle(exchange: "Exchange", command: Settle) -> None:
    """One stands, the other is let go of at once."""
    race, exchange.race = exchange.race, None
    assert race is not None
    race.stop()
    stands = command.outcome
    assert isinstance(stands, LiveAttempt)
    other = exchange.attempt if stands is race.second else race.second
    exchange.attempt = stands
    if other is not None:
        other.cancel(reasons.OVERTAKEN)


PERFORMED: Final[dict[type, Callable[[Any, Any], Any]]] = {Alone: begin, Beside: join, Await: wait_on, Settle: settle}
"""The commands that are performed here."""
