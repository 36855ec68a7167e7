"""Laws of the bulkhead's queue: fair, bounded, and no slot lost or doubled wherever somebody leaves."""

from collections import deque
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from policy_fakes import FAILURE, NEUTRAL, SUCCESS, HandClock, Middle

from sidecar.policy import reasons
from sidecar.policy.adaptive import AdaptiveLimit
from sidecar.policy.bulkhead import Bulkhead, Ticket
from sidecar.policy.outcome import Outcome

NEVER = float("inf")


class Caller:
    """Somebody who waits, and notes what becomes of it. `then`: what it does once it has its slot."""

    def __init__(self, ticket: Ticket, then: Callable[["Caller"], None] = lambda _: None) -> None:
        self.ticket = ticket
        self.given = self.gone = False
        self._then = then
        ticket.waiter = self

    def slot_given(self) -> None:
        """Its turn has come."""
        assert not self.given, "given twice"
        assert not self.gone, "given to somebody who had left"
        self.given = True
        self._then(self)

    def withdrawn(self) -> None:
        """It waits no more."""
        self.gone = True


def a_bulkhead(limit: int = 1, queue: int = 3, timeout: float = 1.0) -> tuple[Bulkhead, HandClock]:
    """Full."""
    clock = HandClock()
    bulkhead = Bulkhead(limit, queue=queue, queue_timeout=timeout, clock=clock)
    for _ in range(limit):
        assert bulkhead.enter()
    return bulkhead, clock


def lined_up(bulkhead: Bulkhead, until: float = NEVER) -> Caller:
    """Somebody new in the queue."""
    ticket = bulkhead.line_up(until)
    assert isinstance(ticket, Ticket)
    return Caller(ticket)


def test_without_a_queue_nobody_lines_up() -> None:
    """The default: refused at once."""
    bulkhead = Bulkhead(1)
    assert bulkhead.enter()
    assert not bulkhead.enter()
    assert bulkhead.line_up(NEVER) == reasons.BULKHEAD_FULL


def test_slots_are_given_in_the_order_of_the_tickets() -> None:
    """One for each that leaves; a full queue takes nobody."""
    bulkhead, _ = a_bulkhead()
    waiting = [lined_up(bulkhead) for _ in range(3)]
    assert bulkhead.queued == 3
    assert bulkhead.line_up(NEVER) == reasons.BULKHEAD_FULL
    for served in range(1, 4):
        bulkhead.leave()
        assert [one.given for one in waiting] == [place < served for place in range(3)]
        assert bulkhead.in_flight == 1
    bulkhead.leave()
    assert (bulkhead.in_flight, bulkhead.queued) == (0, 0)


def test_nobody_overtakes_who_waits() -> None:
    """Not even one who comes at the moment a slot is being handed over."""
    bulkhead, _ = a_bulkhead()
    seen: list[object] = []

    def while_handing(_: Caller) -> None:
        seen.append(bulkhead.enter())

    ticket = bulkhead.line_up(NEVER)
    assert isinstance(ticket, Ticket)
    Caller(ticket, while_handing)
    second = lined_up(bulkhead)
    bulkhead.leave()
    assert seen == [False]
    assert not second.given


def test_who_is_done_at_once_gives_its_slot_to_the_next_however_long_the_queue() -> None:
    """An open breaker refuses each waiter as its turn comes: a thousand of them are no deep recursion."""
    bulkhead, _ = a_bulkhead(queue=5000)
    order: list[Caller] = []

    def done(one: Caller) -> None:
        order.append(one)
        bulkhead.leave()

    callers = []
    for _ in range(5000):
        ticket = bulkhead.line_up(NEVER)
        assert isinstance(ticket, Ticket)
        callers.append(Caller(ticket, done))
    bulkhead.leave()
    assert order == callers
    assert (bulkhead.in_flight, bulkhead.queued) == (0, 0)


