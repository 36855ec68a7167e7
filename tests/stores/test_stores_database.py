"""Laws of the file: private, of one version, all or nothing; what is broken is set aside, not guessed at."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from stores_fakes import KEYS, NOW, answer

from sidecar.policy.last_known_good import Stored
from sidecar.stores.database import NAME, Damaged, Database, Frozen, is_damage, set_aside
from sidecar.stores.memory import weigh


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A new one."""
    made = Database(tmp_path)
    yield made
    made.close()


def put(database: Database, *keys: bytes, at: float = NOW, stored: Stored | None = None) -> None:
    """Writes an answer under each key."""
    database.write([(key, stored or answer()) for key in keys], (), (), at)


def keys(database: Database | Frozen) -> list[bytes]:
    """All that can be read, in order."""
    return [key for key, stored in database.read() if stored is not None]


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """The directory that it makes is 0700; the file, its log and its shared memory are 0600: bodies may be personal."""
    directory = tmp_path / "new" / "kept"
    database = Database(directory)
    put(database, KEYS[0])
    modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}
    assert modes == {NAME: 0o600, f"{NAME}-wal": 0o600, f"{NAME}-shm": 0o600}
    assert directory.stat().st_mode & 0o777 == 0o700
    database.close()


def test_the_last_used_come_first(database: Database) -> None:
    """Written, or asked for since."""
    for number, key in enumerate(KEYS[:3]):
        put(database, key, at=NOW + number)
    assert keys(database) == [KEYS[2], KEYS[1], KEYS[0]]
    database.write((), (), [KEYS[0]], NOW + 9)
    assert keys(database) == [KEYS[0], KEYS[2], KEYS[1]]


def test_a_key_has_one_answer(database: Database) -> None:
    """The last that was written; one that is gone has none."""
    put(database, KEYS[0], KEYS[1])
    put(database, KEYS[0], stored=answer(b"new"))
    assert dict(database.read()) == {KEYS[0]: answer(b"new"), KEYS[1]: answer()}
    database.write((), [KEYS[0]], (), NOW)
    assert keys(database) == [KEYS[1]]


def test_a_write_is_done_or_not_begun(database: Database) -> None:
    """What fails in its middle leaves nothing behind, and does not block the next."""

    def failing() -> Iterator[tuple[bytes, Stored]]:
        yield KEYS[0], answer()
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - no message
        database.write(failing(), (), (), NOW)
    assert keys(database) == []
    put(database, KEYS[1])
    assert keys(database) == [KEYS[1]]


def test_what_was_used_least_lately_makes_room(database: Database) -> None:
    """Down to a little below the bound, and not at all while within it."""
    for number, key in enumerate(KEYS):
        put(database, key, at=NOW + number)
    one = weigh(KEYS[0], answer())
    database.trim(6 * one)
    assert len(keys(database)) == 6
    database.trim(6 * one - 1)
    assert keys(database) == KEYS[:0:-1]
    assert database.weight == 5 * one


def test_what_is_too_old_or_from_the_future_goes(database: Database) -> None:
    """Both ends belong to what stays."""
    for number, key in enumerate(KEYS[:5]):
        put(database, key, stored=answer(stored_at=NOW + number))
    database.expire(NOW + 1, NOW + 3)
    assert set(keys(database)) == set(KEYS[1:4])


def test_another_version_is_damage(database: Database, tmp_path: Path) -> None:
    """Of a newer sidecar, or of something else: it is not read, and not written to."""
    database.close()
    with closing(sqlite3.connect(tmp_path / NAME)) as other:
        other.execute("PRAGMA user_version = 2")
    with pytest.raises(Damaged, match="version 2"):
        Database(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"not a database, but long enough to be one" * 100, id="garbage"),
        pytest.param(b"SQLite format 3\0" + b"\xff" * 5000, id="a-head"),
    ],
)
def test_what_is_no_database_is_damage(tmp_path: Path, content: bytes) -> None:
    """Found when it is opened."""
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(Damaged):
        Database(tmp_path)


def test_other_tables_are_damage(tmp_path: Path) -> None:
    """The right version, but not what we would have written."""
    with closing(sqlite3.connect(tmp_path / NAME)) as other:
        other.execute("CREATE TABLE kept (x)")
        other.execute("PRAGMA user_version = 1")
    with pytest.raises(Damaged):
        Database(tmp_path)


def test_trouble_with_the_disk_is_no_damage() -> None:
    """A file must not be set aside because its disk is full."""
    for code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY):
        error = sqlite3.OperationalError("trouble")
        error.sqlite_errorcode = code
        assert not is_damage(error)
    assert not is_damage(sqlite3.ProgrammingError("closed"))


def test_a_damaged_file_is_set_aside_and_a_few_are_kept(tmp_path: Path) -> None:
    """Two of them, whatever the clock says; their log does not meet the next file."""
    for number in range(4):
        (tmp_path / NAME).write_bytes(b"%d" % number)
        (tmp_path / f"{NAME}-wal").write_bytes(b"log")
        aside = set_aside(tmp_path, NOW)
        assert aside.read_bytes() == b"%d" % number
        assert not (tmp_path / NAME).exists()
        assert not (tmp_path / f"{NAME}-wal").exists()
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == [b"2", b"3"]


def test_a_file_that_was_replaced_is_noticed(database: Database, tmp_path: Path) -> None:
    """By an operator who removed it, or put another in its place."""
    assert database.is_in_place()
    (tmp_path / NAME).rename(tmp_path / "elsewhere")
    assert not database.is_in_place()
    (tmp_path / NAME).touch()
    assert not database.is_in_place()


def test_a_file_that_can_not_be_written_can_be_read(database: Database, tmp_path: Path) -> None:
    """By who may not even make files beside it. One that is not there is no file."""
    put(database, KEYS[0])
    database.close()
    frozen = Frozen(tmp_path)
    assert keys(frozen) == [KEYS[0]]
    frozen.close()
    assert {path.name for path in tmp_path.iterdir()} == {NAME}
    with pytest.raises(FileNotFoundError):
        Frozen(tmp_path / "nowhere")
