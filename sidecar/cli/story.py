"""What `sidecar explain` tells: a route's policies, defaults marked, and the worst case as a timeline."""

from collections.abc import Iterator, Mapping
from typing import Final

from sidecar.config import Answer, Breaker, Config, Endpoint, Match, Retry, Route, Rung, Upstream, worst_case
from sidecar.config.base import Model
from sidecar.config.lint import marked
from sidecar.config.policies import Hedge
from sidecar.config.scalars import format_duration, format_ratio, format_size

_LABEL: Final = 13
"""Columns of the left margin."""
_SHOWN: Final = 200
"""Bytes of a document that are shown."""


def tell(config: Config, route: Route, method: str, title: str) -> Iterator[str]:
    """The lines. `title`: the request, without its query."""
    place = config.place(("routes", config.routes.index(route)))
    yield f"{title}: route {route.name} ({config.file}:{place.line})"
    yield ""
    for label, text in _policies(config, route).items():
        yield f"  {label:<{_LABEL}}{text}"
    yield ""
    yield from _worst_case(config, route, method)


def match_text(match: Match) -> str:
    """A match in one line."""
    kind = "path" if match.path is not None else "prefix" if match.prefix is not None else "regex"
    conditions = [f"{kind} {getattr(match, kind)}"]
    conditions += [f"methods {', '.join(match.methods)}"] if match.methods else []
    conditions += [f"host {match.host}"] if match.host is not None else []
    conditions += [f"headers {', '.join(match.headers)}"] if match.headers else []
    return ", ".join(conditions)


def _policies(config: Config, route: Route) -> Mapping[str, str]:
    upstream = config.upstreams[route.upstream]
    rungs = [f"{number}. {_rung(rung)}" for number, rung in enumerate(route.fallback, 1)]
    return {
        "match": match_text(route.match),
        "upstream": _upstream(route.upstream, upstream),
        "rewrite": _rewrite(route),
        "critical": marked(route, "critical", "yes: fails closed" if route.critical else "no"),
        "timeout": _timeout(route),
        "retry": _retry(route.retry),
        "breaker": _breaker(route.breaker),
        "rate_limit": _rate_limit(route),
        "bulkhead": _bulkhead(route),
        "upgrade": marked(route, "upgrade", ", ".join(route.upgrade) or "none"),
        "expect": _expect(route),
        "fallback": "; ".join(rungs) or marked(route, "fallback", "none"),
        "unavailable": _unavailable(route),
    }


def _setting(model: Model, attribute: str, text: str) -> str:
    return marked(model, attribute, f"{attribute.rstrip('_')} {text}")


def _durations(model: Model, *attributes: str) -> Iterator[str]:
    for attribute in attributes:
        yield _setting(model, attribute, format_duration(getattr(model, attribute)))


def _numbers(model: Model, *attributes: str) -> Iterator[str]:
    for attribute in attributes:
        yield _setting(model, attribute, f"{getattr(model, attribute):g}")


def _upstream(name: str, upstream: Upstream) -> str:
    endpoints = " ".join(_endpoint(endpoint) for endpoint in upstream.endpoints)
    several = len(upstream.endpoints) > 1
    parts = [
        f"{name}: {endpoints}",
        *_durations(upstream, "connect_timeout"),
        *([_ejection(upstream)] if several else []),
        *([_health_check(upstream)] if several or upstream.health_check is not None else []),
        *(_durations(upstream, "slow_start") if several else []),
    ]
    return ", ".join(parts)


def _endpoint(endpoint: Endpoint) -> str:
    asked = [f"{key} {getattr(endpoint, key)}" for key in ("weight", "priority") if endpoint.written(key)]
    return f"{endpoint.url} ({', '.join(asked)})" if asked else endpoint.url


def _ejection(upstream: Upstream) -> str:
    asked = upstream.ejection
    if not asked.consecutive_failures:
        return "ejection off"
    return "ejection " + " ".join((*_numbers(asked, "consecutive_failures"), *_durations(asked, "for_", "for_max")))


