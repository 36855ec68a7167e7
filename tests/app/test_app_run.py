"""`sidecar run` as a process: what stops it from starting, what each signal does, and what it never tells."""

import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from app_caller import BrokenOff, Caller, ask, request
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar, run_sidecar
from fixtures.upstream import Upstream

from sidecar.clock import MONOTONIC

Start = Callable[..., RunningSidecar]

MINIMAL = """listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
upstreams: {a: {endpoints: ["http://127.0.0.1:1"]}}
routes: [{name: a, match: {prefix: /}, upstream: a}]
"""


def served(upstream: Upstream, more: str = "") -> str:
    """A route for everything, and what a test adds."""
    return f"""
upstreams: {{a: {{endpoints: ["{upstream.url}"]}}}}
routes: [{{name: all, match: {{prefix: /}}, upstream: a, timeout: {{total: 30s}}}}]
{more}
"""


def refuses(path: Path, *, env: dict[str, str] | None = None) -> str:
    """`run` ends with 2 after one line on standard error, which is returned; nothing on standard output."""
    code, out, err = run_sidecar("run", "-c", str(path), env=env)
    assert (code, out) == (2, ""), err
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err[:-1]


def written(tmp_path: Path, text: str) -> Path:
    """A configuration file."""
    path = tmp_path / "sidecar.yaml"
    path.write_text(text)
    return path


# What stops it from starting.


