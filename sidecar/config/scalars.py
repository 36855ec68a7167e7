"""Single values as people write them: YAML's own, durations, sizes and ratios. Knows no model."""

import math
import re
from functools import lru_cache
from typing import Any, Final

import durationpy

LONGEST: Final = 366 * 86400.0
"""Seconds. A longer duration is a slip of the keyboard; the limit also keeps arithmetic far from overflow."""

DURATION_PATTERN: Final = r"([0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m|h|d))+"
SIZE_PATTERN: Final = r"[0-9]{1,15}(\.[0-9]{1,9})?(B|KB|KiB|MB|MiB|GB|GiB)"
PERCENT_PATTERN: Final = r"[0-9]{1,9}(\.[0-9]{1,9})?%"

_LONGEST_SHOWN: Final = 60
_SECOND: Final = 1_000_000
"""Microseconds."""
_DURATION: Final = re.compile(DURATION_PATTERN)
_SIZE: Final = re.compile(r"([0-9.]+)([A-Za-z]+)")
_SIZE_WHOLE: Final = re.compile(SIZE_PATTERN)
_PERCENT: Final = re.compile(PERCENT_PATTERN)
_BYTES: Final = {
    "B": 1,
    "KB": 1000,
    "KiB": 1024,
    "MB": 1000**2,
    "MiB": 1024**2,
    "GB": 1000**3,
    "GiB": 1024**3,
}


_CONSTANTS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMERIC: Final = frozenset("0123456789+-.")
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,40}")
_BASED: Final = re.compile(r"0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class FromEnvironment(str):
    """Text that `${VAR}` put there.

    It may be a secret, so no message quotes it. Quoted or not, it becomes a number or a boolean where a key
    wants one: inside `{}` YAML has no way to write `${VAR}` without quotes. The models keep plain text.
    """

    __slots__ = ()


class PlainFromEnvironment(FromEnvironment):
    """The same, written without quotes: in a free document it becomes what it looks like."""

    __slots__ = ()


def filled_in(value: Any) -> Any:
    """`value`; what the environment put there as what it looks like."""
    return resolve(str(value)) if isinstance(value, FromEnvironment) else value


def resolve(text: str) -> Any:
    """A plain scalar by YAML 1.2's core schema; what would be infinite or absurdly long stays text."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMERIC:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def shown(value: object) -> str:
    """`value` for a message: quoted and short; nothing of it when it came from the environment."""
    if isinstance(value, FromEnvironment):
        return "the value from the environment"
    text = ascii(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def parse_duration(value: Any) -> float:
    """Seconds from `250ms`, `1.5s`, `5m`, `1h30m`; units ms, s, m, h, d. The number 0 needs no unit.

    Raises:
        ValueError: no unit, an unknown one, a sign, or longer than 366 days.
    """
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return _seconds(str(value))
    number = filled_in(value)
    if _number(number) and number == 0:
        return 0.0
    if _number(value):
        raise ValueError(f"needs a unit: write {value}s or {value}ms")
    raise ValueError(f'{shown(value)} is not a duration: write e.g. "250ms", "15s" or "1m30s"')


@lru_cache(maxsize=256)
def _seconds(text: str) -> float:
    try:
        seconds = float(durationpy.from_str(text).total_seconds())
    except OverflowError:
        seconds = LONGEST + 1
    if seconds > LONGEST:
        raise ValueError("is longer than 366 days")
    return seconds


def format_duration(seconds: float) -> str:
    """Text that `parse_duration` turns into the same seconds, to the microsecond: 90.0 is `1m30s`."""
    micros = round(seconds * 1e6)
    if micros == 0:
        return "0s"
    if micros < _SECOND:
        return f"{micros / 1000:.3f}".rstrip("0").rstrip(".") + "ms"
    minutes, rest = divmod(micros, 60 * _SECOND)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h" if hours else ""
    text += f"{minutes}m" if minutes else ""
    return text + (f"{rest / 1e6:.6f}".rstrip("0").rstrip(".") + "s" if rest else "")


def parse_size(value: Any) -> int:
    """Bytes from `512B`, `64KiB` (powers of 1024) or `10MB` (powers of 1000). The number 0 needs no unit.

    Raises:
        ValueError: no unit, an unknown one, a sign, or not a whole number of bytes.
    """
    if isinstance(value, str) and _SIZE_WHOLE.fullmatch(value):
        return _bytes(str(value))
    number = filled_in(value)
    if _number(number) and number == 0:
        return 0
    if _number(value):
        raise ValueError(f"needs a unit: write {value}B, {value}KiB or {value}MiB")
    raise ValueError(f'{shown(value)} is not a size: write e.g. "512B", "64KiB" or "10MB"')


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text)
    assert found is not None
    whole, _, part = found[1].partition(".")
    size, remainder = divmod(int(whole + part) * _BYTES[found[2]], int("1" + "0" * len(part)))
    if remainder:
        raise ValueError(f"{shown(text)} is not a whole number of bytes")
    return size


def format_size(size: int) -> str:
    """The shortest text that `parse_size` turns into the same bytes: 65536 is `64KiB`."""
    for unit in ("GiB", "GB", "MiB", "MB", "KiB", "KB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


def parse_ratio(value: Any) -> float:
    """A share from 0 to 1, written `0.2` or `20%`.

    Raises:
        ValueError: neither form, or out of bounds.
    """
    number = filled_in(value)
    if isinstance(number, str) and _PERCENT.fullmatch(number):
        ratio = float(number[:-1]) / 100
    elif _number(number):
        ratio = float(number)
    else:
        raise ValueError(f"{shown(value)} is not a ratio: write e.g. 0.2 or 20%")
    if not 0 <= ratio <= 1:
        hint = f"; for a percentage write {value}%" if _number(value) and ratio > 1 else ""
        raise ValueError(f"must lie between 0 and 1{hint}")
    return ratio


def format_ratio(ratio: float) -> str:
    """The percentage that `parse_ratio` turns into the same share: 0.2 is `20%`."""
    return f"{ratio * 100:.9f}".rstrip("0").rstrip(".") + "%"
