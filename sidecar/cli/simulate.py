"""`sidecar simulate FILE --scenario S`: what this configuration does in an outage, in virtual time.

The policies and the request path are those that `sidecar run` would serve with; upstreams and callers are models, see
docs/simulate.md. Exit code 0: played; 2: the file cannot be read, or there is no such route.
"""

import argparse
import json
import sys
from dataclasses import asdict
from math import inf, isfinite
from typing import Any, Final

from sidecar.app.build import Builder
from sidecar.config import Config, ConfigError, load
from sidecar.config.scalars import parse_duration
from sidecar.simulation.play import Load, Story, play
from sidecar.simulation.scenarios import SCENARIOS
from sidecar.simulation.tally import Change, Watch
from sidecar.simulation.world import World
from sidecar.stores.memory import MemoryStore

_SHOWN: Final = 12
"""Moves of a breaker that are printed."""
_HEAD: Final = (
    f"{'phase':<9} {'from':>5} {'to':>5} {'requests':>8} {'success':>8} {'rescued':>8} {'refused':>8} {'failed':>8}"
    f" {'gone':>7} {'attempts':>9} {'p50':>8} {'p99':>8}"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="the configuration")
    parser.add_argument(
        "--scenario",
        choices=sorted(SCENARIOS),
        default="outage",
        help="; ".join(f"{name}: {scenario.meaning}" for name, scenario in sorted(SCENARIOS.items())),
    )
    parser.add_argument("--route", metavar="NAME", help="only this one; by default each in turn")
    parser.add_argument("--rate", type=_positive, default=50.0, metavar="N", help="requests per second, 50 by default")
    parser.add_argument(
        "--latency",
        type=_duration,
        default=0.05,
        metavar="TIME",
        help="median of an answer while all is well, e.g. 80ms",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another one is another history")
    parser.add_argument("--json", action="store_true", help="for programs")


def main(args: argparse.Namespace) -> int:
    """Plays the scenario against each route, prints what became of it, and returns the exit code."""
    try:
        config = load(args.file)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    names = [route.name for route in config.routes if args.route in (None, route.name)]
    if not names:
        print(f"sidecar simulate: no route is named {args.route!a}", file=sys.stderr)
        return 2
    stories = [_played(config, name, args) for name in names]
    if args.json:
        print(json.dumps([_plain(asdict(story)) for story in stories], indent=2))
    else:
        for story in stories:
            _print(story, args)
    return 0


def _played(config: Config, name: str, args: argparse.Namespace) -> Story:
    """One route's story: in a world of its own, so that it does not depend on which others are played."""
    world = World(args.seed)
    watch = Watch(world)
    built = Builder(observer=watch, clock=world.clock, rng=world.rng("policies")).build(config)
    asked, route = next(pair for pair in zip(config.routes, built.routes, strict=True) if pair[1].name == name)
    methods = asked.match.methods
    patience = inf if config.caller is None else config.caller.timeout
    return play(
        world,
        watch,
        MemoryStore(config.state.last_known_good.max_bytes),
        route,
        built.upstreams.values(),
        SCENARIOS[args.scenario],
        Load(
            rate=args.rate,
            latency=args.latency,
            patience=patience,
            method=(methods[0] if methods and "GET" not in methods else "GET").encode(),
        ),
    )


def _print(story: Story, args: argparse.Namespace) -> None:
    print(f"{story.route}: {args.scenario}, {SCENARIOS[args.scenario].meaning}")
    print(f"{args.rate:g} requests/s, answers of {_time(args.latency)}, seed {args.seed}\n")
    print(_HEAD)
    for span in story.spans:
        it = span.figures
        shares = "".join(f" {share:>8.1%}" for share in (it.success, it.rescued, it.refused, it.failed))
        print(
            f"{span.name:<9} {span.since:>4.0f}s {span.until:>4.0f}s {it.requests:>8}{shares} {it.gone:>7.1%}"
            f" {it.attempts:>9.3f} {_time(it.p50):>8} {_time(it.p99):>8}"
        )
    for span in story.spans:
        if span.reasons:
            print(f"\n{span.name}: " + ", ".join(f"{reason} {count}" for reason, count in span.reasons.items()), end="")
    print("\n")
    _print_breaker(story.changes)
    last = story.spans[-1].name
    if isfinite(story.recovered):
        print(f"99 % succeed from {_time(story.recovered)} after the begin of '{last}' on.\n")
    else:
        print(f"99 % do not succeed again in '{last}'.\n")


def _print_breaker(changes: list[Change]) -> None:
    for change in changes[:_SHOWN]:
        lasting = f" for {_time(change.open_for)}" if change.open_for else ""
        print(f"  {change.at:>7.1f}s  breaker {change.old} -> {change.new}{lasting}")
    if len(changes) > _SHOWN:
        print(f"            and {len(changes) - _SHOWN} more moves, the last at {changes[-1].at:.1f}s")


def _time(seconds: float) -> str:
    if not isfinite(seconds):
        return "-"
    return f"{seconds:.1f} s" if seconds >= 1.0 else f"{seconds * 1000.0:.0f} ms"


def _plain(value: Any) -> Any:
    """What JSON has words for: a figure that there is none of is null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        named = value._asdict() if hasattr(value, "_asdict") else None
        return _plain(named) if named is not None else [_plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 6) if isfinite(value) else None
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not 0.0 < value <= 10_000.0:
        raise ValueError
    return value


def _duration(text: str) -> float:
    value = parse_duration(text)
    if not 0.0 < value <= 60.0:
        raise ValueError
    return value
