"""The machine and the programs of a run, so that a figure is never without them."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.lineup import LINEUP, version


@dataclass(frozen=True, slots=True)
class Machine:
    """`versions`: by proxy."""

    date: str
    cpu: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    versions: Mapping[str, str]

    def sentence(self) -> str:
        """All of it but the proxies, for a paragraph."""
        return (
            f"{self.date}, {self.cpu}, {self.cores} cores, {self.memory_gb:.0f} GB, {self.kernel}, Python {self.python}"
        )


def describe() -> Machine:
    """Looks at this machine, and asks every proxy for its version."""
    return Machine(
        date=datetime.now(UTC).date().isoformat(),
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        memory_gb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        versions={proxy.name: version(proxy) for proxy in LINEUP},
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
