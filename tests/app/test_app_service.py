"""What a caller gets, and what an upstream sees, through a sidecar that runs as its own process: the policies."""

import gzip
import json
import threading

import pytest
from app_caller import Answer, BrokenOff
from app_caller import request as plain
from app_world import World
from fixtures import upstream as scripted

from sidecar.clock import MONOTONIC

NOTHING = (None, None)
"""Neither `Proxy-Status` nor `Cache-Status`."""


def ours(answer: Answer, status: int, reason: str, route: str) -> None:
    """The answer is the sidecar's own default one, for that reason, with everything that is promised of it."""
    assert (answer.status, answer.json["reason"], answer.json["route"]) == (status, reason, route)
    assert answer.get("content-type") == "application/json"
    assert answer.json["error_code"] == "UPSTREAM_UNAVAILABLE"
    assert answer.json["request_id"] == answer.get("x-request-id")
    assert answer.get("proxy-status") is not None
    assert f'details="{reason}"' in (answer.get("proxy-status") or "")
    assert (answer.get("proxy-status") or "").startswith("sidecar; error=")


def passed(answer: Answer) -> bool:
    """Whether nothing about the answer says that it is not the upstream's own."""
    return (answer.get("proxy-status"), answer.get("cache-status")) == NOTHING


# Attempts that fail.


def test_a_hanging_upstream_costs_no_more_than_the_deadline(world: World) -> None:
    """504 once the route's total is over, long before the caller would give up itself."""
    world.upstream.on("/quick/hang", scripted.hang())
    started = MONOTONIC()
    answer = world.get("/quick/hang")
    took = MONOTONIC() - started

    ours(answer, 504, "deadline", "quick")
    assert answer.attempts == 1
    assert 0.4 <= took < 4


def test_one_attempt_may_take_its_own_time_at_most(world: World) -> None:
    """504 attempt_timeout where the attempt's timeout is the shorter one."""
    world.upstream.on("/hasty/hang", scripted.hang())
    ours(world.get("/hasty/hang"), 504, "attempt_timeout", "hasty")


def test_an_answer_that_drips_is_no_answer(world: World) -> None:
    """The deadline covers the body as well: an upstream that is never idle does not outlive it."""
    world.upstream.on("/quick/drip", scripted.drip(b"x" * 100, seconds=0.1))
    ours(world.get("/quick/drip"), 504, "deadline", "quick")


@pytest.mark.parametrize(
    ("route", "reason", "error"),
    [
        ("dead", "connect_failure", "connection_refused"),
        ("nowhere", "dns_failure", "dns_error"),
        ("misnamed", "tls_failure", "tls_certificate_error"),
        ("distrusted", "tls_failure", "tls_certificate_error"),
    ],
)
def test_an_upstream_that_cannot_be_reached_is_named_as_such(world: World, route: str, reason: str, error: str) -> None:
    """502 with the word for what went wrong, in the body and in `Proxy-Status`."""
    answer = world.get(f"/{route}/x")
    ours(answer, 502, reason, route)
    assert answer.get("proxy-status") == f'sidecar; error={error}; details="{reason}"'
    assert answer.attempts == 1
    assert world.secure.count(f"/{route}/x") == 0, "sent to a peer that had not proved its name"


