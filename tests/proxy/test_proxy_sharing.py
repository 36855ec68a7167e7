"""Many callers with one question: one attempt, one answer for all who may have it, and nobody waits for nothing."""

from typing import Any

import pytest
from proxy_fakes import Caller, Line, World, a_breaker, trip

from sidecar.policy import reasons
from sidecar.policy.bulkhead import Bulkhead
from sidecar.policy.fallback import Failover, LastKnownGood
from sidecar.policy.flight import Flights
from sidecar.proxy.exchange import Exchange
from sidecar.wire.errors import ConnectFailure

ALICE, BOB = b"Authorization: Basic alice", b"Authorization: Basic bob"
KEPT = LastKnownGood(3600.0, (b"authorization",))
PATIENCE = 1.0


def request(*lines: bytes, method: bytes = b"GET", target: bytes = b"/toggles") -> bytes:
    """A request with these header lines."""
    return b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"Host: app", *lines]) + b"\r\n\r\n"


def answer(status: bytes = b"200 OK", *lines: bytes, body: bytes = b"new") -> bytes:
    """A whole answer."""
    return b"\r\n".join([b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *lines]) + b"\r\n\r\n" + body


def world(*, knows: tuple[bytes, ...] = (request(),), **route: Any) -> World:
    """A route that keeps answers, where callers wait for one another; to these questions it knows the answer `old`."""
    place = World(**({"ladder": (KEPT,)} | route))
    place.route.flights = Flights(PATIENCE, place.clock)
    for asked in knows:
        place.lines.idle.clear()
        _, caller = place.ask(asked)
        place.lines.connect().answer(answer(body=b"old"))
        assert caller.body == b"old"
    place.lines.idle.clear()
    place.told.told.clear()
    place.log.clear()
    return place


def crowd(place: World, size: int, asked: bytes = b"") -> list[tuple[Exchange, Caller]]:
    """So many callers ask at once."""
    return [place.ask(asked or request()) for _ in range(size)]


def under_way(place: World) -> int:
    """Attempts that wait for a connection or an answer."""
    return len(place.lines.waiters) + sum(line.sink is not None for line in place.lines.all)


def at_rest(place: World) -> None:
    """Nothing is left of any request, and nobody waits."""
    place.at_rest()
    assert place.route.flights is not None
    assert len(place.route.flights) == 0


def test_a_crowd_costs_one_attempt() -> None:
    """All get the answer that the first one's brought; those who waited are told that they did, and made no attempt."""
    place = world()
    callers = [caller for _, caller in crowd(place, 300)]
    assert under_way(place) == 1
    place.lines.connect().answer(answer(b"200 OK", b"ETag: 1"))
    first, *others = callers
    assert (first.status, first.body, first.field(b"X-Sidecar-Attempts")) == (200, b"new", b"1")
    assert first.field(b"Cache-Status") is None
    for caller in others:
        assert (caller.status, caller.body, caller.field(b"ETag")) == (200, b"new", b"1")
        assert caller.field(b"Cache-Status") == b"sidecar; fwd=stale; collapsed"
        assert (caller.field(b"Age"), caller.field(b"Cache-Control")) == (b"0", b"no-store")
        assert caller.field(b"X-Sidecar-Attempts") is None
        assert caller.field(b"Proxy-Status") is None
        assert caller.ends == ["finished"]
    assert {line[5] for line in place.log} == {"ok"}
    assert len(place.told.of("coalesced")) == 299
    at_rest(place)


def test_what_it_failed_with_is_everybody_s() -> None:
    """One attempt into an outage, not one per caller; all are given what is kept, with the reason."""
    place = world()
    callers = [caller for _, caller in crowd(place, 300)]
    place.lines.refuse(ConnectFailure("refused"))
    for caller in callers:
        assert (caller.status, caller.body) == (200, b"old")
        status = caller.field(b"Cache-Status")
        assert status is not None
        assert status.startswith(b"sidecar; hit; ttl=-")
        assert status.endswith(b"detail=connect_failure")
    assert place.results == [reasons.CONNECT_FAILURE]
    assert {line[5] for line in place.log} == {"last_known_good"}
    at_rest(place)


def test_nothing_is_shared_of_what_is_not_kept() -> None:
    """Whether answers to a question are the same for all is known of those that are kept."""
    place = world(knows=())
    crowd(place, 3)
    assert under_way(place) == 3


