"""What is kept and to whom it is given: nothing keyed without its identity is ever served."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from proxy_fakes import BAD_GATEWAY, GET, HELLO, Caller, World

from sidecar.policy.answer import Answer
from sidecar.policy.fallback import Failover, LastKnownGood
from sidecar.wire.errors import ConnectFailure, Reset, TlsFailure

ALICE, BOB = b"Authorization: Basic alice", b"Authorization: Basic bob"
KEPT = LastKnownGood(3600.0, (b"authorization",))


def request(target: bytes = b"/toggles?phone=1", *lines: bytes, method: bytes = b"GET") -> bytes:
    """A request with these header lines."""
    return b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"Host: app", *lines]) + b"\r\n\r\n"


def good(body: bytes, *lines: bytes) -> bytes:
    """A 200."""
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *lines]) + b"\r\n\r\n" + body


def world(**route: Any) -> World:
    """A route that keeps what it may, per Authorization."""
    return World(**({"ladder": (KEPT,)} | route))


def learn(world: World, asked: bytes, answer: bytes) -> Caller:
    """The upstream is well."""
    world.lines.idle.clear()
    _, caller = world.ask(asked)
    world.lines.connect().answer(answer)
    return caller


def lose(world: World, asked: bytes) -> Caller:
    """It can't be reached."""
    world.lines.idle.clear()
    _, caller = world.ask(asked)
    world.lines.refuse(ConnectFailure("refused"))
    return caller


def test_what_was_good_is_served_when_the_upstream_is_not() -> None:
    """With its age, why, and whose answer it is not; byte for byte otherwise."""
    place = world()
    asked = request(b"/toggles?phone=1", ALICE)
    fresh = learn(place, asked, good(b"on", b"Content-Type: text/plain", b"Set-Cookie: s=1", b"ETag: x"))
    assert fresh.field(b"set-cookie") == b"s=1"
    assert place.told.of("kept") == [[1_700_000_000.0]]
    place.wall.now += 61.5
    stale = lose(place, asked)
    assert stale.head[:7] == [
        b"HTTP/1.1 200 OK",
        b"Content-Type: text/plain",
        b"ETag: x",
        b"Date: Tue, 14 Nov 2023 22:13:20 GMT",  # when it was kept
        b"Age: 61",
        b"Cache-Control: no-store",
        b"Cache-Status: sidecar; hit; ttl=-61; detail=connect_failure",
    ]
    assert stale.field(b"proxy-status") == b'sidecar; error=connection_refused; details="connect_failure"'
    assert stale.field(b"x-sidecar-attempts") == b"1"
    assert stale.body == b"on"
    assert place.outcome == (200, "last_known_good", "connect_failure")
    place.at_rest()


EXPIRED = TlsFailure("certificate has expired", error="tls_certificate_error")


def test_what_exactly_was_wrong_is_told_to_all() -> None:
    """To the caller, to the log, and to who watches: the first upstream's failure, not that of a replica."""
    place = World()
    _, caller = place.ask()
    place.lines.refuse(EXPIRED)
    assert json.loads(caller.body)["detail"] == "certificate has expired"
    assert caller.field(b"proxy-status") == b'sidecar; error=tls_certificate_error; details="tls_failure"'
    assert place.log[-1][13] == "certificate has expired"
    assert place.told.of("explained") == [["connect", "tls_failure", "certificate has expired"]]


def test_a_rescued_answer_is_logged_with_what_was_wrong() -> None:
    """The caller is served; whoever reads the log sees why it took a kept answer."""
    place = world()
    learn(place, GET, good(b"on"))
    place.lines.idle.clear()
    _, caller = place.ask(GET)
    place.lines.refuse(EXPIRED)
    assert caller.body == b"on"
    assert b"tls_certificate_error" in (caller.field(b"proxy-status") or b"")
    assert place.log[-1][13] == "certificate has expired"


def test_a_detail_stays_with_its_reason() -> None:
    """After a retry that ended otherwise the first failure is not what is told; a good answer has no detail."""
    place = World(retry={"attempts": 2})
    _, caller = place.ask()
    place.lines.refuse(ConnectFailure("connection refused"))
    place.advance(1.0)
    place.lines.connect().answer(HELLO)
    assert caller.status == 200
    assert place.log[-1][13] == ""


