"""Who waits for whom: one sets out, the others with the same question wait, and nobody waits for good."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from policy_fakes import SUCCESS, HandClock

from sidecar.policy.bulkhead import Ticket
from sidecar.policy.flight import Flight, Flights
from sidecar.policy.outcome import Outcome

PATIENCE = 1.0
OK = Outcome(SUCCESS, status=200)


class Told:
    """Who waits, and what it was told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def slot_given(self) -> None:
        self.heard.append("over")

    def withdrawn(self) -> None:
        self.heard.append("withdrawn")


def waiting(flight: Flight, until: float = float("inf")) -> tuple[Ticket, Told]:
    """A request that waits."""
    ticket, told = flight.line_up(until), Told()
    ticket.waiter = told
    return ticket, told


def test_who_asks_what_is_being_asked_waits_for_it() -> None:
    """Until it is over; then the next one sets out again."""
    flights = Flights(PATIENCE, HandClock())
    assert flights.to_wait_for(b"q", 0) is None
    flight = flights.board(b"q", 0)
    assert flights.to_wait_for(b"q", 0) is flight
    assert flights.to_wait_for(b"other", 0) is None
    _, told = waiting(flight)
    flight.land(OK, renewed=True)
    assert told.heard == ["over"]
    assert (flight.outcome, flight.renewed, len(flights)) == (OK, True, 0)
    assert flights.to_wait_for(b"q", 0) is None


def test_what_is_known_first_counts() -> None:
    """A second request of the same flight that ends later tells nobody anything."""
    flights = Flights(PATIENCE, HandClock())
    flight = flights.board(b"q", 0)
    assert flights.board(b"q", 0) is flight
    flight.land(OK, renewed=True)
    flight.leave()
    flight.land(None)
    flight.leave()
    assert (flight.outcome, flight.renewed) == (OK, True)


def test_nobody_joins_what_set_out_before_a_change() -> None:
    """Who has written must not be told what was there before; what set out afterwards may be waited for."""
    flights = Flights(PATIENCE, HandClock())
    old = flights.board(b"q", 0)
    assert flights.to_wait_for(b"q", 1) is None
    new = flights.board(b"q", 1)
    assert new is not old
    assert flights.to_wait_for(b"q", 1) is new
    assert flights.to_wait_for(b"q", 0) is new  # it came before the change: newer is no harm
    old.land(OK)
    assert flights.to_wait_for(b"q", 1) is new


def test_patience_ends_and_begins_anew_with_each_that_sets_out() -> None:
    """One more goes after a second without an answer, and the others wait for either."""
    clock = HandClock()
    flights = Flights(PATIENCE, clock)
    flight = flights.board(b"q", 0)
    ticket, told = waiting(flight)
    assert ticket.until == clock.now + PATIENCE
    clock.now += PATIENCE
    assert flights.to_wait_for(b"q", 0) is None
    assert flights.board(b"q", 0) is flight
    assert flights.to_wait_for(b"q", 0) is flight
    assert waiting(flight)[0].until == clock.now + PATIENCE
    assert waiting(flight, until=clock.now + 0.1)[0].until == clock.now + 0.1
    flight.leave()  # one of the two
    assert not told.heard
    flight.leave()  # the other: nothing is known, and somebody else must ask
    assert told.heard == ["over"]
    assert flight.outcome is None


def test_a_place_that_is_given_back_is_not_told_of_the_end() -> None:
    """Its caller has left."""
    flight = Flights(PATIENCE, HandClock()).board(b"q", 0)
    ticket, told = waiting(flight)
    flight.withdraw(ticket)
    flight.land(OK)
    assert told.heard == ["withdrawn"]


def test_when_it_closes_nobody_is_sent_ahead() -> None:
    """All who wait are about to be refused: none of them is to set out for that."""
    flights = Flights(PATIENCE, HandClock())
    flight = flights.board(b"q", 0)
    _, told = waiting(flight)
    flights.close()
    flight.leave()
    assert not told.heard
    assert len(flights) == 0


