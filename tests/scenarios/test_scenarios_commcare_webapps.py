"""300 callers at once before three nodes of which one is bad: a real aiohttp client, all times a tenth of production's.

Each node bears so many requests at once and answers 503 beyond; the bad one resets, fails and hangs now and
then. Every request has a tag, and every answer must carry its own. The sidecar runs
config/examples/commcare-webapps.yaml itself.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from examples import SCALE, example
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar
from fixtures.upstream import Exchange, Upstream

from sidecar.clock import MONOTONIC

CALLERS = 300
CALLS = 3
"""Of each caller, one after another."""
BEARS = 30
"""Requests at once that a node works on."""
CAP = 24
"""Connections to each node, says the example."""
TOTAL = 30 / SCALE
MARGIN = 1.5
"""Seconds that a busy machine may add, with all of this on it."""
WORK = 0.02
"""Seconds that an answer takes."""

Figures = Callable[[str, str], None]


class Node:
    """One of the component's nodes, with a bound that it cannot help."""

    def __init__(self, number: int) -> None:
        self.upstream = Upstream().otherwise(self)
        self.bad = False
        self.most = 0
        self._busy = 0
        self._rng = random.Random(number)

    async def __call__(self, exchange: Exchange) -> None:
        """A behaviour: the tag back, if there is room and the node is well."""
        self._busy += 1
        self.most = max(self.most, self._busy)
        try:
            await self._answer(exchange)
        finally:
            self._busy -= 1

    async def _answer(self, exchange: Exchange) -> None:
        tag = json.dumps({"tag": exchange.request.get("x-tag")}).encode()
        chance = self._rng.random() if self.bad else 1.0
        if self._busy > BEARS:
            await scripted.status(503, tag)(exchange)
        elif chance < 0.3:
            await scripted.status(500, tag)(exchange)
        elif chance < 0.5:
            exchange.reset()
        elif chance < 0.6:
            await scripted.hang()(exchange)
        else:
            await scripted.delayed(WORK, scripted.answer(200, tag))(exchange)


@dataclass
class Seen:
    """What the callers got."""

    outcomes: Counter[str] = field(default_factory=Counter)
    mixed: list[str] = field(default_factory=list)
    slowest: float = 0.0

    @property
    def failed(self) -> int:
        """Answers that were no success."""
        return self.outcomes.total() - self.outcomes["200"]


async def call(session: aiohttp.ClientSession, method: str, url: str, tag: str, seen: Seen) -> None:
    """One request; a POST is a form that a user submits."""
    started = MONOTONIC()
    body = {"data": tag} if method == "POST" else None
    try:
        async with session.request(method, url, headers={"X-Tag": tag, "X-Request-Id": tag}, data=body) as answer:
            document = await answer.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        seen.outcomes[type(error).__name__] += 1
        return
    finally:
        seen.slowest = max(seen.slowest, MONOTONIC() - started)
    seen.outcomes[document.get("reason", str(answer.status))] += 1
    if document.get("tag", document.get("request_id")) != tag:
        seen.mixed.append(f"{tag} got {document}")


async def crowd(urls: list[str], callers: int, prefix: str, *, calls: int = CALLS, patience: float = 0.0) -> Seen:
    """All callers at once, each with its own node in turn where there is no sidecar to choose."""
    seen = Seen()
    timeout = aiohttp.ClientTimeout(total=patience or TOTAL + MARGIN)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def caller(number: int) -> None:
            for turn in range(calls):
                method = "GET" if turn else "POST"  # the first ones meet the bad node before it is known
                await call(session, method, urls[number % len(urls)], f"{prefix}-{number}-{turn}", seen)

        await asyncio.gather(*(caller(number) for number in range(callers)))
    return seen


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    """Three, the first of which is bad."""
    made = [Node(number) for number in range(3)]
    made[0].bad = True
    yield made
    for node in made:
        node.upstream.close()


def arrived(nodes: list[Node]) -> Counter[str]:
    """How often each POST reached a node."""
    requests = [request for node in nodes for request in node.upstream.requests()]
    return Counter(request.get("x-tag") or "" for request in requests if request.method == "POST")


async def test_without_the_sidecar_the_nodes_drown_and_the_bad_one_spoils_a_third(
    nodes: list[Node], record_property: Figures
) -> None:
    """More connections than a node bears, and every caller of the bad one is on its own."""
    seen = await crowd([node.upstream.url for node in nodes], CALLERS, "direct", calls=1, patience=TOTAL)
    assert seen.failed >= CALLERS / 10
    most = max(node.upstream.most_open for node in nodes)
    assert most > BEARS
    record_property(
        "figure",
        f"without the sidecar: {seen.failed} of {CALLERS} calls failed, up to {most} connections at a node,"
        f" the slowest took {seen.slowest:.2f} s",
    )


async def test_with_the_sidecar_everybody_is_answered_and_no_node_drowns(
    nodes: list[Node], sidecar: Callable[..., RunningSidecar], record_property: Figures
) -> None:
    """Each caller gets its own answer in time; no node sees more connections than its cap; the bad one is left out."""
    places = {f"FORMPLAYER_{number}": node.upstream.url for number, node in enumerate(nodes, 1)}
    proxy = await asyncio.to_thread(sidecar, example("commcare-webapps", {"for": "300s"}), places)
    url = f"{proxy.url}/formplayer/navigate"
    away = f'sidecar_endpoint_ejected{{upstream="formplayer",endpoint="{nodes[0].upstream.url}"}}'

    first = await crowd([url], CALLERS, "first")
    while not await asyncio.to_thread(proxy.metric, away):  # a bad node may be lucky for a while
        await crowd([url], 3, "more")
    before = nodes[0].upstream.count()
    second = await crowd([url], CALLERS, "second")

    for seen in (first, second):
        assert seen.mixed == []
        assert seen.outcomes.total() == CALLERS * CALLS
        assert set(seen.outcomes) <= {"200", "500", "reset", "attempt_timeout", "queue_timeout"}
        assert seen.slowest <= TOTAL + MARGIN
    assert set(second.outcomes) <= {"200", "queue_timeout"}, "the bad node was asked"
    assert nodes[0].upstream.count() == before
    most = [node.upstream.most_open for node in nodes]
    assert max(most) <= CAP
    assert max(node.most for node in nodes) <= BEARS
    assert set(arrived(nodes).values()) == {1}, "a form was submitted twice"
    record_property(
        "figure",
        f"with the sidecar: {first.failed} of {CALLERS * CALLS} calls failed before the bad node was left,"
        f" {second.failed} after; up to {max(most)} connections at a node,"
        f" the slowest took {max(first.slowest, second.slowest):.2f} s",
    )
