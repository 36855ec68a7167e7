"""The samples as tables."""

from collections.abc import Iterator, Sequence

from bench.figures import DIRECT, Figures
from bench.goals import GOALS
from bench.lineup import ENVOY, Proxy
from bench.machine import Machine
from bench.tables import Table, number, spread
from bench.workloads import WORKLOADS


def tables(figures: Figures, machine: Machine, lineup: Sequence[Proxy]) -> Iterator[Table]:
    """In the order in which they are read."""
    yield _goals(figures)
    yield _cpu(figures, lineup)
    yield _latency(figures, lineup)
    yield _memory(figures, lineup)
    yield _who(machine, lineup)
    if figures.troubles:
        rows = [(what, text) for what, text in figures.troubles.items()]
        yield Table("Not measured", ("what", "why"), rows, numbers=False)


def _goals(figures: Figures) -> Table:
    rows = []
    for goal in GOALS:
        value = goal.read(figures)
        rows.append((goal.title, number(goal.must), number(goal.aim), number(value), goal.verdict(value)))
    return Table("The sidecar against its goals", ("figure", "must", "aim", "measured", ""), rows)


def _cpu(figures: Figures, lineup: Sequence[Proxy]) -> Table:
    header = ["proxy", *(workload.title for workload in WORKLOADS)]
    rows = [
        [proxy.name, *(_with_ratio(figures, proxy, f"cpu_{workload.name}") for workload in WORKLOADS)]
        for proxy in lineup
    ]
    return Table(
        "CPU of the proxy per request, µs: median [least, greatest], × Envoy's",  # noqa: RUF001 - a times sign
        header,
        rows,
    )


def _with_ratio(figures: Figures, proxy: Proxy, figure: str) -> str:
    if not figures.samples(proxy.name, figure):
        return _absent(figures, proxy.name)
    cell, ratio = _cell(figures, proxy.name, figure), figures.ratio(figure, proxy.name, ENVOY.name)
    return cell if ratio is None else f"{cell} ×{number(ratio)}"  # noqa: RUF001 - the sign of the tables


def _latency(figures: Figures, lineup: Sequence[Proxy]) -> Table:
    names = ("steady_p50", "steady_p99", "busy_per_second", "busy_p50", "busy_p99")
    header = ("proxy", "p50 at 1,000/s", "p99 at 1,000/s", "saturated: requests/s", "p50", "p99")
    rows = [
        [name, *(_cell(figures, name, figure) for figure in names)]
        for name in (DIRECT, *(proxy.name for proxy in lineup))
    ]
    return Table("Latency of the plain GET, ms: median [least, greatest]", header, rows)


def _memory(figures: Figures, lineup: Sequence[Proxy]) -> Table:
    names = ("rss_idle", "rss_loaded", "rss_open", "start")
    header = ("proxy", "idle, MB", "under load, MB", "1,000 open connections, MB", "start to first answer, s")
    rows = [[proxy.name, *(_cell(figures, proxy.name, figure) for figure in names)] for proxy in lineup]
    return Table("Resident memory and start-up: median [least, greatest]", header, rows)


def _who(machine: Machine, lineup: Sequence[Proxy]) -> Table:
    rows = [
        (proxy.name, machine.versions[proxy.name], proxy.refusal, proxy.lacks or "nothing", proxy.package)
        for proxy in lineup
    ]
    header = (
        "proxy",
        "version",
        'what "breaker open" is in it',
        "lacks, of what is alike",
        "from",
    )
    return Table("The proxies", header, rows, numbers=False)


def _cell(figures: Figures, name: str, figure: str) -> str:
    samples = figures.samples(name, figure)
    return spread(samples, figures.median(name, figure)) if samples else _absent(figures, name)


def _absent(figures: Figures, name: str) -> str:
    return "not installed" if figures.troubles.get(name, "").startswith("not installed") else number(None)
