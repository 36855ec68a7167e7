"""What is valid and still unwise, or dangerous. Every finding says why, and how to put it right.

Errors stop `run`, warnings are printed. A number that nobody wrote is named as a default.
"""

from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple

from sidecar.config import shadow, worst_case
from sidecar.config.base import Model
from sidecar.config.files import SENSITIVE
from sidecar.config.model import Config
from sidecar.config.problem import Path
from sidecar.config.route import LastKnownGood, Route
from sidecar.config.scalars import format_duration

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110 section 9.2.2."""
_LOWEST_FAILURE: Final = 400
"""Statuses below it say that all is well."""
_TOO_MANY: Final = 3
"""Attempts that one request may cost the upstream's own machines before it counts as amplification."""


CODES: Final = {
    "total-over-caller": "a route's total, or a sequence's sum, exceeds caller.timeout minus reserve",
    "attempts-over-total": "the last attempts cannot run their full time before the total is over",
    "hedge-never": "no attempt ever gets a second one beside it: attempts is 1, or the first is over before",
    "queue-over-total": "a request may wait in the bulkhead's queue until its total is over",
    "attempt-over-total": "one attempt may take longer than the whole request",
    "critical-invented": "a critical route invents an answer: a static rung, or an unavailable below 400",
    "unsafe-retry": "a method that is not idempotent is repeated after bytes were sent, without keys",
    "amplification": "attempts times (1 + retries_beyond) is more than 3",
    "no-failover": "endpoints of a second priority, and a route that makes one attempt only",
    "slow-retry": "a critical route retries after a timeout",
    "identity": "last known good without identity: an error where the file shows that requests carry "
    "credentials, else a warning unless identity: [] says that they carry none",
    "window-too-short": "the breaker's window is shorter than two attempts may take",
    "shadowed-route": "another route takes every request that this one matches",
    "no-deadline": "timeout.total, attempt or idle is 0",
}
"""What each code means. Their severities are in the findings."""


class Finding(NamedTuple):
    """One thing to put right, at its place in the file (line and column from 1)."""

    code: str
    severity: Literal["error", "warning"]
    path: str
    line: int
    column: int
    message: str


def lint(config: Config) -> list[Finding]:
    """Everything there is to say about a valid configuration, in file order."""
    found = {finding for rule in _RULES for finding in rule(config)}  # once for what stands under defaults
    return sorted(found, key=lambda finding: (finding.line, finding.column, finding.path, finding.code))


def line_of(file: str, finding: Finding) -> str:
    """A finding as one line: `file:line:col: error[code]: path: message`."""
    place = f"{file}:{finding.line}:{finding.column}"
    return f"{place}: {finding.severity}[{finding.code}]: {finding.path}: {finding.message}"


def _error(config: Config, code: str, path: Path, message: str) -> Finding:
    return Finding(code, "error", config.path(path), *config.place(path), message)


def _warning(config: Config, code: str, path: Path, message: str) -> Finding:
    return Finding(code, "warning", config.path(path), *config.place(path), message)


def _routes(config: Config) -> Iterator[tuple[Path, Route]]:
    for index, route in enumerate(config.routes):
        yield ("routes", index), route


def marked(model: Model, attribute: str, text: str) -> str:
    """`text`, marked as a default where the file does not have the attribute."""
    return text if model.written(attribute) else f"{text} (default)"


def _total(route: Route) -> str:
    return marked(route.timeout, "total", f"timeout.total {format_duration(route.timeout.total)}")


def _attempt(route: Route) -> str:
    text = f"timeout.attempt {format_duration(route.timeout.attempt)}"
    return text if route.timeout.written("attempt") else f"{text} (default: total)"


def _attempts(route: Route) -> str:
    return marked(route.retry, "attempts", f"retry.attempts {route.retry.attempts}")


