"""What is measured of one proxy, in the order in which it is measured."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from bench.child import Unusable
from bench.figures import DIRECT, Figures
from bench.lineup import Proxy, Running, start
from bench.procfs import cpu_time, resident_mb
from bench.saturate import Saturation, saturate
from bench.setting import Setting
from bench.steady import idle_connections, steady
from bench.watchers import dashboards
from bench.workloads import DOWNLOAD, PLAIN, WORKLOADS, Workload, prepare

RATE = 1000
"""Requests per second of the fixed-rate load."""
OPEN_CONNECTIONS = 1000
_SETTLE = 0.5
"""Seconds from the first answer to the reading of the idle memory: what is imported late has come by then."""

Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure. Seconds are per workload and round."""

    rounds: int
    warm_up: float
    saturated: float
    steady: float

    @property
    def seconds_per_proxy(self) -> float:
        """About, per round."""
        return self.warm_up + len(WORKLOADS) * self.saturated + self.steady + 2


FULL = Plan(rounds=3, warm_up=1, saturated=4, steady=10)
QUICK = Plan(rounds=1, warm_up=0, saturated=0.6, steady=1)


@dataclass(frozen=True, slots=True)
class Started:
    """A proxy that has answered. `seconds`: from its execution to that first answer."""

    running: Running
    seconds: float


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU of the proxy's processes per answered request, in microseconds, and the load it was taken under."""

    user_us: float
    system_us: float
    load: Saturation

    @property
    def cpu_us(self) -> float:
        """In the program and in the kernel."""
        return self.user_us + self.system_us


def measure(proxy: Proxy, place: Setting, plan: Plan, figures: Figures, step: Step) -> None:
    """One round of one proxy: start, idle, every workload, fixed rate, open connections, stop.

    What fails is noted in `figures` and the rest goes on.
    """
    with ExitStack() as stack:
        step("start")
        try:
            up = started(proxy, place, stack)
        except Unusable as error:
            figures.trouble(proxy.name, str(error))
            return
        figures.add(proxy.name, "start", up.seconds)
        time.sleep(_SETTLE)
        figures.add(proxy.name, "rss_idle", resident_mb(up.running.child.pid))
        if proxy.watched:
            stack.enter_context(dashboards(up.running.admin_port))
        for name, part in _parts(proxy, up.running, plan, figures).items():
            step(name)
            try:
                part()
            except (Unusable, OSError) as error:
                figures.trouble(f"{proxy.name}, {name}", str(error))


def measure_direct(place: Setting, plan: Plan, figures: Figures, step: Step) -> None:
    """The same loads without a proxy: what the generator, the origin and the kernel take by themselves."""
    step("fixed rate")
    _fixed_rate(DIRECT, place.origin.plain, plan, figures)
    step(PLAIN.name)
    _note_load(DIRECT, saturate(PLAIN, place.origin.plain, seconds=plan.saturated), figures)


def started(proxy: Proxy, place: Setting, stack: ExitStack) -> Started:
    """Starts it and waits for its first answer.

    Raises:
        Unusable: it is not installed, ended, or did not answer.
    """
    try:
        running = start(proxy, origin=place.origin, cores=place.cores, folder=place.folder, stack=stack)
    except FileNotFoundError as error:
        raise Unusable(f"not installed: {proxy.package}") from error
    return Started(running=running, seconds=running.child.wait_for_answer(running.port, PLAIN.path))


def cpu_per_request(
    running: Running,
    workload: Workload,
    *,
    seconds: float,
    connections: int | None = None,
    midway: Callable[[], None] | None = None,
) -> Cost:
    """Saturates it with the workload."""
    prepare(workload, running.port)
    before = cpu_time(running.child.pid)
    load = saturate(workload, running.port, seconds=seconds, connections=connections, midway=midway)
    after = cpu_time(running.child.pid)
    per_answer = 1e6 / _answered(workload, load)
    return Cost(
        user_us=(after.user - before.user) * per_answer,
        system_us=(after.system - before.system) * per_answer,
        load=load,
    )


def _answered(workload: Workload, load: Saturation) -> float:
    """Requests; of long downloads the parts of unfinished ones too, for they have cost their share."""
    return load.bytes / workload.answer_bytes if workload is DOWNLOAD else load.requests


def _parts(proxy: Proxy, running: Running, plan: Plan, figures: Figures) -> dict[str, Callable[[], None]]:
    parts: dict[str, Callable[[], None]] = {}
    if plan.warm_up:
        parts["warm-up"] = partial(_warm_up, running, plan)
    for workload in (PLAIN,) if proxy.plain_only else WORKLOADS:
        parts[workload.name] = partial(_saturated, proxy, running, workload, plan, figures)
        if workload is PLAIN:  # after it, for a latency must not show what is still being loaded
            parts["fixed rate"] = partial(_fixed_rate, proxy.name, running.port, plan, figures)
    if not proxy.plain_only:
        parts["open connections"] = partial(_open, proxy, running, figures)
    return parts


def _warm_up(running: Running, plan: Plan) -> None:
    prepare(PLAIN, running.port)
    saturate(PLAIN, running.port, seconds=plan.warm_up)


def _fixed_rate(name: str, port: int, plan: Plan, figures: Figures) -> None:
    tally = steady(PLAIN, port, rate=RATE, seconds=plan.steady)
    figures.add(name, "steady_p50", tally.percentile_ms(0.50))
    figures.add(name, "steady_p99", tally.percentile_ms(0.99))


def _saturated(proxy: Proxy, running: Running, workload: Workload, plan: Plan, figures: Figures) -> None:
    def read_memory() -> None:
        if workload is PLAIN:
            figures.add(proxy.name, "rss_loaded", resident_mb(running.child.pid))

    cost = cpu_per_request(running, workload, seconds=plan.saturated, midway=read_memory)
    figures.add(proxy.name, f"cpu_{workload.name}", cost.cpu_us)
    if workload is PLAIN:
        _note_load(proxy.name, cost.load, figures)


def _note_load(name: str, load: Saturation, figures: Figures) -> None:
    figures.add(name, "busy_per_second", load.per_second)
    figures.add(name, "busy_p50", load.p50_ms)
    figures.add(name, "busy_p99", load.p99_ms)


def _open(proxy: Proxy, running: Running, figures: Figures) -> None:
    with idle_connections(PLAIN, running.port, OPEN_CONNECTIONS):
        figures.add(proxy.name, "rss_open", resident_mb(running.child.pid))
