"""Last known good answers on disk, end to end: a real sidecar, killed in the middle of an outage."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from app_caller import ask
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar
from fixtures.upstream import Upstream

from sidecar.stores.database import NAME

Start = Callable[..., RunningSidecar]
AUTH = {"Authorization": "Basic YWxpY2U6c2VjcmV0"}


def config(upstream: Upstream, path: Path, *, store: str = "disk") -> str:
    """A route that keeps what it may, per Authorization."""
    return f"""
upstreams: {{main: {{endpoints: ["{upstream.url}"]}}}}
drain: {{quiet: 100ms}}
state: {{last_known_good: {{store: {store}, path: "{path}"}}}}
routes:
  - name: toggles
    match: {{prefix: /}}
    upstream: main
    timeout: {{attempt: 300ms, total: 1s}}
    breaker: {{consecutive_failures: 1, open_for: 60s}}
    fallback: [{{last_known_good: {{max_age: 1h, identity: [Authorization]}}}}]
"""


def written(running: RunningSidecar) -> float:
    """Answers that reached the disk."""
    return running.metric('sidecar_last_known_good_writes_total{result="ok"}')


def test_a_sidecar_killed_in_the_middle_of_an_outage_still_has_the_answer(
    sidecar: Start, upstream: Upstream, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Healthy, kept; killed; the upstream hangs; restarted: the very first caller gets it, with its age and why."""
    text = config(upstream, tmp_path / "kept")
    upstream.otherwise(scripted.ok({"toggle": True}))
    first = sidecar(text)
    healthy = ask(first.port, "GET", "/toggles?phone=1", AUTH)
    first.until(lambda: written(first) == 1, what="the answer is on disk")
    first.kill()

    upstream.otherwise(scripted.hang())
    second = sidecar(text)
    rescued = ask(second.port, "GET", "/toggles?phone=1", AUTH)
    assert (rescued.status, rescued.body) == (200, healthy.body)
    assert int(rescued.get("age") or "-1") >= 0
    assert (rescued.get("cache-status") or "").startswith("sidecar; hit; ttl=")
    assert (rescued.get("cache-status") or "").endswith("detail=attempt_timeout")
    refused = ask(second.port, "GET", "/toggles?phone=1", AUTH)
    assert refused.body == healthy.body
    assert (refused.get("cache-status") or "").endswith("detail=breaker_open")
    assert ask(second.port, "GET", "/toggles?phone=2", AUTH).status == 503
    assert ask(second.port, "GET", "/toggles?phone=1", {"Authorization": "Basic Ym9i"}).status == 503
    assert ask(second.port, "GET", "/toggles?phone=1").status == 503
    record_property(
        "figure", f"after kill -9 and restart: 200, Age {rescued.get('age')}, {rescued.get('cache-status')}"
    )


def test_an_end_in_order_writes_what_is_not_written_yet(sidecar: Start, upstream: Upstream, tmp_path: Path) -> None:
    """SIGTERM right after the answer; what /status and /metrics say of it is the same before and after."""
    text = config(upstream, tmp_path / "kept")
    upstream.otherwise(scripted.ok({"toggle": True}))
    first = sidecar(text)
    for number in range(20):
        assert ask(first.port, "GET", f"/{number}").status == 200
    assert first.stop() == 0
    upstream.otherwise(scripted.reset())
    second = sidecar(text)
    shown = second.status()["last_known_good"]
    assert (shown["entries"], shown["state"], shown["written"]) == (20, "disk", 0)
    assert second.metric("sidecar_last_known_good_entries") == 20
    assert second.metric("sidecar_last_known_good_bytes") == shown["bytes"] > 20 * 512
    assert second.metric('sidecar_last_known_good_store{state="disk"}') == 1
    assert [ask(second.port, "GET", f"/{number}").status for number in range(20)] == [200] * 20


def test_two_sidecars_on_one_path_do_not_harm_one_another(sidecar: Start, upstream: Upstream, tmp_path: Path) -> None:
    """A rolling restart: both write while the older one drains; the next has what both had."""
    text = config(upstream, tmp_path / "kept")
    upstream.otherwise(scripted.ok({"toggle": True}))
    running = [sidecar(text), sidecar(text)]
    for number in range(40):
        assert ask(running[number % 2].port, "GET", f"/{number}").status == 200
    assert [each.stop() for each in running] == [0, 0]
    third = sidecar(text)
    assert third.status()["last_known_good"]["entries"] == 40
    assert not any("last known good" in each.log_text() for each in (*running, third))


def test_a_disk_that_can_not_be_used_is_told_and_does_no_harm(
    sidecar: Start, upstream: Upstream, tmp_path: Path
) -> None:
    """One warning, the metric says memory, answers are kept there, and it ends as it should."""
    (tmp_path / "file").write_text("no directory")
    upstream.otherwise(scripted.ok({"toggle": True}))
    running = sidecar(config(upstream, tmp_path / "file"))
    assert running.metric('sidecar_last_known_good_store{state="memory"}') == 1
    assert ask(running.port, "GET", "/x").status == 200
    upstream.otherwise(scripted.reset())
    assert ask(running.port, "GET", "/x").json == {"toggle": True}
    assert running.status()["last_known_good"]["state"] == "memory"
    assert running.stop() == 0
    lines = [line for line in running.log_text().splitlines() if "last known good" in line]
    assert len(lines) == 1
    assert "memory only" in lines[0]


def test_a_damaged_file_is_set_aside_with_one_line(sidecar: Start, upstream: Upstream, tmp_path: Path) -> None:
    """The start goes on with a new file; the old one is there for whoever wants to know why."""
    (tmp_path / NAME).write_bytes(b"nonsense" * 1000)
    upstream.otherwise(scripted.ok({"toggle": True}))
    running = sidecar(config(upstream, tmp_path))
    assert ask(running.port, "GET", "/x").status == 200
    running.until(lambda: written(running) == 1, what="the new file is used")
    assert len(list(tmp_path.glob("*.corrupt-*"))) == 1
    lines = [line for line in running.log_text().splitlines() if "last known good" in line]
    assert len(lines) == 1
    assert "set aside" in lines[0]


def test_nothing_on_disk_says_who_asked(sidecar: Start, upstream: Upstream, tmp_path: Path) -> None:
    """Keys are hashes, cookies are dropped: neither credential, phone number nor session is in any file."""
    upstream.otherwise(scripted.ok({"toggle": True}, headers=[("Set-Cookie", "session=c00kie")]))
    running = sidecar(config(upstream, tmp_path / "kept"))
    assert ask(running.port, "GET", "/toggles?phone=27825550100", AUTH).get("set-cookie") == "session=c00kie"
    assert running.stop() == 0
    files = [file.read_bytes() for file in (tmp_path / "kept").iterdir()]
    assert any(b"toggle" in content for content in files)
    for private in (b"27825550100", b"YWxpY2U6c2VjcmV0", b"c00kie"):
        assert not any(private in content for content in files)
    with closing(sqlite3.connect(tmp_path / "kept" / NAME)) as connection:
        ((key,),) = connection.execute("SELECT key FROM kept").fetchall()
    assert len(key) == 32


@pytest.mark.parametrize(("store", "needed"), [("memory", False), ("disk", True)])
def test_sqlite_is_only_loaded_where_it_is_used(
    sidecar: Start, upstream: Upstream, tmp_path: Path, store: str, *, needed: bool
) -> None:
    """0.9 MB for everybody would be paid by those who keep nothing."""
    running = sidecar(config(upstream, tmp_path, store=store))
    assert ("sqlite" in Path(f"/proc/{running.pid}/maps").read_text()) is needed
