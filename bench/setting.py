"""What every run needs around the proxies: a folder, the cores, the origin, and the machine to itself."""

import fcntl
import importlib.util
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

from bench.child import Unusable
from bench.origin import Origin, start_origin
from bench.place import Cores, choose_cores, executable

Progress = Callable[[str], None]
_LOCK = Path(tempfile.gettempdir()) / f"sidecar-bench-{os.getuid()}.lock"
_DESCRIPTORS = 16_384
_NEEDED = {"wrk": "apt-get install wrk", "nginx": "apt-get install nginx"}


@dataclass(frozen=True, slots=True)
class Setting:
    """Where the proxies of one run are started."""

    folder: Path
    cores: Cores
    origin: Origin


@contextmanager
def setting(*, progress: Progress, origin_port: int | None = None) -> Iterator[Setting]:
    """Holds the lock, a temporary folder and the origin; this process moves to the load's core.

    Raises:
        Unusable: wrk or nginx (the origin) is missing.
    """
    _require()
    cores = choose_cores()
    with _LOCK.open("w") as lock, tempfile.TemporaryDirectory(prefix="sidecar-bench-") as name:
        _alone(lock, progress)
        os.sched_setaffinity(0, {cores.load})
        allow_descriptors()
        signal.signal(signal.SIGTERM, _leave)
        origin = start_origin(Path(name), cores, plain=origin_port)
        with origin.child:
            yield Setting(folder=Path(name), cores=cores, origin=origin)


def _require() -> None:
    for program, remedy in _NEEDED.items():
        if executable(program) is None:
            raise Unusable(f"{program} is needed and not installed: {remedy}")
    if importlib.util.find_spec("trustme") is None:
        raise Unusable("trustme is needed and not installed: pip install -e '.[bench]'")


def allow_descriptors() -> None:
    """Enough of them for a thousand connections on both sides of a proxy; children inherit the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    """Leaves by way of every `with` block, so that no program outlives the run."""
    sys.exit(128 + number)


def _alone(lock: IO[str], progress: Progress) -> None:
    """Two runs on one machine would measure each other: the second waits."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        progress("another run is under way on this machine; waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)
