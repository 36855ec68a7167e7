"""Outages to play: what is wrong with an upstream, and when."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from sidecar.simulation.server import WELL, Condition


class Phase(NamedTuple):
    """A span of a scenario, `seconds` long."""

    name: str
    seconds: float
    condition: Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A story in phases. `meaning`: one sentence for people."""

    meaning: str
    phases: tuple[Phase, ...]


_BEFORE: Final = Phase("before", 30.0, WELL)
_AFTER: Final = Phase("after", 60.0, WELL)


def _of(meaning: str, *trouble: Phase) -> Scenario:
    return Scenario(meaning=meaning, phases=(_BEFORE, *trouble, _AFTER))


SCENARIOS: Final[dict[str, Scenario]] = {
    "outage": _of("for a minute nobody listens", Phase("outage", 60.0, Condition(refuses=True))),
    "hang": _of(
        "for a minute requests are taken and not answered; then they are worked through",
        Phase("hang", 60.0, Condition(hangs=True)),
    ),
    "slow": _of("for a minute every answer takes two seconds longer", Phase("slow", 60.0, Condition(added=2.0))),
    "flaky": _of(
        "for a minute a quarter of the answers is a 503, and one in twenty connections is reset",
        Phase("flaky", 60.0, Condition(fails=0.25, resets=0.05)),
    ),
    "brownout": _of(
        "for a minute it can do a third of what it is asked for, so that latency grows with load",
        Phase("brownout", 60.0, Condition(slower=6.0)),
    ),
    "recovery": _of(
        "it hangs for half a minute, and is three times as slow for another: its caches are cold",
        Phase("hang", 30.0, Condition(hangs=True)),
        Phase("cold", 30.0, Condition(slower=3.0)),
    ),
}
"""By name. A server can do twice what it is asked for while all is well (`play.HEADROOM`)."""
