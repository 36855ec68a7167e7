"""The dashboard in a real browser: what somebody on call sees, and can do, with eyes, with a keyboard, with a reader.

Every page is checked at its end: no error on the console, nothing that the content policy had to forbid, no request
that left the origin.
"""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import pytest_asyncio
from fixtures.browser import FAINT, UNNAMED, Window, chromium, window
from fixtures.process import RunningSidecar, free_port
from fixtures.upstream import Upstream, ok, status
from playwright.async_api import Browser, expect

from sidecar.admin import front
from sidecar.admin.views import Views
from sidecar.clock import MONOTONIC
from sidecar.telemetry.journal import Journal

pytestmark = pytest.mark.asyncio(loop_scope="module")

expect.set_options(timeout=8000)

CONFIG = """
access_log: {{path: /dev/null}}
upstreams:
  connect: {{endpoints: ["{url}"]}}
routes:
  - name: toggles
    match: {{path: /toggles}}
    upstream: connect
    critical: true
    breaker: {{consecutive_failures: 2, open_for: 1s, open_for_max: 1s, jitter: 0, successes_to_close: 1}}
    fallback: [{{last_known_good: {{max_age: 1h, identity: []}}}}]
  - {{name: users, match: {{prefix: /users}}, upstream: connect}}
"""
LOCKED = "admin: {{listen: 127.0.0.1:@admin@, token: {token}}}\n"
TOKEN = "open-sesame-5550100"

