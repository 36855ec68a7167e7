"""What an action is asked for with: JSON, read strictly, one clear sentence about whatever is wrong with it."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from sidecar.config.scalars import parse_duration, parse_ratio, shown
from sidecar.policy.fault import ABORT, DELAY, RESET

DEFAULT: Final = 60.0
"""Seconds that an action lasts if it does not say."""
LONGEST: Final = 86400.0
"""Seconds: whoever wants more wants another configuration."""
STATES: Final = ("open", "closed", "auto")

_STATUSES: Final = range(400, 600)
"""Of an injected answer: a made-up success would be taken for the upstream's word."""


class Invalid(ValueError):
    """It cannot be done as it was asked for; the message names the key."""


class Hold(NamedTuple):
    """What a breaker is to do, and for how many seconds."""

    state: str
    seconds: float


class Injection(NamedTuple):
    """A fault as it was asked for. `abort`: 0 for none. `delay`: seconds."""

    abort: int
    delay: float
    reset: bool
    ratio: float
    seconds: float


_Check = Callable[[Any], Any]


def hold(body: bytes) -> Hold:
    """`{"state": "open" | "closed" | "auto", "for": "60s"}`.

    Raises:
        Invalid: it is something else.
    """
    asked = _read(body, {"state": _state, "for": _lasting})
    if "state" not in asked:
        raise Invalid("state is required: open, closed or auto")
    return Hold(asked["state"], asked.get("for", DEFAULT))


def injection(body: bytes) -> Injection:
    """`{"abort": 503, "delay": "2s", "reset": true, "ratio": 0.5, "for": "60s"}`, at least one of the first three.

    Raises:
        Invalid: it is something else.
    """
    checks = {ABORT: _status, DELAY: _delay, RESET: _flag, "ratio": _ratio, "for": _lasting}
    asked = _read(body, checks)
    if asked.get(ABORT) and asked.get(RESET):
        raise Invalid("abort and reset exclude each other: who is cut off gets no answer")
    if not (asked.get(ABORT) or asked.get(DELAY) or asked.get(RESET)):
        raise Invalid("needs one of abort, delay, reset")
    return Injection(
        asked.get(ABORT, 0),
        asked.get(DELAY, 0.0),
        asked.get(RESET, False),
        asked.get("ratio", 1.0),
        asked.get("for", DEFAULT),
    )


def nothing(body: bytes) -> None:
    """`{}`: the action has no keys.

    Raises:
        Invalid: it is something else.
    """
    _read(body, {})


def _read(body: bytes, checks: Mapping[str, _Check]) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(body or b"{}")
    except (ValueError, RecursionError):
        raise Invalid("the body is not JSON") from None
    if not isinstance(document, dict):
        raise Invalid("the body must be a JSON object")
    for name in document:
        if name not in checks:
            known = ", ".join(checks) or "there are none"
            raise Invalid(f"{shown(name)} is no key of this action; its keys: {known}")
    return {name: _checked(name, check, document[name]) for name, check in checks.items() if name in document}


def _checked(name: str, check: _Check, value: Any) -> Any:
    try:
        return check(value)
    except ValueError as error:
        raise Invalid(f"{name} {error}") from None


def _state(value: Any) -> str:
    if value not in STATES:
        raise ValueError(f"must be one of {', '.join(STATES)}")
    return str(value)


def _status(value: Any) -> int:
    if not isinstance(value, int) or value not in _STATUSES:
        raise ValueError("must be a status from 400 to 599")
    return value


def _delay(value: Any) -> float:
    return _duration(value, 'must be a duration such as "2s", at most 24h')


def _lasting(value: Any) -> float:
    return _duration(value, 'must be a duration such as "60s", more than 0 and at most 24h')


def _duration(value: Any, wanted: str) -> float:
    try:
        seconds = parse_duration(value) if isinstance(value, str) else 0.0
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds <= LONGEST:
        raise ValueError(wanted)
    return seconds


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - one kind of error for what is wrong with a value
    return value


def _ratio(value: Any) -> float:
    wanted = 'must be a share above 0, up to 1, such as 0.5 or "50%"'
    try:
        share = parse_ratio(value)
    except ValueError:
        raise ValueError(wanted) from None
    if share <= 0.0:
        raise ValueError(wanted)
    return share
