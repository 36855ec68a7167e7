"""What the path asks for, and what it is sent in return. `exchange.py` says who does it."""

from sidecar.policy.answer import Answer
from sidecar.policy.bulkhead import Ticket
from sidecar.policy.endpoints import Endpoint, Upstream
from sidecar.policy.fallback import LastKnownGood
from sidecar.policy.last_known_good import Stored
from sidecar.policy.outcome import Outcome


class Queue:
    """Wait for `ticket`'s slot: sent True once it is given, False if it was not by `until`.

    The performer puts itself into `ticket.waiter` to hear of it.
    """

    __slots__ = ("ticket", "until")

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.until = ticket.until


class Collect:
    """Wait until the request's body is here, or it is time to give up: sent True or False."""

    __slots__ = ("until",)

    def __init__(self, until: float) -> None:
        self.until = until


class Attempt:
    """Send the request to `endpoint`; sent an Outcome at the commit point.

    `timeout`: seconds for all of it, connecting included. `until`: when the whole request ends, on the path's clock.
    `in_doubt`: the answer of the attempt before may yet be relayed; otherwise this one replaces it.
    """

    __slots__ = ("endpoint", "in_doubt", "timeout", "until", "upstream")

    def __init__(
        self, upstream: Upstream, endpoint: Endpoint, timeout: float, until: float, *, in_doubt: bool = False
    ) -> None:
        self.upstream = upstream
        self.endpoint = endpoint
        self.timeout = timeout
        self.until = until
        self.in_doubt = in_doubt


class Alone(Attempt):
    """An attempt that may get company: also sent None, once, if it is still under way after `alone` seconds.

    From here to `Settle`, up to two attempts are under way, and what is sent is the outcome of whichever ends first.
    """

    __slots__ = ("alone",)

    def __init__(self, upstream: Upstream, endpoint: Endpoint, timeout: float, until: float, alone: float) -> None:
        super().__init__(upstream, endpoint, timeout, until)
        self.alone = alone


class Beside(Attempt):
    """A second attempt beside one that is under way. Its own outcome says that it `is_hedge`."""

    __slots__ = ()


class Await:
    """Begin nothing: wait for what is under way."""

    __slots__ = ()


class Settle:
    """`outcome` stands: the other attempt, if there is one, is let go of at once, under way or not."""

    __slots__ = ("outcome",)

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class Wait:
    """Do nothing for `seconds`."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Relay:
    """Give the caller `outcome`'s answer. `rescued`: why the first upstream's was not good enough, or empty."""

    __slots__ = ("label", "outcome", "rescued")

    def __init__(self, outcome: Outcome, label: str, rescued: str = "") -> None:
        self.outcome = outcome
        self.label = label
        self.rescued = rescued


class Recall:
    """Look for a last known good answer to this request: sent it, or None."""

    __slots__ = ("rung",)

    def __init__(self, rung: LastKnownGood) -> None:
        self.rung = rung


class Keep:
    """Remember `outcome`'s answer as the last known good one, if it may be, or what it says about the one there is.

    Sent True if what is kept is now as new as this answer, and may be given to others who asked meanwhile.
    """

    __slots__ = ("outcome", "rung")

    def __init__(self, rung: LastKnownGood, outcome: Outcome) -> None:
        self.rung = rung
        self.outcome = outcome


class Serve:
    """Answer with what was kept."""

    __slots__ = ("reason", "rung", "stored")

    def __init__(self, rung: LastKnownGood, stored: Stored, reason: str) -> None:
        self.rung = rung
        self.stored = stored
        self.reason = reason


class Share:
    """Answer with what was just kept: another request has asked the same, and brought it."""

    __slots__ = ("stored",)

    def __init__(self, stored: Stored) -> None:
        self.stored = stored


class Reply:
    """Answer ourselves: with `answer`, or with the default body for `reason`."""

    __slots__ = ("answer", "label", "reason", "retry_after", "status")

    def __init__(
        self, reason: str, label: str, status: int, answer: Answer | None = None, retry_after: float = 0.0
    ) -> None:
        self.reason = reason
        self.label = label
        self.status = status
        self.answer = answer
        self.retry_after = retry_after


class Own:
    """Answer as the one who was asked: the request goes no further, or asks about the server as a whole."""

    __slots__ = ()


Command = Queue | Collect | Attempt | Await | Settle | Wait | Relay | Recall | Keep | Serve | Share | Reply | Own
Sent = Outcome | Stored | bool | None