@pytest.mark.parametrize(("key", "old"), [("listen", "listen: 127.0.0.1:0"), ("admin.listen", "{listen: 127.0.0.1:0}")])
def test_an_address_that_is_taken_is_one_line(tmp_path: Path, key: str, old: str) -> None:
    """It names the key, the address and why."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = MINIMAL.replace(old, old.replace(":0", f":{port}"), 1)
        line = refuses(written(tmp_path, text))
    assert line == f"sidecar: {key}: cannot listen on 127.0.0.1:{port}: Address already in use"


def test_an_address_that_is_not_ours_is_one_line(tmp_path: Path) -> None:
    """An address of documentation (RFC 5737) belongs to no interface."""
    line = refuses(written(tmp_path, MINIMAL.replace("127.0.0.1:0", "192.0.2.1:8080", 1)))
    assert line.startswith("sidecar: listen: cannot listen on 192.0.2.1:8080: ")


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """It names the file."""
    assert str(tmp_path / "none.yaml") in refuses(tmp_path / "none.yaml")


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    """It names the directory."""
    assert str(tmp_path) in refuses(tmp_path)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param("\t- nonsense: [", "1:1", id="no-yaml"),
        pytest.param(MINIMAL + "limits: {headerbytes: 1KiB}\n", "5:10", id="unknown-key"),
        pytest.param(MINIMAL + "limits: {headers: many}\n", "5:19", id="wrong-value"),
        pytest.param(MINIMAL.replace("upstream: a}", "upstream: b}"), "4:50", id="unknown-upstream"),
    ],
)
def test_a_wrong_configuration_is_one_line_with_its_place(tmp_path: Path, text: str, place: str) -> None:
    """File, line and column of the one thing that is wrong."""
    path = written(tmp_path, text)
    assert re.match(re.escape(str(path)) + rf":{place}: ", refuses(path))


def test_an_empty_configuration_is_told_what_it_lacks(tmp_path: Path) -> None:
    """One located line for each thing that must be there."""
    path = written(tmp_path, "")
    code, out, err = run_sidecar("run", "-c", str(path))
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines
    assert all(line.startswith(f"{path}:1:1: ") for line in lines)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    """Three mistakes are three lines, in file order."""
    text = MINIMAL + "limits: {headers: many, body: much}\ndrain: {timeout: soon}\n"
    code, _, err = run_sidecar("run", "-c", str(written(tmp_path, text)))
    assert code == 2
    assert [line.split(":")[1] for line in err.splitlines()] == ["5", "5", "6"]


def test_a_lint_error_stops_it_with_one_line(tmp_path: Path) -> None:
    """As `sidecar check` would write it: place, code, path and how to fix it."""
    text = MINIMAL + "caller: {timeout: 10s, reserve: 5s}\n"
    path = written(tmp_path, text)
    line = refuses(path)
    assert re.match(re.escape(str(path)) + r":\d+:\d+: error\[total-over-caller\]: routes\[0\]\.", line)


def test_an_access_log_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    """It names the key, the path and why."""
    line = refuses(written(tmp_path, MINIMAL + "access_log: {path: /nonexistent/access.log}\n"))
    assert line == "sidecar: access_log.path /nonexistent/access.log: No such file or directory"


def test_a_certificate_file_that_holds_none_is_one_line(tmp_path: Path) -> None:
    """It names the file, and is found before anything listens."""
    ca = written(tmp_path, "no certificate").rename(tmp_path / "ca.pem")
    text = MINIMAL.replace('["http://127.0.0.1:1"]', f'["https://127.0.0.1:1"], tls: {{ca: {ca}}}')
    assert str(ca) in refuses(written(tmp_path, text))


# Signals.


def test_sigterm_drains(sidecar: Start, upstream: Upstream) -> None:
    """Unready at once, while what is under way ends well and what still comes is served; then 0."""
    upstream.on("/slow", scripted.held(scripted.ok({"slow": 1}))).on("/next", scripted.ok({"next": 1}))
    running = sidecar(served(upstream, "drain: {timeout: 20s, quiet: 200ms}"))
    with Caller(running.port) as slow, Caller(running.port) as open_before:
        assert open_before.ask("GET", "/next").status == 200
        slow.send(request("GET", "/slow"))
        upstream.wait_for(1, "/slow")
        running.send_signal(signal.SIGTERM)
        running.until(lambda: running.admin("/readyz")[0] == 503, what="/readyz says 503")
        assert b"draining" in running.admin("/readyz")[1]
        assert running.admin("/healthz")[0] == 200
        last = open_before.ask("GET", "/next")
        assert (last.json, last.get("connection")) == ({"next": 1}, "close")
        assert ask(running.port, "GET", "/next").json == {"next": 1}
        upstream.release()
        assert slow.answer().json == {"slow": 1}
    assert running.wait() == 0
    assert [line["status"] for line in running.access_log()] == [200] * 4
    assert "Traceback" not in running.log_text()


def test_a_drain_ends_after_its_timeout(sidecar: Start, upstream: Upstream) -> None:
    """What is not answered by then is told so; what is half answered is cut off; both have their lines, and 0."""

    async def endless(exchange: scripted.Exchange) -> None:
        await exchange.write(scripted.head(200, [("Content-Type", "text/event-stream")]) + b"data: 1\n\n")
        await scripted.hang()(exchange)

    upstream.on("/hang", scripted.hang()).on("/endless", endless)
    running = sidecar(served(upstream, "drain: {timeout: 500ms, quiet: 100ms}"))
    with Caller(running.port) as waiting, Caller(running.port) as listening:
        waiting.send(request("GET", "/hang"))
        listening.send(request("GET", "/endless"))
        assert listening.some(b"data: 1\n\n")
        upstream.wait_for(2)
        started = MONOTONIC()
        assert running.stop() == 0
        assert MONOTONIC() - started >= 0.5
        refused = waiting.answer()
        assert (refused.status, refused.json["reason"], refused.get("connection")) == (503, "draining", "close")
        with pytest.raises(BrokenOff):
            listening.some(b"0\r\n\r\n")
    lines = {str(line["path"]): (line["status"], line["outcome"], line["reason"]) for line in running.access_log()}
    assert lines == {"/hang": (503, "refused", "draining"), "/endless": (200, "upstream_error", "draining")}
    assert "Traceback" not in running.log_text()


def test_who_waits_for_a_slot_at_the_end_is_told_so(sidecar: Start, upstream: Upstream) -> None:
    """The one that holds it and those in the queue alike: 503, when to ask again, and nothing is sent for them."""
    upstream.otherwise(scripted.hang())
    queue = "bulkhead: {in_flight: 1, queue: 5, queue_timeout: 20s}"
    text = served(upstream, "drain: {timeout: 500ms, quiet: 100ms}")
    running = sidecar(text.replace("total: 30s}}]", f"total: 30s}}, {queue}}}]"))
    with Caller(running.port) as first, Caller(running.port) as second, Caller(running.port) as third:
        for caller in (first, second, third):
            caller.send(request("GET", "/hang"))
        running.until(lambda: running.metric('sidecar_queued{route="all"}') == 2, what="two wait")
        assert running.stop() == 0
        for caller in (first, second, third):
            refused = caller.answer()
            told = (refused.status, refused.json["reason"], refused.get("connection"), refused.get("retry-after"))
            assert told == (503, "draining", "close", "1")
    assert upstream.count() == 1


@pytest.mark.parametrize(
    "signals", [[signal.SIGINT], [signal.SIGTERM, signal.SIGTERM], [signal.SIGTERM, signal.SIGINT]]
)
def test_sigint_and_a_second_sigterm_end_it_at_once(
    sidecar: Start, upstream: Upstream, signals: list[signal.Signals]
) -> None:
    """Whatever is under way: it ends long before the drain would, with 0 and without a traceback."""
    upstream.on("/hang", scripted.hang())
    running = sidecar(served(upstream, "drain: {timeout: 25s, quiet: 1s}"))
    with Caller(running.port) as caller:
        caller.send(request("GET", "/hang"))
        upstream.wait_for(1)
        running.send_signal(signals[0])
        for number in signals[1:]:
            running.until(lambda: "draining" in running.stderr(), what="draining")
            running.send_signal(number)
        started = MONOTONIC()
        assert running.wait(within=10) == 0
        assert MONOTONIC() - started < 10
    assert "Traceback" not in running.log_text()


def test_sighup_does_not_end_it(sidecar: Start, upstream: Upstream) -> None:
    """Operators send it to everything that has a configuration: it reads its own again, and on it goes."""
    upstream.otherwise(scripted.ok())
    running = sidecar(served(upstream))
    running.send_signal(signal.SIGHUP)
    running.until(lambda: "nothing changes" in running.stderr(), what="a line about it")
    assert running.ready()
    assert ask(running.port, "GET", "/").status == 200
    assert running.stop() == 0


def test_the_access_log_is_whole_when_it_ends(sidecar: Start, upstream: Upstream) -> None:
    """What was answered right before the end has its line."""
    upstream.otherwise(scripted.ok())
    running = sidecar(served(upstream))
    for number in range(20):
        assert ask(running.port, "GET", f"/{number}").status == 200
    assert running.stop(signal.SIGINT) == 0
    assert [line["path"] for line in running.access_log()] == [f"/{number}" for number in range(20)]


def test_logs_are_as_the_file_asks(sidecar: Start, upstream: Upstream) -> None:
    """Its format and level for the one, headers and hidden parameters for the other."""
    upstream.otherwise(scripted.ok())
    more = "log: {format: text, level: warning}\naccess_log: {redact_query: false, headers: [X-Tenant]}"
    running = sidecar(served(upstream, more))
    assert ask(running.port, "GET", "/a?token=t&page=2", {"X-Tenant": "blue", "X-Other": "o"}).status == 200
    (line,) = running.wait_for_access(1)
    assert (line["path"], line["headers"]) == ("/a?token=***&page=2", {"X-Tenant": "blue"})
    upstream.otherwise(scripted.status(500))
    for _ in range(5):
        assert ask(running.port, "GET", "/b").status == 500
    running.until(lambda: "breaker of all: closed to open" in running.stderr(), what="the breaker's line")
    told = [text.split() for text in running.stderr().splitlines()]
    assert [words[1] for words in told if words[2] == "sidecar:"] == ["warning"]


def test_an_access_log_nobody_reads_stops_nothing(sidecar: Start, upstream: Upstream) -> None:
    """A full disk costs log lines, never answers, and the loss is counted."""
    upstream.otherwise(scripted.ok())
    running = sidecar(served(upstream, "access_log: {path: /dev/full}"))
    assert [ask(running.port, "GET", "/").status for _ in range(20)] == [200] * 20
    running.until(lambda: running.metric("sidecar_access_log_dropped_total") == 20, what="the loss is counted")
    assert running.stop() == 0


# What it never tells.

PHONE, TOKEN, SECRET, COOKIE = "27825550100", "tok3n-of-the-caller", "s3cret-of-the-file", "c00kie"


def test_nothing_private_is_written_or_shown(sidecar: Start, upstream: Upstream, tmp_path: Path) -> None:
    """No query, phone number, token or secret in logs, metrics, status or configuration, however requests end."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    config = f"""
