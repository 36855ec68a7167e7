"""What callers of a route are being given, in one plain sentence: for whoever is on call, and did not write the route.

It says what is, as far as the last seconds show it, and otherwise what the configuration lets expect.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sidecar.policy import reasons
from sidecar.policy.fallback import Failover, LastKnownGood, Rung, Static, covers
from sidecar.policy.route import Route

Rates = Mapping[str, Any]
"""Of one route: its shares, and `outcomes` with their counts."""

OWN_ANSWERS: Final = "Callers get the upstream's own answers"
UNMATCHED: Final = "Callers get 404: no route is made for what they ask"

_REFUSED: Final = reasons.REASONS[reasons.BREAKER_OPEN].status
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_RUNGS: Final = {LastKnownGood: "last_known_good", Failover: "failover", Static: "static"}
_FEW: Final = 0.005
"""Below half a percent a share is not worth a sentence."""
_NEARLY_ALL: Final = 1.0 - _FEW


def when_open(route: Route) -> str:
    """What callers would get from a breaker that refuses."""
    return _sentence(_covering(route, reasons.BREAKER_OPEN), _refusal(route))


def callers_get(route: Route, rates: Rates | None) -> str:
    """What they get now. `rates`: of the last seconds, None where nothing is known of them."""
    seen = _outcomes(rates)
    if _is_ill(route):
        return _while_ill(route, seen)
    return OWN_ANSWERS if rates is None else _from_what_came(route, rates, seen)


def duration(seconds: float) -> str:
    """In the largest unit that says it without a fraction: 90 s, 15 min, 1 h."""
    for size, unit in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _is_ill(route: Route) -> bool:
    breaker = route.breaker
    return breaker is not None and breaker.state != "closed" and not breaker.dry_run


def _while_ill(route: Route, seen: Mapping[str, int]) -> str:
    rungs = _covering(route, reasons.BREAKER_OPEN)
    if not seen:
        return _sentence(rungs, _refusal(route))
    answered = [rung for rung in rungs if _RUNGS[type(rung)] in seen]
    failed = any(word in seen for word in ("fail_closed", "refused", "upstream_error"))
    if answered:
        return _sentence(answered, _refusal(route) if failed else "")
    if not failed:  # its probes are answered already
        return _sentence(rungs, _refusal(route))
    why = ": no fallback has an answer for them" if rungs else ""
    return f"Callers get {_refusal(route)}{why}"


def _from_what_came(route: Route, rates: Rates, seen: Mapping[str, int]) -> str:
    parts = []
    rescued, failed = rates["fallback_share"] or 0.0, rates["error_share"] or 0.0
    answered = _listed(_rung(rung) for rung in route.ladder if _RUNGS[type(rung)] in seen)
    if rescued >= _FEW:
        parts.append((rescued, answered or "a fallback"))
    if failed >= _FEW:
        parts.append((failed, "errors"))
    if rescued + failed > _NEARLY_ALL:
        return f"Callers get {_listed(what for _, what in parts)}"
    return "; ".join(
        [OWN_ANSWERS, *filter(None, [", ".join(f"{_percent(share)} get {what}" for share, what in parts)])]
    )


def _sentence(rungs: Iterable[Rung], otherwise: str) -> str:
    rungs = list(rungs)
    gets = list(map(_rung, rungs))
    if not gets:
        return f"Callers get {otherwise or 'errors'}"
    if not otherwise or isinstance(rungs[-1], Static):  # which always has an answer
        return f"Callers get {_listed(gets)}"
    lacking = " where none is kept" if all(isinstance(rung, LastKnownGood) for rung in rungs) else ""
    return f"Callers get {_listed([*gets, otherwise])}{lacking}"


def _rung(rung: Rung) -> str:
    if isinstance(rung, LastKnownGood):
        return f"the last good answer, up to {duration(rung.max_age)} old"
    if isinstance(rung, Failover):
        return f"answers of {rung.upstream.name}"
    return f"a fixed answer ({rung.answer.status})"


def _covering(route: Route, reason: str) -> list[Rung]:
    """The rungs that are tried for it, up to the first that always has an answer."""
    found: list[Rung] = []
    for rung in route.ladder:
        if covers(rung, reason):
            found.append(rung)
            if isinstance(rung, Static):
                break
    return found


def _refusal(route: Route) -> str:
    return str(_REFUSED if route.unavailable is None else route.unavailable.status)


def _outcomes(rates: Rates | None) -> Mapping[str, int]:
    return {} if rates is None else rates["outcomes"]


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %" if share >= 0.01 else "under 1 %"


def _listed(gets: Iterable[str]) -> str:
    return ", or ".join(gets)
