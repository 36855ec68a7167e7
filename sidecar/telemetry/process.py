"""The process itself: `process_*` and `sidecar_build_info`, from prometheus_client's collectors.

Imported late, because prometheus_client brings an HTTP server with it that nobody here needs before the first
scrape.
"""

import platform

from prometheus_client import CollectorRegistry, Info, ProcessCollector, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from sidecar import __version__
from sidecar.revision import revision


class ProcessMetrics:
    """In a registry of its own: the global one shows whatever any imported library put there."""

    __slots__ = ("_registry",)

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        build = Info("sidecar_build", "The sidecar's version and commit, and its Python's.", registry=self._registry)
        build.info({"version": __version__, "revision": revision(), "python": platform.python_version()})
        ProcessCollector(registry=self._registry)

    def render(self, openmetrics: bool) -> bytes:  # noqa: FBT001 - the two formats
        """All its families as text. In OpenMetrics it ends with `# EOF`, so it comes last."""
        if not openmetrics:
            return generate_latest(self._registry)
        text: bytes = generate_openmetrics(self._registry)  # type: ignore[no-untyped-call]
        return text