def test_tls_to_a_verified_upstream(world: World) -> None:
    """With the right authority and name, https answers like http."""
    world.secure.on("/secure/x", scripted.ok({"over": "tls"}))
    answer = world.get("/secure/x")
    assert (answer.status, answer.json) == (200, {"over": "tls"})


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        pytest.param(scripted.reset(), "reset", id="reset"),
        pytest.param(scripted.garbage(), "malformed_response", id="garbage"),
        pytest.param(scripted.half_body(), "reset", id="half-a-body-then-reset"),
        pytest.param(scripted.half_body(by_reset=False), "reset", id="half-a-body-then-end"),
        pytest.param(scripted.half_body(b"x" * 65536), "reset", id="half-of-64-KiB"),
        pytest.param(scripted.raw(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), "malformed_response", id="length"),
        pytest.param(scripted.raw(b"HTTP/1.1 200 OK\r\nContent-", close=True), "reset", id="half-a-head"),
        pytest.param(scripted.raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 400_000), "malformed_response", id="endless-head"),
    ],
)
def test_an_answer_that_is_none_is_never_delivered(
    world: World, behaviour: scripted.Behaviour, reason: str, request: pytest.FixtureRequest
) -> None:
    """Below 64 KiB a broken answer reaches nobody, not even its beginning: 502 and a body that can be parsed."""
    path = f"/broken/{request.node.callspec.id}"
    world.upstream.on(path, behaviour)
    ours(world.get(path), 502, reason, "broken")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_large_answer_that_breaks_off_is_not_made_to_look_whole(world: World, framing: str) -> None:
    """Beyond the commit point nothing can be taken back: the caller's connection breaks, it is not ended."""
    path = f"/broken/large-{framing}"
    body = b"x" * 300_000
    if framing == "chunked":
        head = scripted.head(200, [("Transfer-Encoding", "chunked")])
        world.upstream.on(path, scripted.raw(head + b"493e0\r\n" + body + b"\r\n", close=True))
    else:
        world.upstream.on(path, scripted.half_body(body + body, by_reset=False))
    with world.caller() as caller:
        caller.send(plain("GET", path))
        with pytest.raises(BrokenOff) as broken:
            caller.answer()
    assert len(broken.value.so_far) <= 300_000
    line = world.lines(path)[0]
    assert (line["outcome"], line["reason"]) == ("upstream_error", "reset")


# Retries.


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(scripted.reset(), id="reset"),
        pytest.param(scripted.half_body(), id="half-a-body"),
        pytest.param(scripted.status(503), id="503"),
        pytest.param(scripted.status(429), id="429"),
    ],
)
def test_a_retry_saves_the_request(world: World, trouble: scripted.Behaviour, request: pytest.FixtureRequest) -> None:
    """What is listed is tried again, and the caller sees the good answer alone, with the number of attempts."""
    path = f"/again/{request.node.callspec.id}"
    world.upstream.on(path, scripted.in_turn(trouble, trouble, scripted.ok({"a": 1})))
    answer = world.get(path)
    assert (answer.status, answer.json, answer.attempts) == (200, {"a": 1}, 3)
    assert passed(answer)
    sent = world.upstream.requests(path)
    assert [one.get("x-sidecar-attempt") for one in sent] == ["1", "2", "3"]
    assert len({one.get("x-request-id") for one in sent}) == 1
    assert len({one.get("traceparent") for one in sent}) == 1


def test_the_last_answer_stands_when_attempts_are_used_up(world: World) -> None:
    """After the last attempt the upstream's own failure passes as it came."""
    world.upstream.on("/again/used-up", scripted.status(503, b'{"mine": true}'))
    answer = world.get("/again/used-up")
    assert (answer.status, answer.body, answer.attempts) == (503, b'{"mine": true}', 3)
    assert world.upstream.count("/again/used-up") == 3


def test_backoff_is_waited_for(world: World) -> None:
    """The second attempt follows no sooner than the configured wait after the first."""
    world.upstream.on("/patient/backoff", scripted.in_turn(scripted.status(503), scripted.ok()))
    started = MONOTONIC()
    answer = world.get("/patient/backoff")
    assert (answer.status, answer.attempts) == (200, 2)
    assert MONOTONIC() - started >= 0.3


def test_retry_after_is_waited_for(world: World) -> None:
    """The upstream's own word is a lower bound of the wait."""
    busy = scripted.status(503, headers=[("Retry-After", "1")])
    world.upstream.on("/again/wait", scripted.in_turn(busy, scripted.ok()))
    started = MONOTONIC()
    answer = world.get("/again/wait")
    assert (answer.status, answer.attempts) == (200, 2)
    assert MONOTONIC() - started >= 1.0