def test_a_leaver_frees_its_place_and_keeps_nobody_waiting() -> None:
    """From the middle of the queue; the others keep their order."""
    bulkhead, _ = a_bulkhead()
    first, second, third = (lined_up(bulkhead) for _ in range(3))
    bulkhead.withdraw(second.ticket)
    assert second.gone
    assert bulkhead.queued == 2
    fourth = lined_up(bulkhead)
    for one in (first, third, fourth):
        bulkhead.leave()
        assert one.given
    assert not second.given


def test_a_slot_that_came_and_was_not_taken_goes_to_the_next() -> None:
    """Withdrawn at the very moment it was given: neither lost nor doubled."""
    bulkhead, _ = a_bulkhead()
    first, second = lined_up(bulkhead), lined_up(bulkhead)
    bulkhead.leave()
    assert first.given
    bulkhead.withdraw(first.ticket)
    assert second.given
    assert bulkhead.in_flight == 1


def test_a_ticket_ends_with_the_queue_timeout_or_the_deadline() -> None:
    """Whichever comes first."""
    bulkhead, clock = a_bulkhead(timeout=1.0)
    assert lined_up(bulkhead).ticket.until == clock.now + 1.0
    assert lined_up(bulkhead, until=clock.now + 0.3).ticket.until == clock.now + 0.3
    assert bulkhead.line_up(clock.now) == reasons.QUEUE_TIMEOUT, "no time left at all"


def busy(bulkhead: Bulkhead, clock: HandClock, seconds: float, times: int = 100) -> None:
    """Slots become free and are taken again at that pace."""
    for _ in range(times):
        clock.now += seconds
        bulkhead.leave()
        assert bulkhead.enter()


def test_who_cannot_make_it_at_the_pace_of_late_is_refused_at_once() -> None:
    """Two slots a second and a timeout of 1.2 s: two may wait, the third would wait in vain."""
    bulkhead, clock = a_bulkhead(limit=4, queue=100, timeout=1.2)
    busy(bulkhead, clock, 0.5)
    assert bulkhead.expected_wait(clock.now) == pytest.approx(0.5, rel=0.01)
    first = lined_up(bulkhead)
    lined_up(bulkhead)
    assert bulkhead.expected_wait(clock.now) == pytest.approx(1.5, rel=0.01)
    assert bulkhead.line_up(NEVER) == reasons.QUEUE_TIMEOUT
    bulkhead.withdraw(first.ticket)
    assert bulkhead.line_up(clock.now + 0.9) == reasons.QUEUE_TIMEOUT, "its own deadline is nearer"
    lined_up(bulkhead)


def test_an_upstream_that_hangs_slows_the_pace_before_anybody_has_left() -> None:
    """Its waiters would find out only when the first attempt times out."""
    bulkhead, clock = a_bulkhead(limit=10, queue=100, timeout=0.1)
    busy(bulkhead, clock, 0.001)
    lined_up(bulkhead)
    clock.now += 5.0
    assert bulkhead.line_up(NEVER) == reasons.QUEUE_TIMEOUT


def test_the_pace_of_an_outage_is_forgotten() -> None:
    """After as many departures as there are slots it is mostly the new one, and with room to spare it is gone."""
    bulkhead, clock = a_bulkhead(limit=10, queue=100, timeout=0.1)
    busy(bulkhead, clock, 2.0)
    assert bulkhead.line_up(NEVER) == reasons.QUEUE_TIMEOUT
    busy(bulkhead, clock, 0.001, times=60)
    bulkhead.withdraw(lined_up(bulkhead).ticket)

    busy(bulkhead, clock, 2.0)
    bulkhead.leave()
    clock.now += 20.0
    assert bulkhead.enter()
    assert bulkhead.expected_wait(clock.now) == 0.0