Start = Callable[..., RunningSidecar]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One process for all."""
    async with chromium() as started:
        yield started


def get(side: RunningSidecar, path: str) -> tuple[int, Mapping[str, str]]:
    """Status and headers of one call of the application."""
    try:
        with urllib.request.urlopen(side.url + path, timeout=5) as response:
            response.read()
            return response.status, dict(response.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers)


async def calls(side: RunningSidecar, path: str, times: int = 1) -> list[int]:
    """Statuses of so many, one after another, off this loop."""
    return [(await asyncio.to_thread(get, side, path))[0] for _ in range(times)]


def row(shown: Window, name: str) -> Any:
    """The line of a route."""
    return shown.page.locator("#routes tr.route", has_text=name)


async def test_an_outage_watched_live(browser: Browser, sidecar: Start, upstream: Upstream) -> None:
    """Within two seconds the page says what is ill, since when, and what callers get; later that it is over."""
    side = sidecar(CONFIG.format(url=upstream.url))
    upstream.otherwise(ok())
    async with window(browser, side.admin_url) as shown:
        page = shown.page
        await shown.open()
        await expect(page.locator("h1")).to_have_text("All 2 routes are fine. No traffic yet")
        await expect(page.locator("#timeline-empty")).to_be_visible()
        await calls(side, "/toggles", 3)
        await expect(page.locator("h1")).to_have_text("All 2 routes are fine", timeout=2000)

        upstream.otherwise(status(500))
        began = MONOTONIC()
        assert await calls(side, "/toggles", 3) == [200] * 3, "last known good"
        await expect(row(shown, "toggles").locator(".state")).to_have_text("open", timeout=2000)
        assert MONOTONIC() - began < 2.0
        await expect(page.locator("h1")).to_contain_text("connect is ill since ")
        reason = page.locator("#reasons li").first
        await expect(reason).to_contain_text("toggles of connect: open since ")
        await expect(reason).to_contain_text("Callers get the last good answer, up to 1 h old")
        await expect(page.locator("#summary")).to_have_attribute("data-level", "ill")
        assert (await page.title()).startswith("! connect is ill")
        await expect(page.locator("#announcer")).to_contain_text("breaker of toggles: closed to open")

        upstream.otherwise(ok())
        async with asyncio.timeout(8):
            while side.status()["routes"][0]["breaker"]["state"] != "closed":
                await calls(side, "/toggles")
        await expect(row(shown, "toggles").locator(".state")).to_have_text("closed", timeout=2000)
        moves = page.locator("#timeline li .text")
        await expect(moves.first).to_contain_text("breaker of toggles: half_open to closed")
        await expect(moves.last).to_contain_text("breaker of toggles: closed to open")


async def test_a_breaker_held_and_let_go_with_the_keyboard_alone(
    browser: Browser, sidecar: Start, upstream: Upstream
) -> None:
    """It asks once more, naming route, effect and duration; the focus comes back; Escape changes nothing."""
    side = sidecar(CONFIG.format(url=upstream.url))
    upstream.otherwise(ok())
    async with window(browser, side.admin_url) as shown:
        page, press = shown.page, shown.page.keyboard.press
        await shown.open()
        dialog = page.locator("#ask")
        await shown.tab_to("Hold open…")
        await press("Enter")
        await expect(dialog).to_be_visible()
        await press("Escape")
        await expect(dialog).to_be_hidden()
        assert await shown.focused() == "Hold open…"
        assert side.status()["routes"][0]["breaker"]["forced"] is None

        await press("Enter")
        await expect(page.locator("#ask-what")).to_contain_text("Every call of toggles will be refused for 5 min")
        await press("ArrowDown")
        await expect(page.locator("#ask-what")).to_contain_text("for 15 min: nothing is sent to connect. Callers get ")
        await shown.tab_to("Hold open for 15 min")
        await press("Enter")
        await expect(dialog).to_be_hidden()
        await expect(row(shown, "toggles").locator("td .sub")).to_contain_text("held until")
        await expect(page.locator("#reasons")).to_contain_text("Held open by hand until")
        await expect(page.locator("#announcer")).to_contain_text("toggles")
        await expect(page.get_by_role("button", name="Let the breaker go…")).to_be_focused()
        assert await calls(side, "/toggles") == [503]

        await shown.tab_to("Let the breaker go…")
        await press("Enter")
        await expect(page.locator("#ask-what")).to_contain_text("The next call is a probe")
        assert await shown.focused() == "Let it go"
        await press("Enter")
        await expect(page.locator("button", has_text="Let the breaker go…")).to_have_count(0)
        assert await calls(side, "/toggles") == [200]
        await expect(page.locator("#timeline")).to_contain_text("127.0.0.1 releases the breaker of toggles")


async def test_a_fault_is_injected_and_lifted(browser: Browser, sidecar: Start, upstream: Upstream) -> None:
    """The dialog says whom it will hit, the page that it is an exercise, and the button lifts it."""
    side = sidecar(CONFIG.format(url=upstream.url))
    upstream.otherwise(ok())
    async with window(browser, side.admin_url) as shown:
        page = shown.page
        await shown.open()
        await row(shown, "users").locator("button").click()
        group = page.get_by_role("group", name="Change users by hand")
        await group.get_by_role("button", name="Inject a fault…").click()
        await page.get_by_label("Attempts get").select_option("429")
        await page.locator("select[name=for]").select_option("15m")
        said = "Every attempt of users is answered with 429, in place of connect, for 15 min"
        await expect(page.locator("#ask-what")).to_contain_text(said)
        await page.get_by_role("button", name="Inject for 15 min").click()
        await expect(row(shown, "users").locator("td .sub")).to_contain_text("fault injected")
        assert (await asyncio.to_thread(get, side, "/users/1"))[1]["X-Sidecar-Fault"] == "abort"
        await expect(page.locator("#reasons")).to_contain_text("A fault is injected by hand (answer 429, 100 % of")
        await group.get_by_role("button", name="Lift the fault…").click()
        await page.get_by_role("button", name="Lift it").click()
        await expect(row(shown, "users").locator("td .sub")).not_to_contain_text("fault injected")
        assert side.status()["routes"][1]["fault"] is None


async def test_the_token_is_asked_for_and_kept_nowhere(browser: Browser, sidecar: Start, upstream: Upstream) -> None:
    """A wrong one is asked for again; the right one lasts for the page, and stands in no storage and in no element."""
    side = sidecar(LOCKED.format(token=TOKEN) + CONFIG.format(url=upstream.url))
    async with window(browser, side.admin_url) as shown:
        shown.expected = "401"
        page = shown.page
        await shown.open()
        await page.get_by_role("button", name="Hold closed…").click()
        await page.get_by_role("button", name="Hold closed for 5 min").click()
        field = page.get_by_role("textbox", name="Token")
        await field.fill("wrong-but-long-enough")
        await page.keyboard.press("Enter")
        await expect(page.locator("#token-error")).to_have_text("That was not the token.")
        await field.fill(TOKEN)
        await page.keyboard.press("Enter")
        await expect(page.locator("dialog[open]")).to_have_count(0)
        assert side.status()["routes"][0]["breaker"]["forced"]["state"] == "closed"
        await page.get_by_role("button", name="Let the breaker go…").click()
        await page.get_by_role("button", name="Let it go").click()
        await expect(page.get_by_role("button", name="Let the breaker go…")).to_have_count(0)
        kept = await shown.run(
            "() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie,"
            " document.documentElement.outerHTML, [...document.querySelectorAll('input')].map((field) => field.value)])"
        )
        assert TOKEN not in kept
        assert TOKEN not in side.log_text()


# The same page over a status of our own: everything there can be, at once.


class Stage:
    """The admin port in this process, with a document that a test writes."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.journal = Journal()
        self.port = free_port()
        self._running: front.Running

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Opens the port."""
        views = Views(
            ready=str,
            metrics=lambda _: b"",
            metrics_type=lambda _: "text/plain",
            status=lambda: self.document,
            config=dict,
            history=self.history,
            journal=self.journal,
        )
        self._running = await front.start(views, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Closes it."""
        await self._running.close()

    @staticmethod
    def history() -> dict[str, Any]:
        """None."""
        return {"times": [], "routes": {}}