def test_retry_after_beyond_the_deadline_is_passed_on(world: World) -> None:
    """Nobody waits for what cannot come in time: the answer goes to the caller at once, header and all."""
    world.upstream.on("/again/long", scripted.status(503, b"{}", headers=[("Retry-After", "3600")]))
    answer = world.get("/again/long")
    assert (answer.status, answer.get("retry-after"), answer.attempts) == (503, "3600", 1)
    assert world.sidecar.metric('sidecar_retries_denied_total{route="again",reason="retry_after"}') == 1


def test_a_post_is_not_repeated_once_it_was_sent(world: World) -> None:
    """The upstream may have acted on it: one attempt, and a clear failure."""
    world.upstream.on("/again/post", scripted.reset())
    answer = world.ask("POST", "/again/post", body=b"order=1")
    ours(answer, 502, "reset", "again")
    assert (answer.attempts, world.upstream.count("/again/post")) == (1, 1)


def test_a_post_that_was_never_sent_is_repeated(world: World) -> None:
    """Where connecting failed, another endpoint gets it, whole."""
    world.backup.on("/half-dead/post", scripted.ok())
    answers = [world.ask("POST", "/half-dead/post", body=b"order=1") for _ in range(12)]
    assert {answer.status for answer in answers} == {200}
    assert {answer.attempts for answer in answers} >= {2}
    sent = world.backup.requests("/half-dead/post")
    assert [one.body for one in sent] == [b"order=1"] * 12


def test_an_idempotency_key_lets_a_post_be_repeated(world: World) -> None:
    """With the switch on, and only with a key, a POST is sent again, its body and key the same."""
    turns = scripted.in_turn(scripted.reset(), scripted.ok())
    world.upstream.on("/keyed-retry/with", turns).on("/keyed-retry/without", scripted.reset())
    answer = world.ask("POST", "/keyed-retry/with", {"Idempotency-Key": "k-1"}, b"order=1")
    assert (answer.status, answer.attempts) == (200, 2)
    sent = world.upstream.requests("/keyed-retry/with")
    assert [(one.body, one.get("idempotency-key")) for one in sent] == [(b"order=1", "k-1")] * 2
    assert world.ask("POST", "/keyed-retry/without", body=b"order=1").attempts == 1


# What counts as usable.


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(scripted.empty(), id="empty-200"),
        pytest.param(scripted.answer(200, b'{"code": 0}', content_type="text/html"), id="wrong-type"),
        pytest.param(scripted.ok({"code": 7}), id="json_equals"),
        pytest.param(scripted.answer(200, b'{"code": 0'), id="no-json"),
        pytest.param(scripted.answer(201, b'{"code": 0}'), id="wrong-status"),
        pytest.param(scripted.ok({"code": 0, "pad": "x" * 2000}), id="max_body"),
        pytest.param(scripted.chunked([b'{"code": 0, "pad": "', b"x" * 2000, b'"}']), id="max_body-chunked"),
    ],
)
def test_an_answer_that_is_not_as_expected_is_a_failure(
    world: World, behaviour: scripted.Behaviour, request: pytest.FixtureRequest
) -> None:
    """502 unexpected_response, whatever its status said."""
    path = f"/picky/{request.node.callspec.id}"
    world.upstream.on(path, behaviour)
    ours(world.get(path), 502, "unexpected_response", "picky")


@pytest.mark.parametrize("behaviour", [scripted.ok({"code": 0}), scripted.chunked([b'{"code"', b": 0}"])])
def test_an_answer_as_expected_passes_byte_for_byte(world: World, behaviour: scripted.Behaviour) -> None:
    """Being looked into changes nothing of it."""
    world.upstream.on("/picky/good", behaviour)
    answer = world.get("/picky/good")
    assert (answer.status, answer.body) == (200, b'{"code": 0}')
    assert passed(answer)


