"""The models of a route's policies: time, retries, breaker, load."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, PlainValidator, Strict, ValidationInfo, WithJsonSchema, field_validator

from sidecar.config.base import Model, setting
from sidecar.config.fields import (
    FILLED_IN,
    Count,
    CountOrOff,
    Duration,
    DurationOrTail,
    Flag,
    Method,
    Number,
    PositiveDuration,
    PositiveRatio,
    Ratio,
)
from sidecar.config.scalars import filled_in, format_duration, shown

RETRY_WORDS: Final = ("connect_failure", "reset", "timeout")
RETRYABLE_STATUSES: Final = range(400, 600)


class Timeout(Model):
    """How long a request may take."""

    total: Duration = setting("15s", "The deadline of the whole request: every attempt, wait and backoff.")
    attempt: Duration = setting(None, "One attempt, from its start to a usable answer; total if absent.")
    idle: Duration = setting(
        "60s",
        "Silence after the head of a text/event-stream, or in a tunnel (upgrade), where no deadline counts.",
    )

    @field_validator("attempt", mode="before")
    @classmethod
    def _total(cls, attempt: Any, info: ValidationInfo) -> Any:
        # A total that is itself wrong is reported once.
        return f"{info.data.get('total', 0.0):.9f}s" if attempt is None else attempt


class Backoff(Model):
    """The wait before another attempt."""

    base: Duration = setting("25ms", "Bound of the first wait.")
    factor: Annotated[Number, AfterValidator(lambda factor: _between(factor, 1, 100))] = setting(
        2, "Each wait's bound is the one before times this."
    )
    max: Duration = setting("250ms", "The bound grows no further.")
    jitter: Literal["none", "full"] = setting(
        "full", "full: anywhere from 0 to the bound, so that callers do not come back together."
    )

    @field_validator("max")
    @classmethod
    def _ordered(cls, longest: float, info: ValidationInfo) -> float:
        if longest < info.data.get("base", 0.0):
            raise ValueError(f"{format_duration(longest)} is shorter than base: raise it too")
        return longest


def _between(number: float, lowest: float, highest: float) -> float:
    if not lowest <= number <= highest:
        raise ValueError(f"must lie between {lowest:g} and {highest:g}")
    return number


class Budget(Model):
    """How many retries an upstream is spared, whatever each route allows.

    All routes to an upstream share it.
    """

    ratio: Ratio = setting("20%", "Retries per request, at most, over ten seconds.")
    per_second: Annotated[Number, AfterValidator(lambda number: _between(number, 0, 1e6))] = setting(
        1, "Retries per second that are allowed besides: else low traffic would never retry."
    )


class Hedge(Model):
    """A second attempt while the first still runs."""

    after: DurationOrTail = setting(
        "300ms",
        "How long the first may take alone; p95 = what 95 % of the route's newest attempts took, and no hedge before "
        "enough of them are known.",
    )


def _retryable(value: Any) -> str | int:
    status = filled_in(value)
    if isinstance(status, int) and not isinstance(status, bool) and status in RETRYABLE_STATUSES:
        return status
    if isinstance(value, str) and value in RETRY_WORDS:
        return str(value)
    raise ValueError(f"{shown(value)} is neither a status from 400 to 599 nor one of {', '.join(RETRY_WORDS)}")


Retryable = Annotated[
    str | int,
    PlainValidator(_retryable),
    WithJsonSchema({"anyOf": [{"enum": list(RETRY_WORDS)}, {"type": "integer", "minimum": 400, "maximum": 599}]}),
]


class Retry(Model):
    """Whether and when a failed attempt is made again."""

    attempts: Annotated[int, Strict(), Field(ge=1, le=10), FILLED_IN] = setting(
        1, "Attempts in all, the first included; 1 never retries."
    )
    on: Annotated[tuple[Retryable, ...], Field(min_length=1)] = setting(
        ("connect_failure", "reset", "timeout", 408, 429, 502, 503, 504),
        "What is retried: statuses, and connect_failure, reset, timeout.",
    )
    methods: tuple[Method, ...] = setting(
        ("GET", "HEAD", "OPTIONS"), "Methods that may be repeated after bytes were sent."
    )
    idempotency_key: Flag = setting(
        default=False,
        description="Whether any other method may be repeated too when it carries an Idempotency-Key.",
    )
    backoff: Backoff = setting({}, "The wait before another attempt.")
    budget: Budget = setting({}, "A bound on all retries to the upstream together.")
    respect_retry_after: Flag = setting(
        default=True,
        description="Wait for the upstream's Retry-After, or stop and pass it on if that is too long.",
    )
    hedge: Hedge | None = setting(None, "A second attempt while the first still runs; it is one of attempts.")


class SlowCalls(Model):
    """Counting slow answers as failures of the window."""

    longer_than: PositiveDuration = setting("2s", "An attempt that takes longer is slow.")
    ratio: PositiveRatio = setting("80%", "Share of slow attempts in the window that opens the breaker.")


class Breaker(Model):
    """When to stop asking an upstream that keeps failing, and when to try again."""

    enabled: Flag = setting(default=True, description="false: never refuses, counts nothing.")
    share: Literal["route", "upstream"] = setting(
        "route", "One breaker for this route, or one for all routes to the upstream that say so."
    )
    consecutive_failures: CountOrOff = setting(5, "Failures in a row that open it; 0 is off.")
    failure_ratio: PositiveRatio = setting("50%", "Share of failures in the window that opens it.")
    window: PositiveDuration = setting("30s", "How far back the ratios look.")
    minimum_requests: Count = setting(20, "Attempts in the window before a ratio counts.")
    slow_calls: SlowCalls | None = setting(None, "Counting slow answers too.")
    open_for: PositiveDuration = setting("5s", "How long it refuses before it lets a probe through.")
    jitter: Ratio = setting("20%", "Random share by which that time varies, either way.")
    open_for_max: PositiveDuration = setting("60s", "The time doubles up to this while probes fail.")
    probes: Count = setting(1, "Requests let through at once while half open.")
    successes_to_close: Count = setting(2, "Good probes in a row that close it.")
    dry_run: Flag = setting(default=False, description="Everything runs and is counted, nothing is refused.")

    @field_validator("open_for_max")
    @classmethod
    def _ordered(cls, longest: float, info: ValidationInfo) -> float:
        if longest < info.data.get("open_for", 0.0):
            raise ValueError(f"{format_duration(longest)} is shorter than open_for: raise it too")
        return longest


class Bulkhead(Model):
    """A bound on requests under way."""

    in_flight: Count = setting(100, "Requests at once.")
    queue: CountOrOff = setting(0, "Requests that may wait for a slot; 0: none, they are refused at once.")
    queue_timeout: PositiveDuration = setting("100ms", "How long one may wait; part of timeout.total.")
    adaptive: Flag = setting(default=False, description="The limit follows latency; in_flight is its ceiling.")


class RateLimit(Model):
    """A bound on requests per second."""

    per_second: Annotated[Number, AfterValidator(lambda rate: _between(rate, 0.001, 100_000))] = setting(
        50, "Requests per second, sustained."
    )
    burst: Count = setting(100, "Requests at once after a rest.")