def test_a_closed_one_hands_nothing_over() -> None:
    """At the end of the process who waits is refused, not started to be cut off."""
    bulkhead, _ = a_bulkhead()
    waiting = lined_up(bulkhead)
    bulkhead.close()
    bulkhead.leave()
    assert not waiting.given
    assert not bulkhead.enter()
    bulkhead.withdraw(waiting.ticket)
    assert (bulkhead.in_flight, bulkhead.queued) == (0, 0)


def adaptive(clock: HandClock, ceiling: int = 20, queue: int = 10) -> Bulkhead:
    """Timeouts halve its limit, twenty at a time."""
    limit = AdaptiveLimit(ceiling=ceiling, clock=clock, rng=Middle())
    return Bulkhead(ceiling, queue=queue, queue_timeout=1.0, adaptive=limit, clock=clock)


def lose(bulkhead: Bulkhead, clock: HandClock, times: int = 20) -> None:
    """Attempts that time out."""
    clock.now += 1.0
    for _ in range(times):
        bulkhead.judge(Outcome(FAILURE, reasons.ATTEMPT_TIMEOUT, elapsed=1.0, sent=True))


def test_a_limit_that_falls_sends_nobody_away_and_lets_nobody_in() -> None:
    """Until enough have left; the pace is not that of the time before."""
    clock = HandClock()
    bulkhead = adaptive(clock)
    for _ in range(15):
        assert bulkhead.enter()
    clock.now += 100.0
    while bulkhead.limit > 8:
        lose(bulkhead, clock)
    assert bulkhead.in_flight == 15
    assert not bulkhead.enter()
    waiting = lined_up(bulkhead)
    while bulkhead.in_flight > bulkhead.limit:
        bulkhead.leave()
        assert not waiting.given
    bulkhead.leave()
    assert waiting.given


def test_a_limit_that_rises_lets_those_in_who_wait() -> None:
    """At once, in their order."""
    clock = HandClock()
    bulkhead = adaptive(clock)
    while bulkhead.limit > 4:
        lose(bulkhead, clock)
    for _ in range(bulkhead.limit):
        assert bulkhead.enter()
    waiting = [lined_up(bulkhead) for _ in range(8)]
    before = bulkhead.limit
    for _ in range(200):
        clock.now += 0.02
        bulkhead.judge(Outcome(NEUTRAL, reasons.CLIENT_GONE))  # says nothing
        bulkhead.judge(Outcome(SUCCESS, elapsed=0.02, status=200))
        if bulkhead.limit > before:
            break
    assert bulkhead.limit > before
    given = [one.given for one in waiting]
    assert sum(given) == min(bulkhead.limit, before + 8) - before
    assert given == sorted(given, reverse=True)