def test_a_compressed_answer_is_asked_for_and_looked_into_only_as_it_can_be(world: World) -> None:
    """The caller's brotli is not offered on; gzip is undone to look, and passes as it came."""
    packed = gzip.compress(b'{"code": 0}')
    world.upstream.on("/picky/packed", scripted.answer(200, packed, headers=[("Content-Encoding", "gzip")]))
    answer = world.get("/picky/packed", {"Accept-Encoding": "gzip, deflate, br, zstd"})
    assert (answer.status, answer.get("content-encoding"), answer.body) == (200, "gzip", packed)
    assert world.upstream.requests("/picky/packed")[0].get("accept-encoding") == "gzip, deflate"


def test_what_has_no_body_is_not_expected_to_have_one(world: World) -> None:
    """The answer to HEAD, and 304 to a caller that has the body already."""
    world.upstream.on("/picky/head", scripted.ok({"code": 0}))
    assert world.ask("HEAD", "/picky/head").status == 200
    world.upstream.on("/picky/unchanged", scripted.answer(304, b'{"code": 0}'))
    assert world.get("/picky/unchanged", {"If-None-Match": '"x"'}).status == 304


@pytest.mark.parametrize("route", ["plain", "picky", "fixed", "failover", "critical", "kept"])
@pytest.mark.parametrize("code", [400, 401, 404, 409, 429])
def test_a_4xx_is_the_upstreams_word_to_the_caller(world: World, route: str, code: int) -> None:
    """Neither `expect` nor a fallback nor `critical` masks it: status, headers and body pass untouched."""
    path = f"/{route}/{code}"
    own = [("Retry-After", "7"), ("X-Own", "1")]
    world.upstream.on(path, scripted.status(code, b"not json", content_type="text/plain", headers=own))
    answer = world.get(path)
    assert (answer.status, answer.body) == (code, b"not json")
    assert [answer.get(name) for name in ("content-type", "retry-after", "x-own")] == ["text/plain", "7", "1"]
    assert passed(answer)
    assert answer.attempts == 1


def test_an_upstreams_500_passes_as_it_came(world: World) -> None:
    """No fallback answered, so the caller sees the failure itself."""
    world.upstream.on("/plain/500", scripted.status(500, b"<h1>oops</h1>", content_type="text/html"))
    answer = world.get("/plain/500")
    assert (answer.status, answer.body, answer.get("content-type")) == (500, b"<h1>oops</h1>", "text/html")
    assert world.lines("/plain/500")[0]["outcome"] == "upstream_error"


# Fallbacks.


def test_the_last_known_good_answer_is_served_marked_as_such(world: World) -> None:
    """Body and headers as they were, without cookies; `Age`, `Cache-Status`, `Proxy-Status`, `no-store` added."""
    own = [("X-Own", "1"), ("Set-Cookie", "session=secret"), ("Cache-Control", "max-age=60")]
    good = scripted.ok({"a": 1}, headers=own)
    world.upstream.on("/kept/x", scripted.in_turn(good, scripted.reset()))
    first = world.get("/kept/x?q=1")
    answer = world.get("/kept/x?q=1")

    assert (first.status, first.get("set-cookie"), first.get("cache-status")) == (200, "session=secret", None)
    assert (answer.status, answer.body, answer.get("x-own")) == (200, first.body, "1")
    assert answer.get("set-cookie") is None
    age = int(answer.get("age") or "-1")
    assert 0 <= age <= 2
    assert answer.get("cache-status") == "sidecar; hit; ttl=-0; detail=reset"  # it would be fresh for 60 s yet
    assert answer.get("cache-control") == "no-store"
    assert answer.get("proxy-status") == 'sidecar; error=connection_terminated; details="reset"'
    assert answer.attempts == 1
    line = world.lines("/kept/x", 2)[1]
    assert (line["outcome"], line["reason"], line["status"]) == ("last_known_good", "reset", 200)