upstreams:
  a:
    endpoints: ["{upstream.url}"]
    headers: {{set: {{X-Api-Key: {{file: "{secret}"}}, Authorization: "${{FROM_ENV}}"}}}}
routes:
  - name: all
    match: {{prefix: /}}
    upstream: a
    timeout: {{total: 500ms}}
    retry: {{attempts: 2}}
    breaker: {{consecutive_failures: 8}}
    expect: {{content_type: application/json}}
    fallback: [{{last_known_good: {{max_age: 1h, identity: [Authorization, Cookie]}}}}]
"""
    running = sidecar(config, env={"FROM_ENV": "Bearer fr0m-env"})
    troubles = (
        scripted.ok({"phone": PHONE}),
        scripted.hang(),
        scripted.reset(),
        scripted.garbage(),
        scripted.half_body(PHONE.encode() * 10),
        scripted.answer(200, b"{" + PHONE.encode()),
        scripted.status(500, PHONE.encode()),
        scripted.status(404, PHONE.encode()),
        scripted.raw(b"HTTP/1.1 200 " + PHONE.encode() + b"\r\nX: " + PHONE.encode() + b"\x00\r\n\r\n"),
    )
    private = {"Authorization": f"Bearer {TOKEN}", "Cookie": f"id={COOKIE}", "X-Request-Id": f'"{TOKEN}"'}
    for number, trouble in enumerate(troubles):
        upstream.otherwise(trouble)
        target = f"/toggles?phone_number={PHONE}&n={number % 2}"
        ask(running.port, "GET", target, private)
        ask(running.port, "POST", target, private, f"phone={PHONE}".encode())
    for broken in (f"GET /?{PHONE} HTTP/1.1\r\nX: {TOKEN}\r\n\r\n", f"{PHONE} {TOKEN}\r\n\r\n"):
        with Caller(running.port) as caller:
            caller.send(broken.encode())
            assert caller.answer().status == 400
    upstream.otherwise(scripted.ok())
    assert upstream.requests()[0].get("x-api-key") == SECRET
    assert upstream.requests()[0].get("authorization") == "Bearer fr0m-env"

    running.wait_for_access(2 * len(troubles) + 2)
    pages = [running.admin(page)[1].decode() for page in ("/metrics", "/status", "/config", "/", "/readyz")]
    assert running.stop() == 0
    told = "\n".join([*pages, running.log_text()])
    private_words = [PHONE, "phone_number", TOKEN, SECRET, COOKIE, "fr0m-env"]
    assert [word for word in private_words if word in told] == []
    assert {line["outcome"] for line in running.access_log()} >= {"ok", "upstream_error", "bad_request"}
    assert '"x-api-key"' in pages[2].lower(), "the configuration was not shown at all"