def _budget_of_caller(config: Config) -> tuple[float, str]:
    """What the caller has for its calls, in seconds and in words."""
    caller = config.caller
    assert caller is not None
    left = caller.timeout - caller.reserve
    timeout = marked(caller, "timeout", f"caller.timeout {format_duration(caller.timeout)}")
    reserve = marked(caller, "reserve", f"caller.reserve {format_duration(caller.reserve)}")
    return left, f"{timeout} minus {reserve} leaves {format_duration(left)}"


_CALLER_WHY: Final = "the caller gives up, or is killed, before its answer comes"


def _total_over_caller(config: Config) -> Iterator[Finding]:
    if config.caller is None:
        return
    left, words = _budget_of_caller(config)
    for path, route in _routes(config):
        if route.timeout.total > left:
            most = f"Write at most {format_duration(left)}"
            message = f"{_total(route)} is too long: {words}, so {_CALLER_WHY}. {most}"
            yield _error(config, "total-over-caller", (*path, "timeout", "total"), message)
    yield from _sequences_over_caller(config, left, words)


def _sequences_over_caller(config: Config, left: float, words: str) -> Iterator[Finding]:
    assert config.caller is not None
    routes = {route.name: route for route in config.routes}
    for index, names in enumerate(config.caller.in_sequence):
        total = sum(routes[name].timeout.total for name in names)
        if len(names) > 1 and total > left:
            parts = " + ".join(f"{name} {_total(routes[name])}" for name in names)
            message = (
                f"{parts} = {format_duration(total)}, one after another, is too long: {words}, so "
                f"{_CALLER_WHY}. Lower the totals until they add up to at most {format_duration(left)}"
            )
            yield _error(config, "total-over-caller", ("caller", "in_sequence", index), message)


def _attempts_over_total(config: Config) -> Iterator[Finding]:
    for path, route in _routes(config):
        timeout = route.timeout
        if route.retry.attempts == 1 or not 0 < timeout.attempt <= timeout.total:
            continue
        steps = worst_case.steps(route, connect_timeout=config.upstreams[route.upstream].connect_timeout)
        # A microsecond's grace: sums of decimal fractions are not exact.
        late = [step for step in steps if step.ends > timeout.total + 1e-6]
        if not late:
            continue
        also = " and the wait in the bulkhead's queue" if worst_case.queued(route) else ""
        fate = "never starts" if late[-1].starts >= timeout.total else "cannot run its full time"
        message = (
            f"{_attempts(route)} with {_attempt(route)} and backoff{also} take up to "
            f"{format_duration(steps[-1].ends)}, but {_total(route)} ends the request first: against a slow "
            f"upstream attempt {late[-1].attempt} {fate}. Lower timeout.attempt or retry.attempts, or raise "
            "timeout.total"
        )
        yield _warning(config, "attempts-over-total", (*path, "retry", "attempts"), message)


def _attempt_over_total(config: Config) -> Iterator[Finding]:
    for path, route in _routes(config):
        if route.timeout.attempt > route.timeout.total > 0:
            message = (
                f"{_attempt(route)} is longer than {_total(route)}, which ends every attempt first, so it "
                "never has an effect. Lower it, or leave it out"
            )
            yield _error(config, "attempt-over-total", (*path, "timeout", "attempt"), message)


def _hedge_never(config: Config) -> Iterator[Finding]:
    for path, route in _routes(config):
        hedge, limit = route.retry.hedge, min(route.timeout.attempt, route.timeout.total)
        if hedge is None:
            continue
        if route.retry.attempts == 1:
            message = (
                f"a hedge is one of retry.attempts, and {_attempts(route)} leaves none for it. Write at least 2, or "
                "leave hedge out"
            )
            yield _error(config, "hedge-never", (*path, "retry", "hedge"), message)
        if route.retry.attempts == 1 or isinstance(hedge.after, str) or not 0 < limit <= hedge.after:
            continue
        after = marked(hedge, "after", f"retry.hedge.after {format_duration(hedge.after)}")
        message = (
            f"{after} is not below {_attempt(route)} and {_total(route)}: the first attempt is over before a second "
            "may join it. Lower it: a good value is the time within which 95 % of answers come"
        )
        yield _error(config, "hedge-never", (*path, "retry", "hedge", "after"), message)


