"""Laws of what is pushed: one document for everyone, nothing that queues up, nothing while nobody watches."""

import asyncio
import json
from contextlib import ExitStack
from typing import Any

import pytest

from sidecar.admin import push as push_module
from sidecar.admin.push import LIMIT, Push, Watcher, at_once
from sidecar.telemetry.journal import Journal


class Desk:
    """A status that counts how often it was made."""

    def __init__(self) -> None:
        self.made = 0
        self.journal = Journal()
        self.push = Push(at_once(self.status), self.journal)

    def status(self) -> dict[str, Any]:
        """A document."""
        self.made += 1
        return {"made": self.made}


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Pushes twenty times a second, so that tests do not wait."""
    monkeypatch.setattr(push_module, "EVERY", 0.05)
    return Desk()


def events(data: bytes) -> list[tuple[str, Any]]:
    """Names and documents."""
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields["event"], json.loads(fields["data"])))
    return found


async def test_a_status_at_once_and_then_again_and_again(desk: Desk) -> None:
    """Nobody looks at an empty page for a second."""
    with desk.push.watching("") as watcher:
        assert [events(await watcher.next()) for _ in range(3)] == [[("status", {"made": n})] for n in (1, 2, 3)]


async def test_one_document_for_everyone(desk: Desk) -> None:
    """Ten browsers cost as many documents as one: whoever comes gets the newest there is."""
    with ExitStack() as stack:
        watchers = [stack.enter_context(desk.push.watching("")) for _ in range(10)]
        for watcher in watchers:
            await watcher.next()
        pushed = [await watcher.next() for watcher in watchers]
    assert len(set(pushed)) == 1
    assert pushed[0] is pushed[9], "the same bytes, not equal ones"
    assert desk.made <= 3


async def test_nothing_is_made_while_nobody_watches(desk: Desk) -> None:
    """The last one to leave turns it off: no timer, no listener of the journal."""
    with desk.push.watching("") as watcher:
        await watcher.next()
    made = desk.made
    assert desk.journal._listeners == []
    desk.journal.add("breaker", "toggles", "moved")
    timer = desk.push._timer
    assert timer is not None
    assert timer.cancelled()
    assert desk.made == made


async def test_who_comes_while_the_last_one_leaves_starts_no_second_clock(desk: Desk) -> None:
    """Pages are reloaded: however often, there is one push per tick."""
    for _ in range(5):
        with desk.push.watching(""):
            await asyncio.sleep(0)  # its first status is on its way
            await asyncio.sleep(0)
    with desk.push.watching("") as watcher:
        await watcher.next()
        began, made = asyncio.get_running_loop().time(), desk.made
        for _ in range(4):
            await watcher.next()
        assert desk.made - made <= 5
        assert asyncio.get_running_loop().time() - began >= 3 * push_module.EVERY


async def test_who_reads_slowly_gets_the_newest_and_misses_the_rest(desk: Desk) -> None:
    """However long it does not look: one status, and the entries it had not seen."""
    with desk.push.watching("") as slow, desk.push.watching("") as quick:
        for number in range(1000):
            desk.journal.add("breaker", "toggles", str(number))
        while desk.made < 6:
            await quick.next()
        said = events(await slow.next())
        assert [document for name, document in said if name == "status"] == [{"made": 6}]
        assert [document["text"] for name, document in said if name == "journal"] == [str(n) for n in range(500, 1000)]
        assert not hasattr(slow, "__dict__"), "no place where anything could queue up"


async def test_an_entry_brings_a_status_with_it_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches an outage sees it when it begins, not at the next tick; a burst is one push."""
    monkeypatch.setattr(push_module, "EVERY", 3600.0)
    with desk.push.watching("") as watcher:
        await watcher.next()
        for route in ("toggles", "users"):
            desk.journal.add("breaker", route, f"{route} opened", to="open")
        async with asyncio.timeout(5):
            said = events(await watcher.next())
    assert [name for name, _ in said] == ["journal", "journal", "status"]
    assert said[0][1]["fields"] == {"to": "open"}
    assert desk.made == 2


@pytest.mark.parametrize(
    ("last_id", "texts"),
    [
        ("", []),
        ("1", ["two", "three"]),
        ("3", []),
        ("0", ["one", "two", "three"]),
        ("99", []),
        ("-1", []),
        ("one", []),
        ("²", []),
        ("9" * 5000, []),
    ],
)
async def test_who_comes_again_is_told_what_was_missed(desk: Desk, last_id: str, texts: list[str]) -> None:
    """`Last-Event-ID` is the number of the last entry that came. An earlier process's, or nonsense, does no harm."""
    for text in ("one", "two", "three"):
        desk.journal.add("config", "", text)
    with desk.push.watching(last_id) as watcher:
        said = events(await watcher.next())
        desk.journal.add("config", "", "four")
        later = [event for _ in range(2) for event in events(await watcher.next())]
    assert [document["text"] for name, document in said if name == "journal"] == texts
    assert [document["text"] for name, document in later if name == "journal"] == ["four"]


async def test_a_quiet_stream_says_that_it_is_alive(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment, so that nothing between the two takes it for dead."""
    monkeypatch.setattr(push_module, "EVERY", 3600.0)
    monkeypatch.setattr(push_module, "HEARTBEAT", 0.01)
    with desk.push.watching("") as watcher:
        await watcher.next()
        assert await watcher.next() == b":\n\n"


async def test_at_the_end_every_stream_ends(desk: Desk) -> None:
    """A process that stops does not wait for browsers."""
    with desk.push.watching("") as watcher:
        await watcher.next()
        desk.push.close()
        assert await watcher.next() == b""


async def test_there_is_a_limit(desk: Desk) -> None:
    """Beyond it nobody may join until somebody leaves."""
    with ExitStack() as stack:
        watchers: list[Watcher] = []
        while not desk.push.full:
            watchers.append(stack.enter_context(desk.push.watching("")))
        assert len(watchers) == LIMIT
    assert not desk.push.full
