"""What routes share, and so what several of them have a say in: the budget of an upstream, the breaker of one."""

from typing import Final

from sidecar import config

DEFAULT_BUDGET: Final = (0.2, 1.0)
"""Ratio and retries per second, for an upstream that is only a fallback: nothing draws on it."""
LEASE_SLACK: Final = 5.0
"""Seconds beyond the attempt timeout after which a probe's permit is taken back."""


def budgets(loaded: config.Config) -> dict[str, tuple[float, float]]:
    """Ratio and retries per second of each upstream's budget: the strictest that a route to it asks for."""
    found: dict[str, tuple[float, float]] = {}
    for route in loaded.routes:
        asked = route.retry.budget
        ratio, per_second = found.get(route.upstream, (asked.ratio, asked.per_second))
        found[route.upstream] = min(ratio, asked.ratio), min(per_second, asked.per_second)
    return {name: found.get(name, DEFAULT_BUDGET) for name in loaded.upstreams}


def leases(loaded: config.Config) -> dict[str, float]:
    """How long a probe of each route's breaker may take: as long as the slowest attempt of those that share it."""
    shared: dict[str, float] = {}
    for route in loaded.routes:
        if route.breaker.share == "upstream":
            shared[route.upstream] = max(route.timeout.attempt, shared.get(route.upstream, 0.0))
    return {
        route.name: LEASE_SLACK
        + (shared[route.upstream] if route.breaker.share == "upstream" else route.timeout.attempt)
        for route in loaded.routes
    }
