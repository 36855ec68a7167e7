"""All policies at once: three routes on two upstreams, whatever happens in whatever order, in virtual time.

Two of the routes share an upstream, its budget, its endpoints and their breaker; the third one's upstream is what the
first falls back on. All have bulkheads with queues; there are retries, hedges, faults, forced breakers, answers that
are kept, callers with identities that leave at any moment, and permits that are lost. The objects are those that
`sidecar run` would build, the path is performed by the simulation; what upstreams answer, and when, is drawn.
"""

from collections import Counter
from collections.abc import Iterator
from math import inf
from typing import Any, Final

from fixtures.simulated import Simulated
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from ledgers import PermitBook, keep_books

from sidecar.policy.fault import Fault
from sidecar.policy.route import Route
from sidecar.proxy.commands import Alone, Attempt, Await, Beside, Collect, Queue, Relay, Wait
from sidecar.simulation.attempt import VirtualAttempt
from sidecar.simulation.exchange import Exchange, Request
from sidecar.simulation.server import Response
from sidecar.simulation.tally import Watch

PROBES: Final = 2
OPEN_FOR_MAX, JITTER = 5.0, 0.2
EJECTED_MAX: Final = 9.0
MAX_AGE: Final = 20.0
COALESCE: Final = 1.0
RATIO, FLOOR, WINDOW = 0.1, 0.2, 10.0
TEXT: Final = f"""\
upstreams:
  a:
    endpoints: ["http://a1.test", "http://a2.test", "http://a3.test"]
    ejection: {{consecutive_failures: 2, for: 3s, for_max: 9s, max_share: 67%}}
  b:
    endpoints: ["http://b1.test", "http://b2.test"]
    ejection: {{consecutive_failures: 1, for: 3s, for_max: 9s, max_share: 100%}}
defaults:
  timeout: {{attempt: 1s, total: 4s}}
  retry: {{attempts: 3, idempotency_key: true, backoff: {{base: 400ms, max: 1s}},
          budget: {{ratio: {RATIO}, per_second: {FLOOR}}}}}
  breaker: {{consecutive_failures: 3, failure_ratio: 60%, minimum_requests: 6, window: 10s, share: upstream,
             open_for: 4s, open_for_max: 5s, jitter: {JITTER}, probes: {PROBES}, successes_to_close: 2}}
routes:
  - name: read
    match: {{path: /read}}
    upstream: a
    retry: {{hedge: {{after: 300ms}}}}
    bulkhead: {{in_flight: 5, queue: 3, queue_timeout: 500ms}}
    fallback:
      - last_known_good: {{max_age: 20s, identity: [Authorization]}}
      - {{upstream: b, on: [open, timeout, connect]}}
  - name: write
    match: {{path: /write}}
    upstream: a
    bulkhead: {{in_flight: 3, queue: 2, queue_timeout: 1s}}
  - name: other
    match: {{path: /other}}
    upstream: b
    breaker: {{share: route, slow_calls: {{longer_than: 600ms, ratio: 80%}}}}
    bulkhead: {{in_flight: 6, queue: 2, queue_timeout: 300ms, adaptive: true}}
    rate_limit: {{per_second: 8, burst: 12}}
    fallback:
      - last_known_good: {{max_age: 20s, identity: [Authorization, Cookie]}}
      - {{static: {{status: 200, json: {{}}}}, on: [refused]}}
"""
QUEUED_AT_MOST: Final = {"read": 3, "write": 2, "other": 2}
QUEUED_FOR: Final = {"read": 0.5, "write": 1.0, "other": 0.3}
IN_FLIGHT_AT_MOST: Final = {"read": 5, "write": 3, "other": 6}
HOLDING: Final = (Alone, Await, Beside, Collect, Wait)
"""Commands that only a request with a slot waits for; `Attempt` too, unless it is a failover's."""
ANY = st.integers(0, 20)
SOMEBODY = st.sampled_from([b"", b"ada", b"ada", b"bob"])
SAID: Final = {
    "": (),
    "no-store": ((b"cache-control", b"Cache-Control", b"no-store"),),
    "varies": ((b"vary", b"Vary", b"X-Tenant"),),
    "private": ((b"cache-control", b"Cache-Control", b"private"),),
}


class Moves(Watch):
    """Passes on what breakers say to whoever keeps books of them."""

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.books: dict[str, PermitBook] = {}

    def changed(self, route: str, old: str, new: str, open_for: float) -> None:
        """One moved."""
        self.books[route].moved(old, new, open_for)


