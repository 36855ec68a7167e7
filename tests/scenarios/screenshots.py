"""Takes the dashboard's screenshots: `make screenshots`.

The sidecar serves a shop's calls for half a minute; then one upstream of three falls ill.
"""

import asyncio
import sys
import tempfile
import threading
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random

from fixtures.browser import Window, chromium, window
from fixtures.process import RunningSidecar
from fixtures.upstream import Behaviour, Exchange, Upstream, ok, status

CONFIG = """
access_log: {{path: /dev/null}}
upstreams:
  connect:
    endpoints: ["{connect[0]}", "{connect[1]}"]
    retries_beyond: 0
  sms: {{endpoints: ["{sms}"]}}
  prices: {{endpoints: ["{prices}"]}}
routes:
  - name: toggles
    match: {{path: /toggles}}
    upstream: connect
    critical: true
    breaker: {{open_for: 20s}}
    fallback: [{{last_known_good: {{max_age: 1h, identity: []}}}}]
  - {{name: invited-user, match: {{path: /invited}}, upstream: connect, critical: true, breaker: {{open_for: 20s}}}}
  - {{name: send-code, match: {{path: /sms}}, upstream: sms, bulkhead: {{in_flight: 50, queue: 20}}}}
  - {{name: prices, match: {{prefix: /prices}}, upstream: prices, fallback: [{{static: {{status: 200, json: {{}}}}}}]}}
"""
PAUSES = {"/toggles": 0.025, "/invited": 0.07, "/sms": 0.12, "/prices/1": 0.3}
BEFORE = 45.0
"""Seconds of fair weather."""
DURING = 16.0
"""Seconds of the outage."""


def late(rng: Random, low: float, high: float) -> Behaviour:
    """An answer that takes about as long as answers take."""
    answered = ok({"fine": True})

    async def behave(exchange: Exchange) -> None:
        await asyncio.sleep(rng.uniform(low, high) * (5.0 if rng.random() < 0.02 else 1.0))
        await answered(exchange)

    return behave


def call(port: int, path: str, pause: float, over: threading.Event) -> None:
    """An application's calls, until it is over."""
    rng = Random(path)
    while not over.wait(rng.expovariate(1.0 / pause)):
        with suppress(OSError, HTTPException):
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            connection.getresponse().read()
            connection.close()


async def taken(folder: Path, side: RunningSidecar, connect: list[Upstream]) -> None:
    """All pictures: fair weather in both themes, the outage on a desk and on a phone, the dialog."""
    async with chromium() as browser, window(browser, side.admin_url, width=1180, height=760) as shown:
        await shown.open()
        await asyncio.sleep(BEFORE)
        await pictured(shown, folder / "dashboard-light.png")
        await pictured(shown, folder / "dashboard-dark.png", dark=True)
        for upstream in connect:
            upstream.otherwise(status(500))
        await asyncio.sleep(DURING)
        await shown.page.set_viewport_size({"width": 1180, "height": 850})
        await pictured(shown, folder / "dashboard-outage.png")
        await shown.page.set_viewport_size({"width": 1180, "height": 620})
        await shown.page.get_by_role("button", name="Hold open…").first.click()
        await pictured(shown, folder / "dashboard-hold.png", dark=True)
        await shown.page.keyboard.press("Escape")
        await shown.page.set_viewport_size({"width": 360, "height": 760})
        await pictured(shown, folder / "dashboard-phone.png")


async def pictured(shown: Window, path: Path, *, dark: bool = False) -> None:
    """One picture, once the page has been drawn in its theme."""
    await shown.page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
    await asyncio.sleep(1.5)
    await shown.page.screenshot(path=path)


def main(folder: Path) -> None:
    """Sets the stage."""
    rng = Random(1)
    over = threading.Event()
    folder.mkdir(parents=True, exist_ok=True)
    connect = [Upstream(otherwise=late(rng, 0.01, 0.04)) for _ in range(2)]
    others = [Upstream(otherwise=late(rng, 0.04, 0.12)), Upstream(otherwise=late(rng, 0.002, 0.01))]
    urls = [upstream.url for upstream in connect]
    config = CONFIG.format(connect=urls, sms=others[0].url, prices=others[1].url)
    side = RunningSidecar(config, Path(tempfile.mkdtemp()))
    callers = [threading.Thread(target=call, args=(side.port, *one, over)) for one in PAUSES.items()]
    try:
        for caller in callers:
            caller.start()
        asyncio.run(taken(folder, side, connect))
    finally:
        over.set()
        for caller in callers:
            caller.join()
        side.stop()
        for upstream in (*connect, *others):
            upstream.close()


if __name__ == "__main__":
    started = time.perf_counter()  # noqa: TID251 - a command that says how long it took
    main(Path(sys.argv[1]))
    print(f"taken in {time.perf_counter() - started:.0f} s")  # noqa: T201, TID251 - the same
