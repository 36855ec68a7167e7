"""A route with its policies, as the request path reads it."""

from dataclasses import dataclass, field
from typing import Any

from sidecar.observer import RouteObserver
from sidecar.policy.answer import Answer
from sidecar.policy.breaker import Breaker
from sidecar.policy.bulkhead import Bulkhead
from sidecar.policy.endpoints import Upstream
from sidecar.policy.expect import Expect
from sidecar.policy.fallback import LastKnownGood, Rung
from sidecar.policy.fault import Fault
from sidecar.policy.flight import Flights
from sidecar.policy.rate_limit import RateLimit
from sidecar.policy.retry import Retry


@dataclass(slots=True, eq=False, kw_only=True)
class Route:
    """Everything a request needs once it is matched, bound when the configuration is loaded."""

    name: str
    upstream: Upstream
    total: float
    """Seconds for the whole request: every attempt, wait and backoff."""
    attempt_timeout: float
    """Seconds for one attempt."""
    critical: bool
    """Fails closed: no invented answer, always 503."""
    bulkhead: Bulkhead | None
    breaker: Breaker | None
    retry: Retry
    expect: Expect | None
    ladder: tuple[Rung, ...]
    unavailable: Answer | None
    """Said when nothing else could be; None for the default body."""
    observer: RouteObserver
    rate_limit: RateLimit | None = None
    idle: float = 60.0
    """Seconds an event stream, or a tunnel, may be silent after its head."""
    upgrades: frozenset[bytes] = frozenset({b"websocket"})
    """Protocols, in lower case, that a caller may switch to."""
    flights: Flights | None = None
    """Who is asking what is kept, where callers with the same question wait for one another."""
    fault: Fault | None = None
    """What an operator injects at the moment."""
    plan: Any = None
    """What the proxy prepared for the route at load; policies do not read it."""
    adapts: Bulkhead | None = field(init=False)
    """The bulkhead, if its limit follows what its attempts come to."""
    keeps: tuple[LastKnownGood, ...] = field(init=False)
    """The rungs that good answers are kept for: of those that declare the same identity, and so share, the first."""
    sees_bodies: bool = field(init=False)
    """Whether answers must be whole before they are judged."""

    def __post_init__(self) -> None:
        self.adapts = self.bulkhead if self.bulkhead is not None and self.bulkhead.adaptive else None
        kept = [rung for rung in self.ladder if isinstance(rung, LastKnownGood)]
        self.keeps = tuple({rung.identity: rung for rung in reversed(kept)}.values())[::-1]
        self.sees_bodies = self.expect is not None or bool(self.keeps)
