"""The fallback ladder: what is tried, in order, when no attempt brought a usable answer.

An answer that is no failure (any 4xx) never comes here: a fallback must not mask it.
"""

from dataclasses import dataclass
from typing import Final

from sidecar.policy.answer import Answer
from sidecar.policy.endpoints import Upstream
from sidecar.policy.reasons import REASONS

KINDS: Final = frozenset(kind for reason in REASONS.values() for kind in reason.kinds)
"""The words of a rung's `on`."""


@dataclass(frozen=True, slots=True)
class LastKnownGood:
    """The newest good answer to the same question, at most `max_age` seconds old.

    `identity`: lower-case names of the request headers that say who asks. `on`: kinds it covers; empty for
    all. `overrule`: what the origin says and the operator does not heed, see `freshness.OVERRULABLE`. `unseen`:
    lower-case names of headers that the upstream does not see as the caller sent them.
    """

    max_age: float
    identity: tuple[bytes, ...]
    on: frozenset[str] = frozenset()
    overrule: frozenset[str] = frozenset()
    unseen: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Failover:
    """One attempt at another upstream. `on`: kinds it covers; empty for all."""

    upstream: Upstream
    on: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Static:
    """A fixed answer. `on`: kinds it covers; empty for all."""

    answer: Answer
    on: frozenset[str] = frozenset()


Rung = LastKnownGood | Failover | Static


def covers(rung: Rung, reason: str) -> bool:
    """Whether the rung is tried for this reason. The caller's own faults have no kind, hence no rung."""
    kinds = REASONS[reason].kinds
    return bool(kinds & rung.on if rung.on else kinds)
