"""What Linux knows about a process and everything it started (proc(5))."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")


class Stat(NamedTuple):
    """The fields of /proc/PID/stat that matter here."""

    parent: int
    user_ticks: int
    system_ticks: int


class Cpu(NamedTuple):
    """Seconds of CPU time, in the program and in the kernel on its behalf."""

    user: float
    system: float


def parse_stat(line: str) -> Stat:
    """Reads one /proc/PID/stat. The name in parentheses may hold spaces and parentheses itself."""
    fields = line.rpartition(")")[2].split()
    return Stat(parent=int(fields[1]), user_ticks=int(fields[11]), system_ticks=int(fields[12]))


def tree(pid: int) -> list[int]:
    """The process and its descendants that are alive."""
    parents = {child: stat.parent for child, stat in _all()}
    found = [pid]
    for process in found:  # grows while it is walked
        found += [child for child, parent in parents.items() if parent == process]
    return found


def cpu_time(pid: int) -> Cpu:
    """What the process and its descendants have used so far, every thread of them.

    The kernel scales both to the scheduler's exact run time: their sum is good to a tick (10 ms), each alone
    only as good as the samples taken at the ticks.
    """
    stats = [_stat(process) for process in tree(pid)]
    return Cpu(
        user=sum(stat.user_ticks for stat in stats) / _TICKS,
        system=sum(stat.system_ticks for stat in stats) / _TICKS,
    )


def resident_mb(pid: int) -> float:
    """Resident set of the process and its descendants in MB (10^6 bytes).

    Pages that a master and its workers share count once for each of them.
    """
    return sum(_resident_pages(process) for process in tree(pid)) * _PAGE / 1e6


def _all() -> Iterator[tuple[int, Stat]]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), _stat(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):  # it ended between the listing and the reading
                continue


def _stat(pid: int) -> Stat:
    return parse_stat((_PROC / str(pid) / "stat").read_text())


def _resident_pages(pid: int) -> int:
    return int((_PROC / str(pid) / "statm").read_text().split()[1])
