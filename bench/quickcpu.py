"""The sidecar against one peer, CPU per request, nothing else: the figure to watch while working on speed.

    python -m bench.quickcpu                                  plain GET, 3 rounds of 4 s, against Envoy
    python -m bench.quickcpu --workload tls --against haproxy
    python -m bench.quickcpu --command "python other.py @port@" --origin-port 9000

In --command these stand for what the run has chosen: @port@ @admin_port@ @origin_port@ @tls_port@
@failing_port@ @ca@ @access_log@ @work@, and @config@ for the folder with the filled-in templates of
bench/peers/sidecar.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median

from bench import lineup, workloads
from bench.child import Unusable
from bench.measure import cpu_per_request, started
from bench.options import AS_WRITTEN, add_command, parametrised
from bench.setting import Setting, setting


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints µs per request of both, and their ratio. 0; 2 where nothing could be measured."""
    wanted = _options().parse_args(arguments)
    ours = parametrised(wanted.command) if wanted.command else lineup.SIDECAR
    pair = (ours, lineup.BY_NAME[wanted.against])
    try:
        with setting(origin_port=wanted.origin_port, progress=lambda _: None) as place:
            samples = _rounds(pair, place, wanted)
    except Unusable as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    mine, theirs = (median(samples[proxy.name]) for proxy in pair)
    print(f"{pair[0].name} {mine:.1f} µs   {pair[1].name} {theirs:.1f} µs   ratio {mine / theirs:.2f}")
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.quickcpu", description=__doc__, formatter_class=AS_WRITTEN)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=None)
    parser.add_argument("--workload", choices=sorted(workloads.BY_NAME), default="plain")
    parser.add_argument("--against", choices=sorted(lineup.BY_NAME), default="envoy")
    add_command(parser)
    return parser


def _rounds(pair: Sequence[lineup.Proxy], place: Setting, wanted: argparse.Namespace) -> dict[str, list[float]]:
    workload = workloads.BY_NAME[wanted.workload]
    samples: dict[str, list[float]] = {proxy.name: [] for proxy in pair}
    for number in range(wanted.rounds):
        for proxy in pair:
            with ExitStack() as stack:
                running = started(proxy, place, stack).running
                sample = cpu_per_request(running, workload, seconds=wanted.seconds, connections=wanted.connections)
            samples[proxy.name].append(sample.cpu_us)
            print(
                f"round {number + 1}/{wanted.rounds}  {proxy.name:8} {sample.cpu_us:7.1f} µs/request"
                f" ({sample.user_us:.0f} user, {sample.system_us:.0f} system)"
                f"  {sample.load.per_second:8.0f} requests/s  p99 {sample.load.p99_ms:.2f} ms",
                flush=True,
            )
    return samples


if __name__ == "__main__":
    sys.exit(main())