HOSTILE = '<img src=x onerror="alert(1)">'


def document(name: str = "toggles") -> dict[str, Any]:
    """A status with something of everything: open, half-open, held, faulty, dry, ejected, unhealthy, rejected."""
    rates = {
        "seconds": 10,
        "requests_per_second": 1234.5,
        "error_share": 0.25,
        "fallback_share": 0.5,
        "refused_share": 0.125,
        "p50": 0.0042,
        "p99": 1.25,
        "outcomes": {},
    }
    quiet = {**rates, **dict.fromkeys(("error_share", "fallback_share", "refused_share", "p50", "p99"))}
    held = {"state": "closed", "until": "2099-01-01T00:00:00Z"}
    moved = {
        "since_seconds": 70.0,
        "open_since": "2026-01-01T00:00:00Z",
        "retry_after": 3.0,
        "dry_run": False,
        "forced": None,
        "shared_with": [name],
    }
    counts = {"by_outcome": {"ok": 5}, "refused_by_reason": {"breaker_open": 2}, "fallbacks": {}}
    route = {
        "upstream": name,
        "critical": True,
        "in_flight": 3,
        "tunnels": 2,
        "since": "2026-01-01T00:00:00Z",
        "callers_get": f"Callers get {name}",
        "when_open": "Callers get 503",
        "fault": None,
        "bulkhead": {"limit": 10, "in_flight": 3, "queued": 1},
        "totals": {"requests": 7, "would_refuse_by_reason": {"breaker_open": 1}, **counts},
        "latency": {"p50": 0.1, "p99": 0.2},
        "last_known_good": {"newest_age_seconds": 90.0},
        "rates": rates,
    }
    fault = {"abort": 503, "delay": 2.0, "reset": False, "ratio": 0.5, "until": "2099-01-01T00:00:00Z"}
    endpoint = {"weight": 1, "priority": 0, "pending": 2, "ejected": False, "ejected_until": None, "health": None}
    return {
        "version": "0.0.0",
        "uptime_seconds": 3700.0,
        "ready": True,
        "draining": False,
        "routes": [
            {**route, "name": name, "breaker": {**moved, "state": "open"}},
            {**route, "name": "probing", "breaker": {**moved, "state": "half_open"}},
            {**route, "name": "held", "breaker": {**moved, "state": "closed", "forced": held}, "fault": fault},
            {**route, "name": "dry", "breaker": {**moved, "state": "open", "dry_run": True}},
            {**route, "name": "plain", "breaker": None, "rates": quiet, "bulkhead": None},
            {**route, "name": "-", "upstream": None, "breaker": None, "rates": quiet, "bulkhead": None},
        ],
        "upstreams": [
            {
                "name": name,
                "connections": {"idle": 1, "active": 2},
                "budget": {"available": 12.3, "ratio": 0.2},
                "endpoints": [
                    {**endpoint, "name": f"http://{name}"},
                    {**endpoint, "name": "a", "ejected": True, "ejected_until": "2099-01-01T00:00:00Z"},
                    {**endpoint, "name": "b", "health": {"healthy": False, "last_failure": f"reset: {name}"}},
                ],
            }
        ],
        "last_known_good": {
            "entries": 2,
            "bytes": 3000,
            "state": "disk",
            "written": 5,
            "failed": 1,
            "dropped": 0,
        },
        "config": {
            "loaded_at": "2026-01-01T00:00:00Z",
            "reloads": {"ok": 3, "rejected": 1},
            "rejected": {"at": "2026-01-01T00:00:00Z", "problems": [f"sidecar.yaml:3:5: {name}"]},
        },
        "journal": [
            {
                "number": 1,
                "at": "2026-01-01T00:00:00.000Z",
                "kind": "breaker",
                "subject": name,
                "text": f"breaker of {name}: closed to open",
                "fields": {"to": "open"},
            }
        ],
    }


