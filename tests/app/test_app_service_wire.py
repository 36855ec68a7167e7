"""What a caller gets, and what an upstream sees, through a sidecar that runs as its own process: the bytes."""

import random
import re
import socket
import threading

import pytest
from app_caller import Answer, Caller, request
from app_world import SECRET, World
from fixtures import upstream as scripted

MIB = 1024 * 1024
BYTES = random.Random(5).randbytes(5 * MIB)
EVENT_STREAM = ("Content-Type", "text/event-stream")


def rejected(caller: Caller, status: int, reason: str) -> Answer:
    """The next answer says so in JSON, names no route, and is the connection's last."""
    answer = caller.answer()
    assert (answer.status, answer.json["reason"], answer.json["route"]) == (status, reason, "-")
    assert answer.json["error_code"] == reason.upper()
    assert answer.json["request_id"] == answer.get("x-request-id")
    assert answer.get("connection") == "close"
    assert answer.get("proxy-status") is not None
    assert caller.at_end()
    return answer


def received(connection: socket.socket, ending: bytes) -> bytes:
    """Bytes that came to the raw upstream, up to `ending`."""
    data = b""
    while not data.endswith(ending):
        piece = connection.recv(65536)
        assert piece, f"ended after {data[-100:]!r}"
        data += piece
    return data


# Requests that are none.


