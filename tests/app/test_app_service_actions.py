"""What an operator does through the admin port, seen by callers: held breakers, faults, a drain; and who may."""

import http.client
import json
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from app_caller import Answer, BrokenOff, Caller, ask
from fixtures.process import RunningSidecar
from fixtures.upstream import Upstream, ok, status

from sidecar.clock import MONOTONIC

TOKEN = "s3cret-of-the-operator"
BEARER = {"Authorization": f"Bearer {TOKEN}"}

CONFIG = """
admin: {{listen: 127.0.0.1:@admin@, token: {{file: token}}}}
upstreams:
  main: {{endpoints: ["{main}"]}}
  twice: {{endpoints: ["{main}", "{backup}"], ejection: {{consecutive_failures: 1}}}}
  backup: {{endpoints: ["{backup}"]}}
defaults:
  upstream: main
  timeout: {{total: 8s}}
  retry: {{budget: {{ratio: 100%, per_second: 1000}}, backoff: {{base: 1ms, max: 1ms}}}}
routes:
  - {{name: plain, match: {{prefix: /plain/}}}}
  - {{name: shut, match: {{prefix: /shut/}}, breaker: {{successes_to_close: 1}}}}
  - {{name: failing, match: {{prefix: /failing/}}, breaker: {{consecutive_failures: 2}}}}
  - {{name: fragile, match: {{prefix: /fragile/}}, breaker: {{consecutive_failures: 2, open_for: 60s}}}}
  - {{name: half, match: {{prefix: /half/}}, breaker: {{enabled: false}}}}
  - {{name: again, match: {{prefix: /again/}}, retry: {{attempts: 3}}, breaker: {{enabled: false}}}}
  - {{name: hasty, match: {{prefix: /hasty/}}, timeout: {{attempt: 200ms, total: 8s}}}}
  - {{name: pair, match: {{prefix: /pair/}}, upstream: twice, breaker: {{enabled: false}}}}
  - {{name: critical, match: {{prefix: /critical/}}, critical: true}}
  - {{name: laddered, match: {{prefix: /laddered/}}, fallback: [{{upstream: backup, on: [response]}}]}}
  - {{name: fixed, match: {{prefix: /fixed/}}, fallback: [{{static: {{status: 200, json: {{}}}}, on: [response]}}]}}
  - {{name: cut, match: {{prefix: /cut/}}}}
  - name: picky
    match: {{prefix: /picky/}}
    expect: {{json_schema: toggles.json}}
"""

SCHEMA = {"type": "object", "required": ["items"], "properties": {"items": {"type": "array"}}}


@dataclass
class Desk:
    """A sidecar, its upstreams, and its operator."""

    sidecar: RunningSidecar
    upstream: Upstream
    backup: Upstream

    def act(self, path: str, document: Any = None, *, method: str = "POST") -> Any:
        """Does it, and returns what the port says."""
        connection = http.client.HTTPConnection("127.0.0.1", self.sidecar.admin_port, timeout=10)
        body = None if document is None else json.dumps(document)
        connection.request(method, path, body, {"Content-Type": "application/json", **BEARER})
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        assert answer.status == 200, told
        return told

    def fault(self, route: str, **fault: Any) -> None:
        """Injects one."""
        self.act(f"/routes/{route}/fault", fault)

    def get(self, target: str) -> Answer:
        """A GET on a connection of its own."""
        return ask(self.sidecar.port, "GET", target, {})


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Everything, once."""
    own = tmp_path_factory.mktemp("desk")
    (own / "token").write_text(TOKEN + "\n")
    (own / "toggles.json").write_text(json.dumps(SCHEMA))
    with Upstream().otherwise(ok({})) as main, Upstream().otherwise(ok({})) as backup:
        sidecar = RunningSidecar(CONFIG.format(main=main.url, backup=backup.url), own)
        try:
            yield Desk(sidecar, main, backup)
            assert sidecar.stop() == 0
            assert "Traceback" not in sidecar.log_text(), sidecar.log_text()
            assert "exchange failed" not in sidecar.log_text(), sidecar.log_text()
        finally:
            sidecar.kill()


def test_a_breaker_held_open_refuses_until_its_time_is_over(desk: Desk) -> None:
    """503 breaker_open with the seconds left; then callers are served again, with nobody's help."""
    assert desk.get("/shut/a").status == 200
    desk.act("/routes/shut/breaker", {"state": "open", "for": "1s"})
    seen = desk.upstream.count("/shut/b")
    refused = desk.get("/shut/b")
    assert (refused.status, refused.json["reason"], refused.get("retry-after")) == (503, "breaker_open", "1")
    assert desk.upstream.count("/shut/b") == seen
    assert desk.sidecar.status()["routes"][1]["breaker"]["forced"]["state"] == "open"
    assert desk.sidecar.metric('sidecar_breaker_forced{route="shut"}') == 1
    desk.sidecar.until(lambda: desk.get("/shut/b").status == 200, what="served again")
    desk.sidecar.until(lambda: "breaker of shut is no longer held" in desk.sidecar.log_text(), what="its end is told")
    assert desk.sidecar.metric('sidecar_breaker_forced{route="shut"}') == 0


