"""What the admin port shows, and how a document becomes an answer. Knows no web framework."""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from sidecar.admin.entries import BLANK, Journal

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What is shown. Each is called on the loop, once per request."""

    ready: Callable[[], str]
    """Empty when ready, otherwise why not."""
    metrics: Callable[[bool], bytes]
    """The scrape; True asks for OpenMetrics."""
    metrics_type: Callable[[bool], str]
    """Its media type."""
    metrics_pieces: Callable[[bool], Iterator[bytes]] | None = None
    """The same scrape bit by bit, so that the loop turns in between; None: it is short."""
    status: Callable[[], Mapping[str, Any]]
    config: Callable[[], Mapping[str, Any]]
    """The effective configuration. Whoever makes it has hidden its secrets."""
    status_steps: Callable[[], Generator[None, None, Mapping[str, Any]]] | None = None
    """The same as `status`, made in steps between which calls are served."""
    history: Callable[[], Mapping[str, Any]] = dict
    """Rates of the last minutes."""
    journal: Journal = BLANK
    """What happened; pushed to those who watch."""

    def show(self, path: str, *, openmetrics: bool) -> tuple[int, str, bytes] | None:
        """Status, media type and body of what machines ask for; None for every other path."""
        if path == "/metrics":
            return 200, self.metrics_type(openmetrics), self.metrics(openmetrics)
        document = self._document(path)
        return None if document is None else (document[0], JSON, msgspec.json.encode(document[1]))

    def _document(self, path: str) -> tuple[int, Mapping[str, Any]] | None:
        if path == "/readyz":
            why_not = self.ready()
            return (503, {"status": "not ready", "reason": why_not}) if why_not else (200, {"status": "ready"})
        if path == "/healthz":
            return 200, {"status": "ok"}
        if path == "/status":
            return 200, self.status()
        if path == "/history":
            return 200, self.history()
        return (200, self.config()) if path == "/config" else None


_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; form-action 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types"
)
"""CSP level 3. The last two: no text ever becomes markup, whatever a route is called."""

FIXED_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": _POLICY,
}
"""On every answer of the port."""
