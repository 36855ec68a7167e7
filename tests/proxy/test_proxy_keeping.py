"""What an answer says about what is kept: it confirms, replaces, forbids or ends it; and who may still have it."""

from typing import Any

import pytest
from proxy_fakes import Caller, World

from sidecar.policy.fallback import LastKnownGood
from sidecar.wire.errors import ConnectFailure

ALICE = b"Authorization: Basic alice"
KEPT = LastKnownGood(3600.0, (b"authorization",))
TAGGED = (b'ETag: "1"', b"Cache-Control: max-age=60")


def request(*lines: bytes, target: bytes = b"/toggles") -> bytes:
    """A GET with these header lines."""
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: app", *lines]) + b"\r\n\r\n"


def answer(status: bytes, *lines: bytes, body: bytes = b"on") -> bytes:
    """A whole answer; 304 has no body."""
    length = [] if status.startswith(b"304") else [b"Content-Length: %d" % len(body)]
    return b"\r\n".join([b"HTTP/1.1 " + status, *length, *lines]) + b"\r\n\r\n" + (body if length else b"")


def world(**route: Any) -> World:
    """A route that keeps what it may, per Authorization."""
    return World(**({"ladder": (KEPT,)} | route))


def learn(place: World, told: bytes, asked: bytes | None = None) -> Caller:
    """The upstream is well."""
    place.lines.idle.clear()
    _, caller = place.ask(asked or request())
    place.lines.connect().answer(told)
    return caller


def lose(place: World, asked: bytes | None = None) -> Caller:
    """It can't be reached."""
    place.lines.idle.clear()
    _, caller = place.ask(asked or request())
    place.lines.refuse(ConnectFailure("refused"))
    return caller


@pytest.mark.parametrize("status", [b"401 Who", b"403 No", b"404 None", b"410 Gone"])
def test_what_is_gone_or_closed_is_forgotten(status: bytes) -> None:
    """The newest truth is that there is nothing, or not for this caller: an older one would be a lie."""
    place = world()
    learn(place, answer(b"200 OK"))
    assert learn(place, answer(status)).status == int(status[:3])
    assert lose(place).status == 502
    assert len(place.store) == 0


@pytest.mark.parametrize("status", [b"400 Bad", b"429 Slow", b"500 No", b"503 No", b"204 None", b"302 There"])
def test_anything_else_leaves_it_alone(status: bytes) -> None:
    """It says nothing about the answer to this question."""
    place = world(breaker=None)
    learn(place, answer(b"200 OK"))
    learn(place, answer(status))
    assert lose(place).body == b"on"


def test_one_caller_s_404_is_not_the_other_s() -> None:
    """It is forgotten for who asked."""
    place = world()
    learn(place, answer(b"200 OK"), request(ALICE))
    learn(place, answer(b"404 None"), request())
    assert lose(place, request(ALICE)).status == 200


def test_an_answer_that_still_holds_is_new_again() -> None:
    """Who polls with If-None-Match would otherwise have nothing young enough to fall back on."""
    place = world()
    learn(place, answer(b"200 OK", *TAGGED))
    place.wall.now += 3000
    polled = request(b'If-None-Match: "1"')
    assert learn(place, answer(b"304 Same", b'ETag: W/"1"'), polled).status == 304
    place.wall.now += 3000
    kept = lose(place)
    assert (kept.status, kept.body, kept.field(b"age")) == (200, b"on", b"3000")
    assert kept.field(b"cache-status") == b"sidecar; hit; ttl=-2940; detail=connect_failure"
    assert place.told.of("kept") == [[1_700_000_000.0], [1_700_003_000.0]]


@pytest.mark.parametrize("line", [b'ETag: "2"', b"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", b"X: y"])
def test_a_304_about_something_else_confirms_nothing(line: bytes) -> None:
    """The caller has another version than the one that is kept."""
    place = world()
    learn(place, answer(b"200 OK", *TAGGED))
    place.wall.now += 3000
    learn(place, answer(b"304 Same", line), request(b'If-None-Match: "2"'))
    place.wall.now += 3000
    assert lose(place).status == 502


def test_a_304_may_change_how_long_it_may_be_used() -> None:
    """Its own Cache-Control counts from then on (RFC 9111 section 3.2)."""
    place = world()
    learn(place, answer(b"200 OK", *TAGGED))
    learn(place, answer(b"304 Same", b'ETag: "1"', b"Cache-Control: max-age=5, must-revalidate"))
    place.wall.now += 5
    assert lose(place).status == 200
    place.wall.now += 0.1
    assert lose(place).status == 502


def test_a_304_without_anything_kept_keeps_nothing() -> None:
    """It has no body."""
    place = world()
    learn(place, answer(b"304 Same", b'ETag: "1"'))
    assert lose(place).status == 502