class Queue(RuleBasedStateMachine):
    """Callers come, get slots, leave, lose patience, and are told late of their slot; against a plain model."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock(0.0)
        self.limit = 2
        self.bulkhead = Bulkhead(self.limit, queue=3, queue_timeout=1.0, clock=self.clock)
        self.inside = 0
        """Who entered, or took the slot that was given."""
        self.waiting: deque[Caller] = deque()
        """In their order; those at the front may have been given a slot that they have not taken."""

    @rule(until=st.sampled_from([0.0, 0.2, 5.0]))
    def come(self, until: float) -> None:
        """Somebody comes, with that much time."""
        free = self.inside + sum(one.given for one in self.waiting) < self.limit
        nobody = not any(not one.given for one in self.waiting)
        assert self.bulkhead.enter() == (free and nobody)
        if free and nobody:
            self.inside += 1
            return
        length = sum(not one.given for one in self.waiting)
        ticket = self.bulkhead.line_up(self.clock.now + until)
        if isinstance(ticket, Ticket):
            assert length < 3
            assert self.clock.now < ticket.until <= self.clock.now + min(until, 1.0)
            self.waiting.append(Caller(ticket))
        else:
            assert (ticket == reasons.BULKHEAD_FULL) == (length == 3)

    @precondition(lambda self: self.inside)
    @rule()
    def go(self) -> None:
        """Somebody is done."""
        self.inside -= 1
        self.bulkhead.leave()

    @rule()
    def take(self) -> None:
        """Who was given a slot hears of it."""
        while self.waiting and self.waiting[0].given:
            self.waiting.popleft()
            self.inside += 1

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 20))
    def lose_patience(self, which: int) -> None:
        """A caller leaves the queue, perhaps in the moment its slot comes."""
        one = self.waiting[which % len(self.waiting)]
        self.waiting.remove(one)
        self.bulkhead.withdraw(one.ticket)
        assert one.gone

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.5, 2.0]))
    def time_passes(self, seconds: float) -> None:
        """Tickets run out in their time."""
        self.clock.now += seconds
        for one in [one for one in self.waiting if not one.given and one.ticket.until <= self.clock.now]:
            if one.given:  # by the withdrawal of one before it
                continue
            self.waiting.remove(one)
            self.bulkhead.withdraw(one.ticket)

    @invariant()
    def every_slot_has_one_holder(self) -> None:
        """Neither lost nor doubled, and never more than there are."""
        held = self.inside + sum(one.given for one in self.waiting)
        assert self.bulkhead.in_flight == held <= self.limit

    @invariant()
    def the_queue_is_who_waits(self) -> None:
        """Bounded, and given out from its front."""
        given = [one.given for one in self.waiting]
        assert self.bulkhead.queued == given.count(False) <= 3
        assert all(first or not second for first, second in pairwise(given)), "somebody was overtaken"

    @invariant()
    def no_slot_is_free_while_somebody_waits(self) -> None:
        """A free slot is never kept from who could use it."""
        assert not self.bulkhead.queued or self.bulkhead.in_flight == self.limit

    def teardown(self) -> None:
        """Everybody leaves, and all of it is free again."""
        for one in self.waiting:
            self.bulkhead.withdraw(one.ticket)
        for _ in range(self.inside):
            self.bulkhead.leave()
        assert (self.bulkhead.in_flight, self.bulkhead.queued) == (0, 0)


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(
    service=st.sampled_from([0.01, 0.05, 0.3]),
    gap=st.sampled_from([0.001, 0.01, 0.1]),
    limit=st.integers(1, 4),
    places=st.integers(1, 6),
)
@settings(deadline=None, max_examples=60)
def test_whoever_is_let_in_got_there_in_time_and_in_order(service: float, gap: float, limit: int, places: int) -> None:
    """Callers at an even gap, answers that take their time: each waits at most its timeout, in order of arrival."""
    clock = HandClock(0.0)
    bulkhead = Bulkhead(limit, queue=places, queue_timeout=0.2, clock=clock)
    events: list[tuple[float, int, str]] = [(number * gap, number, "come") for number in range(120)]
    waiting: dict[int, Ticket] = {}
    started: list[int] = []
    ended = refused = 0

    def begin(number: int) -> None:
        started.append(number)
        events.append((clock.now + service, number, "end"))

    while events:
        when, number, what = event = min(events)
        events.remove(event)
        clock.now = when
        if what == "end":
            ended += 1
            bulkhead.leave()
        elif what == "come" and bulkhead.enter():
            begin(number)
        elif what == "come":
            ticket = bulkhead.line_up(NEVER)
            if isinstance(ticket, Ticket):
                waiting[number] = ticket
                events.append((ticket.until, number, "late"))
            else:
                refused += 1
        elif number in waiting:
            bulkhead.withdraw(waiting.pop(number))
            refused += 1
        for turn in [turn for turn, ticket in waiting.items() if ticket.given]:
            assert clock.now <= waiting.pop(turn).until
            begin(turn)
    assert started == sorted(started), "somebody was overtaken"
    assert len(started) == ended == 120 - refused
    assert (bulkhead.in_flight, bulkhead.queued) == (0, 0)
