"""Laws of the doer: nothing waits for a receiver, nothing is lost while it can be sent, and nobody sees its URL."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from random import Random
from typing import Any

import pytest

from sidecar import config, tasks
from sidecar.app.notify import LAST_WAIT, WAITING, Notifier
from sidecar.clock import MONOTONIC
from sidecar.telemetry.delivery import Reply
from sidecar.telemetry.journal import Journal
from sidecar.telemetry.watched import Subjects

URL = "https://hooks.test/s3cret"
GOOD = Reply("", 200)


class Webhook:
    """A receiver that answers as it is told, held up where `gate` is closed."""

    def __init__(self) -> None:
        self.replies: list[Reply | Exception] = []
        self.bodies: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()

    async def post(self, url: str, body: bytes) -> Reply:
        """Takes it."""
        assert url == URL
        self.bodies.append(body)
        self.asked.set()
        await self.gate.wait()
        reply = self.replies.pop(0) if self.replies else GOOD
        if isinstance(reply, Exception):
            raise reply
        return reply


@pytest.fixture
async def webhook() -> Webhook:
    """Well."""
    return Webhook()


class World:
    """A notifier whose receivers are told of rejected configurations at once."""

    def __init__(self, webhook: Webhook, *receivers: config.Notify) -> None:
        self.now = 0.0
        self.journal = Journal(lambda: self.now)
        self.number = 0
        subjects: Subjects = {}
        self.notifier = Notifier(
            receivers or (receiver(),),
            subjects=lambda: subjects,
            journal=self.journal,
            rng=Random(1),
            post=webhook.post,
            clock=lambda: self.now,
            wall=lambda: self.now,
        )

    def say(self) -> None:
        """One message is due."""
        self.number += 1
        self.journal.add("config", "", "rejected", result="rejected", problems=[f"problem {self.number}"])
        self.now += 1.0
        self.notifier.tick()

    def counts(self, name: str = "0") -> tuple[float, ...]:
        """Sent, failed, dropped."""
        found: dict[Sequence[str], float] = dict(self.notifier.counts())
        return tuple(found[name, result] for result in ("sent", "failed", "dropped"))


def receiver(**changed: Any) -> config.Notify:
    """One with a window of a second."""
    settings: dict[str, Any] = {"webhook": URL, "window": "1s", "format": "json"}
    return config.Notify(**(settings | changed))


@pytest.fixture
async def world(webhook: Webhook) -> AsyncIterator[World]:
    """With one receiver."""
    before = tasks.running()
    world = World(webhook)
    yield world
    await world.notifier.close()
    assert tasks.running() == before


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[tuple[str, str]]]]:
    """Levels and texts so far; none of them ever holds the URL."""
    caplog.set_level(logging.INFO)
    yield lambda: [(record.levelname, record.getMessage()) for record in caplog.records]
    assert "s3cret" not in caplog.text


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop run until it is so."""
    ends = MONOTONIC() + 10.0
    while not condition():
        assert MONOTONIC() < ends
        await asyncio.sleep(0.005)


async def test_a_message_is_posted_once(world: World, webhook: Webhook) -> None:
    """As the receiver wants it spelt."""
    world.say()
    await until(lambda: world.counts() == (1, 0, 0))
    (body,) = webhook.bodies
    assert b'"rejected":["problem 1"]' in body


async def test_one_that_fails_is_tried_again(
    world: World, webhook: Webhook, said: Callable[[], list[tuple[str, str]]]
) -> None:
    """The same words, after a wait; the log says when it began and when it was over, and no more."""
    webhook.replies = [Reply("status 500", 500), Reply("connect_failure")]
    world.say()
    await until(lambda: world.counts() == (1, 2, 0))
    assert len(set(webhook.bodies)) == 1
    assert said() == [
        ("WARNING", "a notification to 0 failed and is tried again: status 500"),
        ("INFO", "notifications to 0 are taken again"),
    ]


async def test_one_that_is_refused_is_given_up(
    world: World, webhook: Webhook, said: Callable[[], list[tuple[str, str]]]
) -> None:
    """A wrong URL is an error, once, not one per message; the next message is tried all the same."""
    webhook.replies = [Reply("status 404", 404), Reply("status 404", 404)]
    for number in range(1, 4):
        world.say()
        await until(lambda number=number: sum(world.counts()) - world.counts()[1] == number)  # type: ignore[misc]
    assert world.counts() == (1, 2, 2)
    assert [level for level, _ in said()] == ["ERROR", "INFO"]


async def test_whatever_the_client_raises_ends_nothing(
    world: World, webhook: Webhook, said: Callable[[], list[tuple[str, str]]]
) -> None:
    """Its words may hold the URL: only its type is said."""
    webhook.replies = [RuntimeError(URL)]
    world.say()
    await until(lambda: world.counts() == (1, 1, 0))
    assert said()[0] == ("WARNING", "a notification to 0 failed and is tried again: RuntimeError")


async def test_a_receiver_that_hangs_holds_nobody_up(world: World, webhook: Webhook) -> None:
    """What comes meanwhile waits in a bounded queue; then the oldest goes."""
    webhook.gate.clear()
    for _ in range(WAITING + 6):
        began = MONOTONIC()
        world.say()
        assert MONOTONIC() - began < 1.0
        await webhook.asked.wait()
    assert world.counts() == (0, 0, 5)
    webhook.gate.set()
    await until(lambda: world.counts() == (WAITING + 1, 0, 5))
    assert b'problem 1"' in webhook.bodies[0]
    assert b'problem 7"' in webhook.bodies[1]


async def test_what_waits_is_sent_at_the_end(world: World, webhook: Webhook) -> None:
    """Also what was not due yet, and what was between two tries."""
    webhook.replies = [Reply("status 503", 503, 600.0)]
    world.say()
    await until(lambda: world.counts() == (0, 1, 0))
    world.journal.add("config", "", "rejected", result="rejected", problems=["the last"])
    began = MONOTONIC()
    await world.notifier.close()
    assert MONOTONIC() - began < LAST_WAIT
    assert world.counts() == (2, 1, 0)
    assert b"the last" in webhook.bodies[-1]


async def test_an_end_does_not_wait_for_a_receiver_that_hangs(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is bounded, and leaves no task behind."""
    monkeypatch.setattr("sidecar.app.notify.LAST_WAIT", 0.05)
    before = tasks.running()
    world = World(webhook)
    webhook.gate.clear()
    world.say()
    await webhook.asked.wait()
    await world.notifier.close(within=0.05)
    assert tasks.running() == before


async def test_after_the_end_nothing_is_heard(world: World, webhook: Webhook) -> None:
    """The journal has lost its listener."""
    await world.notifier.close()
    world.say()
    assert webhook.bodies == []


async def test_another_configuration_keeps_the_receivers_that_are_as_before(webhook: Webhook) -> None:
    """What they were told, and what they have still to be told; others begin anew."""
    world = World(webhook, receiver(name="a"), receiver(name="b"))
    world.journal.add("config", "", "rejected", result="rejected", problems=["p"])
    world.notifier.change([receiver(name="b"), receiver(name="c")])
    world.now += 1.0
    world.notifier.tick()
    await until(lambda: world.counts("b") == (1, 0, 0))
    assert world.counts("c") == (0, 0, 0)
    assert {labels[0] for labels, _ in world.notifier.counts()} == {"b", "c"}
    await world.notifier.close()
