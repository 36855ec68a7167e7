"""The types of single values: numbers with units, names, addresses, headers."""

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainValidator, Strict, WithJsonSchema

from sidecar.config import address, scalars
from sidecar.config.base import VARIABLE_PATTERN, Matching
from sidecar.config.scalars import shown


def _schema(unit: str, pattern: str, *types: str, **more: Any) -> WithJsonSchema:
    written = f"^(?:{pattern})$|{VARIABLE_PATTERN}"
    return WithJsonSchema({"type": ["string", *types], "pattern": written, **more, "x-unit": unit})


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError("must be more than 0")
    return value


def _positive_duration(value: Any) -> float:
    return _positive(scalars.parse_duration(value))


def _positive_ratio(value: Any) -> float:
    return _positive(scalars.parse_ratio(value))


Duration = Annotated[
    float,
    PlainValidator(scalars.parse_duration),
    _schema("duration", scalars.DURATION_PATTERN, "integer", minimum=0, maximum=0),
]
"""Seconds. 0 is allowed: what it means is the field's to say."""
PositiveDuration = Annotated[
    float,
    PlainValidator(_positive_duration),
    _schema("duration", scalars.DURATION_PATTERN),
]
"""Seconds, more than 0."""
P95: Final = "p95"


def _time_or_tail(value: Any) -> float | str:
    try:
        return P95 if value == P95 else _positive_duration(value)
    except ValueError as error:
        raise ValueError(f"{error}; or {P95}, the measured time within which 95 % of attempts are over") from None


DurationOrTail = Annotated[
    float | str,
    PlainValidator(_time_or_tail),
    _schema("duration", f"{P95}|{scalars.DURATION_PATTERN}"),
]
"""Seconds, more than 0; or `P95`."""
Size = Annotated[
    int,
    PlainValidator(scalars.parse_size),
    _schema("size", scalars.SIZE_PATTERN, "integer", minimum=0, maximum=0),
]
"""Bytes."""
Ratio = Annotated[
    float,
    PlainValidator(scalars.parse_ratio),
    _schema("ratio", scalars.PERCENT_PATTERN, "number", minimum=0, maximum=1),
]
"""A share from 0 to 1."""
PositiveRatio = Annotated[
    float,
    PlainValidator(_positive_ratio),
    _schema("ratio", scalars.PERCENT_PATTERN, "number", exclusiveMinimum=0, maximum=1),
]
"""A share from 0, exclusive, to 1."""


def _number(value: Any) -> float:
    number = scalars.filled_in(value)
    if isinstance(number, int | float) and not isinstance(number, bool):
        return float(number)
    raise ValueError(f"{shown(value)} is not a number")


Number = Annotated[float, PlainValidator(_number), WithJsonSchema({"type": "number"})]
FILLED_IN: Final = BeforeValidator(scalars.filled_in)
"""Stands last in a type, so that its bounds are the number's own."""
Flag = Annotated[bool, Strict(), FILLED_IN]
Text = Annotated[str, Strict()]
Count = Annotated[int, Strict(), Field(ge=1, le=1_000_000), FILLED_IN]
CountOrOff = Annotated[int, Strict(), Field(ge=0, le=1_000_000), FILLED_IN]
Weight = Annotated[int, Strict(), Field(ge=0, le=100), FILLED_IN]


HostName = Annotated[str, PlainValidator(address.checked_name), WithJsonSchema({"type": "string", "x-unit": "host"})]
URL = Annotated[str, PlainValidator(address.checked_url), WithJsonSchema({"type": "string", "x-unit": "URL"})]
HostPort = Annotated[
    str, PlainValidator(address.checked_address), WithJsonSchema({"type": "string", "x-unit": "host:port"})
]
ListenAddress = Annotated[
    str,
    PlainValidator(address.checked_listen_address),
    WithJsonSchema({"type": "string", "x-unit": "host:port or unix:/path"}),
]

TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}"  # noqa: S105 - RFC 9110 section 5.6.2 calls it so
Name = Annotated[
    str,
    Matching(
        r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
        "a name of up to 63 letters, digits, '-', '_' and '.', the first a letter or digit",
        unit="name",
    ),
]
"""Of routes and upstreams. It becomes a metric's label, a part of URLs and of log lines."""
HeaderName = Annotated[str, Matching(TOKEN, "a header's name (RFC 9110 section 5.1)", unit="header")]
Method = Annotated[str, Matching(TOKEN, "a method's name (RFC 9110 section 9.1)", unit="method", change=str.upper)]
Mode = Annotated[str, Matching(r"0?[0-7]{3}", "an octal mode such as '0660'", unit="mode")]
UrlPath = Annotated[
    str,
    Matching(
        r"/([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*",
        "a path that starts with '/', percent-encoded where needed, without query",
        unit="path",
    ),
]


def header_text(value: str) -> str:
    """`value` if it may stand in a header (RFC 9110 section 5.5).

    Raises:
        ValueError: it holds a line break or another control character, or white space at an end.
    """
    if not re.fullmatch(r"[\t\x20-\x7e]*", value):
        raise ValueError("a header's value must not hold line breaks, control characters or what is not ASCII")
    if value != value.strip(" \t"):
        raise ValueError("a header's value must not start or end with white space")
    return value


def header_value(value: Any) -> str:
    """As `header_text`, for any value.

    Raises:
        ValueError: not a text, or not one for a header.
    """
    if not isinstance(value, str):
        raise ValueError("must be text: write it in quotes")  # noqa: TRY004 - pydantic collects ValueErrors
    return header_text(str(value))


HeaderValue = Annotated[str, PlainValidator(header_value), WithJsonSchema({"type": "string"})]


def _document(value: Any) -> Any:
    """A free document: variables without quotes become what they look like."""
    if isinstance(value, dict):
        return {key: _document(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_document(inner) for inner in value]
    if isinstance(value, scalars.PlainFromEnvironment):
        return scalars.filled_in(value)
    return str(value) if isinstance(value, str) else value


Json = Annotated[Any, PlainValidator(_document), WithJsonSchema({})]
"""Whatever JSON can hold."""
Status = Annotated[int, Strict(), Field(ge=200, le=599), FILLED_IN]


def one_or_many(value: Any) -> Any:
    """A single item where a list may stand."""
    return value if isinstance(value, list | tuple) else [value]


ONE_OR_MANY: Final = BeforeValidator(one_or_many)
