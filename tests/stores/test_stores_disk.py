"""Laws of the disk store: what it gives after a restart was put before, whole; the newest, if it was written."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from stores_fakes import KEYS, NOW, World, answer

from sidecar.policy.last_known_good import Store, Stored
from sidecar.stores import disk
from sidecar.stores.database import NAME
from sidecar.stores.disk import DiskStore
from sidecar.stores.memory import MemoryStore, weigh

MAX = 6000
"""Bytes: room for some seven small answers, or one of nearly all of it."""


class StoreMachine(RuleBasedStateMachine):
    """Any order of puts, gets, rounds of the writer, ends, crashes and damage, against what was really put."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="kept-")
        self.world = World(Path(self.directory.name) / "kept", max_bytes=MAX)
        self.memory = MemoryStore(MAX)
        self.ever: dict[bytes, list[Stored]] = {key: [] for key in KEYS}
        self.number = 0
        self.evicted = False

    @rule(key=st.sampled_from(KEYS), size=st.integers(0, MAX))
    def put(self, key: bytes, size: int) -> None:
        """Each answer is one of its kind."""
        self.number += 1
        stored = answer(b"%d:" % self.number + b"x" * size, self.world.wall.now)
        self.world.store.put(key, stored)
        total = self.memory.bytes_used + weigh(key, stored)
        if self.memory.put(key, stored):
            self.evicted = self.evicted or total > MAX
            self.ever[key].append(stored)

    @rule(key=st.sampled_from(KEYS))
    def get(self, key: bytes) -> None:
        """As from memory."""
        assert self.world.store.get(key) == self.memory.get(key)

    @rule(key=st.sampled_from(KEYS))
    def forget(self, key: bytes) -> None:
        """Until it is put again."""
        self.world.store.forget(key)
        self.memory.forget(key)

    @rule(seconds=st.sampled_from([0.2, 5.0, 61.0]))
    def later(self, seconds: float) -> None:
        """The writer has its turn."""
        self.world.later(seconds)

    @rule()
    def end(self) -> None:
        """What is there after an end in order is what was there before it; all of it, if nothing had to make room."""
        self.world.end()
        for key in KEYS:
            found, was = self.world.store._memory.peek(key), self.memory.peek(key)
            if found is None:
                assert was is None or self.evicted
            elif was is not None:
                assert found == was
            else:  # it left memory only to make room
                assert self.evicted
                assert found == self.ever[key][-1]
        self._go_on()

    @rule()
    def crash(self) -> None:
        """What is there was put under that key once."""
        self.world.crash()
        self._go_on()

    @rule(where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
    def damage(self, where: float, flip: int) -> None:
        """A byte of the file changes: whatever is lost, what is left is as it was put."""
        self.world.writer._let_go()
        file = self.world.path / NAME
        data = bytearray(file.read_bytes())
        data[int(where * len(data))] ^= flip
        file.write_bytes(data)
        self.world.restarted()
        self._go_on()

    @precondition(lambda self: len(self.memory))
    @rule()
    def crash_after_a_quiet_while(self) -> None:
        """What had time to be written is there as it last was."""
        self.world.later(5.0)
        self.world.crash()
        if not self.evicted:
            for key in KEYS:
                assert self.world.store._memory.peek(key) == self.memory.peek(key)
        self._go_on()

    def _go_on(self) -> None:
        self.memory = MemoryStore(MAX)
        kept = self.world.store._memory.keys()
        for key in kept:
            stored = self.world.store._memory.peek(key)
            assert stored in self.ever[key]
            self.memory.put(key, stored)
        self.evicted = True  # the file may hold more than memory from now on

    @invariant()
    def bounded(self) -> None:
        """In memory, and what waits."""
        assert self.world.store.bytes_used == self.memory.bytes_used <= MAX
        assert len(self.world.store) == len(self.memory)

    def teardown(self) -> None:
        self.world.writer._let_go()
        self.directory.cleanup()


StoreMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestStoreMachine = StoreMachine.TestCase


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A store in a directory that is not there yet."""
    return World(tmp_path / "a" / "kept")


def test_it_is_a_store() -> None:
    """It has the methods that the policy asks for."""
    for name in (name for name in vars(Store) if not name.startswith("_")):
        assert callable(getattr(DiskStore, name))


def test_an_end_in_order_loses_nothing(world: World) -> None:
    """Not even what was put a moment ago, and again and again."""
    for body in (b"one", b"two"):
        for key in KEYS:
            world.store.put(key, answer(body))
        world.later(0.2)
    world.end()
    assert [world.store.get(key) for key in KEYS] == [answer(b"two")] * len(KEYS)


def test_what_was_not_written_yet_is_lost_in_a_crash_and_what_was_is_not(world: World) -> None:
    """A round of the writer is what makes it last."""
    world.store.put(KEYS[0], answer())
    world.later(0.2)
    world.store.put(KEYS[1], answer())
    world.crash()
    assert (world.store.get(KEYS[0]), world.store.get(KEYS[1])) == (answer(), None)


def test_a_busy_key_is_written_once_in_a_while(world: World) -> None:
    """A route that is asked all the time must not wear the disk; what it says last is written all the same."""
    for number in range(100):
        world.store.put(KEYS[0], answer(b"%d" % number))
        world.later(0.1)
    assert world.store.written <= 4
    world.later(5.0)
    world.crash()
    assert world.store.get(KEYS[0]) == answer(b"99")


def test_what_is_forgotten_is_forgotten_on_disk_at_once(world: World) -> None:
    """It was written a moment ago, and must not come back after a crash."""
    world.store.put(KEYS[0], answer())
    world.later(0.2)
    world.store.forget(KEYS[0])
    world.later(0.2)
    assert world.crash().get(KEYS[0]) is None


def test_what_a_restart_finds_first_is_what_was_used_last(tmp_path: Path) -> None:
    """With room for two of three, the one that was asked for stays, though it is the oldest."""
    size = weigh(KEYS[0], answer(b"x" * 500))
    world = World(tmp_path, max_bytes=3 * size)
    for key in KEYS[:3]:
        world.store.put(key, answer(b"x" * 500))
        world.later(1.0)
    world.store.get(KEYS[0])
    world.later(61.0)
    world.max_bytes = 2 * size
    world.crash()
    assert [world.store.get(key) is not None for key in KEYS[:3]] == [True, False, True]


def test_the_file_is_bounded_too(tmp_path: Path) -> None:
    """Ten times as much is put as there is room for; the file never grows beyond twice the bound."""
    world = World(tmp_path, max_bytes=500_000)
    for number in range(500):
        world.store.put(b"%032d" % number, answer(b"x" * 9000))
        if number % 10 == 0:
            world.later(0.2)
    world.end()
    assert 0 < world.store.bytes_used <= 500_000
    world.writer.finish()
    assert (tmp_path / NAME).stat().st_size < 1_000_000


def test_what_no_route_would_serve_any_more_is_removed(world: World) -> None:
    """Beyond the largest max_age: at the start, and while it runs. So is what a wrong clock has stored."""
    world.store.put(KEYS[0], answer(stored_at=NOW))
    world.store.put(KEYS[1], answer(stored_at=NOW + 3000))
    world.store.put(KEYS[2], answer(stored_at=NOW + 99_999))
    world.end()
    assert [key for key in KEYS if world.store.get(key)] == [KEYS[0]]
    world.wall.now = NOW + 3601
    world.end()
    assert len(world.store) == 0


def test_a_queue_that_is_full_drops_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hangs must not cost memory; what is dropped is still served from memory."""
    monkeypatch.setattr(disk, "QUEUE", 2)
    world = World(tmp_path)
    for key in KEYS[:4]:
        world.store.put(key, answer())
    world.store.put(KEYS[0], answer(b"again"))
    assert world.store.dropped == 2
    assert world.store.get(KEYS[3]) == answer()
    world.end()
    assert [key for key in KEYS if world.store.get(key)] == KEYS[:2]


def test_with_its_thread_it_writes_by_itself(tmp_path: Path) -> None:
    """Open, put, close; open, get: the whole life, in real time."""
    lives = [World(tmp_path) for _ in range(2)]
    for world in lives:
        world.writer._let_go()
    first, second = (
        DiskStore(path=tmp_path, max_bytes=9999, max_age=9.0, wall=world.wall, clock=world.clock) for world in lives
    )
    assert first.open(5.0)
    first.put(KEYS[0], answer())
    first.close(5.0)
    assert (first.written, first.state) == (1, "memory")
    assert second.open(5.0)
    assert (second.get(KEYS[0]), second.state) == (answer(), "disk")
    second.close(5.0)


def test_closing_what_was_never_opened_is_no_error(tmp_path: Path) -> None:
    """A start that fails before the store is opened closes it all the same."""
    world = World(tmp_path)
    DiskStore(path=tmp_path, max_bytes=9, max_age=9.0, wall=world.wall, clock=world.clock).close(1.0)