def test_the_last_known_good_answer_is_for_the_same_question_by_the_same_asker(world: World) -> None:
    """Another query, another credential or none: somebody else's answer is never served."""
    world.upstream.on("/kept/who", scripted.ok({"for": "alice"}))
    alice = {"Authorization": "Bearer alice"}
    assert world.get("/kept/who?phone=1", alice).status == 200
    world.upstream.on("/kept/who", scripted.reset())

    assert world.get("/kept/who?phone=1", alice).json == {"for": "alice"}
    assert world.get("/kept/who?phone=2", alice).status == 502
    assert world.get("/kept/who?phone=1", {"Authorization": "Bearer bob"}).status == 502
    assert world.get("/kept/who?phone=1").status == 502
    assert world.get("/kept/who", alice).status == 502
    assert world.get("/kept/who?phone=1", {**alice, "Cookie": "undeclared=1"}).status == 502
    assert world.ask("HEAD", "/kept/who?phone=1", alice).status == 502


@pytest.mark.parametrize("directive", ["no-store", "private"])
def test_what_must_not_be_stored_is_not_served_later(world: World, directive: str) -> None:
    """`Cache-Control: no-store` and `private` of the upstream are honoured."""
    path = f"/kept/{directive}"
    good = scripted.ok(headers=[("Cache-Control", directive)])
    world.upstream.on(path, scripted.in_turn(good, scripted.reset()))
    assert world.get(path).status == 200
    assert world.get(path).status == 502


def test_a_kept_answer_that_is_too_old_is_not_served(world: World) -> None:
    """`max_age` is a bound: beyond it the failure is told."""
    world.upstream.on("/briefly/x", scripted.in_turn(scripted.ok({"a": 1}), scripted.status(500, b"down")))
    assert world.get("/briefly/x").status == 200
    assert world.get("/briefly/x").json == {"a": 1}
    world.sidecar.until(lambda: world.get("/briefly/x").body == b"down", what="max_age")


@pytest.mark.parametrize(("trouble", "reason"), [(scripted.reset(), "reset"), (scripted.status(500), "upstream_error")])
def test_a_static_answer_is_given_as_written(world: World, trouble: scripted.Behaviour, reason: str) -> None:
    """Its status, headers and exact body, with the reason in `Proxy-Status`."""
    world.upstream.on("/fixed/x", trouble)
    answer = world.get("/fixed/x")
    assert (answer.status, answer.body, answer.get("x-made")) == (200, b'{"items": []}', "here")
    assert answer.get("content-type") == "application/json"
    assert f'details="{reason}"' in (answer.get("proxy-status") or "")
    assert answer.get("retry-after") is None
    assert answer.attempts == 1


def test_another_upstream_answers_instead(world: World) -> None:
    """One attempt at the fallback's upstream; the answer is its own, and says why it was needed."""
    world.upstream.on("/failover/x", scripted.status(500))
    world.backup.on("/failover/x", scripted.ok({"by": "backup"}))
    answer = world.get("/failover/x")
    assert (answer.status, answer.json, answer.attempts) == (200, {"by": "backup"}, 2)
    assert 'details="upstream_error"' in (answer.get("proxy-status") or "")
    assert world.backup.requests("/failover/x")[0].get("x-sidecar-attempt") == "2"
    assert world.lines("/failover/x")[0]["outcome"] == "failover"


def test_the_first_failure_stands_when_the_other_upstream_fails_too(world: World) -> None:
    """The caller gets the first upstream's own answer, not a mixture."""
    world.upstream.on("/failover/both", scripted.status(500, b"first"))
    world.backup.on("/failover/both", scripted.status(502, b"second"))
    answer = world.get("/failover/both")
    assert (answer.status, answer.body, answer.attempts) == (500, b"first", 2)


