"""Every target, for a moment: the same inputs as ever, and some that nobody has seen."""

import secrets
from collections.abc import Callable

import pytest

from conformance.fuzz import TARGETS, Fuzzer

SECONDS = 1.1
MUTATIONS = 150
"""At least, however busy the machine is."""


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("chance", ["fixed", "new"])
def test_nothing_is_found(name: str, chance: str, record_property: Callable[[str, object], None]) -> None:
    """No input breaks a law. To repeat: python -m conformance.fuzz --target NAME --seed SEED --seconds 10."""
    seed = 1 if chance == "fixed" else secrets.randbits(32)
    fuzzer = Fuzzer(name, seed)
    fuzzer.run(SECONDS, executions=len(set(fuzzer.target.seeds)) + MUTATIONS)
    record_property("figure", f"seed {seed}: {fuzzer.line}")
    found = [f"{finding.what}\n    {finding.data!r}" for finding in fuzzer.findings.values()]
    assert not found, f"--target {name} --seed {seed}\n" + "\n".join(found)
    assert len(fuzzer.kinds) > 5, "inputs that are all alike try nothing"
