"""The configuration changes again and again while a thousand requests come each second: nobody notices."""

import asyncio
from collections.abc import Callable

import pytest
from app_peers import Restless
from app_reloading import Crowd, crowded, reload
from fixtures.process import RunningSidecar, free_port

RELOADS = 50
PER_SECOND = 1000.0
SECOND = free_port()
"""Of a listener that comes and goes."""

TEXT = """
listen: [127.0.0.1:{port}{more}]
admin: {{listen: 127.0.0.1:@admin@}}
limits: {{connections: {connections}}}
access_log: {{sample: 0%}}
upstreams:
  main: {{endpoints: ["{url}"], pool: {{idle: {idle}}}, headers: {{set: {{X-Round: "{number}"}}}}}}
  gone: {{endpoints: ["http://127.0.0.1:1"]}}
routes:
  - {{name: all, match: {{prefix: /}}, upstream: main, timeout: {{total: {total}s}}, bulkhead: {{in_flight: 900}}}}
  - {{name: extra-{number}, match: {{path: /extra}}, upstream: gone}}
"""


def configuration(url: str, port: int, number: int) -> str:
    """The text of that round. Every fifth is not valid."""
    text = TEXT.format(
        url=url,
        port=port,
        more=f", 127.0.0.1:{SECOND}" if number % 4 == 3 else "",
        number=number % 3,
        connections=1000 + number,
        idle=32 + number % 2,
        total=10 + number % 7,
    )
    return text + "limits: {}\n" if number % 5 == 4 else text


@pytest.fixture
def start(sidecar: Callable[..., RunningSidecar], port: int) -> Callable[[str], RunningSidecar]:
    """Starts a sidecar before the upstream of that address, and remembers its port."""

    def started(url: str) -> RunningSidecar:
        running = sidecar(configuration(url, port, 0))
        running.port = port
        return running

    return started


async def test_fifty_reloads_under_load_lose_nothing(
    start: Callable[[str], RunningSidecar], record_property: Callable[[str, object], None]
) -> None:
    """No request fails, none is reset, none is answered wrongly; each reload is taken, or rejected as it must be."""
    async with Restless(after=lambda line: None) as upstream:
        running = await asyncio.to_thread(start, upstream.url)
        crowd = Crowd(running.port, "/r/")
        codes, slowest = [], 0.0
        async with crowded(crowd, per_second=PER_SECOND):
            started = asyncio.get_running_loop().time()
            for number in range(1, RELOADS + 1):
                new = configuration(upstream.url, running.port, number).replace("@admin@", str(running.admin_port))
                running.config_path.write_text(new)
                before = asyncio.get_running_loop().time()
                code, told = await asyncio.to_thread(reload, running)
                slowest = max(slowest, asyncio.get_running_loop().time() - before)
                codes.append((number, code, told))
                await asyncio.sleep(0.03)  # so that requests, not reloads, are most of what happens
            took = asyncio.get_running_loop().time() - started
        answered = crowd.answered
        assert [code for _, code, _ in codes] == [422 if number % 5 == 4 else 200 for number, _, _ in codes], codes
        assert crowd.wrong == []
        status = await asyncio.to_thread(running.status)
        assert status["config"]["reloads"]["ok"] >= RELOADS * 4 // 5
        assert sum(route["in_flight"] for route in status["routes"]) == 0
        assert "Traceback" not in running.log_text()
        assert [line["outcome"] for line in running.access_log()] == []
        record_property(
            "figure",
            f"{RELOADS} reloads in {took:.1f} s under {answered / took:.0f} req/s: {answered} answered, "
            f"0 failed, 0 reset; "
            f"slowest request {crowd.slowest * 1000:.0f} ms, slowest reload {slowest * 1000:.0f} ms, "
            f"{crowd.closed} connections told to end",
        )
