"""The bot starts while its site is down: a real aiohttp client with a token, all times a fifth of production's.

Production waits 1 s and 2 s between three attempts; here 0.2 s and 0.4 s. The sidecar runs
config/examples/python-discord.yaml itself.
"""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable

import aiohttp
from examples import example
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar
from fixtures.upstream import Exchange, Upstream

from sidecar.clock import MONOTONIC

SCALE = 5
COGS = 20
TOKEN = "Token 5f1d2c3b4a-not-for-logs"
FIRST_WAIT, SECOND_WAIT = 1 / SCALE, 2 / SCALE

Figures = Callable[[str, str], None]
Answer = tuple[int, bytes]


async def load(session: aiohttp.ClientSession, path: str) -> Answer | None:
    """What a cog does when it is loaded; None if it got no answer at all."""
    try:
        async with session.get(path) as answer:
            return answer.status, await answer.read()
    except aiohttp.ClientError:
        return None


async def start_up(site: str, paths: list[str]) -> list[Answer | None]:
    """All cogs ask at once, once each, with the bot's token."""
    headers = {"Authorization": TOKEN}
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(site, headers=headers, timeout=timeout) as session:
        return await asyncio.gather(*(load(session, path) for path in paths))


def cogs() -> list[str]:
    """One path per cog."""
    return [f"/bot/cog-{number}" for number in range(COGS)]


class Starting:
    """A site that is not quite there: 503 to whatever is no third attempt. Notes when each attempt came."""

    def __init__(self) -> None:
        self.came: dict[tuple[str, str], float] = {}

    async def __call__(self, exchange: Exchange) -> None:
        """A behaviour."""
        attempt = exchange.request.get("x-sidecar-attempt") or ""
        self.came[exchange.request.path, attempt] = MONOTONIC()
        behave = scripted.ok({"ready": True}) if attempt == "3" else scripted.status(503)
        await behave(exchange)


def test_without_the_sidecar_every_cog_fails_on_its_own(port: int, record_property: Figures) -> None:
    """The start as it was: nobody listens for a moment, and nothing is loaded."""
    answers = asyncio.run(start_up(f"http://127.0.0.1:{port}", cogs()))
    assert answers == [None] * COGS
    record_property("figure", f"without the sidecar: 0 of {COGS} cogs loaded, {COGS} errors")


def test_with_the_sidecar_a_start_waits_for_the_site(
    port: int, sidecar: Callable[..., RunningSidecar], record_property: Figures
) -> None:
    """Refused, then 503, then up, by the schedule: the first call of every cog succeeds, and nobody is told."""
    proxy = sidecar(example("python-discord", scale=SCALE), env={"SITE_URL": f"http://127.0.0.1:{port}"})
    site: list[Upstream] = []
    starting = Starting()

    def comes_up() -> None:
        refused = 'sidecar_retries_total{route="site-api",reason="connect_failure"}'
        proxy.until(lambda: proxy.metric(refused) >= COGS, what="every cog was refused once")
        site.append(Upstream(port=port, otherwise=starting))

    deploy = threading.Thread(target=comes_up)
    deploy.start()
    started = MONOTONIC()
    answers = asyncio.run(start_up(proxy.url, cogs()))
    took = MONOTONIC() - started
    deploy.join()
    with site[0]:
        assert answers == [(200, b'{"ready": true}')] * COGS
        assert took >= FIRST_WAIT + SECOND_WAIT
        waits = [starting.came[path, "3"] - starting.came[path, "2"] for path in cogs() if (path, "2") in starting.came]
        assert all(wait >= SECOND_WAIT for wait in waits)
        assert {request.get("authorization") for request in site[0].requests()} == {TOKEN}
        lines = [line for line in proxy.stderr().splitlines() if '"level":"info"' not in line]
    assert [line for line in lines if '"level":"error"' in line] == []
    assert len(lines) <= 2, "a line per cog"
    figure = f"with the sidecar: {COGS} of {COGS} cogs loaded after {took:.2f} s, {len(lines)} lines in the process log"
    record_property("figure", figure)


