"""Laws of the state holder and of how pybreaker is loaded."""

import subprocess
import sys

import pytest

from sidecar.policy import machine
from sidecar.policy.machine import CLOSED, HALF_OPEN, OPEN, Machine


def test_it_holds_its_state_in_pybreaker_and_resets_what_belongs_to_it() -> None:
    """Closing ends the row; a new round forgets the good probes of the last one."""
    heard: list[tuple[str, str, float]] = []
    held = Machine(fail_max=3, reset_timeout=10.0, success_threshold=2, on_change=lambda *change: heard.append(change))
    held.storage.increment_counter()
    held.storage.open_for = 12.5
    held.move(OPEN)
    held.storage.increment_success_counter()
    held.move(HALF_OPEN)
    assert (held.state, held.storage.success_counter) == (HALF_OPEN, 0)
    held.move(CLOSED)
    assert (held.state, held.storage.counter) == (CLOSED, 0)
    assert heard == [(CLOSED, OPEN, 12.5), (OPEN, HALF_OPEN, 0.0), (HALF_OPEN, CLOSED, 0.0)]


def test_two_machines_share_nothing() -> None:
    """What is a class attribute in the storage must not be everybody's."""
    one, other = (Machine(fail_max=3, reset_timeout=10.0, success_threshold=2, on_change=lambda *_: None) for _ in "ab")
    one.storage.increment_counter()
    one.move(OPEN)
    assert (other.state, other.storage.counter) == (CLOSED, 0)


PROBE = """
import sys
from types import ModuleType, SimpleNamespace

# Somebody else's, loaded before us, with all that pybreaker would look for.
for where in ("redis.Redis", "redis.client.Pipeline", "redis.exceptions.RedisError", "tornado.gen"):
    name, _, holds = where.rpartition(".")
    sys.modules[name] = ModuleType(name)
    setattr(sys.modules[name], holds, SimpleNamespace())
before = dict(sys.modules)
import sidecar.policy.machine
assert all(sys.modules[name] is before[name] for name in ("redis", "redis.client", "tornado"))
import pybreaker
assert not pybreaker.HAS_REDIS_SUPPORT and not pybreaker.HAS_TORNADO_SUPPORT
"""


def test_loading_it_loads_neither_redis_nor_tornado_and_hides_neither() -> None:
    """The breaker library must not see them; whoever else wants them must."""
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_was_not_loaded_is_not_blocked_afterwards() -> None:
    """A name that was hidden is importable again, not forbidden for good."""
    with machine._absent("colorsys"), pytest.raises(ImportError):
        import colorsys  # noqa: PLC0415 - the import is what is tested
    import colorsys  # noqa: PLC0415 - the same

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)