@pytest_asyncio.fixture(loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    """With something of everything."""
    made = Stage(document())
    await made.start()
    yield made
    await made.stop()


async def test_names_are_text(browser: Browser, stage: Stage) -> None:
    """Whatever routes, upstreams, endpoints and problems are called: it stands there as it is written."""
    stage.document = document(HOSTILE)
    async with window(browser, stage.url) as shown:
        await shown.open()
        for place in ("#routes", "#reasons", "#upstreams", "#timeline", "#problems", ".facts"):
            await expect(shown.page.locator(place).first).to_contain_text(HOSTILE)
        await shown.page.get_by_role("button", name="Hold closed…").first.click()
        await expect(shown.page.locator("#ask-title")).to_contain_text(HOSTILE)
        assert await shown.run("() => document.querySelectorAll('img').length") == 1, "the brand's alone"


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_everything_can_be_read(browser: Browser, stage: Stage, theme: Any) -> None:
    """In both themes every text has a contrast of 4.5, in the dialog too; the system chooses, or the button."""
    async with window(browser, stage.url) as shown:
        page = shown.page
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        await shown.open()
        ground = await shown.run("() => getComputedStyle(document.body).backgroundColor")
        assert await shown.run(FAINT) == []
        await page.get_by_role("button", name="Inject a fault…").first.click()
        assert await shown.run(FAINT) == []
        await page.get_by_role("button", name="Cancel").click()
        other = "dark" if theme == "light" else "light"
        while await page.locator("#theme").text_content() != f"Theme: {other}":
            await page.locator("#theme").click()
        assert await shown.run("() => getComputedStyle(document.body).backgroundColor") != ground
        assert await shown.run(FAINT) == []
        await page.reload()
        await expect(page.locator("#theme")).to_have_text(f"Theme: {other}")


async def test_a_reader_finds_its_way(browser: Browser, stage: Stage) -> None:
    """Landmarks, one heading at the top, named controls, tables whose headers say what they are of; no chatter."""
    async with window(browser, stage.url) as shown:
        page = shown.page
        await shown.open()
        assert await shown.run(UNNAMED) == []
        for role in ("banner", "main", "contentinfo", "navigation"):
            await expect(page.get_by_role(role)).to_have_count(1)
        assert await page.get_by_role("heading", level=1).count() == 1
        assert (
            await shown.run("() => [...document.querySelectorAll('th')].filter((th) => !th.scope).length") == 2 * 2 + 3
        )
        assert await shown.run("() => document.documentElement.lang") == "en"
        told = "() => { window.told = 0; for (const place of document.querySelectorAll('[aria-live], [role=status]'))"
        watch = (
            " new MutationObserver((all) => window.told += all.length).observe(place, {subtree: true, childList: true,"
        )
        await shown.run(told + watch + " characterData: true}); }")
        made = await page.locator("#vitals").text_content()
        stage.document = {**stage.document, "uptime_seconds": 9000.0}
        await expect(page.locator("#vitals")).not_to_have_text(made or "")
        assert await shown.run("() => window.told") == 0, "a tick is no news"
        stage.document = {**stage.document, "journal": [*stage.document["journal"], entry(2, "breaker of users moved")]}
        await expect(page.locator("#announcer")).to_have_text("breaker of users moved")
        await page.set_viewport_size({"width": 360, "height": 740})
        routes = page.get_by_role("table", name="Routes")
        assert await routes.get_by_role("columnheader").count() == 10, "still a table where it does not look like one"
        await expect(routes.get_by_role("rowheader", name="held")).to_be_visible()


def entry(number: int, text: str) -> dict[str, Any]:
    """One more fact."""
    fields = {"kind": "breaker", "subject": "users", "fields": {"to": "open"}}
    return {"number": number, "at": "2026-01-01T00:00:00.000Z", "text": text, **fields}


async def test_a_phone_needs_no_sideways_scroll(browser: Browser, stage: Stage) -> None:
    """At 360 px nothing is wider than the page, with every route open and a dialog in front."""
    async with window(browser, stage.url, width=360, height=740) as shown:
        await shown.open()
        closed = shown.page.locator("#routes .name[aria-expanded=false]")
        for _ in range(await closed.count()):
            await closed.first.click()
        assert await shown.run("() => document.documentElement.scrollWidth") == 360
        await shown.page.get_by_role("button", name="Inject a fault…").first.click()
        assert await shown.run("() => document.documentElement.scrollWidth") == 360
        assert await shown.run("() => document.querySelector('#ask').getBoundingClientRect().right") <= 360


async def test_a_sidecar_that_is_gone_is_shown_as_gone(browser: Browser, stage: Stage) -> None:
    """The page says so and of when it is, tries again by itself, and goes on."""
    async with window(browser, stage.url) as shown:
        shown.expected = "ERR_|Failed to load"
        await shown.open()
        await stage.stop()
        await expect(shown.page.locator("#link")).to_contain_text("disconnected, retrying; what you see is of ")
        await stage.start()
        await expect(shown.page.locator("#link")).to_have_text("live")


async def test_ten_pages_at_once(browser: Browser, stage: Stage) -> None:
    """A browser opens six connections to a host at most: tabs share one stream, and one that closes passes it on."""
    async with window(browser, stage.url) as first:
        pages = [await first.page.context.new_page() for _ in range(9)]
        await first.open()
        await asyncio.gather(*(page.goto(stage.url) for page in pages))
        shown = [first.page, *pages]
        for page in shown:
            await expect(page.locator("#vitals")).to_contain_text("up 1 h")
        stage.document = {**stage.document, "uptime_seconds": 4 * 86400.0}
        for page in shown:
            await expect(page.locator("#vitals")).to_contain_text("up 4 d")
        await pages[0].close()
        await first.page.goto("about:blank")
        stage.document = {**stage.document, "uptime_seconds": 5 * 86400.0}
        for page in shown[2:]:
            await expect(page.locator("#vitals")).to_contain_text("up 5 d")
        await first.open()


async def test_a_reader_whose_clock_is_wrong(browser: Browser, stage: Stage) -> None:
    """How long it has lasted is the sidecar's to say."""
    ill = stage.document["routes"][0]
    ill["breaker"]["open_since"] = "2001-01-01T00:00:00Z"
    stage.document["routes"] = [ill]
    stage.document["at"] = "2001-01-01T00:07:30.000Z"
    async with window(browser, stage.url) as shown:
        await shown.open()
        await expect(shown.page.locator("h1")).to_contain_text("(7 min)")
        await expect(row(shown, "toggles").locator("td .sub")).to_have_text("for 7 min, next probe in 3 s")


async def test_an_origin_that_is_not_secure(browser: Browser, stage: Stage) -> None:
    """Browsers have no locks there: each tab then has a stream of its own."""
    async with window(browser, stage.url) as shown:
        await shown.page.add_init_script("delete Navigator.prototype.locks")
        await shown.open()
        assert await shown.run("() => navigator.locks === undefined")
        stage.document["uptime_seconds"] = 9000.0
        await expect(shown.page.locator("#vitals")).to_contain_text("up 2 h 30 min")


async def test_what_needs_somebody_comes_first(browser: Browser, stage: Stage) -> None:
    """Ill routes stand on top, the first is open with both its plots, and the rest in the order of the file."""
    async with window(browser, stage.url) as shown:
        page = shown.page
        await shown.open()
        names = await page.locator("#routes .name").all_text_contents()
        assert names == ["toggles", "probing", "held", "dry", "plain", "no route matched"]
        await expect(page.locator("#routes canvas")).to_have_count(2)
        said = await page.locator(".plot").first.get_attribute("aria-label")
        assert said == "Calls of the last ten minutes. Now 1.2k/s, errors 25 %, fallback 50 %"
        await expect(page.locator("h1")).to_contain_text("toggles is ill since 1 Jan")
        await expect(page.locator("#problems")).to_contain_text("the configuration before it is served")
        assert json.loads(await shown.run("() => fetch('/status').then((answer) => answer.text())"))["ready"] is True