def test_a_post_goes_to_another_upstream_only_if_it_was_never_sent(world: World) -> None:
    """After bytes were sent the first upstream may have acted on it; after a refused connection it has not."""
    world.upstream.on("/failover/post", scripted.reset())
    world.backup.on("/failover/post", scripted.ok()).on("/dead-failover/post", scripted.ok({"by": "backup"}))
    assert world.ask("POST", "/failover/post", body=b"a=1").status == 502
    assert world.backup.count("/failover/post") == 0
    answer = world.ask("POST", "/dead-failover/post", body=b"a=1")
    assert (answer.status, answer.json) == (200, {"by": "backup"})
    assert world.backup.requests("/dead-failover/post")[0].body == b"a=1"


# Failing clearly.


@pytest.mark.parametrize(
    "trouble", [scripted.reset(), scripted.status(500), scripted.status(503), scripted.garbage(), scripted.half_body()]
)
def test_a_critical_route_fails_closed_with_the_exact_answer(world: World, trouble: scripted.Behaviour) -> None:
    """Whatever went wrong: 503 and the configured bytes, nothing of the upstream's."""
    world.upstream.on("/critical/x", trouble)
    answer = world.get("/critical/x")
    assert (answer.status, answer.body) == (503, b'{"error_code": "CONFIGURATION_TEMPORARILY_UNAVAILABLE"}')
    assert answer.get("content-type") == "application/json"
    assert (answer.get("proxy-status") or "").startswith("sidecar; error=")


def test_a_critical_route_without_an_answer_of_its_own_says_503(world: World) -> None:
    """Also where another route would say 502 or pass a 500 on."""
    world.upstream.on("/critical-plain/reset", scripted.reset()).on("/critical-plain/500", scripted.status(500))
    ours(world.get("/critical-plain/reset"), 503, "reset", "critical-plain")
    ours(world.get("/critical-plain/500"), 503, "upstream_error", "critical-plain")
    assert world.lines("/critical-plain/500")[0]["outcome"] == "fail_closed"


def test_the_unavailable_answer_is_given_byte_for_byte(world: World) -> None:
    """Status, headers and the document as `json.dumps` writes it."""
    answer = world.get("/unavailable/x")
    assert (answer.status, answer.body) == (599, json.dumps({"sorry": ["ü", 1.5]}).encode())
    assert answer.get("x-why") == "gone"
    assert 'details="connect_failure"' in (answer.get("proxy-status") or "")


def test_no_route_is_404(world: World) -> None:
    """No attempt is made, and no policy of any route has a say."""
    answer = world.get("/nobody/knows")
    assert (answer.status, answer.json["reason"], answer.json["route"]) == (404, "no_route", "-")
    assert answer.attempts is None
    assert 'details="no_route"' in (answer.get("proxy-status") or "")
    assert world.lines("/nobody/knows")[0]["route"] == "-"


def test_an_open_breaker_refuses_at_once_and_a_probe_closes_it(world: World) -> None:
    """Two failures open it; refusals say when to come back and cost no attempt; one good probe closes it."""
    world.upstream.on("/fragile/x", scripted.status(500))
    assert [world.get("/fragile/x").status for _ in range(2)] == [500, 500]
    refused = world.get("/fragile/x")
    ours(refused, 503, "breaker_open", "fragile")
    assert (refused.get("retry-after"), refused.json["retry_after"], refused.attempts) == ("1", 1, None)
    assert world.upstream.count("/fragile/x") == 2
    assert world.sidecar.metric('sidecar_breaker_state{route="fragile",state="open"}') == 1

    world.upstream.on("/fragile/x", scripted.ok())
    world.sidecar.until(lambda: world.get("/fragile/x").status == 200, what="a probe succeeds")
    assert world.get("/fragile/x").status == 200
    assert world.sidecar.metric('sidecar_breaker_state{route="fragile",state="closed"}') == 1
    assert world.upstream.count("/fragile/x") == 4
    moves = [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]
    series = 'sidecar_breaker_transitions_total{{route="fragile",from="{}",to="{}"}}'
    assert [world.sidecar.metric(series.format(*move)) for move in moves] == [1, 1, 1]


