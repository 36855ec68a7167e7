"""The thread that turns recorded requests into spans and sends them, so that no request waits for a collector.

A thread of our own and not the SDK's BatchSpanProcessor: that one neither counts what it drops nor ends in bounded time
(its timeouts are not used; opentelemetry-python issues 4555 and 4568), and spans would have to be built on the loop
before it takes them.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol

from sidecar.clock import MONOTONIC, Clock
from sidecar.telemetry.tracing import RequestFacts, Tracer

EVERY: Final = 0.5
"""Seconds between two messages, while there is little to tell."""
BATCH: Final = 64
"""Requests in one message. To encode them holds Python's lock, for about 1.5 ms where each has two spans: what is sent
in small pieces is a small delay for the requests that come meanwhile."""
PAUSE: Final = 0.01
"""Seconds between two messages that follow one another: the loop's turn."""

_log = logging.getLogger("sidecar")


class Collector(Protocol):
    """Where spans go. Used by the thread alone, but for `close`."""

    def send(self, facts: list[RequestFacts]) -> str:
        """Sends the spans of these requests: "" if they were taken, otherwise why they were not."""
        ...

    def close(self) -> None:
        """Hurries it."""
        ...


class SpanExport:
    """Sends what a tracer has kept. `connect` makes the collector, in the thread: it may import what it likes."""

    def __init__(self, tracer: Tracer, connect: Callable[[], Collector], *, every: float = EVERY) -> None:
        self._tracer = tracer
        self._connect = connect
        self._every = every
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._given_up = False
        self._under_way = 0
        self._collector: Collector | None = None
        self._thread = threading.Thread(target=self._run, name="sidecar-spans", daemon=True)
        self._told = (0, 0)
        self._why = ""
        self.exported = 0
        """Spans that the collector took."""
        self.failed = 0
        """Spans that it did not take."""
        tracer.on_many = self._wake.set

    @property
    def dropped(self) -> int:
        """Spans lost, whatever the reason."""
        return self.failed + self._tracer.dropped

    def start(self) -> None:
        """From now on, spans are sent."""
        self._thread.start()

    def tick(self) -> None:
        """One line for everything lost since the last call; none where nothing was."""
        failed, full = self.failed - self._told[0], self._tracer.dropped - self._told[1]
        if not failed and not full:
            return
        self._told = self.failed, self._tracer.dropped
        parts = [f"{failed} were not taken by the collector: {self._why}"] if failed else []
        parts += [f"{full} found the queue full"] if full else []
        fields = {"event": "tracing", "not_taken": failed, "queue_full": full, "last": self._why}
        _log.warning("%s", f"spans lost: {'; '.join(parts)}", extra={"fields": fields})

    async def close(self, within: float, clock: Clock = MONOTONIC) -> None:
        """Sends what is left, for at most `within` seconds; what hangs then is left behind."""
        if self._thread.ident is None:
            return
        self._ending.set()
        self._wake.set()
        until = clock() + within
        while self._thread.is_alive() and clock() < until:  # noqa: ASYNC110 - a thread sets no event of the loop's
            await asyncio.sleep(0.01)
        self._give_up()
        self.tick()

    def _give_up(self) -> None:
        self._given_up = True
        left = self._under_way + sum(map(_spans_of, self._tracer.take(self._tracer.waiting)))
        if left:
            self.failed += left
            self._why = self._why or "it did not answer before the end"
        if self._thread.is_alive() and self._collector is not None:
            self._collector.close()

    def _run(self) -> None:
        try:
            self._collector = self._connect()
        except Exception:  # noqa: BLE001 - without spans everything else still works
            _log.exception("tracing is off: its exporter can't be made")
            return
        last = False
        while not last:
            self._wake.wait(self._every)
            self._wake.clear()
            last = self._ending.is_set()  # before: what is finished by then is sent
            self._send_all(self._collector)

    def _send_all(self, collector: Collector) -> None:
        full = True
        while full and not self._given_up:
            batch = self._tracer.take(BATCH)
            full = len(batch) == BATCH  # or what came meanwhile is for the next turn: small messages cost the most
            if batch:
                self._send(collector, batch)
            if full:
                self._ending.wait(PAUSE)

    def _send(self, collector: Collector, batch: list[RequestFacts]) -> None:
        count = self._under_way = sum(map(_spans_of, batch))
        try:
            why = collector.send(batch)
        except Exception as error:  # noqa: BLE001 - one bad message must not end all tracing
            why = f"they could not be sent ({type(error).__name__})"
        if self._given_up:  # they count as lost already
            return
        self._under_way = 0
        if why:
            self.failed += count
            self._why = why
        else:
            self.exported += count


def _spans_of(facts: RequestFacts) -> int:
    return 1 + len(facts.attempts)