@pytest.mark.parametrize(
    "line",
    [
        b"Range: bytes=0-1",
        b'If-None-Match: "1"',
        b"If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
        b'If-Match: "1"',
        b"Cache-Control: no-cache",
        b"Pragma: no-cache",
    ],
)
def test_who_asks_for_something_of_its_own_waits_for_nobody(line: bytes) -> None:
    """A part, an answer to a condition, or the origin's own word: and nobody waits for its answer either."""
    place = world()
    place.ask(request(line))
    place.ask(request())
    place.ask(request(line))
    assert under_way(place) == 3


def test_identities_never_meet() -> None:
    """Each asks for itself, and each answer goes to those who sent the same credentials."""
    place = world(knows=(request(ALICE), request(BOB)))
    alices = [caller for _, caller in crowd(place, 20, request(ALICE))]
    bobs = [caller for _, caller in crowd(place, 20, request(BOB))]
    others = [caller for _, caller in crowd(place, 2, request(b"Authorization: Basic carol"))]
    assert under_way(place) == 4
    waiting = list(place.lines.waiters)
    for name in (b"alice", b"bob", b"carol", b"carol"):
        line = place.lines.connect()
        assert name in line.sent
        line.answer(answer(body=name))
    assert len(waiting) == 4
    assert {caller.body for caller in alices} == {b"alice"}
    assert {caller.body for caller in bobs} == {b"bob"}
    assert {caller.body for caller in others} == {b"carol"}
    at_rest(place)


def test_after_a_second_another_one_is_sent_and_either_may_answer() -> None:
    """One bad endpoint must not hold up everybody: those who wait get the second one's answer, the first its own."""
    place = world(retry={"attempts": 1})
    (_, first), *others = crowd(place, 50)
    place.advance(PATIENCE / 2)
    assert under_way(place) == 1
    place.advance(PATIENCE / 2 + 0.02)
    assert under_way(place) == 2
    hung, well = place.lines.connect(), place.lines.connect()
    well.answer(answer())
    assert [caller.body for _, caller in others] == [b"new"] * 49
    assert first.written == b""
    hung.answer(answer(body=b"late"))
    assert first.body == b"late"
    at_rest(place)


def test_an_upstream_that_hangs_gets_one_attempt_a_second() -> None:
    """However many callers there are; at the first one's timeout all who wait are given what is kept."""
    place = world(retry={"attempts": 1}, attempt_timeout=4.0)
    callers = []
    for _ in range(39):
        callers += [caller for _, caller in crowd(place, 10)]
        place.advance(0.1)
    assert under_way(place) == 4
    place.advance(0.2)
    assert sum(caller.written == b"" for caller in callers) <= 4, "only those that were sent are still waiting"
    assert {caller.body for caller in callers if caller.written} == {b"old"}
    place.advance(4.0)
    assert {caller.body for caller in callers} == {b"old"}
    at_rest(place)


def test_the_next_takes_over_when_the_first_one_s_caller_leaves() -> None:
    """What it would have come to is not known."""
    place = world()
    (gone, _), *others = crowd(place, 5)
    gone.caller_gone()
    assert under_way(place) == 1
    place.lines.connect().answer(answer())
    assert [caller.body for _, caller in others] == [b"new"] * 4
    assert place.outcome == (200, "ok", "")
    at_rest(place)


def test_who_waits_may_leave() -> None:
    """The others hear nothing of it."""
    place = world()
    callers = crowd(place, 5)
    for exchange, _ in callers[1:4]:
        exchange.caller_gone()
    place.lines.connect().answer(answer())
    assert [callers[0][1].body, callers[4][1].body] == [b"new", b"new"]
    at_rest(place)


def test_who_waits_has_a_deadline_of_its_own() -> None:
    """It is given what is kept when its time is over, and the one it waited for goes on."""
    place = world(retry={"attempts": 1})
    _, first = place.ask(request())
    _, hurried = place.ask(request(b"X-Sidecar-Timeout: 300ms"))
    place.advance(0.32)
    assert (hurried.body, hurried.field(b"X-Sidecar-Attempts")) == (b"old", None)
    assert place.outcome == (200, "last_known_good", reasons.DEADLINE)
    place.lines.connect().answer(answer())
    assert first.body == b"new"
    at_rest(place)


def test_a_caller_in_a_hurry_fails_for_itself_alone() -> None:
    """That its time was short says nothing to the others: the next one sets out."""
    place = world()
    place.ask(request(b"X-Sidecar-Timeout: 300ms"))
    _, patient = place.ask(request())
    place.advance(0.32)
    assert patient.written == b""
    assert under_way(place) == 1
    place.lines.connect().answer(answer())
    assert patient.body == b"new"
    at_rest(place)