def test_a_full_bulkhead_refuses_and_frees_its_place(world: World) -> None:
    """503 bulkhead_full while the one place is taken; it is free again when the answer's last byte is out."""
    world.upstream.on("/narrow/slow", scripted.held(scripted.ok())).on("/narrow/x", scripted.ok())
    with world.caller() as first:
        first.send(b"GET /narrow/slow HTTP/1.1\r\nHost: a\r\n\r\n")
        world.upstream.wait_for(1, "/narrow/slow")
        refused = world.get("/narrow/x")
        ours(refused, 503, "bulkhead_full", "narrow")
        assert (refused.get("retry-after"), refused.attempts) == ("1", None)
        world.upstream.release()
        assert first.answer().status == 200
    assert world.get("/narrow/x").status == 200
    assert world.upstream.count("/narrow/x") == 1


# Time.


@pytest.mark.parametrize(
    ("name", "value"),
    [("X-Sidecar-Timeout", "300ms"), ("X-Envoy-Upstream-Rq-Timeout-Ms", "300"), ("grpc-timeout", "300m")],
)
def test_a_caller_shortens_its_time(world: World, name: str, value: str) -> None:
    """504 when the caller's own time is over, and the upstream is told how much there is."""
    path = f"/plain/{name}"
    world.upstream.on(path, scripted.hang())
    started = MONOTONIC()
    answer = world.get(path, {name: value})
    assert 0.3 <= MONOTONIC() - started < 6
    ours(answer, 504, "deadline", "plain")
    left = int(world.upstream.requests(path)[0].get("x-envoy-expected-rq-timeout-ms") or 0)
    assert 0 < left <= 300


def test_a_caller_cannot_stretch_its_time(world: World) -> None:
    """More than the route's total is the route's total."""
    world.upstream.on("/quick/stretch", scripted.hang())
    ours(world.get("/quick/stretch", {"X-Sidecar-Timeout": "1h"}), 504, "deadline", "quick")


# Who left.


def test_a_caller_that_leaves_takes_its_request_along(world: World) -> None:
    """The upstream's connection is closed, the outcome is client_gone, and the breaker thinks nothing of it."""
    with world.caller() as caller:
        caller.send(b"GET /raw/gone HTTP/1.1\r\nHost: a\r\n\r\n")
        connection = world.accept()
        assert b"GET /raw/gone" in connection.recv(65536)
    with connection:
        assert connection.recv(1) == b""
    line = world.lines("/raw/gone")[0]
    assert (line["outcome"], line["status"], line["attempts"]) == ("client_gone", 499, 1)
    assert world.sidecar.metric('sidecar_breaker_state{route="raw",state="closed"}') == 1
    gone = 'sidecar_requests_total{route="raw",method="GET",code="499",outcome="client_gone"}'
    assert world.sidecar.metric(gone) == 1

    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(world.get("/raw/next")))
    thread.start()
    with world.accept() as connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        thread.join()
    assert answers[0].status == 200, "a breaker that opens at one failure had opened"


# What is counted.