class Flying(RuleBasedStateMachine):
    """Many requests with few questions, in any order of arrivals, ends, leavers and writes."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock(0.0)
        self.flights = Flights(PATIENCE, self.clock)
        self.changes = 0
        self.leaders: list[tuple[Flight, bytes]] = []
        self.waiters: dict[Ticket, tuple[Flight, bytes, int, Told]] = {}
        self.set_out: dict[Flight, float] = {}

    @rule(question=st.sampled_from([b"a", b"b"]))
    def ask(self, question: bytes) -> None:
        """A request comes."""
        self._ask(question, self.changes)

    def _ask(self, question: bytes, changes: int) -> None:
        flight = self.flights.to_wait_for(question, changes)
        if flight is not None:
            assert flight.changes >= changes, "it may bring what was there before a change"
            ticket, told = waiting(flight)
            self.waiters[ticket] = flight, question, changes, told
            return
        for other, asked in self.leaders:
            if asked == question and other.changes >= changes and not other.is_over:
                assert self.clock.now >= self.set_out[other] + PATIENCE, "two set out within its patience"
        flight = self.flights.board(question, changes)
        self.leaders.append((flight, question))
        self.set_out[flight] = self.clock.now

    @rule()
    def write(self) -> None:
        """Something is changed."""
        self.changes += 1

    @rule(seconds=st.sampled_from([0.1, 0.5, PATIENCE]))
    def wait(self, seconds: float) -> None:
        """Time passes; whose patience has ended asks again."""
        self.clock.now += seconds
        for ticket in [ticket for ticket in self.waiters if ticket.until <= self.clock.now]:
            flight, question, changes, _ = self.waiters.pop(ticket)
            flight.withdraw(ticket)
            self._ask(question, changes)

    @precondition(lambda self: self.leaders)
    @rule(data=st.data(), how=st.sampled_from(["answered", "failed", "left"]))
    def end(self, data: st.DataObject, how: str) -> None:
        """One that set out has ended, or its caller has left."""
        flight, _ = self.leaders.pop(data.draw(st.integers(0, len(self.leaders) - 1)))
        if how != "left":
            flight.land(OK if how == "answered" else None, renewed=how == "answered")
        flight.leave()
        woken = [ticket for ticket, (_, _, _, told) in self.waiters.items() if told.heard == ["over"]]
        for ticket in woken:
            its, question, changes, _ = self.waiters.pop(ticket)
            assert its.is_over
            if its.outcome is None:
                self._ask(question, changes)

    @precondition(lambda self: self.waiters)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """One who waits gives up."""
        ticket = data.draw(st.sampled_from(sorted(self.waiters, key=id)))
        self.waiters.pop(ticket)[0].withdraw(ticket)

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        """Whoever waits, waits for one that is under way, and no longer than its patience."""
        flying = {flight for flight, _ in self.leaders}
        for ticket, (flight, _, _, _) in self.waiters.items():
            assert flight in flying
            assert not flight.is_over
            assert self.clock.now < ticket.until <= self.clock.now + PATIENCE

    @invariant()
    def nothing_is_remembered(self) -> None:
        """Of what is over."""
        assert set(self.flights) <= {flight for flight, _ in self.leaders}


TestFlying = Flying.TestCase
TestFlying.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("callers", [1, 500])
def test_however_many_ask_one_sets_out_a_second(callers: int) -> None:
    """Of callers that come all the time while there is no answer, one in each second of patience is sent."""
    clock = HandClock(0.0)
    flights = Flights(PATIENCE, clock)
    sent = 0
    for step in range(100):
        clock.now = step / 10
        for _ in range(callers):
            if flights.to_wait_for(b"q", 0) is None:
                flights.board(b"q", 0)
                sent += 1
    assert sent == 10
