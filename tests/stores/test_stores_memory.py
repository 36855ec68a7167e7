"""Laws of the memory store: bounded in bytes, and the least recently used leaves first."""

import sys
from collections import OrderedDict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sidecar.policy.last_known_good import Store, Stored
from sidecar.stores.memory import ENTRY, MemoryStore, weigh

KEYS = [bytes([letter]) * 32 for letter in b"abcdef"]
MAX = 6 * ENTRY


def answer(size: int, stored_at: float = 0.0, headers: int = 1) -> Stored:
    """A kept answer with a body of that size."""
    line = (b"Content-Type", b"application/json")
    return Stored(200, (line,) * headers, b"x" * size, stored_at, 60.0, 3600.0)


class StoreMachine(RuleBasedStateMachine):
    """The store against a map that is kept in the plainest way."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore(MAX)
        self.model: OrderedDict[bytes, Stored] = OrderedDict()

    @rule(key=st.sampled_from(KEYS), size=st.integers(0, MAX), at=st.floats(0, 1e9))
    def put(self, key: bytes, size: int, at: float) -> None:
        """Keeps it, unless it alone is too big; makes room from the least recently used on."""
        stored = answer(size, at)
        self.store.put(key, stored)
        if weigh(key, stored) > MAX:
            return
        self.model[key] = stored
        self.model.move_to_end(key)
        while sum(weigh(k, s) for k, s in self.model.items()) > MAX:
            self.model.popitem(last=False)

    @rule(key=st.sampled_from(KEYS))
    def get(self, key: bytes) -> None:
        """The last one put, or None; having been asked for, it leaves last."""
        assert self.store.get(key) is self.model.get(key)
        if key in self.model:
            self.model.move_to_end(key)

    @rule(key=st.sampled_from(KEYS))
    def peek(self, key: bytes) -> None:
        """The same answer; who leaves next stays as it was."""
        assert self.store.peek(key) is self.model.get(key)

    @rule(key=st.sampled_from(KEYS))
    def forget(self, key: bytes) -> None:
        """It is gone, and says whether it was there."""
        assert self.store.forget(key) is (self.model.pop(key, None) is not None)

    @rule(key=st.sampled_from(KEYS), size=st.integers(0, MAX))
    def put_below(self, key: bytes, size: int) -> None:
        """Only into free room, as the first to leave, and never in place of another."""
        stored = answer(size)
        fits = sum(weigh(k, s) for k, s in self.model.items()) + weigh(key, stored) <= MAX
        assert self.store.put_below(key, stored) is fits
        if fits and key not in self.model:
            self.model[key] = stored
            self.model.move_to_end(key, last=False)

    @invariant()
    def agrees(self) -> None:
        """Same keys in the same order, same weight, within the bound."""
        assert self.store.keys() == list(self.model)
        assert len(self.store) == len(self.model)
        assert self.store.bytes_used == sum(weigh(k, s) for k, s in self.model.items()) <= MAX


StoreMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
TestStoreMachine = StoreMachine.TestCase


def test_it_is_a_store() -> None:
    """It has the methods that the policy asks for."""
    for name in (name for name in vars(Store) if not name.startswith("_")):
        assert callable(getattr(MemoryStore, name))


def test_an_answer_beyond_the_bound_leaves_the_older_one_in_place() -> None:
    """Without it there would be nothing to fall back on; its own age still bounds it."""
    store = MemoryStore(10_000)
    older = answer(100)
    store.put(b"key", older)
    store.put(b"key", answer(10_000))
    assert store.get(b"key") is older


def test_an_answer_of_just_the_bound_is_kept() -> None:
    """At the bound, not below it."""
    stored = answer(1000)
    weight = weigh(b"key", stored)
    exact, short = MemoryStore(weight), MemoryStore(weight - 1)
    for store in (exact, short):
        store.put(b"key", stored)
    assert (len(exact), len(short)) == (1, 0)


def test_no_room_keeps_nothing() -> None:
    """A bound of 0 switches it off without an error."""
    store = MemoryStore(0)
    store.put(b"key", answer(0))
    assert store.get(b"key") is None
    assert store.bytes_used == 0


def test_the_weight_is_not_less_than_what_the_objects_take() -> None:
    """The bound is about memory: what is accounted covers the objects, headers included."""
    for headers in (0, 1, 30):
        key, stored = b"k" * 32, answer(500, headers=headers)
        fields = [(bytes(bytearray(part)) for part in line) for line in stored.headers]
        times = [stored.stored_at, stored.fresh_for, stored.usable_for]
        objects = [key, stored, stored.headers, stored.body, *times, ("entry", 1), 1000]
        total = sum(map(sys.getsizeof, objects)) + sum(
            sys.getsizeof(("", "")) + sum(map(sys.getsizeof, line)) for line in fields
        )
        assert weigh(key, stored) >= total