def test_traffic_is_counted_with_configured_names_only(world: World) -> None:
    """Every series of the contract that has a source is there, labelled with names of the configuration."""
    path = "/counted/private?phone=27825550100"
    turns = scripted.in_turn(scripted.ok(), scripted.status(503), scripted.ok(), scripted.reset())
    world.upstream.on("/counted/private", turns)
    assert [world.get(path).status for _ in range(2)] == [200, 200]
    assert world.ask("POST", path, body=b"x").status == 502
    text = world.sidecar.metrics()
    expected = {
        'sidecar_requests_total{route="counted",method="GET",code="200",outcome="ok"}': 2,
        'sidecar_requests_total{route="counted",method="POST",code="502",outcome="upstream_error"}': 1,
        'sidecar_request_duration_seconds_count{route="counted"}': 3,
        'sidecar_attempts_total{route="counted",upstream="main",result="ok"}': 2,
        'sidecar_attempts_total{route="counted",upstream="main",result="upstream_error"}': 1,
        'sidecar_attempts_total{route="counted",upstream="main",result="reset"}': 1,
        'sidecar_upstream_duration_seconds_count{route="counted",upstream="main",phase="total"}': 4,
        'sidecar_upstream_duration_seconds_count{route="counted",upstream="main",phase="first_byte"}': 3,
        'sidecar_retries_total{route="counted",reason="upstream_error"}': 1,
        'sidecar_retries_denied_total{route="counted",reason="method"}': 1,
        'sidecar_breaker_state{route="counted",state="closed"}': 1,
        'sidecar_breaker_state{route="counted",state="open"}': 0,
        'sidecar_in_flight{route="counted"}': 0,
        'sidecar_queued{route="counted"}': 0,
        'sidecar_config_reloads_total{result="ok"}': 0,
        f'sidecar_endpoint_ejected{{upstream="main",endpoint="{world.upstream.url}"}}': 0,
        'sidecar_connections{upstream="main",state="active"}': 0,
    }
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert {series: float(found.get(series, "nan")) for series in expected} == expected
    assert "sidecar_build_info{" in text
    assert "process_resident_memory_bytes " in text
    connects = 'sidecar_upstream_duration_seconds_count{route="counted",upstream="main",phase="connect"}'
    assert 0 <= float(found.get(connects, "0")) <= 4
    assert [word for word in ("private", "phone", "2782555", "app.test") if word in text] == []


def test_fallbacks_and_refusals_are_counted_by_kind_and_reason(world: World) -> None:
    """`sidecar_fallbacks_total` and the age of what is kept, after one of each kind."""
    world.upstream.on("/kept/m", scripted.in_turn(scripted.ok(), scripted.reset()))
    for path in ("/fixed/m", "/failover/m"):
        world.upstream.on(path, scripted.reset())
    world.backup.on("/failover/m", scripted.ok())
    series = 'sidecar_fallbacks_total{{route="{}",kind="{}",reason="reset"}}'
    kinds = [("kept", "last_known_good"), ("fixed", "static"), ("failover", "failover")]
    before = [world.sidecar.metric(series.format(*kind)) for kind in kinds]
    assert [world.get(path).status for path in ("/kept/m", "/kept/m", "/fixed/m", "/failover/m")] == [200] * 4
    assert [world.sidecar.metric(series.format(*kind)) for kind in kinds] == [count + 1 for count in before]
    assert 'sidecar_last_known_good_age_seconds{route="kept"}' in world.sidecar.metrics()


def test_an_access_line_says_what_happened(world: World) -> None:
    """Route, method, path without its query, status, outcome, times apart, attempts, bytes, request id."""
    world.upstream.on("/logged/x", scripted.delayed(0.05, scripted.ok({"a": 1})))
    answer = world.ask("POST", "/logged/x?phone=2782", {"X-Request-Id": "id-1"}, b"12345")
    line = dict(world.lines("/logged/x")[0])
    took, theirs = line.pop("duration_ms"), line.pop("upstream_ms")
    assert isinstance(took, float)
    assert isinstance(theirs, float)
    assert took >= theirs >= 50
    assert str(line.pop("time")).endswith("Z")
    assert line.pop("trace_id") == str(world.upstream.requests("/logged/x")[0].get("traceparent"))[3:35]
    assert int(str(line.pop("bytes_out"))) > len(answer.body)
    assert line == {
        "route": "logged",
        "method": "POST",
        "path": "/logged/x?[redacted]",
        "status": 200,
        "outcome": "ok",
        "reason": "",
        "attempts": 1,
        "bytes_in": 5,
        "request_id": "id-1",
    }