def test_the_status_that_was_received_instead_is_named() -> None:
    """The upstream's own, not that of a replica which was asked as well."""
    place = world()
    place.route.ladder = (Failover(place.spare_upstream), KEPT)
    asked = request()
    learn(place, asked, good(b"on"))
    place.lines.idle.clear()
    _, caller = place.ask(asked)
    place.lines.connect().answer(BAD_GATEWAY)
    place.spare.connect().answer(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
    assert caller.field(b"proxy-status") == (
        b'sidecar; error=http_protocol_error; received-status=502; details="upstream_error"'
    )


@pytest.mark.parametrize(
    "other",
    [
        request(b"/toggles?phone=2", ALICE),
        request(b"/toggles", ALICE),
        request(b"/toggles/?phone=1", ALICE),
        request(b"/toggles?phone=1", BOB),
        request(b"/toggles?phone=1"),
        request(b"/toggles?phone=1", ALICE, BOB),
        request(b"/toggles?phone=1", ALICE, b"Cookie: session=1"),
        request(b"/toggles?phone=1", ALICE, b"Accept-Language: xh"),
        request(b"/toggles?phone=1", ALICE, b"Content-Length: 0").replace(b"Host: app", b"Host: other"),
        request(b"/toggles?phone=1", ALICE, method=b"HEAD"),
        request(b"/toggles?phone=1", ALICE, method=b"POST"),
    ],
)
def test_another_question_or_asker_gets_nothing_of_it(other: bytes) -> None:
    """502: the other's answer is nobody else's."""
    place = world()
    learn(place, request(b"/toggles?phone=1", ALICE), good(b"on"))
    assert lose(place, other).status == 502


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (request(b"/a", b"Cookie: session=1"), good(b"on")),
        (request(b"/a", b"Cache-Control: no-store"), good(b"on")),
        (request(b"/a"), good(b"on", b"Cache-Control: max-age=5, no-store")),
        (request(b"/a"), good(b"on", b"Cache-Control: private")),
        (request(b"/a"), good(b"on", b"Vary: *")),
        (request(b"/a"), good(b"on", b"Vary: X-User")),
        (request(b"/a"), good(b"on").replace(b"200 OK", b"203 Changed")),
    ],
)
def test_what_may_not_be_kept_is_not(asked: bytes, answer: bytes) -> None:
    """Credentials that the key would miss, `no-store`, `private`, what varies by anything else."""
    place = world()
    learn(place, asked, answer)
    assert lose(place, asked).status == 502
    assert len(place.store) == 0


def test_what_a_body_asks_is_not_in_the_key() -> None:
    """So a request with one is neither kept for nor served from: two searches at one path differ by it."""
    place = world()
    search = b"GET /search HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\n\r\n"
    learn(place, search + b"one", good(b"found one"))
    assert lose(place, search + b"two").status == 502
    learn(place, request(b"/search"), good(b"nothing"))
    assert lose(place, search + b"two").status == 502


def test_an_answer_older_than_the_route_allows_is_not_served() -> None:
    """Its own maximum age, by the wall clock."""
    place = world()
    learn(place, request(), good(b"on"))
    place.wall.now += 3600.0
    assert lose(place, request()).status == 200
    place.wall.now += 0.1
    assert lose(place, request()).status == 502


def test_half_an_answer_is_never_kept() -> None:
    """Only what came whole."""
    place = world()
    place.ask(request())
    line = place.lines.connect()
    line.begin(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    line.fail(Reset("closed"))
    assert len(place.store) == 0
    assert lose(place, request()).status == 502


TARGETS = st.sampled_from([b"/a", b"/a?q=1", b"/a?q=2", b"/b"])
CREDENTIALS = st.sampled_from([(), (ALICE,), (BOB,), (ALICE, BOB), (b"Cookie: c=1",), (ALICE, b"Cookie: c=1")])
BODY = st.sampled_from([b"", b"", b"one", b"two"])


class Askers(RuleBasedStateMachine):
    """Many askers, an upstream that names in its answer who asked what, and an outage now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.world = world()
        self.hits = 0

    @rule(path=TARGETS, who=CREDENTIALS, body=BODY, down=st.booleans(), vary=st.sampled_from([(), (b"Vary: Cookie",)]))
    def ask(
        self,
        path: bytes,
        who: tuple[bytes, ...],
        body: bytes,
        down: bool,  # noqa: FBT001 - drawn
        vary: tuple[bytes, ...],
    ) -> None:
        """Whatever comes back was said to this question, by this asker."""
        question = b"|".join([path, *who, body])
        framing = [b"Content-Length: %d" % len(body)] if body else []
        asked = request(path, *who, *framing) + body
        if not down:
            learn(self.world, asked, good(question, *vary))
            return
        caller = lose(self.world, asked)
        if caller.status == 200:
            self.hits += 1
            assert caller.body == question

    @rule(seconds=st.sampled_from([10.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        """Answers age."""
        self.world.advance(seconds)

    def teardown(self) -> None:
        """Nothing is under way."""
        self.world.at_rest()


TestAskers = Askers.TestCase
TestAskers.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)


@given(st.binary(max_size=50))
def test_what_is_kept_is_what_came(body: bytes) -> None:
    """Byte for byte."""
    place = world()
    fresh = learn(place, request(), good(body))
    assert lose(place, request()).body == fresh.body == body


def test_a_date_that_the_configuration_gives_stands_alone() -> None:
    """Ours is for answers that have none (RFC 9110 section 6.6.1)."""
    dated = Answer(503, ((b"date", b"Sun, 06 Nov 1994 08:49:37 GMT"),), b"{}")
    for answer, date in (
        (dated, b"date: Sun, 06 Nov 1994 08:49:37 GMT"),
        (None, b"Date: Tue, 14 Nov 2023 22:13:20 GMT"),
    ):
        place = world(unavailable=answer)
        _, caller = place.ask()
        place.lines.refuse(ConnectFailure("connection refused"))
        assert [line for line in caller.head if line.lower().startswith(b"date:")] == [date]
