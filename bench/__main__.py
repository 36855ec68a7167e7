"""`python -m bench`: every proxy, every workload, alternating rounds; the tables, and docs/performance.md."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench import lineup, page
from bench.child import Unusable
from bench.figures import DIRECT, Figures
from bench.install import install
from bench.machine import describe
from bench.measure import FULL, QUICK, Plan, measure, measure_direct
from bench.progress import Progress
from bench.report import tables
from bench.setting import setting
from bench.tables import as_text

_SAMPLES = Path(".bench") / "figures.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """0, whatever the figures are: they are shown, never judged. 2 where nothing could be measured."""
    wanted = _options().parse_args(arguments)
    if wanted.install:
        install(_say)
    plan = QUICK if wanted.quick else FULL
    plan = replace(plan, rounds=wanted.rounds or plan.rounds)
    chosen = _chosen(wanted.only)
    machine = describe()
    try:
        figures = _run(chosen, plan)
    except Unusable as error:
        _say(f"bench: {error}")
        return 2
    except KeyboardInterrupt:
        _say("\nbench: interrupted; nothing written")
        return 130
    found = list(tables(figures, machine, chosen))
    print(f"\n{machine.sentence()}; {plan.rounds} round(s)\n")
    print("\n\n".join(as_text(table) for table in found))
    figures.save(_SAMPLES)
    if wanted.quick or wanted.only:
        _say(f"\nNot written to {page.PAGE.name}: that takes a full run.")
    else:
        page.write(page.PAGE, machine, plan.rounds, found)
        _say(f"\nWritten to {page.PAGE}.")
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round of everything, under a minute")
    parser.add_argument("--rounds", type=int, default=None, help="instead of 3 (1 with --quick)")
    parser.add_argument("--only", help="names of proxies, separated by commas")
    parser.add_argument("--no-install", dest="install", action="store_false", help="install nothing from Debian")
    return parser


def _chosen(names: str | None) -> list[lineup.Proxy]:
    wanted = names.split(",") if names else [proxy.name for proxy in lineup.LINEUP]
    unknown = [name for name in wanted if name not in lineup.BY_NAME]
    if unknown:
        raise SystemExit(f"bench: no proxy {', '.join(unknown)}; there are {', '.join(lineup.BY_NAME)}")
    return [lineup.BY_NAME[name] for name in wanted]


def _run(chosen: Sequence[lineup.Proxy], plan: Plan) -> Figures:
    """Every proxy once per round, so that whatever disturbs the machine for a while disturbs all of them."""
    figures = Figures()
    parts = plan.rounds * (len(chosen) + 1)
    progress = Progress(parts, expected=parts * plan.seconds_per_proxy)
    with setting(progress=progress.note) as place:
        for number in range(1, plan.rounds + 1):
            progress.begin(f"round {number}/{plan.rounds}: {DIRECT}")
            measure_direct(place, plan, figures, progress.step)
            progress.end()
            for proxy in chosen:
                progress.begin(f"round {number}/{plan.rounds}: {proxy.name}")
                measure(proxy, place, plan, figures, progress.step)
                progress.end()
    progress.clear()
    return figures


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
