"""Waiting for a slot of the bulkhead: the slot, the end of the time or the end of the caller, whichever is first."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sidecar.proxy.commands import Queue
from sidecar.proxy.later import LATER, Later

if TYPE_CHECKING:
    from sidecar.proxy.exchange import Exchange


class Turn:
    """One exchange in the queue. Is the ticket's `Waiter`, and what its timer strikes.

    It has a timer's slot of its own: that of the exchange says that the body is being waited for, which may come while
    the exchange is still in the queue.
    """

    __slots__ = ("_exchange", "_slot")

    def __init__(self, exchange: "Exchange", command: Queue) -> None:
        self._exchange = exchange
        self._slot = exchange.timers.add(self, command.until)
        command.ticket.waiter = self

    def slot_given(self) -> None:
        """The path goes on, with the slot."""
        self._slot.discard(self)
        self._exchange.resume(sent=True)

    def withdrawn(self) -> None:
        """The caller left, or it was too late."""
        self._slot.discard(self)

    def expire(self) -> None:
        """The path goes on without."""
        self._exchange.resume(sent=False)


def line_up(exchange: "Exchange", command: Queue) -> Later:
    """Performs `Queue`."""
    Turn(exchange, command)
    return LATER


PERFORMED: Final[dict[type, Callable[[Any, Any], Any]]] = {Queue: line_up}
"""The commands that are performed here."""
