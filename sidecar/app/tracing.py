"""Tracing as configured: the decision on the loop, the export in a thread, or nothing at all."""

import importlib.util
from functools import partial
from random import Random
from typing import Final

from sidecar import config
from sidecar.app.bind import CannotStart
from sidecar.telemetry import tracing
from sidecar.telemetry.prometheus import Prometheus
from sidecar.telemetry.span_export import Collector, SpanExport

MESSAGE_TIMEOUT: Final = 5.0
"""Seconds without a byte of the collector's answer, after which a message is given up."""
LAST_WORDS: Final = 2.0
"""Seconds that the end of the process waits for the last spans."""
_NEEDED: Final = ("opentelemetry.proto", "opentelemetry.sdk", "requests")


class Tracing:
    """Of one process. `asked`: None for no tracing.

    Raises:
        CannotStart: what it needs is not installed.
    """

    def __init__(self, asked: config.Tracing | None, rng: Random, prometheus: Prometheus) -> None:
        self.tracer: tracing.Tracer | None = None
        """Decides, on the loop; None where nothing is traced."""
        self._export: SpanExport | None = None
        if asked is not None:
            _require()
            self.tracer = tracing.Tracer(ratio=asked.sample, rng=rng)
            self._export = SpanExport(self.tracer, partial(_connect, asked))
        tracing.show(prometheus, exported=self._exported, dropped=self._dropped)

    def start(self) -> None:
        """Imports what sends spans, and sends them, in a thread. Call it once callers are served."""
        if self._export is not None:
            self._export.start()

    def tick(self) -> None:
        """Says in one line what was lost since the last call."""
        if self._export is not None:
            self._export.tick()

    async def close(self) -> None:
        """Sends the last ones, within bounded time."""
        if self._export is not None:
            await self._export.close(LAST_WORDS)

    def _exported(self) -> int:
        return 0 if self._export is None else self._export.exported

    def _dropped(self) -> int:
        return 0 if self._export is None else self._export.dropped


def _require() -> None:
    try:
        missing = any(importlib.util.find_spec(name) is None for name in _NEEDED)
    except ModuleNotFoundError:  # not even the package that it would be in
        missing = True
    if missing:
        raise CannotStart("tracing needs an extra that is not installed: pip install 'resilience-sidecar[otel]'")


def _connect(asked: config.Tracing) -> Collector:
    from sidecar.telemetry import otlp  # noqa: PLC0415 - 0.1 s and 9 MB, for those who asked for it

    headers = {name: value if isinstance(value, str) else value.reveal() for name, value in asked.headers.items()}
    return otlp.Collector(asked.otlp, headers=headers, timeout=MESSAGE_TIMEOUT)
