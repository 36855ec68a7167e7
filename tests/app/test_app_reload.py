"""What a reload does with what it reads: takes it, or rejects it and says so, each once."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from sidecar import config, tasks
from sidecar.app.bind import CannotStart
from sidecar.app.reload import Reload
from sidecar.telemetry.journal import Entry, Journal
from sidecar.telemetry.prometheus import Prometheus

TEXT = """upstreams: {a: {endpoints: ["http://a.test"], headers: {set: {X-Key: {file: key}}}}}
routes: [{name: a, match: {prefix: /}, upstream: a}]
"""
WRONG = TEXT + "limits: {bodi: 1}\ndrain: {timeout: soon}\n"


class World:
    """A configuration file, and a process that takes what is taken over."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "sidecar.yaml"
        (tmp_path / "key").write_text("s3cret")
        self.path.write_text(TEXT)
        self.taken: list[config.Config] = []
        self.refusal = ""
        self.prometheus = Prometheus()
        self.journal = Journal(lambda: 1.0)
        self.reload = self.of(config.load(self.path))

    def of(self, loaded: config.Config) -> Reload:
        """What reloads it, of a process that serves."""
        made = Reload(
            loaded, take=self.take, prometheus=self.prometheus, journal=self.journal, wall=lambda: 1_700_000_000.5
        )
        made.begin()
        return made

    async def take(self, loaded: config.Config) -> None:
        """Serves it, unless told to refuse."""
        if self.refusal:
            raise CannotStart(self.refusal)
        self.taken.append(loaded)

    def entries(self) -> list[Entry]:
        """The journal."""
        return list(self.journal.since())

    async def look(self, times: int = 3) -> None:
        """So often, and waits for what that brings about."""
        for _ in range(times):
            before = tasks.running()
            self.reload.look()
            while tasks.running() > before:  # noqa: ASYNC110 - nobody tells that a task has ended
                await asyncio.sleep(0.001)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """It, with a valid file."""
    return World(tmp_path)


async def test_a_change_is_taken_and_told(world: World) -> None:
    """To whoever asked, to the journal, to the counter, to `/status`."""
    assert world.reload.status() == {
        "loaded_at": "2023-11-14T22:13:20.500Z",
        "reloads": {"ok": 0, "rejected": 0},
        "rejected": None,
    }
    world.path.write_text(TEXT + "limits: {body: 1MiB}\n")
    assert await world.reload.asked() == (200, {"changes": ["limits.body: changed"], "warnings": []})
    assert [loaded.limits.body for loaded in world.taken] == [1024 * 1024]
    (entry,) = world.entries()
    assert (entry.kind, entry.subject, entry.fields) == (
        "config",
        "",
        {"result": "ok", "changes": ["limits.body: changed"]},
    )
    assert world.reload.status()["reloads"] == {"ok": 1, "rejected": 0}


