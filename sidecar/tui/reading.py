"""A `/status` document as rows of numbers, whatever it lacks.

The sidecar that answers may be older or newer than this program: what is missing, or of another type, is shown as
unknown and never stops the rest. Nothing of it is trusted to be fit for a terminal.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

WINDOW: Final = 10.0
"""Seconds over which rates are reckoned where the document has none, as the document's own are."""
_ERRORS: Final = ("upstream_error", "fail_closed")
_FALLBACKS: Final = ("last_known_good", "failover", "static")
_WORST: Final = {"open": 0, "half_open": 1, "closed": 2}
_LONGEST: Final = 300


def text(value: object) -> str:
    """As it may be printed: one line without control characters, of bounded length; "" for what is no text."""
    if not isinstance(value, str):
        return ""
    return "".join(letter if letter.isprintable() else "?" for letter in value[:_LONGEST])


def number(value: object) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def members(value: object) -> Mapping[str, Any]:
    """A mapping; empty for anything else."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> Sequence[Any]:
    """A list; empty for anything else."""
    return value if isinstance(value, list) else ()


def moment(value: object) -> float | None:
    """Unix time of an RFC 3339 date, or None."""
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One route. None stands for what is not known; shares are from 0 to 1, times in seconds."""

    name: str
    upstream: str
    state: str
    """closed, open, half_open; "" without a breaker."""
    held: bool
    """By hand."""
    dry: bool
    fault: bool
    critical: bool
    since: float | None
    """Since the breaker moved."""
    retry_after: float | None
    rate: float | None
    """Requests per second."""
    errors: float | None
    fallbacks: float | None
    refused: float | None
    p50: float | None
    p99: float | None
    in_flight: float | None
    callers_get: str
    raw: Mapping[str, Any]
    """The whole of it, for the details."""

    @property
    def badness(self) -> tuple[int, float]:
        """Sorts the worst first."""
        return _WORST.get(self.state, 2), -((self.errors or 0.0) + (self.fallbacks or 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One answer. `at`: Unix time at which it came."""

    at: float
    version: str
    uptime: float | None
    ready: bool | None
    draining: bool
    rows: tuple[Row, ...]
    raw: Mapping[str, Any]

    def upstream(self, name: str) -> Mapping[str, Any]:
        """The upstream of that name; empty if there is none."""
        found = (members(each) for each in items(self.raw.get("upstreams")))
        return next((each for each in found if text(each.get("name")) == name), {})

    @property
    def journal(self) -> Sequence[Mapping[str, Any]]:
        """What happened, newest last."""
        return [members(each) for each in items(self.raw.get("journal"))]

    @property
    def rejected(self) -> str:
        """What was wrong with a configuration that was not taken; "" if there is none."""
        rejected = members(members(self.raw.get("config")).get("rejected"))
        if not rejected:
            return ""
        problems = [text(each) for each in items(rejected.get("problems"))]
        return problems[0] if problems else "no reason given"


class Reader:
    """Reads one document after the other, and remembers counts for the rates that a document lacks."""

    def __init__(self) -> None:
        self._before: deque[tuple[float, dict[str, Mapping[str, Any]]]] = deque()

    def read(self, document: object, now: float, at: float) -> Reading:
        """`now`: seconds on a clock that never steps; `at`: Unix time."""
        raw = members(document)
        routes = [members(each) for each in items(raw.get("routes"))]
        totals = {text(route.get("name")): members(route.get("totals")) for route in routes}
        while self._before and (now - self._before[0][0] > WINDOW or self._restarted(totals)):
            self._before.popleft()
        then, counted = self._before[0] if self._before else (now, {})
        self._before.append((now, totals))
        rows = [_row(route, counted.get(text(route.get("name"))), now - then, at) for route in routes]
        return Reading(
            at=at,
            version=text(raw.get("version")),
            uptime=number(raw.get("uptime_seconds")),
            ready=raw["ready"] if isinstance(raw.get("ready"), bool) else None,
            draining=raw.get("draining") is True,
            rows=tuple(row for row in rows if row.name != "-" or totals["-"].get("requests")),
            raw=raw,
        )

    def _restarted(self, totals: Mapping[str, Mapping[str, Any]]) -> bool:
        _, counted = self._before[0]
        return any(
            (number(totals[name].get("requests")) or 0.0) < (number(before.get("requests")) or 0.0)
            for name, before in counted.items()
            if name in totals
        )


def _row(route: Mapping[str, Any], before: Mapping[str, Any] | None, seconds: float, at: float) -> Row:
    breaker = members(route.get("breaker"))
    rates = members(route.get("rates")) or _reckoned(members(route.get("totals")), before, seconds)
    latency = members(route.get("latency"))
    since = moment(route.get("since"))
    return Row(
        name=text(route.get("name")) or "?",
        upstream=text(route.get("upstream")),
        state=text(breaker.get("state")),
        held=bool(breaker.get("forced")),
        dry=breaker.get("dry_run") is True,
        fault=bool(route.get("fault")),
        critical=route.get("critical") is True,
        since=number(breaker.get("since_seconds")) if since is None else max(0.0, at - since),
        retry_after=number(breaker.get("retry_after")),
        rate=number(rates.get("requests_per_second")),
        errors=number(rates.get("error_share")),
        fallbacks=number(rates.get("fallback_share")),
        refused=number(rates.get("refused_share")),
        p50=number(rates.get("p50")) if "p50" in rates else number(latency.get("p50")),
        p99=number(rates.get("p99")) if "p99" in rates else number(latency.get("p99")),
        in_flight=number(route.get("in_flight")),
        callers_get=text(route.get("callers_get")),
        raw=route,
    )


def _reckoned(now: Mapping[str, Any], before: Mapping[str, Any] | None, seconds: float) -> Mapping[str, float]:
    """Rates from what was counted meanwhile; nothing where that cannot be said."""
    if before is None or seconds <= 0.0:
        return {}
    requests = (number(now.get("requests")) or 0.0) - (number(before.get("requests")) or 0.0)
    found = {"requests_per_second": requests / seconds}
    if requests <= 0.0:
        return found
    outcomes, earlier = members(now.get("by_outcome")), members(before.get("by_outcome"))
    risen = {name: (number(outcomes[name]) or 0.0) - (number(earlier.get(name)) or 0.0) for name in outcomes}
    return {
        **found,
        "error_share": sum(risen.get(name, 0.0) for name in _ERRORS) / requests,
        "fallback_share": sum(risen.get(name, 0.0) for name in _FALLBACKS) / requests,
        "refused_share": risen.get("refused", 0.0) / requests,
    }
