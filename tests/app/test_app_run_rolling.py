"""A new process takes the place of an old one while callers go on calling: nobody notices."""

import asyncio
import signal
from collections.abc import Callable

from app_caller import Caller, ask, request
from app_peers import Restless
from app_reloading import Crowd, crowded
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar
from fixtures.upstream import Upstream

PER_SECOND = 500.0
RESTARTS = 3

TEXT = """
listen: {{address: "127.0.0.1:{port}", reuse_port: true}}
access_log: {{sample: 0%}}
drain: {{timeout: 20s, quiet: 300ms}}
upstreams: {{main: {{endpoints: ["{url}"]}}}}
routes: [{{name: all, match: {{prefix: /}}, upstream: main, timeout: {{total: 10s}}}}]
"""


async def test_rolling_restarts_under_load_lose_nothing(
    sidecar: Callable[..., RunningSidecar], port: int, record_property: Callable[[str, object], None]
) -> None:
    """Each time a new process begins, serves, and the old one is told to end: no call fails, none is reset."""
    async with Restless(after=lambda line: None) as upstream:
        text = TEXT.format(port=port, url=upstream.url)
        running = await asyncio.to_thread(sidecar, text)
        crowd = Crowd(port, "/r/")
        started = asyncio.get_running_loop().time()
        async with crowded(crowd, per_second=PER_SECOND, lines=12, fresh=8):
            for _ in range(RESTARTS):
                successor = await asyncio.to_thread(sidecar, text)
                assert await asyncio.to_thread(running.stop) == 0
                assert "handed over" in running.stderr()
                assert "Traceback" not in running.log_text()
                running = successor
            took = asyncio.get_running_loop().time() - started
        assert crowd.wrong == []
        assert crowd.closed >= RESTARTS, "kept connections were told to go"
        record_property(
            "figure",
            f"{RESTARTS} rolling restarts in {took:.1f} s under {crowd.answered / took:.0f} req/s: {crowd.answered} "
            f"answered, 0 failed, 0 reset; slowest {crowd.slowest * 1000:.0f} ms, "
            f"{crowd.closed} connections told to end",
        )


def test_a_successor_that_comes_late_is_handed_over_to(
    sidecar: Callable[..., RunningSidecar], port: int, upstream: Upstream
) -> None:
    """Until then whoever was told to end goes on taking callers; what is under way there ends there."""
    upstream.on("/slow", scripted.held(scripted.ok({"slow": 1}))).on("/next", scripted.ok())
    text = TEXT.format(port=port, url=upstream.url).replace("sample: 0%", "sample: 100%")
    old = sidecar(text)
    with Caller(port) as slow:
        slow.send(request("GET", "/slow"))
        upstream.wait_for(1, "/slow")
        old.send_signal(signal.SIGTERM)
        old.until(lambda: old.admin("/readyz")[0] == 503, what="/readyz says 503")
        assert ask(port, "GET", "/next", {}, b"").status == 200
        new = sidecar(text)
        old.until(lambda: "handed over" in old.stderr(), what="it hands over")
        for _ in range(10):
            assert ask(port, "GET", "/next", {}, b"").status == 200
        assert len(new.wait_for_access(10)) == 10
        upstream.release()
        assert slow.answer().json == {"slow": 1}
    assert old.wait() == 0
    assert [line["path"] for line in old.access_log()] == ["/next", "/slow"]
