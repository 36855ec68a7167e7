"""Load without a pause: wrk, a fixed number of connections, each asking again as soon as it is answered.

Its percentiles are those of a closed loop: they tell how long a request takes when the proxy is always busy,
not what callers who come on their own schedule would see. For that there is `bench/steady.py`.
"""

import math
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.child import Unusable
from bench.workloads import HEADERS, Workload

_SCRIPT = Path(__file__).parent / "load.lua"
_FIGURES = re.compile(
    r"^figures requests=(\d+) seconds=([\d.]+) p50=([\d.]+) p99=([\d.]+)"
    r" bytes=(\d+) failed=(\d+) refused=(\d+)$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Saturation:
    """What wrk saw. Percentiles in milliseconds."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    bytes: int
    """Received, those of unfinished answers included."""
    failed: int
    """Connections refused or broken."""
    refused: int
    """Answers of status 400 and above."""

    @property
    def per_second(self) -> float:
        """Requests answered."""
        return self.requests / self.seconds


def saturate(
    workload: Workload,
    port: int,
    *,
    seconds: float,
    connections: int | None = None,
    midway: Callable[[], None] | None = None,
) -> Saturation:
    """Runs wrk, on the core this process is pinned to. `midway` is called once, half-way through.

    Raises:
        Unusable: wrk failed, connections did, nothing was answered, or not what the workload is about.
    """
    line = command(workload, port, limit=seconds + 10, connections=connections)
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as wrk:
        try:
            time.sleep(seconds / 2)
            if midway:
                midway()
            time.sleep(seconds / 2)
            wrk.send_signal(signal.SIGINT)  # its own clock knows whole seconds; it reports as if they were over
            told, _ = wrk.communicate(timeout=30)
        finally:
            wrk.kill()
    load = parse(told)
    if load is None or not load.requests:
        raise Unusable(f"wrk measured nothing: {told.strip()[-300:]}")
    if load.failed:
        raise Unusable(f"{load.failed} connections were refused or broken")
    wanted = load.requests if workload.status == 0 else 0
    if load.refused != wanted:
        raise Unusable(f"{load.refused} answers of {load.requests} were errors, expected {wanted}")
    return load


def command(workload: Workload, port: int, *, limit: float, connections: int | None = None) -> list[str]:
    """The command line of wrk: one thread, for `limit` seconds unless it is interrupted."""
    headers = [part for name, value in HEADERS.items() for part in ("-H", f"{name}: {value}")]
    return [
        "wrk", "-t1", f"-c{connections or workload.connections}", f"-d{math.ceil(limit)}s",
        "-s", str(_SCRIPT), *headers, f"http://127.0.0.1:{port}{workload.path}",
        "--", workload.method, str(workload.body_bytes), "traced" if workload.traced else "",
    ]  # fmt: skip


def parse(output: str) -> Saturation | None:
    """Finds the line that load.lua wrote. None: it is not there."""
    found = _FIGURES.search(output)
    if found is None:
        return None
    requests, seconds, p50, p99, size, failed, refused = found.groups()
    return Saturation(
        requests=int(requests),
        seconds=float(seconds),
        p50_ms=float(p50) / 1000,
        p99_ms=float(p99) / 1000,
        bytes=int(size),
        failed=int(failed),
        refused=int(refused),
    )