@pytest.mark.parametrize(
    ("told", "status"),
    [
        (answer(b"200 OK", b"Set-Cookie: session=1"), 200),
        (answer(b"200 OK", b"Cache-Control: no-store"), 200),
        (answer(b"200 OK", b"Cache-Control: private"), 200),
        (answer(b"404 Not Found"), 404),
        (answer(b"403 Forbidden"), 403),
        (answer(b"429 Too Many Requests"), 429),
    ],
)
def test_an_answer_for_one_is_not_for_all(told: bytes, status: int) -> None:
    """Each of the others asks for itself then, all at once."""
    place = world()
    callers = [caller for _, caller in crowd(place, 4)]
    place.lines.connect().answer(told)
    assert callers[0].status == status
    assert [caller.written for caller in callers[1:]] == [b""] * 3
    place.lines.idle.clear()
    assert under_way(place) == 3
    while under_way(place):
        (place.lines.connect() if place.lines.waiters else busy(place)).answer(told)
    assert [caller.status for caller in callers] == [status] * 4
    at_rest(place)


def busy(place: World) -> Line:
    """A connection that is waited on."""
    return next(line for line in place.lines.all if line.sink is not None)


def test_who_has_written_reads_what_it_wrote() -> None:
    """A GET that comes after a write is through does not wait for one that set out before."""
    place = world()
    _, before = place.ask(request())
    early = place.lines.connect()
    _, writer = place.ask(request(b"Content-Length: 0", method=b"POST"))
    _, between = place.ask(request())
    assert between.written == b""
    place.lines.connect().answer(answer(b"204 No Content", body=b""))
    assert writer.status == 204
    place.lines.idle.clear()
    _, after = place.ask(request())
    assert under_way(place) == 2
    early.answer(answer(body=b"old state"))
    assert (before.body, between.body) == (b"old state", b"old state")
    assert after.written == b""
    place.lines.connect().answer(answer(body=b"new state"))
    assert after.body == b"new state"
    at_rest(place)


def test_a_large_answer_is_not_waited_for() -> None:
    """It will not be kept, and its caller may take an hour to read it."""
    place = world()
    (_, first), *others = crowd(place, 3)
    line = place.lines.connect()
    line.begin(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n")
    line.go_on(b"some" * 500_000)
    assert first.status == 200
    assert under_way(place) == 3
    assert [caller.written for _, caller in others] == [b"", b""]


def test_an_open_breaker_answers_all_at_once() -> None:
    """Nobody waits where nothing is sent."""
    place = world()
    place.route.breaker = a_breaker(place.clock)
    trip(place.route.breaker)
    callers = [caller for _, caller in crowd(place, 10)]
    assert {caller.body for caller in callers} == {b"old"}
    assert not place.told.of("coalesced")
    at_rest(place)


def test_those_who_wait_hold_slots() -> None:
    """A request holds one from its start to its last byte, whatever it waits for."""
    place = world()
    place.route.bulkhead = Bulkhead(3, queue=0, clock=place.clock)
    callers = [caller for _, caller in crowd(place, 4)]
    assert place.route.bulkhead.in_flight == 3
    assert (callers[3].body, place.outcome) == (b"old", (200, "last_known_good", reasons.BULKHEAD_FULL))
    place.lines.connect().answer(answer())
    assert [caller.body for caller in callers[:3]] == [b"new"] * 3
    at_rest(place)


def test_a_ladder_with_another_rung_first_is_climbed_by_each() -> None:
    """What the first one failed with leads the others to the same rungs, in the same order."""
    place = World(ladder=())
    place.route.ladder = (Failover(place.spare_upstream), KEPT)
    place.route.__post_init__()
    place.route.flights = Flights(PATIENCE, place.clock)
    place.ask(request())
    place.lines.connect().answer(answer(body=b"old"))
    place.lines.idle.clear()
    callers = [caller for _, caller in crowd(place, 3)]
    place.lines.refuse(ConnectFailure("refused"))
    assert len(place.spare.waiters) == 3
    for _ in range(2):
        place.spare.connect().answer(answer(body=b"spare"))
    place.spare.refuse(ConnectFailure("refused"))
    assert sorted(caller.body for caller in callers) == [b"old", b"spare", b"spare"]
    at_rest(place)


def test_when_the_process_ends_nobody_sets_out_any_more() -> None:
    """Those who wait are refused one after another; none of them begins an attempt for that."""
    place = world()
    callers = crowd(place, 100)
    assert place.route.flights is not None
    place.route.flights.close()
    for exchange, _ in callers:
        exchange.caller_gone()
    assert place.results in ([], [reasons.CLIENT_GONE])
    at_rest(place)
