"""A sidecar whose receivers are dead, hang, are too busy or fail: traffic goes on, and who can be told is told."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_caller import ask
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar, free_port
from fixtures.upstream import Behaviour, Exchange, Upstream

SECRET = "s3cret-of-the-webhook"

CONFIG = """
upstreams:
  connect: {{endpoints: ["{upstream}"]}}
defaults: {{upstream: connect, breaker: {{consecutive_failures: 2, open_for: 500ms, open_for_max: 500ms, jitter: 0}}}}
routes:
  - {{name: toggles, match: {{prefix: /toggles/}}, critical: true}}
  - {{name: users, match: {{prefix: /users/}}}}
  - {{name: well, match: {{prefix: /well/}}}}
notify:
  - {{name: dead, webhook: "http://127.0.0.1:{dead}/{secret}", window: 1s}}
  - {{name: hung, webhook: {{file: hung}}, window: 1s}}
  - {{name: busy, webhook: "${{BUSY}}", format: discord, window: 1s}}
  - {{name: broken, webhook: "{receiver}/broken/{secret}", format: json, window: 1s}}
log: {{escalate_after: 1ms}}
"""


def then(*behaviours: Behaviour) -> Behaviour:
    """One after another; the last for good."""
    left = list(behaviours)

    async def behave(exchange: Exchange) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(exchange)

    return behave


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Ill, but for one route."""
    with Upstream(otherwise=scripted.status(500)) as server:
        yield server.on("/well/x", scripted.ok())


@pytest.fixture
def receiver() -> Iterator[Upstream]:
    """The webhooks that are there."""
    good = scripted.answer(204, b"")
    with Upstream() as server:
        server.on(f"/hung/{SECRET}", scripted.hang())
        server.on(f"/busy/{SECRET}", then(scripted.status(429, headers=[("Retry-After", "1")]), good))
        server.on(f"/broken/{SECRET}", then(scripted.status(500), good))
        yield server


@pytest.fixture
def sidecar(upstream: Upstream, receiver: Upstream, tmp_path: Path) -> Iterator[RunningSidecar]:
    """Between them."""
    (tmp_path / "hung").write_text(f"{receiver.url}/hung/{SECRET}\n")
    config = CONFIG.format(upstream=upstream.url, receiver=receiver.url, secret=SECRET, dead=free_port())
    running = RunningSidecar(config, tmp_path, {"BUSY": f"{receiver.url}/busy/{SECRET}"})
    try:
        yield running
    finally:
        running.kill()


def bodies(receiver: Upstream, name: str) -> list[dict[str, Any]]:
    """What one was sent so far."""
    return [json.loads(request.body) for request in receiver.requests(f"/{name}/{SECRET}")]


def test_an_outage_is_told_to_those_who_can_hear_and_harms_nobody(
    sidecar: RunningSidecar, upstream: Upstream, receiver: Upstream
) -> None:
    """Opened and recovered, each once; a dead and a hung receiver hold up neither traffic nor the end."""
    for _ in range(3):
        assert ask(sidecar.port, "GET", "/toggles/x").status == 503
        ask(sidecar.port, "GET", "/users/x")
    receiver.wait_for(2, f"/busy/{SECRET}")
    receiver.wait_for(2, f"/broken/{SECRET}")
    receiver.wait_for(1, f"/hung/{SECRET}")
    for _ in range(50):
        assert ask(sidecar.port, "GET", "/well/x").status == 200

    refused, taken = bodies(receiver, "broken")
    assert refused == taken
    assert {line["route"]: line["kinds"] for line in taken["opened"]} == {
        "toggles": ["breaker_open", "fail_closed"],
        "users": ["breaker_open"],
    }
    assert taken["opened"][0]["callers"]["fail_closed"] >= 1
    _, busy = bodies(receiver, "busy")
    assert busy["content"].startswith("connect is failing (2 routes)")

    upstream.otherwise(scripted.ok())
    sidecar.until(lambda: all_closed(sidecar), what="both breakers closed")
    receiver.wait_for(3, f"/broken/{SECRET}")
    over = bodies(receiver, "broken")[2]
    assert {line["route"] for line in over["recovered"]} == {"toggles", "users"}
    assert all(line["seconds"] >= 1.0 for line in over["recovered"])

    sent = 'sidecar_notifications_total{receiver="broken",result="sent"}'
    sidecar.until(lambda: sidecar.metric(sent) == 2, what="both are counted")
    assert sidecar.metric('sidecar_notifications_total{receiver="broken",result="failed"}') == 1
    assert sidecar.metric('sidecar_notifications_total{receiver="dead",result="failed"}') >= 1
    shown = [sidecar.metrics(), *(sidecar.admin(path)[1].decode() for path in ("/status", "/config", "/"))]
    assert sidecar.stop() == 0
    assert SECRET not in "".join([*shown, sidecar.log_text()])


def all_closed(sidecar: RunningSidecar) -> bool:
    """Asks both routes once more."""
    statuses = [ask(sidecar.port, "GET", target).status for target in ("/toggles/x", "/users/x")]
    closed = re.findall(r'breaker_state\{route="(?:toggles|users)",state="closed"\} 1', sidecar.metrics())
    return statuses == [200, 200] and len(closed) == 2


def test_what_waits_at_the_end_is_sent(sidecar: RunningSidecar, receiver: Upstream) -> None:
    """An opening that is younger than its window, when the sidecar is told to go. The hung one costs three seconds."""
    receiver.on(f"/broken/{SECRET}", scripted.answer(204, b""))
    for _ in range(2):
        ask(sidecar.port, "GET", "/users/x")
    state = 'sidecar_breaker_state{route="users",state="open"}'
    sidecar.until(lambda: sidecar.metric(state) == 1, what="it is open for longer than a millisecond")
    sidecar.send_signal(signal.SIGINT)
    assert sidecar.wait() == 0
    assert [body["opened"][0]["route"] for body in bodies(receiver, "broken")] == ["users"]
    lines = [json.loads(line) for line in sidecar.stderr().splitlines()]
    late = [line["routes"] for line in lines if line.get("event") == "outage" and line["level"] == "error"]
    assert late == [["users"]], "open for longer than log.escalate_after"
    lost = [line["receiver"] for line in lines if line.get("event") == "notify"]
    assert sorted(lost) == ["busy", "dead", "hung"], "those that did not take it are named"