class Hands:
    """All endpoints: an attempt waits until somebody draws what it comes to."""

    def __init__(self) -> None:
        self.waiting: list[VirtualAttempt] = []
        self.failovers: Counter[Exchange] = Counter()

    def take(self, attempt: VirtualAttempt) -> None:
        """An attempt arrives."""
        now = attempt._exchange.world.now
        standing = attempt.command.endpoint.standing
        assert attempt._started < now or not standing.is_out(now), "sent to an endpoint that is out"
        self.failovers[attempt._exchange] += attempt.command.in_doubt
        self.waiting.append(attempt)

    def live(self) -> list[VirtualAttempt]:
        """Those that still want an answer."""
        self.waiting = [attempt for attempt in self.waiting if not attempt.is_over]
        return self.waiting


class Together(RuleBasedStateMachine):
    """Any history of the three routes."""

    @initialize(seed=st.integers(0, 50))
    def begin(self, seed: int) -> None:
        """New objects."""
        self.hands = Hands()
        self.simulated = Simulated(TEXT, seed=seed, watch=Moves, serve=lambda *_: self.hands)
        self.world, self.gateway = self.simulated.world, self.simulated.gateway
        self.routes = {route.name: route for route in self.simulated.built.routes}
        self.upstreams = self.simulated.built.upstreams
        self.endpoints = self.simulated.endpoints
        self.permits, self.budgets = keep_books(
            list(self.routes.values()),
            list(self.upstreams.values()),
            self.world.clock,
            probes=PROBES,
            bound=OPEN_FOR_MAX * (1.0 + JITTER),
        )
        assert isinstance(self.simulated.watch, Moves)
        self.simulated.watch.books = {name: self._book(route) for name, route in self.routes.items()}
        self.accepted: list[Exchange] = []
        self.ended: list[Exchange] = []
        self.wrong: list[str] = []

    # What is played.

    @rule(
        count=st.sampled_from([1, 1, 2, 5]),
        path=st.sampled_from([b"/read", b"/read", b"/write", b"/other"]),
        method=st.sampled_from([b"GET"] * 5 + [b"POST"]),
        authorization=SOMEBODY,
        cookie=st.sampled_from([b""] * 5 + [b"ada", b"bob"]),
        body_in=st.sampled_from([0.0] * 8 + [0.2, inf]),
        has_key=st.booleans(),
        replayable=st.sampled_from([True, True, False]),
        patience=st.sampled_from([inf, 0.9]),
        already_retrying=st.sampled_from([False, False, False, True]),
    )
    def ask(self, count: int, path: bytes, authorization: bytes, cookie: bytes, **asked: Any) -> None:
        """Callers come."""
        named = ((b"authorization", authorization), (b"cookie", cookie))
        headers = tuple((name, name.title(), value) for name, value in named if value)
        for _ in range(count):
            request = Request(path=path, headers=headers, **asked)
            self.accepted.append(self.gateway.accept(request, self._finished))

    @rule(
        path=st.sampled_from([b"/read", b"/other"]),
        askers=st.one_of(SOMEBODY.map(lambda who: (who, who)), st.tuples(SOMEBODY, SOMEBODY)),
        cookies=st.one_of(st.just((b"", b"")), st.tuples(SOMEBODY, SOMEBODY)),
        said=st.sampled_from(["", *SAID]),
        seconds=st.sampled_from([0.0, 1.0, MAX_AGE - 1.0, MAX_AGE + 1.0]),
    )
    def ask_before_and_after(
        self, path: bytes, askers: tuple[bytes, bytes], cookies: tuple[bytes, bytes], said: str, seconds: float
    ) -> None:
        """One is answered, and may be remembered; a while later another one, perhaps the same, is not."""
        for first, asker, cookie in zip((True, False), askers, cookies, strict=True):
            self.ask(1, path, asker, cookie, method=b"GET")
            exchange = self.accepted[-1]
            while exchange.ended == inf:
                if not exchange._under_way:
                    self.world.run(self.world.now + 0.1)
                elif first:
                    exchange._under_way[0].answered(self._response(exchange._under_way[0], 200, said))
                else:
                    exchange._under_way[0].refused()
            self.world.run(self.world.now + seconds * first)

    @rule(path=st.sampled_from([b"/read", b"/other"]), askers=st.lists(SOMEBODY, min_size=2, max_size=4))
    def many_ask_what_is_known(self, path: bytes, askers: list[bytes]) -> None:
        """Each is answered once, if it can be, and then all ask at once: what others bring is theirs, or is not."""
        for asker in sorted(set(askers)):
            self.ask(1, path, asker, b"", method=b"GET")
            exchange = self.accepted[-1]
            for attempt in list(exchange._under_way):
                attempt.answered(self._response(attempt, 200, ""))
        for asker in askers:
            self.ask(1, path, asker, b"", method=b"GET")

    @rule(
        which=ANY,
        status=st.sampled_from([200, 200, 200, 404, 429, 500, 503]),
        said=st.sampled_from(["", "", "", *SAID]),
    )
    def answered(self, which: int, status: int, said: str) -> None:
        """One attempt brings an answer."""
        for attempt in self._attempt(which):
            attempt.answered(self._response(attempt, status, said))

    @rule(which=ANY)
    def streamed(self, which: int) -> None:
        """One attempt brings a good answer that takes its time."""
        for attempt in self._attempt(which):
            attempt.answered(Response(200, streams=2.0))

    @rule(which=ANY)
    def answered_well(self, which: int) -> None:
        """One attempt brings a good answer: otherwise there is little that can be lost."""
        for attempt in self._attempt(which):
            attempt.answered(self._response(attempt, 200, ""))

    @rule(status=st.sampled_from([200, 200, 500]))
    def all_answered(self, status: int) -> None:
        """Each attempt under way brings the same."""
        for attempt in list(self.hands.live()):
            if not attempt.is_over:
                attempt.answered(self._response(attempt, status, ""))

    @rule(which=ANY, refused=st.booleans())
    def failed(self, which: int, refused: bool) -> None:  # noqa: FBT001 - drawn
        """One attempt brings none."""
        for attempt in self._attempt(which):
            if refused:
                attempt.refused()
            else:
                attempt.broken()

    @rule(which=ANY)
    def failed_at_the_last_moment(self, which: int) -> None:
        """All attempts of a request are cut off when next to nothing is left of its time."""
        for attempt in self._attempt(which):
            late = attempt.command.until - 0.01
            if self.world.now < late < self.world.now + 1.0:
                self.world.run(late)
            for one in list(attempt._exchange._under_way):
                one.broken()

    @precondition(lambda self: self.gateway.under_way)
    @rule(which=ANY)
    def leave(self, which: int) -> None:
        """A caller leaves, wherever its request stands."""
        under_way = list(self.gateway.under_way)
        under_way[which % len(under_way)].leave()

    @rule(seconds=st.sampled_from([0.05, 0.3, 1.0, 3.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        """What is due happens on time."""
        self.world.run(self.world.now + seconds)

    @precondition(lambda self: self.world.pending)
    @rule()
    def time_lands_on_an_edge(self) -> None:
        """Exactly when the next thing is due, or the breaker's open time is over."""
        due = min(timer.when for _, _, timer in self.world._plan if timer.pending)
        edges = [book.open_until for book in self.permits if self.world.now < book.open_until < due]
        self.world.run(min([due, *edges]))

    @rule(seconds=st.sampled_from([0.2, 2.0]))
    def the_loop_stalls(self, seconds: float) -> None:
        """It happens late."""
        self.world.stall(seconds)

    @precondition(lambda self: any(isinstance(one.command, Wait) for one in self.gateway.under_way))
    @rule()
    def the_loop_stalls_in_a_backoff(self) -> None:
        """For so long that nothing is left of the deadline."""
        self.world.stall(4.0)

    @rule(name=st.sampled_from(["read", "other"]), state=st.sampled_from(["open", "closed", "auto"]))
    def force(self, name: str, state: str) -> None:
        """An operator holds a breaker, or lets go of it."""
        book = self._book(self.routes[name])
        if state == "auto":
            book.release()
        else:
            book.force(state, 4.0)

    @rule(name=st.sampled_from(["read", "write", "other"]), kind=st.sampled_from(["abort", "delay", "reset", "none"]))
    def inject(self, name: str, kind: str) -> None:
        """An operator injects a fault into half of a route's attempts, or lifts it."""
        self.routes[name].fault = None if kind == "none" else self._fault(kind)

    @precondition(lambda self: self._probing())
    @rule(which=ANY)
    def lose_a_probe(self, which: int) -> None:
        """A defect that we do not have: somebody never settles."""
        books = self._probing()
        books[which % len(books)].lose()

    # How it is played.

    def _book(self, route: Route) -> PermitBook:
        assert isinstance(route.breaker, PermitBook)
        return route.breaker

    def _probing(self) -> list[PermitBook]:
        """Breakers that would let a probe through, or do."""
        return [book for book in self.permits if book.state != "closed" and self.world.now >= book.open_until]

    def _fault(self, kind: str) -> Fault:
        return Fault(
            abort=503 if kind == "abort" else 0,
            delay=0.4 if kind == "delay" else 0.0,
            reset=kind == "reset",
            ratio=0.5,
            until=self.world.now + 5.0,
            clock=self.world.clock,
            rng=self.world.rng(f"fault {self.world.now}"),
        )

    def _attempt(self, which: int) -> list[VirtualAttempt]:
        live = self.hands.live()
        return [live[which % len(live)]] if live else []

    def _response(self, attempt: VirtualAttempt, status: int, said: str) -> Response:
        """Its body says whom it is for, when it was made, and what its headers say."""
        body = b"|".join([_asker(attempt._exchange), b"%f" % self.world.now, said.encode()])
        return Response(status, body, SAID[said])

    def _finished(self, exchange: Exchange) -> None:
        """The end of a request. What is wrong with it is noted: whoever raised here would break the world."""
        self.ended.append(exchange)
        if exchange.answers != 1 and exchange.label != "client_gone":
            self.wrong.append(f"{exchange.answers} answers")
        if exchange.label == "last_known_good":
            assert exchange.body is not None
            whose, made, said = exchange.body.rsplit(b"|", 2)
            if whose != _asker(exchange):
                self.wrong.append("somebody else's answer")
            if said:
                self.wrong.append("an answer that must not be kept")
            if self.world.now - float(made) > MAX_AGE + 1e-3:
                self.wrong.append("an answer that is too old")
        if exchange.label == "ok" and not exchange.attempts:  # brought by another request
            assert exchange.body is not None
            whose, made, said = exchange.body.rsplit(b"|", 2)
            if whose != _asker(exchange) or said:
                self.wrong.append("an answer that was another's alone")
            if float(made) < exchange.started - 1e-6:  # the body says it to the microsecond
                self.wrong.append("an answer from before it was asked for")

    def _live(self, route: Route) -> list[Exchange]:
        return [exchange for exchange in self.gateway.under_way if exchange.route is route]

    def _under_way(self) -> Iterator[VirtualAttempt]:
        for exchange in self.gateway.under_way:
            yield from exchange._under_way

    # What always holds.

    @invariant()
    def each_is_answered_once_and_with_what_is_its_own(self) -> None:
        """By nobody else's answer, by none that must not be kept, by none that is too old."""
        assert not self.wrong

    @invariant()
    def slots_are_held_by_those_under_way(self) -> None:
        """Never more than there are, and none by nobody."""
        for name, route in self.routes.items():
            live = self._live(route)
            joined = [one for one in live if _has_joined(one)]
            holding = [one for one in live if isinstance(one.command, HOLDING) or _is_own_attempt(one)]
            may_hold = [one for one in live if not isinstance(one.command, Queue)] + joined
            assert route.bulkhead is not None
            assert len(holding) + len(joined) <= route.bulkhead.in_flight <= min(len(may_hold), IN_FLIGHT_AT_MOST[name])

    @invariant()
    def the_queue_is_who_waits(self) -> None:
        """Bounded in length and in time, and no slot is free meanwhile."""
        for name, route in self.routes.items():
            waiting = [one for one in self._live(route) if isinstance(one.command, Queue) and not _has_joined(one)]
            assert route.bulkhead is not None
            assert route.bulkhead.queued == len(waiting) <= QUEUED_AT_MOST[name]
            assert not waiting or route.bulkhead.in_flight >= route.bulkhead.limit
            for one in waiting:
                assert isinstance(one.command, Queue)
                left = one.command.until - self.world.now
                assert 0.0 <= left <= QUEUED_FOR[name] + 1e-9, "wedged in the queue"

    @invariant()
    def who_waits_for_another_waits_for_somebody(self) -> None:
        """Who asks the same and is under way; no longer than its patience; and nobody else's question is waited for."""
        for route in self.routes.values():
            joined = [one for one in self._live(route) if _has_joined(one)]
            others = [one for one in self._live(route) if one not in joined and one.method == b"GET"]
            for one in joined:
                assert isinstance(one.command, Queue)
                assert 0.0 <= one.command.until - self.world.now <= COALESCE + 1e-9
                assert any(_asker(other) == _asker(one) for other in others), "nobody asks what it waits for"

    @invariant()
    def permits_are_held_by_attempts(self) -> None:
        """One each, of a route that has a breaker: what has ended has settled."""
        held = sum(len(book.held) for book in self.permits)
        attempts = [one for one in self._under_way() if not one.command.in_doubt]
        assert len(attempts) <= held <= len(attempts) + self._half_settled()

    @invariant()
    def endpoints_count_their_attempts(self) -> None:
        """As many as are under way."""
        attempts = Counter(attempt.command.endpoint for attempt in self._under_way())
        for endpoint in self.endpoints:
            assert attempts[endpoint] <= endpoint.pending <= attempts[endpoint] + self._half_settled()

    def _half_settled(self) -> int:
        """Requests of which one of two attempts has failed and the other goes on: they settle both at the end."""
        return sum(isinstance(one.command, Await) and len(one._under_way) == 1 for one in self.gateway.under_way)

    @invariant()
    def retries_and_hedges_are_paid_for_once(self) -> None:
        """By what was drawn from the budget, and what is drawn comes to attempts or comes back."""
        for name, book in self.budgets.items():
            of = [one for one in self.accepted if one.route is not None and one.route.upstream.name == name]
            own = [one.attempts - self.hands.failovers[one] for one in of]
            waiting = sum(isinstance(one.command, Wait) for one in of)
            assert book.spent == sum(max(0, count - 1) for count in own) + waiting
            assert book.spent <= RATIO * book.requests + FLOOR * (self.world.now + WINDOW) + 1e-6

    @invariant()
    def nobody_is_away_for_too_long_or_with_too_many(self) -> None:
        """An ejection ends, and takes no more than its share."""
        for upstream, most in zip(self.upstreams.values(), (2, 2), strict=True):
            out = upstream.ejected()
            assert len(out) <= most
            assert all(endpoint.standing.until - self.world.now <= EJECTED_MAX + 1e-9 for endpoint in out)

    @invariant()
    def breakers_are_left_in_time(self) -> None:
        """Whatever opened one: its own time, or an operator's."""
        for book in self.permits:
            assert book.retry_after() <= OPEN_FOR_MAX * (1.0 + JITTER) + 1e-9

    @invariant()
    def nobody_outlives_its_deadline_unanswered(self) -> None:
        """Who has no answer yet has time left."""
        for one in self.gateway.under_way:
            assert one.route is not None
            until = one.started + min(one.route.total, one.patience)
            assert isinstance(one.command, Relay) or self.world.now <= until + 1e-9
            if isinstance(one.command, Wait):
                assert one._timer is not None
                assert one._timer.when <= until + 1e-9, "waits for longer than it has"

    def teardown(self) -> None:
        """Nobody does anything any more: every request ends by itself, and all is as it was before."""
        if not hasattr(self, "world"):
            return
        self.world.run()
        assert len(self.ended) == len(self.accepted)
        self.simulated.at_rest()
        assert not any(book.held for book in self.permits)
        self.world.run(self.world.now + 1000.0)
        for name, book in self.budgets.items():
            assert abs(book.balance() - FLOOR * WINDOW) < 1e-6, f"the budget of {name} does not refill"
        for upstream in self.upstreams.values():
            assert {upstream.pick(()) for _ in range(60)} == set(upstream.endpoints), "an endpoint never came back"
        for book in self.permits:
            for _ in range(PROBES):
                assert book.admit() is not None, "a breaker is wedged"


def _asker(exchange: Exchange) -> bytes:
    """All that an answer may depend on."""
    named = {name: value for name, _, value in exchange.headers}
    return b"|".join([exchange.path, named.get(b"authorization", b"-"), named.get(b"cookie", b"-")])


def _has_joined(exchange: Exchange) -> bool:
    """Whether it waits for another request's answer, and not for a slot."""
    command, route = exchange.command, exchange.route
    if not isinstance(command, Queue) or route is None or route.flights is None:
        return False
    return any(command.ticket in flight._tickets for flight in route.flights)


def _is_own_attempt(exchange: Exchange) -> bool:
    return isinstance(exchange.command, Attempt) and not exchange.command.in_doubt


TestTogether = Together.TestCase
TestTogether.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
