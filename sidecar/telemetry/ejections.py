"""Endpoints that are ejected or found unwell, and that are back: seen by looking, so that picking one pays nothing.

An ejection shorter than the time between two looks is seen too: it leaves behind when it ended.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from sidecar.clock import Clock
from sidecar.policy.endpoints import Endpoint, Upstream
from sidecar.telemetry.journal import Journal

_NEVER: Final = float("-inf")

_log = logging.getLogger("sidecar")


class Ejections:
    """Of every upstream.

    upstreams: those that are configured now; one that a reload has made anew starts with a clean sheet. What health
    checks find is logged where they are made, with why: here it goes into the journal alone.
    """

    def __init__(self, upstreams: Callable[[], Iterable[Upstream]], *, journal: Journal, clock: Clock) -> None:
        self._upstreams = upstreams
        self._journal = journal
        self._clock = clock
        self._seen: dict[Endpoint, float] = {}
        """When each that ever was ejected comes or came back, as of the last look."""
        self._away: set[Endpoint] = set()
        self._unwell: set[Endpoint] = set()

    def look(self) -> None:
        """Tells what has changed. To be called about once a second."""
        now = self._clock()
        here: set[Endpoint] = set()
        for upstream in self._upstreams():
            here.update(upstream.endpoints)
            for endpoint in upstream.endpoints:
                self._look_for_ejection(upstream.name, endpoint, now)
                self._look_at_health(upstream.name, endpoint)
        self._away &= here
        self._unwell &= here
        self._seen = {endpoint: until for endpoint, until in self._seen.items() if endpoint in here}

    def _look_for_ejection(self, upstream: str, endpoint: Endpoint, now: float) -> None:
        until = endpoint.standing.until
        if until > self._seen.get(endpoint, _NEVER):
            self._seen[endpoint] = until
            self._away.add(endpoint)
            left = max(0.0, until - now)
            text = f"upstream {upstream}: {endpoint.name} is ejected, for another {left:.0f} s"
            self._tell(logging.WARNING, upstream, endpoint, "ejected", text, seconds=round(left, 1))
        if endpoint in self._away and now >= until:
            self._away.remove(endpoint)
            self._tell(logging.INFO, upstream, endpoint, "back", f"upstream {upstream}: {endpoint.name} is back")

    def _look_at_health(self, upstream: str, endpoint: Endpoint) -> None:
        health = endpoint.health
        if health is None or health.well != (endpoint in self._unwell):
            return
        state = "healthy" if health.well else "unhealthy"
        self._unwell.symmetric_difference_update({endpoint})
        self._note(upstream, endpoint, state, f"upstream {upstream}: {endpoint.name} is {state}")

    def _tell(self, level: int, upstream: str, endpoint: Endpoint, state: str, text: str, **more: Any) -> None:
        fields = {"event": "ejection", "upstream": upstream, "endpoint": endpoint.name, "state": state, **more}
        _log.log(level, "%s", text, extra={"fields": fields})
        self._note(upstream, endpoint, state, text)

    def _note(self, upstream: str, endpoint: Endpoint, state: str, text: str) -> None:
        self._journal.add("endpoint", upstream, text, upstream=upstream, endpoint=endpoint.name, state=state)