def _health_check(upstream: Upstream) -> str:
    asked = upstream.health_check
    if asked is None:
        return marked(upstream, "health_check", "health_check none")
    parts = [
        _setting(asked, "path", asked.path),
        *_durations(asked, "interval", "timeout"),
        *_numbers(asked, "unhealthy_after", "healthy_after"),
    ]
    return "health_check " + " ".join(parts)


def _rewrite(route: Route) -> str:
    if route.rewrite is None:
        return marked(route, "rewrite", "none")
    path = f"path {route.rewrite.prefix}, " if route.rewrite.prefix is not None else ""
    return path + _setting(route.rewrite, "host", route.rewrite.host)


def _timeout(route: Route) -> str:
    timeout = route.timeout
    attempt = f"attempt {format_duration(timeout.attempt)}"
    attempt += "" if timeout.written("attempt") else " (default: total)"
    return ", ".join((attempt, *_durations(timeout, "total", "idle")))


def _retry(retry: Retry) -> str:
    if retry.attempts == 1:
        return marked(retry, "attempts", "never: attempts 1")
    parts = [
        *_numbers(retry, "attempts"),
        _setting(retry, "on", " ".join(str(on) for on in retry.on)),
        _setting(retry, "methods", " ".join(retry.methods)),
        "backoff " + " ".join((*_durations(retry.backoff, "base", "max"), *_numbers(retry.backoff, "factor"))),
        "budget " + _setting(retry.budget, "ratio", format_ratio(retry.budget.ratio)),
        *([_hedge(retry.hedge)] if retry.hedge is not None else []),
    ]
    return ", ".join(parts)


def _hedge(hedge: Hedge) -> str:
    after = hedge.after if isinstance(hedge.after, str) else format_duration(hedge.after)
    return f"hedge {_setting(hedge, 'after', after)}"


def _breaker(breaker: Breaker) -> str:
    if not breaker.enabled:
        return "off"
    parts = [
        *(["dry run: refuses nothing"] if breaker.dry_run else []),
        *_numbers(breaker, "consecutive_failures"),
        _setting(breaker, "failure_ratio", format_ratio(breaker.failure_ratio)),
        *_numbers(breaker, "minimum_requests"),
        *_durations(breaker, "window", "open_for", "open_for_max"),
        *_numbers(breaker, "probes", "successes_to_close"),
    ]
    return ", ".join(parts)


def _rate_limit(route: Route) -> str:
    if route.rate_limit is None:
        return marked(route, "rate_limit", "none")
    return ", ".join(_numbers(route.rate_limit, "per_second", "burst"))


def _bulkhead(route: Route) -> str:
    bulkhead = route.bulkhead
    if bulkhead is None:
        return marked(route, "bulkhead", "none")
    parts = [
        *_numbers(bulkhead, "in_flight", "queue"),
        *(_durations(bulkhead, "queue_timeout") if bulkhead.queue else ()),
        *(["adaptive: in_flight is the most"] if bulkhead.adaptive else ()),
    ]
    return ", ".join(parts)


def _expect(route: Route) -> str:
    expect = route.expect
    if expect is None:
        return marked(route, "expect", "none: any answer that is not a failure will do")
    parts = [
        "status " + (" ".join(map(str, expect.status)) if expect.status else "2xx (default)"),
        *([f"content_type {expect.content_type}"] if expect.content_type else []),
        *([f"json_schema {expect.json_schema.path}"] if expect.json_schema else []),
        *(f"{pointer} is {value!a}" for pointer, value in expect.json_equals.items()),
        *(f"{pointer} is there" for pointer in expect.json_present),
        _setting(expect, "max_body", format_size(expect.max_body)),
    ]
    return ", ".join(parts)


def _rung(rung: Rung) -> str:
    on = f" (on {', '.join(rung.on)})" if rung.on else ""
    if (kept := rung.last_known_good) is not None:
        age = _setting(kept, "max_age", format_duration(kept.max_age))
        despite = f", despite {', '.join(kept.overrule)}" if kept.overrule else ""
        return f"last known good, {age}, identity {', '.join(kept.identity) or 'none'}{despite}{on}"
    if rung.static is not None:
        return f"static {_answer(rung.static)}{on}"
    return f"upstream {rung.upstream}{on}"