def test_a_breaker_held_closed_lets_everyone_through(desk: Desk) -> None:
    """In an outage that would open it."""
    desk.upstream.on("/failing/a", status(500))
    desk.act("/routes/failing/breaker", {"state": "closed"})
    assert [desk.get("/failing/a").attempts for _ in range(6)] == [1] * 6
    desk.act("/routes/failing/breaker", method="DELETE")
    assert desk.get("/failing/a").attempts == 1
    assert desk.get("/failing/a").json["reason"] == "breaker_open", "what was counted has its say"


def test_half_of_the_attempts_are_aborted(desk: Desk) -> None:
    """Of 400, within five standard deviations; each answer says which it is, the others are the upstream's."""
    desk.fault("half", abort=502, ratio=0.5)
    with Caller(desk.sidecar.port) as caller:
        answers = [caller.ask("GET", "/half/a") for _ in range(400)]
    hit = [answer for answer in answers if answer.get("x-sidecar-fault") == "abort"]
    assert 150 <= len(hit) <= 250
    assert {answer.status for answer in hit} == {502}
    assert {answer.json["reason"] for answer in hit} == {"fault_injected"}
    assert {answer.status for answer in answers if answer not in hit} == {200}
    assert desk.upstream.count("/half/a") == 400 - len(hit)
    assert desk.sidecar.metric('sidecar_faults_injected_total{route="half",kind="abort"}') == len(hit)
    assert desk.sidecar.metric('sidecar_attempts_total{route="half",upstream="main",result="fault_injected"}') == len(
        hit
    )
    desk.act("/routes/half/fault", method="DELETE")
    assert {desk.get("/half/b").get("x-sidecar-fault") for _ in range(20)} == {None}


def test_an_abort_is_judged_as_the_upstreams_answer(desk: Desk) -> None:
    """The breaker opens; with retries the next attempt may come through; on a critical route it fails closed."""
    desk.fault("fragile", abort=500)
    assert [desk.get("/fragile/a").status for _ in range(2)] == [500, 500]
    assert desk.get("/fragile/a").json["reason"] == "breaker_open"
    desk.fault("again", abort=503)
    answer = desk.get("/again/a")
    assert (answer.status, answer.attempts) == (503, 3)
    desk.fault("critical", abort=502)
    answer = desk.get("/critical/a")
    assert (answer.status, answer.json["reason"], answer.get("x-sidecar-fault")) == (503, "fault_injected", "abort")


def test_a_4xx_on_purpose_passes_as_any_other(desk: Desk) -> None:
    """It is no failure, and nothing rescues it."""
    desk.fault("fixed", abort=404)
    assert desk.get("/fixed/a").status == 404


@pytest.mark.parametrize("route", ["laddered", "fixed"])
def test_the_ladder_is_rehearsed(desk: Desk, route: str) -> None:
    """What would rescue the caller in an outage does; the other upstream is not hit, and the answer says why."""
    desk.fault(route, abort=503)
    answer = desk.get(f"/{route}/rescue")
    assert (answer.status, answer.get("x-sidecar-fault")) == (200, "abort")
    assert 'details="fault_injected"' in str(answer.get("proxy-status"))
    assert desk.backup.count(f"/{route}/rescue") == (route == "laddered")


def test_endpoints_are_not_ejected_for_it(desk: Desk) -> None:
    """They are other routes' too, and did nothing."""
    desk.fault("pair", abort=500)
    for _ in range(6):
        assert desk.get("/pair/a").status == 500
    (pair,) = (group for group in desk.sidecar.status()["upstreams"] if group["name"] == "twice")
    assert [endpoint["ejected"] for endpoint in pair["endpoints"]] == [False, False]


def test_a_delay_comes_before_the_attempt(desk: Desk) -> None:
    """The answer is the upstream's own, late, and says so; another route is not held up."""
    desk.fault("plain", delay="400ms")
    began = MONOTONIC()
    answer = desk.get("/plain/late")
    assert 0.4 <= MONOTONIC() - began < 3.0
    assert (answer.status, answer.get("x-sidecar-fault")) == (200, "delay")
    desk.act("/routes/plain/fault", method="DELETE")


def test_a_delay_counts_against_the_timeout(desk: Desk) -> None:
    """Longer than the attempt may take, it is what a hanging upstream is; nothing reaches the upstream later."""
    desk.fault("hasty", delay="10s")
    began = MONOTONIC()
    answer = desk.get("/hasty/a")
    assert (answer.status, answer.json["reason"]) == (504, "attempt_timeout")
    assert 0.2 <= MONOTONIC() - began < 3.0
    desk.act("/routes/hasty/fault", method="DELETE")
    assert desk.get("/hasty/b").status == 200
    assert desk.upstream.count("/hasty/a") == 0


