"""What served before is gone once its last request has ended: fifty configurations later there is one in memory."""

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from app_peers import Restless, read_answer
from fixtures.process import free_port

from sidecar import config
from sidecar.app.service import Service
from sidecar.policy.route import Route
from sidecar.proxy.target import Target
from sidecar.wire.pool import Pool

TEXT = """
listen: 127.0.0.1:{port}
admin: {{listen: 127.0.0.1:0}}
access_log: {{path: /dev/null}}
upstreams: {{main: {{endpoints: ["{url}"], connect_timeout: {seconds}s, headers: {{set: {{X-Round: "{number}"}}}}}}}}
routes: [{{name: all, match: {{prefix: /}}, upstream: main, timeout: {{total: {seconds}s}}}}]
"""
GENERATIONS = 50


@pytest.fixture
def collector() -> Iterator[None]:
    """Switched off, and afterwards as it was: a process that serves has most of its objects out of its sight."""
    before = gc.get_threshold()
    gc.collect()  # what other tests left
    gc.disable()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)
    gc.enable()


def alive(kind: type) -> int:
    """Objects of that type, frozen or not."""
    gc.unfreeze()
    return sum(type(one) is kind for one in gc.get_objects())


@pytest.mark.usefixtures("collector")
async def test_generations_do_not_pile_up(tmp_path: Path) -> None:
    """Neither routes nor endpoints nor pools nor connections, on a connection that outlives them all.

    Heads that came before are known, with what was worked out for an endpoint: that must not hold on to it.
    """
    before = {kind: alive(kind) for kind in (Route, Target, Pool, config.Config)}
    path, port = tmp_path / "sidecar.yaml", free_port()
    async with Restless(after=lambda line: None) as upstream:

        def write(number: int) -> None:
            path.write_text(TEXT.format(port=port, url=upstream.url, seconds=5 + number % 2, number=number))

        write(0)
        service = Service(config.load(path))
        await service.start()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for number in range(1, GENERATIONS + 1):
                for _ in range(4):
                    writer.write(b"GET /x HTTP/1.1\r\nHost: h\r\nX-Known: 1\r\n\r\n")
                    assert (await read_answer(reader)).status == 200
                write(number)
                assert (await service._asked_to_reload())[0] == 200
            writer.close()
            write(0)
            assert (await service._asked_to_reload())[0] == 200  # closes what the last request left idle
            async with asyncio.timeout(10):
                while upstream.open:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
            found = {kind: alive(kind) - count for kind, count in before.items()}
        finally:
            await service.stop()
    assert found == {Route: 1, Target: 1, Pool: 1, config.Config: 1}
