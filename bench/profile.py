"""Where the sidecar spends its time: py-spy samples it while wrk keeps it busy.

python -m bench.profile                          functions, by their own time, under the plain GET
python -m bench.profile --lines --top 60         lines instead of functions
python -m bench.profile --native                 with the C functions of extension modules
python -m bench.profile --flamegraph flames.svg
"""

import argparse
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import lineup, workloads
from bench.child import Unusable
from bench.lineup import Running
from bench.measure import started
from bench.options import AS_WRITTEN, add_command, parametrised
from bench.place import script
from bench.saturate import command
from bench.setting import Setting, setting
from bench.workloads import Workload, prepare

_SERVING = "MainThread"
_WARM_UP = 2
"""Seconds of load before the first sample: imports that come late are over."""


class Profile(NamedTuple):
    """Samples by frame: in it, and in it or what it called."""

    own: Counter[str]
    total: Counter[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table, or writes the picture. 2 where neither could be made."""
    wanted = _options().parse_args(arguments)
    try:
        with setting(origin_port=wanted.origin_port, progress=print) as place:
            raw = _record(place, wanted)
    except Unusable as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    if wanted.flamegraph:
        print(f"written to {wanted.flamegraph}")
    else:
        _show(parse(raw), wanted.top)
    return 0


def parse(raw: str) -> Profile:
    """Reads py-spy's raw format: one stack per line, frames parted by semicolons, then a count.

    The outermost frame is the thread; only the main one serves, so only its stacks count.
    """
    own, total = Counter[str](), Counter[str]()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        if _SERVING in thread and frames:
            own[frames[-1]] += int(count)
            for frame in set(frames):
                total[frame] += int(count)
    return Profile(own=own, total=total)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__, formatter_class=AS_WRITTEN)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--top", type=int, default=30)
    parser.add_argument("--workload", choices=sorted(workloads.BY_NAME), default="plain")
    parser.add_argument("--lines", action="store_true")
    parser.add_argument("--native", action="store_true")
    parser.add_argument("--flamegraph", type=Path, help="an SVG to write instead of the table")
    add_command(parser)
    return parser


def _record(place: Setting, wanted: argparse.Namespace) -> str:
    proxy = parametrised(wanted.command) if wanted.command else lineup.SIDECAR
    workload = workloads.BY_NAME[wanted.workload]
    output = place.folder / "profile"
    with ExitStack() as stack:
        running = started(proxy, place, stack).running
        prepare(workload, running.port)
        with _kept_busy(running, workload, wanted.seconds + _WARM_UP + 5):
            time.sleep(_WARM_UP)
            _sample(running, wanted, output)
    if wanted.flamegraph:
        wanted.flamegraph.write_bytes(output.read_bytes())
        return ""
    return output.read_text()


@contextmanager
def _kept_busy(running: Running, workload: Workload, seconds: int) -> Iterator[None]:
    line = command(workload, running.port, limit=seconds)
    with subprocess.Popen(line, stdout=subprocess.DEVNULL) as wrk:
        try:
            yield
        finally:
            wrk.terminate()


def _sample(running: Running, wanted: argparse.Namespace, output: Path) -> None:
    program = script("py-spy")
    if program is None:
        raise Unusable("py-spy is needed and not installed: pip install -e '.[bench]'")
    switches = ["--threads"] if wanted.lines else ["--threads", "--function"]
    switches += ["--native"] if wanted.native else []
    picture = "flamegraph" if wanted.flamegraph else "raw"
    line = [program, "record", "--pid", str(running.child.pid), "--rate", "200"]
    line += ["--duration", str(wanted.seconds), "--format", picture, "--output", str(output), *switches]
    told = subprocess.run(line, capture_output=True, text=True, check=False)
    if told.returncode or not output.exists():
        raise Unusable(f"py-spy failed (it needs root, or ptrace_scope 0): {told.stderr.strip()[-300:]}")


def _show(profile: Profile, top: int) -> None:
    samples = profile.own.total() or 1
    print(f"{samples} samples\n   own  total")
    for frame, count in profile.own.most_common(top):
        print(f"{count / samples:6.1%} {profile.total[frame] / samples:6.1%}  {frame}")


if __name__ == "__main__":
    sys.exit(main())
