"""Laws of the writer: whatever happens to the file, memory goes on, the log says it once, and it is tried again."""

import logging
import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from stores_fakes import KEYS, World, answer

from sidecar.stores.database import NAME
from sidecar.stores.writer import RETRY


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A store with one answer on disk."""
    made = World(tmp_path / "kept")
    made.store.put(KEYS[0], answer())
    made.later(0.2)
    return made


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """The log so far, and no more of it."""
    found = [(record.levelno, record.getMessage()) for record in caplog.records]
    caplog.clear()
    return found


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """No file of this process may grow beyond that: to whoever writes, the disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_costs_no_answer(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """One line when it begins and one when it ends; everything is in memory meanwhile, and on disk afterwards."""
    caplog.set_level(logging.INFO)
    large = answer(b"x" * 300_000)
    with files_end_at(100_000):
        world.store.put(KEYS[1], large)
        world.later(0.2)
        assert (world.store.state, world.store.failed) == ("memory", 1)
        for _ in range(3):
            world.later(RETRY)
        assert world.store.failed > 1
        ((level, line),) = said(caplog)
        assert level == logging.WARNING
        assert "memory only, trying again every 10 s" in line
        assert (world.store.get(KEYS[0]), world.store.get(KEYS[1])) == (answer(), large)
    world.later(RETRY)
    assert said(caplog) == [(logging.INFO, f"last known good: {world.path} is written to again")]
    assert world.store.state == "disk"
    world.crash()
    assert (world.store.get(KEYS[0]), world.store.get(KEYS[1])) == (answer(), large)


def test_between_two_tries_it_is_left_alone(world: World) -> None:
    """A failing disk must not be hammered."""
    with files_end_at(100_000):
        world.store.put(KEYS[1], answer(b"x" * 300_000))
        world.later(0.2)
        for _ in range(9):
            world.later(1.0)
        assert world.store.failed == 1


def test_a_directory_that_can_not_be_made_is_no_reason_not_to_serve(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Memory only, with a warning; once it can be made, it is."""
    (tmp_path / "file").write_text("in the way")
    world = World(tmp_path / "file" / "kept")
    ((level, line),) = said(caplog)
    assert (level, world.store.state) == (logging.WARNING, "memory")
    assert "Not a directory" in line
    world.store.put(KEYS[0], answer())
    assert world.store.get(KEYS[0]) == answer()
    (tmp_path / "file").unlink()
    world.later(RETRY)
    assert world.store.state == "disk"
    assert world.crash().get(KEYS[0]) == answer()


def test_a_file_that_may_only_be_read_is_read(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Restarted on a disk that went read-only, it serves what was kept before."""
    world.writer.finish()
    with read_only(world.path / NAME):
        world.restarted()
        assert world.store.state == "memory"
        assert world.store.get(KEYS[0]) == answer()
    ((level, _),) = said(caplog)
    assert level == logging.WARNING


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """The file refuses to be opened for writing, as on a disk that is mounted read-only: to root, too."""
    real = os.open

    def refusing(name: str | Path, flags: int, *more: int) -> int:
        if flags & os.O_ACCMODE != os.O_RDONLY and os.path.realpath(name) == os.path.realpath(path):
            raise OSError(30, os.strerror(30), str(name))
        return real(name, flags, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", refusing)
        yield


def test_a_file_that_is_no_database_is_set_aside(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """One line that names it; a new file is begun, and used."""
    world.writer.finish()
    (world.path / NAME).write_bytes(b"nonsense" * 1000)
    world.restarted()
    ((level, line),) = said(caplog)
    (aside,) = world.path.glob("*.corrupt-*")
    assert level == logging.ERROR
    assert aside.name in line
    assert (world.store.state, len(world.store)) == ("disk", 0)
    world.store.put(KEYS[1], answer())
    world.later(0.2)
    assert world.crash().get(KEYS[1]) == answer()


def test_a_disk_that_damages_everything_is_left_alone_for_a_while(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Not one file after another set aside, with a line each, five times a second."""
    world.later(60.0)
    for _ in range(5):
        world.writer._let_go()
        (world.path / NAME).write_bytes(b"nonsense" * 1000)
        world.later(RETRY / 10)
    assert len(said(caplog)) == 2
    assert len(list(world.path.glob("*.corrupt-*"))) == 1


def test_damage_found_while_it_runs_costs_only_the_file(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """All that memory holds is in the new file."""
    world.store.put(KEYS[1], answer(b"x" * 5000))
    world.end()
    with (world.path / NAME).open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    world.store.put(KEYS[2], answer())
    world.later(0.2)
    assert [level for level, _ in said(caplog)] == [logging.ERROR]
    world.later(0.2)
    world.crash()
    assert [key for key in KEYS if world.store.get(key)] == KEYS[:3]


def test_a_damaged_answer_is_removed_and_the_rest_served(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A bit that fell over inside of a body: SQLite can't see it, the checksum does."""
    world.store.put(KEYS[1], answer(b"precious"))
    world.writer.finish()
    with closing(sqlite3.connect(world.path / NAME)) as connection:
        connection.execute("UPDATE kept SET body = ? WHERE key = ?", (b"precioux", KEYS[1]))
        connection.commit()
    world.restarted()
    assert (world.store.get(KEYS[0]), world.store.get(KEYS[1])) == (answer(), None)
    assert [level for level, _ in said(caplog)] == [logging.WARNING]
    world.end()
    assert said(caplog) == []


def test_a_file_that_was_removed_is_made_again(world: World) -> None:
    """An operator who empties the directory of a running sidecar; what memory holds is written once more."""
    for file in world.path.iterdir():
        file.unlink()
    world.later(0.2)
    world.crash()
    assert world.store.get(KEYS[0]) == answer()


def test_a_defect_of_ours_does_not_end_the_writing(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread goes on, and says what it was."""
    with monkeypatch.context() as patch:
        patch.setattr(world.store, "take", lambda _: 1 // 0)
        world.later(0.2)
    ((_, line),) = said(caplog)
    assert "ZeroDivisionError" in line
    world.store.put(KEYS[1], answer())
    world.later(RETRY)
    assert world.crash().get(KEYS[1]) == answer()


def test_the_last_round_ends_in_time(world: World) -> None:
    """Its bound is a time, not the length of the queue."""
    for key in KEYS:
        world.store.put(key, answer())
    world.writer._ends_at = world.clock.now
    world.writer.finish()
    assert len(world.restarted()) == 1