def _answer(answer: Answer) -> str:
    body = answer.body
    document = body.decode() if len(body) <= _SHOWN else f"{body[:_SHOWN].decode(errors='ignore')}..."
    return f"{marked(answer, 'status', str(answer.status))} {document}".rstrip()


def _unavailable(route: Route) -> str:
    if route.unavailable is None:
        return marked(route, "unavailable", "the sidecar's own document")
    return _answer(route.unavailable)


def _worst_case(config: Config, route: Route, method: str) -> Iterator[str]:
    repeatable = method in route.retry.methods
    key = route.retry.idempotency_key and not repeatable
    yield "Worst case: every attempt takes as long as it may" + (
        ", and the request carries an Idempotency-Key:" if key else ":"
    )
    connect = config.upstreams[route.upstream].connect_timeout
    total = route.timeout.total
    if wait := worst_case.queued(route):
        yield _at(0.0, f"waits for a slot of the bulkhead, up to {format_duration(wait)} of timeout.total")
    steps = worst_case.steps(route, connect_timeout=connect, repeatable=repeatable or key)
    for step in steps:
        if step.starts >= total:
            break
        yield from _attempt(step, len(steps), total, route.upstream)
    ends = min(steps[-1].ends, total)
    yield from _ending(config, route, method, ends)


def _at(seconds: float, text: str) -> str:
    return f"  {seconds:9.3f}s  {text}"


def _attempt(step: worst_case.Step, attempts: int, total: float, upstream: str) -> Iterator[str]:
    wait = f", after a backoff of up to {format_duration(step.backoff)}" if step.attempt > 1 else ""
    yield _at(step.starts, f"attempt {step.attempt} of {attempts} at {upstream}{wait}")
    if step.ends >= total:
        yield _at(total, f"attempt {step.attempt} is cut off by timeout.total")
    else:
        yield _at(step.ends, f"attempt {step.attempt} {step.failure}")


def _ending(config: Config, route: Route, method: str, ends: float) -> Iterator[str]:
    """The fallback ladder, then what is left to say. `ends`: when the last attempt does, in seconds."""
    for rung in route.fallback:
        if (why := _passed_over(route, rung, method, ends)) is not None:
            yield _at(ends, f"{_rung(rung)}: {why}")
        elif rung.upstream is not None:
            longest = min(route.timeout.total - ends, route.timeout.attempt)
            yield _at(ends, f"upstream {rung.upstream}: one attempt of up to {format_duration(longest)}")
            ends += longest
        elif rung.static is not None:
            yield _at(ends, f"the caller gets {_rung(rung)}")
            break
        else:
            yield _at(ends, f"the caller gets the {_rung(rung)}; if there is none:")
    else:
        yield _at(ends, f"the caller gets {_failure(route)}")
    yield from _caller(config, ends)


def _passed_over(route: Route, rung: Rung, method: str, ends: float) -> str | None:
    """Why a rung cannot answer in the worst case; None if it can."""
    if rung.on and "timeout" not in rung.on:
        return "not for timeouts"
    if rung.last_known_good is not None and method != "GET":
        return "for GET alone"
    if rung.upstream is not None and ends >= route.timeout.total:
        return "no time is left for it"
    if rung.upstream is not None and method not in route.retry.methods:
        return f"not for {method} after bytes were sent"
    return None


def _failure(route: Route) -> str:
    if route.unavailable is not None:
        return _unavailable(route)
    status = "503" if route.critical else "504 (503 when the breaker is open)"
    return f"{status} with the sidecar's own document"


def _caller(config: Config, ends: float) -> Iterator[str]:
    if config.caller is None:
        return
    left = config.caller.timeout - config.caller.reserve
    spare = left - ends
    words = f"{format_duration(spare)} to spare" if spare >= 0 else f"{format_duration(-spare)} too late"
    yield ""
    yield f"  The caller has {format_duration(left)} (timeout minus reserve): {words}."