def _queue_over_total(config: Config) -> Iterator[Finding]:
    for path, route in _routes(config):
        bulkhead = route.bulkhead
        if bulkhead is None or not bulkhead.queue or not 0 < route.timeout.total <= bulkhead.queue_timeout:
            continue
        timeout = f"bulkhead.queue_timeout {format_duration(bulkhead.queue_timeout)}"
        message = (
            f"{marked(bulkhead, 'queue_timeout', timeout)} is not below {_total(route)}, of which it is a part: "
            "whoever waits that long has no time left to be served. Lower it, or raise timeout.total"
        )
        yield _error(config, "queue-over-total", (*path, "bulkhead", "queue_timeout"), message)


def _critical_invented(config: Config) -> Iterator[Finding]:
    for path, route in _routes(config):
        if not route.critical:
            continue
        for index, rung in enumerate(route.fallback):
            if rung.static is not None:
                message = (
                    "a critical route must not invent an answer: the caller would take it for the "
                    "upstream's and act on it. Remove the static rung and use unavailable, or set "
                    "critical: false"
                )
                yield _error(config, "critical-invented", (*path, "fallback", index, "static"), message)
        if route.unavailable is not None and route.unavailable.status < _LOWEST_FAILURE:
            message = (
                f"status {route.unavailable.status} on a critical route says that all is well, and the "
                "caller would act on an invented answer. Write 503"
            )
            yield _error(config, "critical-invented", (*path, "unavailable", "status"), message)


def _unsafe_retry(config: Config) -> Iterator[Finding]:
    for path, route in _routes(config):
        retry = route.retry
        unsafe = [
            method
            for method in retry.methods
            if method not in IDEMPOTENT and (not route.match.methods or method in route.match.methods)
        ]
        if retry.attempts == 1 or not unsafe or retry.idempotency_key or set(retry.on) == {"connect_failure"}:
            continue
        message = (
            f"{', '.join(unsafe)} would be sent again after the upstream may have acted on it, so that "
            "things happen twice (RFC 9110 section 9.2.2). Remove it from methods (it is still retried "
            "when no byte was sent), or let callers send an Idempotency-Key and set idempotency_key: true"
        )
        yield _error(config, "unsafe-retry", (*path, "retry", "methods"), message)


def _amplification(config: Config) -> Iterator[Finding]:
    for path, route in _routes(config):
        upstream = config.upstreams[route.upstream]
        worst = route.retry.attempts * (1 + upstream.retries_beyond)
        if worst <= _TOO_MANY:
            continue
        beyond = marked(upstream, "retries_beyond", f"retries_beyond {upstream.retries_beyond}")
        message = (
            f"{_attempts(route)} times (1 + {beyond}) makes up to {worst} attempts of one request, and a "
            "struggling upstream gets that much more load. Retry in one place only: lower retry.attempts, "
            f"or switch off the retries behind upstream {route.upstream!r} and write retries_beyond: 0"
        )
        yield _warning(config, "amplification", (*path, "retry", "attempts"), message)


def _no_failover(config: Config) -> Iterator[Finding]:
    for path, route in _routes(config):
        endpoints = config.upstreams[route.upstream].endpoints
        if route.retry.attempts > 1 or len({endpoint.priority for endpoint in endpoints if endpoint.weight}) < 2:
            continue
        message = (
            f"upstream {route.upstream!r} has endpoints of more than one priority, but with {_attempts(route)} a "
            "request asks one endpoint only: each fails until the first priority is ejected or found unhealthy. "
            "Write attempts: 2, so that a request itself goes on to the next one"
        )
        yield _warning(config, "no-failover", (*path, "retry", "attempts"), message)