async def test_an_invalid_file_changes_nothing_and_says_everything(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """All located errors at once, to everybody; one record in the log, an error."""
    world.path.write_text(WRONG)
    with caplog.at_level(logging.INFO, "sidecar"):
        code, told = await world.reload.asked()
    problems = [
        f"{world.path}:3:10: limits.bodi: unknown key; did you mean 'body'?",
        f'{world.path}:4:18: drain.timeout: \'soon\' is not a duration: write e.g. "250ms", "15s" or "1m30s"',
    ]
    assert (code, told["problems"], world.taken) == (422, problems, [])
    assert world.entries()[0].fields == {"result": "rejected", "problems": problems}
    assert world.reload.status()["rejected"] == {"at": "2023-11-14T22:13:20.500Z", "problems": problems}
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    fields: Any = record.__dict__["fields"]
    assert (fields["event"], fields["result"], fields["problems"]) == ("config", "rejected", problems)
    assert all(problem in record.getMessage() for problem in problems)
    assert "s3cret" not in record.getMessage()


async def test_what_the_lint_calls_an_error_is_rejected_and_a_warning_is_passed_on(world: World) -> None:
    """As at the start."""
    world.path.write_text(TEXT + "caller: {timeout: 6s}\n")
    code, told = await world.reload.asked()
    assert code == 422
    assert "error[total-over-caller]" in told["problems"][0]
    world.path.write_text(TEXT.replace("upstream: a}", "upstream: a, retry: {attempts: 3}}"))
    code, told = await world.reload.asked()
    assert code == 200
    assert any("warning[amplification]" in warning for warning in told["warnings"])


async def test_what_needs_a_restart_is_rejected_whole(world: World) -> None:
    """What could be changed is not changed either: file and process never differ in silence."""
    world.path.write_text(TEXT + "limits: {body: 1MiB}\nadmin: {listen: 127.0.0.1:9999}\n")
    code, told = await world.reload.asked()
    assert (code, world.taken) == (422, [])
    assert [problem.partition("yaml:")[2] for problem in told["problems"]] == [
        "4:17: admin.listen: is bound when the process starts: it needs a restart"
    ]


async def test_what_cannot_be_served_is_rejected(world: World) -> None:
    """An address that is taken, say: the process says so in one line."""
    world.path.write_text(TEXT + "listen: 127.0.0.1:1\n")
    world.refusal = "listen: cannot listen on 127.0.0.1:1: Permission denied"
    assert (await world.reload.asked())[1]["problems"] == [world.refusal]
    assert world.reload.status()["reloads"] == {"ok": 0, "rejected": 1}


async def test_a_file_that_changes_is_read_without_being_asked_to(world: World) -> None:
    """Once, however often it is looked at."""
    await world.look()
    assert world.taken == []
    world.path.write_text(TEXT + "limits: {body: 1MiB}\n")
    await world.look(5)
    assert len(world.taken) == 1


async def test_a_secret_that_changes_is_taken(world: World) -> None:
    """Its file is looked at as the configuration is; what is told of it is its key."""
    world.path.with_name("key").write_text("rotated")
    await world.look()
    assert [str(loaded.upstreams["a"].headers.set["X-Key"].reveal()) for loaded in world.taken] == ["rotated"]  # type: ignore[union-attr]
    assert world.entries()[0].fields["changes"] == ["upstream a: headers changed"]


async def test_the_same_mistake_is_told_once(world: World) -> None:
    """Written again, touched, looked at, asked for: one entry in the journal. Another mistake is another entry."""
    for _ in range(3):
        world.path.write_text(WRONG)
        await world.look()
    await world.reload.asked()
    assert len(world.entries()) == 1
    world.path.write_text(WRONG.replace("bodi", "boddy"))
    await world.look()
    assert [entry.fields["result"] for entry in world.entries()] == ["rejected", "rejected"]


async def test_the_mistake_taken_back_is_told(world: World) -> None:
    """The file holds again what is served: nothing is read anew, and nothing is wrong any more."""
    world.path.write_text(WRONG)
    await world.look()
    world.path.write_text(TEXT)
    await world.look()
    assert [entry.fields["result"] for entry in world.entries()] == ["rejected", "ok"]
    assert (world.taken, world.reload.status()["rejected"]) == ([], None)
    assert world.reload.status()["reloads"] == {"ok": 0, "rejected": 1}


async def test_a_mistake_put_right_is_taken(world: World) -> None:
    """And nothing is wrong any more."""
    world.path.write_text(WRONG)
    await world.look()
    world.path.write_text(TEXT + "limits: {body: 1MiB}\n")
    await world.look()
    assert [entry.fields["result"] for entry in world.entries()] == ["rejected", "ok"]
    assert len(world.taken) == 1
    assert world.reload.status()["rejected"] is None


async def test_a_file_that_is_gone_changes_nothing(world: World) -> None:
    """It is rejected, and taken when it is back with something new in it."""
    world.path.unlink()
    await world.look()
    assert "cannot be read" in world.reload.status()["rejected"]["problems"][0]
    world.path.write_text(TEXT + "limits: {body: 1MiB}\n")
    await world.look()
    assert len(world.taken) == 1


async def test_asked_for_again_it_says_that_nothing_changes(world: World) -> None:
    """200 and no changes; counted; not for the journal."""
    assert await world.reload.asked() == (200, {"changes": [], "warnings": []})
    assert world.entries() == []
    assert world.reload.status()["reloads"] == {"ok": 1, "rejected": 0}


async def test_a_process_that_ends_takes_nothing(world: World) -> None:
    """Nor looks."""
    world.path.write_text(TEXT + "limits: {body: 1MiB}\n")
    world.reload.end()
    assert (await world.reload.asked())[0] == 409
    await world.look()
    assert world.taken == []


async def test_what_was_not_read_from_a_file_cannot_be_read_again(world: World) -> None:
    """It says so."""
    code, told = await world.of(config.parse(TEXT.replace("{file: key}", "k").encode())).asked()
    assert (code, told["problems"]) == (422, ["the configuration was not read from a file"])


async def test_a_pipe_is_not_read_twice(world: World, tmp_path: Path) -> None:
    """`-c /dev/stdin` serves; to read it again would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    loaded = config.parse(world.path.read_bytes(), file=str(tmp_path / "pipe"))
    loaded.sources.note(str(tmp_path / "pipe"), 1000, b"")
    assert (await world.of(loaded).asked())[0] == 422


async def test_many_changes_are_summed_up(world: World) -> None:
    """In the text of the journal and the log; the fields have every one."""
    routes = "".join(f"  - {{name: r{number}, match: {{path: /{number}}}, upstream: a}}\n" for number in range(50))
    world.path.write_text(TEXT.splitlines()[0] + "\nroutes:\n" + routes)
    assert (await world.reload.asked())[0] == 200
    (entry,) = world.entries()
    assert entry.text.endswith("route r4: added; and 46 more")
    assert len(entry.fields["changes"]) == 51