def test_a_start_that_fails_is_one_message_to_discord(
    upstream: Upstream, sidecar: Callable[..., RunningSidecar], record_property: Figures
) -> None:
    """The site stays down: every cog fails, and the channel hears of it once, with how many. Nobody is mentioned."""
    upstream.otherwise(scripted.status(503))
    with Upstream(otherwise=scripted.answer(204, b"")) as discord:
        config = example("python-discord", scale=SCALE).replace(
            "upstream: site\n", "upstream: site\n    critical: true\n"
        )
        config += f"notify: [{{webhook: '{discord.url}/api/webhooks/1/s3cret', format: discord, window: 2s}}]\n"
        proxy = sidecar(config, env={"SITE_URL": upstream.url})
        answers = asyncio.run(start_up(proxy.url, cogs()))
        assert [answer and answer[0] for answer in answers] == [503] * COGS
        discord.wait_for(1)
        assert proxy.stop() == 0
        (told,) = discord.requests()
    message = json.loads(told.body)
    assert message["content"].startswith("site is failing (site-api) - sidecar on ")
    assert f"Callers got: {COGS} failed closed." in message["content"]
    assert message["allowed_mentions"] == {"parse": []}
    assert "s3cret" not in proxy.log_text()
    record_property("figure", f"a start that fails: {COGS} cogs, 1 message")


WORTH_ANOTHER = {
    **{f"status-{code}": scripted.status(code) for code in (408, 429, 500, 502, 503, 504)},
    "reset": scripted.reset(),
    "hang": scripted.hang(),
    "half-body": scripted.half_body(),
}
ANSWERS = (400, 401, 403, 404, 409, 422)


def test_what_passes_is_asked_again_and_what_is_an_answer_is_not(
    upstream: Upstream, sidecar: Callable[..., RunningSidecar], record_property: Figures
) -> None:
    """408, 429, 5xx, timeouts and lost connections are; any other 4xx comes back untouched after one attempt."""
    for name, trouble in WORTH_ANOTHER.items():
        upstream.on(f"/bot/{name}", scripted.in_turn(trouble, scripted.ok({"after": name})))
    for code in ANSWERS:
        upstream.on(f"/bot/{code}", scripted.status(code, b'{"detail": "Not found."}'))
    proxy = sidecar(example("python-discord", scale=SCALE), env={"SITE_URL": upstream.url})

    again = [f"/bot/{name}" for name in WORTH_ANOTHER]
    once = [f"/bot/{code}" for code in ANSWERS]
    answers = asyncio.run(start_up(proxy.url, again + once))

    assert [answer and answer[0] for answer in answers[: len(again)]] == [200] * len(again)
    assert answers[len(again) :] == [(code, b'{"detail": "Not found."}') for code in ANSWERS]
    asked = Counter(request.path for request in upstream.requests())
    assert asked == {**dict.fromkeys(again, 2), **dict.fromkeys(once, 1)}
    record_property("figure", f"{len(again)} kinds of trouble: 2 attempts each; {len(once)} kinds of 4xx: 1 each")


def test_what_changes_something_is_sent_once(upstream: Upstream, sidecar: Callable[..., RunningSidecar]) -> None:
    """An infraction that may have been recorded is not recorded twice, whatever became of the answer."""
    upstream.otherwise(scripted.status(503)).on("/bot/lost", scripted.reset())
    proxy = sidecar(example("python-discord", scale=SCALE), env={"SITE_URL": upstream.url})

    async def change(session: aiohttp.ClientSession, method: str, path: str) -> int:
        async with session.request(method, path, json={"user": 1}) as answer:
            return answer.status

    async def changes() -> list[int]:
        async with aiohttp.ClientSession(proxy.url) as session:
            paths = ("/bot/infractions", "/bot/lost")
            return [await change(session, method, path) for method in ("POST", "PATCH", "DELETE") for path in paths]

    assert asyncio.run(changes()) == [503, 502] * 3
    assert upstream.count() == 6


def test_the_token_is_written_nowhere(upstream: Upstream, sidecar: Callable[..., RunningSidecar]) -> None:
    """Not in a log line, a metric, the status or the configuration, however the call ended."""
    upstream.on("/bot/reset", scripted.reset()).on("/bot/echo", scripted.echo()).otherwise(scripted.garbage())
    proxy = sidecar(example("python-discord", scale=SCALE), env={"SITE_URL": upstream.url})
    answers = asyncio.run(start_up(proxy.url, ["/bot/reset", "/bot/garbage", "/bot/echo"]))
    assert [answer and answer[0] for answer in answers] == [502, 502, 200]
    proxy.wait_for_access(3)
    shown = [proxy.admin(page)[1].decode() for page in ("/metrics", "/status", "/config")]
    assert proxy.stop() == 0
    assert TOKEN.removeprefix("Token ") not in "\n".join([*shown, proxy.log_text()])
    assert TOKEN in (upstream.requests("/bot/echo")[0].get("authorization") or "")