@pytest.mark.parametrize(
    ("message", "status", "reason"),
    [
        pytest.param(b"GET /plain/x HTTP/1.1\r\n\r\n", 400, "bad_request", id="no-host"),
        pytest.param(b"GET /plain/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_request", id="two-hosts"),
        pytest.param(b"GET /plain/x HTTP/1.1\r\nHost : a\r\n\r\n", 400, "bad_request", id="space-before-colon"),
        pytest.param(b"GET /plain/x HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", 400, "bad_request", id="folded"),
        pytest.param(b"GET /plain/x HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400, "bad_request", id="nul"),
        pytest.param(b"GET /plain/#x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request", id="fragment"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "bad_request", id="tls-hello"),
        pytest.param(
            b"POST /plain/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\nx", 400, "bad_request", id="two-lengths"
        ),
        pytest.param(
            b"POST /plain/x HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", 400, "bad_request", id="signed-length"
        ),
        pytest.param(
            b"POST /plain/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "bad_request",
            id="length-and-chunked",
        ),
        pytest.param(
            b"POST /plain/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "not_implemented", id="gzip"
        ),
        pytest.param(b"BREW /plain/x HTTP/1.1\r\nHost: a\r\n\r\n", 501, "not_implemented", id="method"),
        pytest.param(b"GET /plain/x HTTP/2.7\r\nHost: a\r\n\r\n", 505, "version_not_supported", id="version"),
        pytest.param(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405, "method_not_allowed", id="connect"),
        pytest.param(
            b"GET /plain/" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "uri_too_long", id="long-target"
        ),
        pytest.param(
            b"GET /plain/x HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 17_000, 431, "headers_too_large", id="large-head"
        ),
        pytest.param(
            b"GET /plain/x HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431, "headers_too_large", id="many"
        ),
        pytest.param(
            b"POST /plain/x HTTP/1.1\r\nHost: a\r\nContent-Length: 6291457\r\n\r\n", 413, "body_too_large", id="body"
        ),
    ],
)
def test_what_is_no_request_gets_a_clear_answer_and_the_end(
    world: World, message: bytes, status: int, reason: str
) -> None:
    """One 4xx or 5xx with a body that can be parsed, then the connection closes; nothing goes upstream."""
    before = world.upstream.count()
    with world.caller() as caller:
        caller.send(message)
        assert rejected(caller, status, reason).attempts is None
    assert world.upstream.count() == before


def test_nothing_after_a_broken_request_is_served(world: World) -> None:
    """What follows a message whose framing cannot be trusted is not a request."""
    world.upstream.on("/plain/smuggled", scripted.ok())
    follower = request("GET", "/plain/smuggled")
    broken = b"POST /plain/x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with world.caller() as caller:
        caller.send(broken + follower)
        rejected(caller, 400, "bad_request")
    assert world.upstream.count("/plain/smuggled") == 0


def test_a_chunked_body_beyond_the_limit_is_refused(world: World) -> None:
    """413 once the bytes that came are too many, though nobody had said how many there would be."""
    world.upstream.on("/plain/flood", scripted.ok())
    with world.caller() as caller:
        caller.send(b"POST /plain/flood HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        caller.send(b"%x\r\n%b\r\n" % (len(BYTES), BYTES))
        caller.send(b"%x\r\n%b\r\n" % (2 * MIB, BYTES[: 2 * MIB]))
        answer = rejected(caller, 413, "body_too_large")
    assert answer.attempts == 1
    assert world.upstream.count("/plain/flood") == 0, "the upstream was told that the body was whole"
    assert world.lines("/plain/flood")[0]["outcome"] == "bad_request"


# Bodies.


def test_five_mebibytes_go_up_and_come_down_as_they_are(world: World) -> None:
    """Of known length both ways, byte for byte."""
    world.upstream.on("/plain/large", scripted.answer(200, BYTES, content_type="application/octet-stream"))
    answer = world.ask("POST", "/plain/large", body=BYTES)
    assert (answer.status, answer.get("content-length")) == (200, str(len(BYTES)))
    assert answer.body == BYTES
    assert world.upstream.requests("/plain/large")[0].body == BYTES


def test_chunked_bodies_pass_with_their_trailers(world: World) -> None:
    """Pieces and trailers both ways; whoever says TE: trailers gets them."""
    pieces = [BYTES[start : start + 50_000] for start in range(0, MIB, 50_000)]
    world.upstream.on("/plain/chunks", scripted.chunked(pieces, trailers=[("X-Sum", "42")]))
    with world.caller() as caller:
        caller.send(
            b"POST /plain/chunks HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nX-Mine: 1\r\n\r\n"
        )
        answer = caller.answer()
    assert (answer.status, answer.body) == (200, b"".join(pieces))
    assert answer.trailers == (("X-Sum", "42"),)
    sent = world.upstream.requests("/plain/chunks")[0]
    assert (sent.body, sent.trailers) == (b"abcdefg", (("x-mine", "1"),))


@pytest.mark.parametrize("body", [b"", b'{"a": 1}', BYTES[:MIB]])
def test_a_body_that_ends_with_its_connection_is_framed_anew(world: World, body: bytes) -> None:
    """The caller's connection lives on, so its end cannot be the body's."""
    world.upstream.on("/plain/close", scripted.until_close(body))
    with world.caller() as caller:
        assert caller.ask("GET", "/plain/close").body == body
        assert caller.ask("GET", "/plain/close").body == body


def test_an_upload_reaches_the_upstream_before_its_end(world: World) -> None:
    """A chunked body streams: its first piece is there while the caller still holds the last."""
    with world.caller() as caller:
        caller.send(b"POST /raw/upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        with world.accept() as connection:
            assert b"POST /raw/upload" in received(connection, b"5\r\nfirst\r\n")
            caller.send(b"4\r\nlast\r\n0\r\n\r\n")
            assert received(connection, b"0\r\n\r\n") == b"4\r\nlast\r\n0\r\n\r\n"
            connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            assert caller.answer().status == 204


def test_an_event_stream_passes_without_delay(world: World) -> None:
    """An event is with the caller while the upstream still thinks about the next."""

    async def events(exchange: scripted.Exchange) -> None:
        await exchange.write(scripted.head(200, [EVENT_STREAM, ("Transfer-Encoding", "chunked")]))
        await exchange.write(b"9\r\ndata: 1\n\n\r\n")
        await exchange.released.wait()
        await exchange.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    world.upstream.on("/plain/events", events)
    with world.caller() as caller:
        caller.send(request("GET", "/plain/events"))
        head = caller.head()
        assert (head.status, head.get("content-type")) == (200, "text/event-stream")
        assert caller.some(b"data: 1\n\n") == b"9\r\ndata: 1\n\n"
        world.upstream.release()
        assert caller.some(b"0\r\n\r\n") == b"\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n"


def test_an_event_stream_outlives_the_deadline(world: World) -> None:
    """A stream has no end to wait for: the route's total bounds its head only."""

    async def events(exchange: scripted.Exchange) -> None:
        await exchange.write(scripted.head(200, [EVENT_STREAM]))
        await scripted.delayed(0.7, scripted.raw(b"data: late\n\n", close=True))(exchange)

    world.upstream.on("/quick/events", events)
    assert world.get("/quick/events").body == b"data: late\n\n"


@pytest.mark.parametrize(("method", "code", "length"), [("HEAD", 200, "2"), ("GET", 204, None), ("GET", 304, "2")])
def test_answers_without_a_body_leave_the_connection_usable(
    world: World, method: str, code: int, length: str | None
) -> None:
    """No byte follows the head, whatever its Content-Length says, and the next answer is read where it begins."""
    path = f"/plain/{method}-{code}"
    world.upstream.on(path, scripted.answer(code, b"{}")).on("/plain/next", scripted.ok({"next": True}))
    with world.caller() as caller:
        answer = caller.ask(method, path)
        assert (answer.status, answer.get("content-length"), answer.get("transfer-encoding")) == (code, length, None)
        assert caller.ask("GET", "/plain/next").json == {"next": True}


def test_our_own_answer_to_head_has_no_body(world: World) -> None:
    """The length is told, the bytes are not sent."""
    with world.caller() as caller:
        answer = caller.ask("HEAD", "/nobody/knows")
        assert answer.status == 404
        assert int(answer.get("content-length") or "0") > 0
        assert caller.ask("HEAD", "/nobody/knows").status == 404


def test_expect_100_continue_is_answered_before_the_body_is_sent(world: World) -> None:
    """The caller is asked for its body, and the upstream never sees the field."""
    world.upstream.on("/plain/continue", scripted.ok())
    with world.caller() as caller:
        caller.send(b"POST /plain/continue HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert caller.answer().status == 100
        caller.send(b"abc")
        assert caller.answer().status == 200
    sent = world.upstream.requests("/plain/continue")[0]
    assert (sent.body, sent.get("expect")) == (b"abc", None)


def test_a_caller_that_waits_to_be_asked_may_be_refused_instead(world: World) -> None:
    """No route, no body: the final answer comes at once, and the connection ends."""
    with world.caller() as caller:
        caller.send(b"POST /nobody HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        answer = caller.answer()
        assert (answer.status, answer.get("connection")) == (404, "close")
        assert caller.at_end()


def test_interim_answers_pass(world: World) -> None:
    """A 103 of the upstream's comes before the answer it announces."""
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    world.upstream.on("/plain/early", scripted.raw(early + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))
    with world.caller() as caller:
        hints = caller.ask("GET", "/plain/early")
        assert (hints.status, hints.get("link")) == (103, "</a.css>")
        assert caller.answer().body == b"{}"


# Connections.


def test_an_http_1_0_caller_gets_what_it_understands(world: World) -> None:
    """No chunks and no interim answers: the body ends with the connection, or a length says where."""
    world.upstream.on("/plain/old", scripted.chunked([b"abc", BYTES[:MIB]]))
    world.upstream.on("/plain/short", scripted.ok({"a": 1}))
    with world.caller() as caller:
        caller.send(b"GET /plain/old HTTP/1.0\r\n\r\n")
        answer = caller.answer()
        assert (answer.status, answer.get("transfer-encoding"), answer.get("connection")) == (200, None, "close")
        assert answer.body == b"abc" + BYTES[:MIB]
    with world.caller() as caller:
        for _ in range(2):
            caller.send(b"GET /plain/short HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            answer = caller.answer()
            assert (answer.get("connection"), answer.json) == ("keep-alive", {"a": 1})


def test_pipelined_requests_are_answered_in_order(world: World) -> None:
    """All at once in one segment, a body among them; each gets its own answer."""
    world.upstream.on("/plain/echo", scripted.echo())
    asked = [request("POST", f"/plain/echo?n={n}", body=b"x" * n) for n in range(20)]
    with world.caller() as caller:
        caller.send(b"".join(asked))
        answers = [caller.answer().json for _ in asked]
    assert [(one["target"], len(one["body"])) for one in answers] == [(f"/plain/echo?n={n}", n) for n in range(20)]


def test_a_connection_that_is_asked_to_close_closes(world: World) -> None:
    """The answer is whole and says so, then the end."""
    world.upstream.on("/plain/bye", scripted.ok({"a": 1}))
    with world.caller() as caller:
        answer = caller.ask("GET", "/plain/bye", {"Connection": "close"})
        assert (answer.get("connection"), answer.json) == ("close", {"a": 1})
        assert caller.at_end()


def test_connections_to_the_upstream_are_reused(world: World) -> None:
    """Requests one after another share a connection."""
    world.upstream.on("/plain/reuse", scripted.ok())
    for _ in range(5):
        assert world.get("/plain/reuse").status == 200
    assert len({one.connection for one in world.upstream.requests("/plain/reuse")}) == 1


def test_a_connection_that_the_upstream_closed_meanwhile_costs_nobody_an_answer(world: World) -> None:
    """Each answer is followed by the end of its connection, unannounced."""

    async def answer_and_close(exchange: scripted.Exchange) -> None:
        await scripted.ok()(exchange)
        exchange.close()

    world.upstream.on("/plain/stale", answer_and_close)
    assert [world.get("/plain/stale").status for _ in range(20)] == [200] * 20


# Headers.


def test_what_every_request_carries_upstream(world: World) -> None:
    """Ids, trace, Via, attempt and remaining time; nothing that belongs to the caller's connection."""
    world.upstream.on("/plain/headers", scripted.ok())
    hop_by_hop = {
        "Connection": "keep-alive, X-Private, close",
        "X-Private": "1",
        "Keep-Alive": "timeout=5",
        "Proxy-Connection": "keep-alive",
        "TE": "trailers",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AAMAAABkAAQAAP__",
    }
    kept = {"X-Kept": "as it is", "Accept": "*/*", "Cookie": "a=1"}
    world.get("/plain/headers?a=%2f&b", {**hop_by_hop, **kept})
    sent = world.upstream.requests("/plain/headers")[0]
    assert sent.target == "/plain/headers?a=%2f&b"
    headers = dict(sent.headers)
    assert len(headers) == len(sent.headers), "a field came twice"
    assert re.fullmatch(r"1\.1 sidecar-[0-9a-f]{8}", headers.pop("via"))
    request_id = headers.pop("x-request-id")
    assert re.fullmatch("[0-9a-f]{32}", request_id)
    assert re.fullmatch(f"00-{request_id}-[0-9a-f]{{16}}-00", headers.pop("traceparent"))
    assert 7000 < int(headers.pop("x-envoy-expected-rq-timeout-ms")) <= 8000
    assert headers == {
        "host": f"127.0.0.1:{world.upstream.port}",
        "connection": "TE",
        "te": "trailers",
        "x-sidecar-attempt": "1",
        "x-kept": "as it is",
        "accept": "*/*",
        "cookie": "a=1",
    }


def test_ids_and_traces_of_the_caller_are_kept(world: World) -> None:
    """A good id and trace go on as they are, and the id comes back; a strange one is replaced."""
    world.upstream.on("/plain/ids", scripted.ok())
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    own = {"X-Request-Id": "order-17", "traceparent": trace, "tracestate": "a=1", "Via": "1.0 before"}
    answer = world.get("/plain/ids", own)
    sent = world.upstream.requests("/plain/ids")[0]
    names = ("x-request-id", "traceparent", "tracestate")
    assert [sent.get(name) for name in names] == ["order-17", trace, "a=1"]
    assert re.fullmatch(r"1\.0 before, 1\.1 sidecar-[0-9a-f]{8}", sent.get("via") or "")
    assert answer.get("x-request-id") == "order-17"
    strange = world.get("/plain/ids", {"X-Request-Id": 'a"b', "traceparent": "00-0-0-0"})
    assert re.fullmatch("[0-9a-f]{32}", strange.get("x-request-id") or "")


def test_what_an_answer_carries(world: World) -> None:
    """Status, fields in order and case and number, body; ours added, the connection's own gone."""
    fields = b"X-One: 1\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\nX-Gone: 1\r\nKeep-Alive: timeout=5\r\n"
    lines = b"HTTP/1.1 203 Sure\r\n" + fields + b"Connection: keep-alive, x-gone\r\nContent-Length: 3\r\n\r\n"
    world.upstream.on("/plain/answer", scripted.raw(lines + b"abc"))
    answer = world.get("/plain/answer")
    assert (answer.version, answer.status, answer.body) == ("HTTP/1.1", 203, b"abc")
    own = ("Date", "X-Request-Id", "X-Sidecar-Attempts")
    assert [pair for pair in answer.headers if pair[0] not in own] == [
        ("X-One", "1"),
        ("set-cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("Content-Length", "3"),
    ]
    assert answer.attempts == 1
    assert answer.get("x-request-id") == world.upstream.requests("/plain/answer")[0].get("x-request-id")


def test_a_prefix_and_a_host_are_rewritten(world: World) -> None:
    """The matched prefix is replaced and the rest travels untouched; `host: keep` sends the caller's own."""
    world.upstream.on("/v1/a%2Fb", scripted.ok()).on("/same-host/x", scripted.ok())
    assert world.get("/rewritten/a%2Fb?c=//d").status == 200
    assert world.get("/same-host/x").status == 200
    rewritten = world.upstream.requests("/v1/a%2Fb")[0]
    assert (rewritten.target, rewritten.get("host")) == ("/v1/a%2Fb?c=//d", f"127.0.0.1:{world.upstream.port}")
    assert world.upstream.requests("/same-host/x")[0].get("host") == "app.test"


def test_an_upstreams_headers_are_set_and_removed(world: World) -> None:
    """A secret from a file stands in for what the caller sent; the endpoint's own path goes in front."""
    world.upstream.on("/base/keyed/x", scripted.ok())
    own = {"authorization": "Bearer callers-own", "Cookie": "a=1", "X-Kept": "1"}
    assert world.get("/keyed/x", own).status == 200
    sent = world.upstream.requests("/base/keyed/x")[0]
    assert [value for name, value in sent.headers if name == "authorization"] == [SECRET]
    assert [sent.get(name) for name in ("x-team", "cookie", "x-kept")] == ["app", None, "1"]


# Slow callers.


def test_a_slow_caller_holds_the_upstream_back_and_nobody_else(world: World) -> None:
    """A caller that does not read: the upstream cannot write on, others are served, and all of it comes later."""
    big = BYTES * 8
    written = threading.Event()

    async def answer(exchange: scripted.Exchange) -> None:
        await scripted.answer(200, big)(exchange)
        await exchange.writer.drain()
        written.set()

    world.upstream.on("/plain/big", answer).on("/plain/small", scripted.ok())
    with world.caller() as slow:
        slow.send(request("GET", "/plain/big"))
        head = slow.head()
        assert [world.get("/plain/small").status for _ in range(5)] == [200] * 5
        assert not written.is_set(), "the sidecar took more than the caller"
        assert head.get("content-length") == str(len(big))
        assert slow.exactly(len(big)) == big
        assert written.wait(10)


def test_many_callers_at_once_get_each_their_own(world: World) -> None:
    """Eight threads, forty requests each, every answer the one asked for."""
    world.upstream.on("/plain/own", scripted.echo())
    wrong: list[str] = []

    def ask(name: int) -> None:
        with world.caller() as caller:
            for turn in range(40):
                target = f"/plain/own?{name}-{turn}"
                if caller.ask("GET", target).json["target"] != target:
                    wrong.append(target)

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
