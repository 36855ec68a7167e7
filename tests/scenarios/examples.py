"""The configurations of config/examples, as the scenarios run them: the files themselves, their times scaled."""

import re
from collections.abc import Mapping

from fixtures.process import ROOT

SCALE = 10
"""An example's seconds are tenths here. What it gives in milliseconds stays: a machine is no faster for a test."""


def example(system: str, changes: Mapping[str, str] | None = None, *, scale: int = SCALE) -> str:
    """A shipped configuration with its durations scaled, on ports of the test's own.

    changes: values of keys, before scaling, wherever the key stands. Addresses are changed by the environment.
    """
    text = (ROOT / f"config/examples/{system}.yaml").read_text()
    for old, new in (changes or {}).items():
        text, count = re.subn(rf"\b{old}: [\w.]+", f"{old}: {new}", text)
        assert count, f"the example has no {old}"
    text = re.sub(r"^(listen|admin):.*\n", "", text, flags=re.MULTILINE)
    milliseconds = {"s": 1000, "m": 60_000, "h": 3_600_000}
    return re.sub(r"\b(\d+)(s|m|h)\b", lambda found: f"{int(found[1]) * milliseconds[found[2]] // scale}ms", text)
