"""Who has asked already: one attempt renews what is kept, however many callers wait for it.

While an upstream answers slowly, callers with the same question pile up in front of it, each with an attempt of its
own, for one answer. Where an answer is kept, and it is thus known to be the same for all who ask that question, those
who come while one is under way wait for what comes of it (nginx's `proxy_cache_lock`; RFC 9211 calls such requests
collapsed). They do not wait for long: an attempt that takes longer than `patience` gets company by another one, as
with nginx's `proxy_cache_lock_age`, so that one bad endpoint does not hold up everybody.

Nobody is given an answer from before what it knows already: a request does not join one that set out before a change
was through (`changes`), so whoever writes and then reads sees its own write.
"""

from collections.abc import Iterator

from sidecar.clock import Clock
from sidecar.policy.bulkhead import Ticket
from sidecar.policy.outcome import Outcome


class Flight:
    """Requests under way with one question, and those that wait for them.

    outcome: what the first of them that ended came to; None while nothing is known. renewed: whether it renewed what is
    kept, so that whoever waits may be given that.
    """

    __slots__ = ("_flights", "_leaders", "_question", "_tickets", "changes", "is_over", "outcome", "renewed", "since")

    def __init__(self, flights: "Flights", question: bytes, changes: int) -> None:
        self._flights = flights
        self._question = question
        self._leaders = 0
        self._tickets: dict[Ticket, None] = {}
        self.changes = changes
        """The upstream's count when it set out."""
        self.since = 0.0
        """When the newest of its requests set out."""
        self.is_over = False
        self.outcome: Outcome | None = None
        self.renewed = False

    def line_up(self, until: float) -> Ticket:
        """A place among those who wait: until it is over, or until it is time for another attempt."""
        ticket = Ticket(min(until, self.since + self._flights.patience))
        self._tickets[ticket] = None
        return ticket

    def withdraw(self, ticket: Ticket) -> None:
        """Gives the place back. Harmless once it is over."""
        if ticket.waiter is not None:
            ticket.waiter.withdrawn()
        self._tickets.pop(ticket, None)

    def land(self, outcome: Outcome | None, *, renewed: bool = False) -> None:
        """It is known what came of it: whoever waits goes on. What is told later changes nothing."""
        if self.is_over:
            return
        self.is_over = True
        self.outcome = outcome
        self.renewed = renewed
        self._flights.forget(self._question, self)
        tickets, self._tickets = self._tickets, {}
        for ticket in tickets:
            ticket.given = True
            if ticket.waiter is not None:
                ticket.waiter.slot_given()

    def leave(self) -> None:
        """One of its requests is over. If it was the last and nothing is known, another must ask."""
        self._leaders -= 1
        if not self._leaders:
            self.land(None)

    def join(self, now: float) -> "Flight":
        """One more request of it sets out."""
        self._leaders += 1
        self.since = now
        return self


class Flights:
    """Of one route. `patience`: seconds that a request waits for one like it before it is sent as well.

    Laws: as long as one is under way, no other sets out within `patience` of it; whoever waits goes on as soon as one
    has ended, or `patience` has passed; nothing is remembered of a flight that is over.
    """

    __slots__ = ("_clock", "_under_way", "patience")

    def __init__(self, patience: float, clock: Clock) -> None:
        self.patience = patience
        self._clock = clock
        self._under_way: dict[bytes, Flight] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def __iter__(self) -> Iterator[Flight]:
        return iter(self._under_way.values())

    def board(self, question: bytes, changes: int) -> Flight:
        """Sets out with that question. Whoever does must leave, whatever happens in between."""
        flight = self._under_way.get(question)
        if flight is None or flight.changes < changes:
            flight = self._under_way[question] = Flight(self, question, changes)
        return flight.join(self._clock())

    def to_wait_for(self, question: bytes, changes: int) -> Flight | None:
        """The flight whose end a request that came after so many changes may wait for."""
        flight = self._under_way.get(question)
        if flight is None or flight.changes < changes or self._clock() >= flight.since + self.patience:
            return None
        return flight

    def forget(self, question: bytes, flight: Flight) -> None:
        """It is over. A newer one with the same question stays."""
        if self._under_way.get(question) is flight:
            del self._under_way[question]

    def close(self) -> None:
        """Nobody who waits is to set out any more: all of them are about to be refused."""
        for flight in list(self):
            flight.is_over = True
        self._under_way.clear()
