"""The models of a route: what it matches, what counts as usable, what the caller gets when nothing does."""

import json
import re
import warnings
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema, model_validator

from sidecar.config.base import Matching, Model, required, setting
from sidecar.config.fields import (
    TOKEN,
    Duration,
    Flag,
    HeaderName,
    HeaderValue,
    HostName,
    Json,
    Method,
    Name,
    PositiveDuration,
    Size,
    Status,
    Text,
    UrlPath,
)
from sidecar.config.policies import Breaker, Bulkhead, RateLimit, Retry, Timeout
from sidecar.config.schemas import SchemaFile
from sidecar.config.upstream import FRAMING

FALLBACK_WORDS = ("open", "timeout", "connect", "response", "refused")
"""Kinds of reasons: the `on` of a fallback rung."""
_MAX_REGEX = 1000


def _compiled(pattern: str) -> str:
    if len(pattern) > _MAX_REGEX:
        raise ValueError(f"is longer than {_MAX_REGEX} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python warns of will mean something else one day
            re.compile(pattern.encode())
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return pattern


def _pick_one(model: Model, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(model, name) is not None]
    if len(given) != 1:
        written = f"; {' and '.join(given)} are written" if given else ""
        raise ValueError(f"needs exactly one of {', '.join(names)}{written}")


Regex = Annotated[Text, AfterValidator(_compiled), WithJsonSchema({"type": "string", "x-unit": "regular expression"})]


def _protocol(name: str) -> str:
    low = name.lower()
    if low in ("h2c", "h2"):
        raise ValueError("HTTP/2 is not switched to by Upgrade any more (RFC 9113): the sidecar ignores it")
    return low


Protocol = Annotated[
    str,
    Matching(rf"{TOKEN}(/{TOKEN})?", "the name of a protocol, e.g. websocket", unit="protocol name", change=_protocol),
]


class Match(Model):
    """Which requests are the route's. The most specific route wins, whatever the order in the file."""

    path: UrlPath | None = setting(None, "The whole path, exactly.")
    prefix: UrlPath | None = setting(None, 'How the path begins, as text: "/api" matches "/apis" too.')
    regex: Regex | None = setting(None, "A Python regular expression that matches the whole path.")
    methods: tuple[Method, ...] = setting((), "Any of these; any at all if empty.")
    host: HostName | None = setting(None, "The Host header without its port.")
    headers: Mapping[HeaderName, HeaderValue] = setting({}, "Headers that must be there with these values.")

    @model_validator(mode="after")
    def _one(self) -> "Match":
        _pick_one(self, ("path", "prefix", "regex"))
        return self


class Rewrite(Model):
    """What the upstream sees instead."""

    prefix: UrlPath | None = setting(None, "Stands in for the path or prefix that matched.")
    host: Literal["keep", "upstream"] = setting("upstream", "Host header: the caller's own, or the endpoint's.")


def _pointer(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"(/([^~/]|~[01])*)*", value):
        raise ValueError('must be a JSON pointer (RFC 6901): "" or e.g. /data/0/code')
    return str(value)


Pointer = Annotated[
    str,
    PlainValidator(_pointer),
    WithJsonSchema({"type": "string", "pattern": "^(/([^~/]|~[01])*)*$", "x-unit": "JSON pointer"}),
]


MediaType = Annotated[str, Matching(r"[\w.+-]+/[\w.+-]+", "a media type without parameters", unit="media type")]


class Expect(Model):
    """What a usable answer looks like; anything else that is no 4xx is a failure."""

    status: Annotated[tuple[Status, ...], Field(min_length=1)] | None = setting(
        None, "Usable statuses; any 2xx if absent."
    )
    content_type: MediaType | None = setting(
        None, "Media type, compared without parameters. A JSON type means that the body must be JSON."
    )
    json_schema: SchemaFile | None = setting(
        None, "File with the JSON Schema of the body. Needs the extra `schema`; nothing that it refers to is fetched."
    )
    json_equals: Mapping[Pointer, Json] = setting({}, "What must stand at a JSON pointer of the body.")
    json_present: tuple[Pointer, ...] = setting((), "JSON pointers that must lead somewhere in the body.")
    max_body: Size = setting("1MiB", "A longer body is not usable.")


def _answer_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name in headers:
        if name.lower() in FRAMING | {"date"}:
            raise ValueError(f"{name} is the sidecar's own")
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("names the same header twice: case does not matter in header names")
    return headers


class Answer(Model):
    """An answer that is written here, byte for byte."""

    status: Status = setting(503, "Its status.")
    document: Json = setting(
        None, "Its body, as JSON; any document. Absent: no body, which few statuses allow.", alias="json"
    )
    headers: Annotated[Mapping[HeaderName, HeaderValue], AfterValidator(_answer_headers)] = setting(
        {}, "Further headers; Content-Type is application/json unless written."
    )

    @model_validator(mode="after")
    def _has_body(self) -> "Answer":
        if self.status in (204, 304) and self.written("document"):
            raise ValueError(f"status {self.status} has no body: leave json out")
        if self.status not in (204, 304) and not self.written("document"):
            raise ValueError("needs json: an empty body is what callers cannot parse")
        return self

    @property
    def body(self) -> bytes:
        """The document as `json.dumps` writes it by default; b"" if there is none."""
        return json.dumps(self.document).encode() if self.written("document") else b""


class Static(Answer):
    """A fixed answer instead of the upstream's."""

    status: Status = setting(200, "Its status.")


Overrulable = Literal["no-cache", "must-revalidate", "proxy-revalidate", "s-maxage", "stale-if-error", "private"]


class LastKnownGood(Model):
    """The newest good answer to the same question."""

    max_age: PositiveDuration = setting("1h", "An older answer is not given.")
    identity: tuple[HeaderName, ...] = setting(
        (),
        "Request headers that tell who asks; they become part of the key. Answers to requests with "
        "credentials are kept only if this says which.",
    )
    overrule: tuple[Overrulable, ...] = setting(
        (),
        "Words of the upstream's Cache-Control that forbid keeping, or giving what is stale, and are not heeded here.",
    )
    coalesce: Duration = setting(
        "1s",
        "Where an answer is kept, how long a GET waits for another one under way that asks the same, before it is "
        "sent as well; 0 = every GET is sent.",
    )

    @model_validator(mode="after")
    def _private_to_whom(self) -> "LastKnownGood":
        if "private" in self.overrule and not self.identity:
            raise ValueError("overrule: private needs identity, for such an answer is one asker's alone")
        return self


class Rung(Model):
    """One step of the fallback ladder: exactly one of its three kinds."""

    last_known_good: LastKnownGood | None = setting(None, "The newest good answer to the same question.")
    upstream: Name | None = setting(
        None,
        "One attempt at another upstream. Unsafe methods only where no byte was sent before.",
    )
    static: Static | None = setting(None, "A fixed answer; an error on critical routes.")
    on: tuple[Literal["open", "timeout", "connect", "response", "refused"], ...] = setting(
        (), "Kinds of reasons it answers for; all if empty."
    )

    @model_validator(mode="after")
    def _one(self) -> "Rung":
        _pick_one(self, ("last_known_good", "upstream", "static"))
        return self


class Defaults(Model):
    """Any key of a route but name and match, for all routes.

    Merged key by key under each route, which wins. Lists, and free documents (`json`, `json_equals`, an
    answer's or a match's `headers`), are not merged but replaced. `~` in a route takes an optional policy
    away again.
    """

    upstream: Name | None = setting(None, "Name of the upstream that is called.")
    rewrite: Rewrite | None = setting(None, "What the upstream sees instead of path and host.")
    critical: Flag = setting(
        default=False, description="Fail closed: invented answers are an error, our own answers are 503."
    )
    timeout: Timeout = setting({}, "How long a request may take.")
    retry: Retry = setting({}, "Whether and when a failed attempt is made again.")
    breaker: Breaker = setting({}, "When to stop asking, and when to try again.")
    bulkhead: Bulkhead | None = setting(None, "A bound on requests under way.")
    rate_limit: RateLimit | None = setting(None, "A bound on requests per second.")
    upgrade: tuple[Protocol, ...] = setting(
        ("websocket",),
        "Protocols that a caller may switch to with Upgrade, in any case of letters; a name covers its versions. "
        "None if empty: such requests are then plain ones.",
    )
    expect: Expect | None = setting(None, "What a usable answer looks like.")
    fallback: tuple[Rung, ...] = setting((), "What is tried, in order, when there is no usable answer.")
    unavailable: Answer | None = setting(
        None, "The answer when nothing else could be given; a default document if absent."
    )


class Route(Defaults):
    """Requests that are treated alike."""

    name: Name = required("Stands in metrics, logs and answers.")
    match: Match = required("Which requests are the route's.")
    upstream: Name = required("Name of the upstream that is called. Required, here or under defaults.")