def test_every_rung_keeps_its_own() -> None:
    """Per caller for a minute; for a longer outage what is nobody's own."""
    own, common = LastKnownGood(60.0, (b"x-user",)), LastKnownGood(3600.0, ())
    place = world(ladder=(own, common))
    learn(place, answer(b"200 OK", body=b"hello ann"), request(b"X-User: ann"))
    learn(place, answer(b"200 OK", body=b"hello bob"), request(b"X-User: bob"))
    assert lose(place, request(b"X-User: ann")).body == b"hello ann"
    assert lose(place, request(b"X-User: eve")).body == b"hello bob"
    place.wall.now += 61
    assert lose(place, request(b"X-User: ann")).body == b"hello bob"


@pytest.mark.parametrize(
    ("control", "seconds"),
    [(b"max-age=60, must-revalidate", 60), (b"max-age=60, stale-if-error=600", 660), (b"stale-if-error=99999", 3600)],
)
def test_the_shorter_bound_of_origin_and_operator_counts(control: bytes, seconds: float) -> None:
    """Neither can lengthen the other's."""
    place = world()
    learn(place, answer(b"200 OK", b"Cache-Control: " + control))
    place.wall.now += seconds
    assert lose(place).status == 200
    place.wall.now += 0.1
    assert lose(place).status == 502


@pytest.mark.parametrize("control", [b"no-cache", b"max-age=0, must-revalidate", b"max-age=60, must-revalidate"])
def test_what_may_never_be_used_is_not_even_kept(control: bytes) -> None:
    """It takes no room; the last one came with an age beyond its lifetime."""
    place = world()
    learn(place, answer(b"200 OK", b"Cache-Control: " + control, b"Age: 60"))
    assert len(place.store) == 0


def test_the_operator_may_overrule_the_origin() -> None:
    """Rung by rung, word by word."""
    place = world(ladder=(LastKnownGood(3600.0, (), overrule=frozenset({"no-cache", "private"})),))
    learn(place, answer(b"200 OK", b"Cache-Control: private, no-cache"))
    assert lose(place).status == 200
    learn(place, answer(b"200 OK", b"Cache-Control: no-store, private, no-cache"), request(target=b"/other"))
    assert lose(place, request(target=b"/other")).status == 502


def test_age_is_counted_from_the_origin() -> None:
    """A cache on the way had it for a while: that is part of its age, for the caller and for `max_age`."""
    place = world()
    learn(place, answer(b"200 OK", b"Age: 3000"))
    place.wall.now += 10
    assert lose(place).field(b"age") == b"3010"
    place.wall.now += 600
    assert lose(place).status == 502


@pytest.mark.parametrize(
    ("control", "status"),
    [
        (b"no-cache", 502),
        (b"max-age=30", 502),
        (b"max-age=300", 200),
        (b"max-age=0, stale-if-error=300", 200),
        (b"stale-if-error=10", 502),
        (b"no-store", 200),
        (b"only-if-cached", 200),
    ],
)
def test_the_caller_has_a_say(control: bytes, status: int) -> None:
    """Of an answer that is a hundred seconds old, and was never fresh."""
    place = world()
    learn(place, answer(b"200 OK"))
    place.wall.now += 100
    assert lose(place, request(b"Cache-Control: " + control)).status == status


def test_a_header_that_the_upstream_never_sees_is_no_matter() -> None:
    """A cookie that the configuration takes out: the answers to those with and without it are the same."""
    place = world(ladder=(LastKnownGood(3600.0, (), unseen=frozenset({b"cookie"})),))
    learn(place, answer(b"200 OK"), request(b"Cookie: a=1"))
    assert [lose(place, request(*lines)).status for lines in [(b"Cookie: b=2",), (), (ALICE,)]] == [200, 200, 502]


def test_what_heads_say_is_worked_out_for_each_rung() -> None:
    """Two routes see the same head lines and declare different identities: neither gets what the other made of them."""
    strict, loose = LastKnownGood(3600.0, (b"x-tenant",)), LastKnownGood(3600.0, (b"accept-language",))
    place = world(ladder=(strict, loose))
    tenants = [b"X-Tenant: one", b"X-Tenant: two"]
    for _ in range(3):  # from the third time on the head is recognised by its bytes
        for tenant in tenants:
            learn(place, answer(b"200 OK", body=tenant), request(tenant))
    assert len(place.store) == len(tenants) + 1
    for tenant in tenants:
        assert lose(place, request(tenant)).body == tenant


@pytest.mark.parametrize("name", [b"X-Request-Id", b"Traceparent"])
def test_an_identity_that_others_take_for_a_name_is_one(name: bytes) -> None:
    """Heads that differ in an id alone count as alike, but not where the id is declared to say who asks."""
    place = world(ladder=(LastKnownGood(3600.0, (name.lower(),)),))
    values = [b"00-%032x-%016x-01" % (number, number) for number in range(1, 4)]
    for _ in range(3):
        for value in values:
            learn(place, answer(b"200 OK", body=value), request(name + b": " + value))
    for value in values:
        assert lose(place, request(name + b": " + value)).body == value


def test_an_answer_is_read_anew_when_its_head_is() -> None:
    """The same request, and answers that differ in what they allow: each is kept or not for what it says itself."""
    place = world()
    for _ in range(3):
        learn(place, answer(b"200 OK", body=b"open"))
        learn(place, answer(b"200 OK", b"Cache-Control: no-store", body=b"secret"))
    assert lose(place).body == b"open"