def test_a_reset_cuts_the_caller_off(desk: Desk) -> None:
    """Not a byte of an answer; the log says why, the breaker nothing."""
    desk.fault("cut", reset=True)
    for _ in range(8):
        with Caller(desk.sidecar.port) as caller, pytest.raises((BrokenOff, ConnectionError)):
            caller.ask("GET", "/cut/a")
    assert desk.upstream.count("/cut/a") == 0
    desk.act("/routes/cut/fault", method="DELETE")
    assert desk.get("/cut/a").status == 200
    desk.sidecar.until(
        lambda: sum(line["path"] == "/cut/a" for line in desk.sidecar.access_log()) == 9, what="nine lines"
    )
    lines = [line for line in desk.sidecar.access_log() if line["path"] == "/cut/a"]
    assert {line["reason"] for line in lines[:-1]} == {"fault_injected"}


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_request_with_a_body_is_answered_all_the_same(desk: Desk, size: int) -> None:
    """Also one too long to be kept, which nobody reads now."""
    desk.fault("fixed", abort=404)
    assert ask(desk.sidecar.port, "POST", "/fixed/body", {}, b"x" * size).status == 404
    assert ask(desk.sidecar.port, "HEAD", "/fixed/body", {}).body == b""


def test_a_caller_that_leaves_during_a_delay_is_let_go(desk: Desk) -> None:
    """Nothing is sent for it afterwards, and nothing stays under way."""
    desk.fault("plain", delay="5s")
    caller = Caller(desk.sidecar.port)
    caller.send(b"GET /plain/left HTTP/1.1\r\nHost: app\r\n\r\n")
    desk.sidecar.until(lambda: desk.sidecar.metric('sidecar_in_flight{route="plain"}') == 1, what="it is under way")
    caller.socket.close()
    desk.sidecar.until(lambda: desk.sidecar.metric('sidecar_in_flight{route="plain"}') == 0, what="it is gone")
    desk.act("/routes/plain/fault", method="DELETE")
    assert desk.upstream.count("/plain/left") == 0


def test_a_body_that_breaks_its_schema_is_not_passed_on(desk: Desk) -> None:
    """502, or whatever the route falls back on; place and keyword are told, nothing of the body."""
    answer = desk.get("/picky/a")
    assert (answer.status, answer.json["reason"]) == (502, "unexpected_response")
    assert answer.json["detail"] == "the document as a whole breaks 'required' of expect.json_schema"


def test_the_token_stands_nowhere(desk: Desk) -> None:
    """Shown rightly and wrongly: in no log, no metric, no page, no answer."""
    said = []
    for shown in (TOKEN, "guessed-wrong-4711"):
        connection = http.client.HTTPConnection("127.0.0.1", desk.sidecar.admin_port, timeout=10)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {shown}"}
        connection.request("POST", "/routes/nothing/fault", "{}", headers)
        answer = connection.getresponse()
        said.append((answer.status, answer.read().decode()))
        connection.close()
    assert [code for code, _ in said] == [404, 401]
    desk.sidecar.until(lambda: "was refused: 401" in desk.sidecar.log_text(), what="the refusal is in the log")
    pages = [desk.sidecar.admin(path)[1].decode() for path in ("/config", "/status", "/metrics", "/", "/nothing")]
    for text in (desk.sidecar.log_text(), repr(said), *pages):
        assert TOKEN not in text
        assert "guessed" not in text


def test_a_drain_serves_on_until_a_signal_comes(tmp_path: Path) -> None:
    """Readiness goes and stays away; calls are answered; SIGTERM then ends the process as ever."""
    with Upstream().otherwise(ok({})) as upstream:
        config = f"""
drain: {{quiet: 100ms}}
upstreams: {{a: {{endpoints: ["{upstream.url}"]}}}}
routes: [{{name: r, match: {{prefix: /}}, upstream: a}}]
"""
        sidecar = RunningSidecar(config, tmp_path)
        try:
            connection = http.client.HTTPConnection("127.0.0.1", sidecar.admin_port, timeout=10)
            connection.request("POST", "/drain", "{}", {"Content-Type": "application/json"})
            assert connection.getresponse().status == 200
            connection.close()
            assert sidecar.admin("/readyz")[0] == 503
            assert sidecar.status()["draining"] is True
            assert ask(sidecar.port, "GET", "/a", {}).status == 200
            os.kill(sidecar.pid, signal.SIGTERM)
            assert sidecar.wait() == 0
        finally:
            sidecar.kill()


def test_beyond_loopback_the_port_starts_and_changes_nothing(tmp_path: Path) -> None:
    """Without a token: everything can be looked at, and every action is 403."""
    config = """
admin: {listen: "0.0.0.0:@admin@"}
upstreams: {a: {endpoints: ["http://127.0.0.1:9"]}}
routes: [{name: r, match: {prefix: /}, upstream: a}]
"""
    sidecar = RunningSidecar(config, tmp_path)
    try:
        with socket.create_connection(("127.0.0.1", sidecar.admin_port), timeout=10) as raw:
            raw.sendall(
                b"POST /drain HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n"
                b"Content-Length: 2\r\n\r\n{}"
            )
            answer = b"".join(iter(lambda: raw.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 403")
        assert b"admin.token" in answer
        assert sidecar.admin("/readyz")[0] == 200
    finally:
        sidecar.kill()