def _slow_retry(config: Config) -> Iterator[Finding]:
    for path, route in _routes(config):
        if not route.critical or route.retry.attempts == 1 or "timeout" not in route.retry.on:
            continue
        words = marked(route.retry, "on", "retry.on with timeout")
        message = (
            f"{words} on a critical route: after {_attempt(route)} the caller has waited long already, and "
            "waits up to that long again before it hears that the upstream hangs. Leave timeout out of "
            "retry.on"
        )
        yield _warning(config, "slow-retry", (*path, "retry", "on"), message)


def _identity(config: Config) -> Iterator[Finding]:
    for path, route in _routes(config):
        for index, rung in enumerate(route.fallback):
            kept = rung.last_known_good
            if kept is not None and not kept.identity:
                yield from _without_identity(config, (*path, "fallback", index, "last_known_good"), route, kept)


def _without_identity(config: Config, path: Path, route: Route, kept: LastKnownGood) -> Iterator[Finding]:
    sent = (*config.upstreams[route.upstream].headers.set, *route.match.headers)
    if credentials := [name for name in sent if SENSITIVE.search(name)]:
        message = (
            f"requests carry credentials ({', '.join(credentials)}) and no identity is declared: one "
            "caller's answer could be given to another, so none is kept. Declare who asks, e.g. identity: "
            f"[{credentials[0]}]"
        )
        yield _error(config, "identity", path, message)
    elif not kept.written("identity"):
        message = (
            "no identity is declared: answers to requests that carry credentials (Authorization, Cookie) "
            "are never kept. Declare who asks, e.g. identity: [Authorization], or write identity: [] if "
            "requests carry none"
        )
        yield _warning(config, "identity", path, message)


def _window_too_short(config: Config) -> Iterator[Finding]:
    for path, route in _routes(config):
        breaker = route.breaker
        if not breaker.enabled or breaker.window >= 2 * route.timeout.attempt:
            continue
        window = marked(breaker, "window", f"breaker.window {format_duration(breaker.window)}")
        message = (
            f"{window} is shorter than twice {_attempt(route)}: timeouts fall out of the window before "
            "enough of them are in it to count. Write at least "
            f"{format_duration(2 * route.timeout.attempt)}, or shorten timeout.attempt"
        )
        yield _warning(config, "window-too-short", (*path, "breaker", "window"), message)


def _shadowed_route(config: Config) -> Iterator[Finding]:
    for index, winners in shadow.shadowed([route.match for route in config.routes]):
        names = " and ".join(f"{config.routes[winner].name!r}" for winner in winners)
        line = config.place(("routes", winners[0], "match")).line
        message = (
            f"route {config.routes[index].name!r} can never match: {names} (line {line}) takes each of its "
            "requests first. An exact path beats a prefix, a prefix beats a regex, then the longer prefix, "
            "more conditions, file order. Remove it, or give it a match of its own"
        )
        yield _error(config, "shadowed-route", ("routes", index, "match"), message)


def _no_deadline(config: Config) -> Iterator[Finding]:
    meanings = {
        "total": "a hanging upstream would hold the request, its connection and the caller for ever",
        "attempt": "no attempt would have any time at all",
        "idle": "an event stream that falls silent would be held open for ever",
    }
    for path, route in _routes(config):
        for key, meaning in meanings.items():
            if route.timeout.written(key) and getattr(route.timeout, key) == 0:
                message = f"timeout.{key} 0 is no deadline: {meaning}. Write a time, or leave the key out"
                yield _error(config, "no-deadline", (*path, "timeout", key), message)


_RULES: Final[tuple[Callable[[Config], Iterator[Finding]], ...]] = (
    _total_over_caller,
    _attempts_over_total,
    _hedge_never,
    _queue_over_total,
    _attempt_over_total,
    _critical_invented,
    _unsafe_retry,
    _amplification,
    _no_failover,
    _slow_retry,
    _identity,
    _window_too_short,
    _shadowed_route,
    _no_deadline,
)
