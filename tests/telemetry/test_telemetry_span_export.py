"""The thread that exports: batches, counts, one line, a bounded end."""

import logging
import threading
from collections.abc import Callable, Iterator
from random import Random

import pytest
from test_telemetry_tracing import begun, finish

from sidecar.clock import MONOTONIC
from sidecar.telemetry.span_export import BATCH, SpanExport
from sidecar.telemetry.tracing import RequestFacts, Tracer


class Sink:
    """A collector that answers what it is told, and can be made to hang."""

    def __init__(self, answer: str = "") -> None:
        self.answer = answer
        self.batches: list[int] = []
        self.free = threading.Event()
        self.free.set()
        self.reached = threading.Event()
        self.closed = False
        self.meanwhile: Callable[[], None] = lambda: None

    def send(self, facts: list[RequestFacts]) -> str:
        self.batches.append(len(facts))
        self.meanwhile()
        self.reached.set()
        assert self.free.wait(30)
        if self.answer == "raise":
            raise RuntimeError("a secret of somebody's")
        return self.answer

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def tracer() -> Tracer:
    """Room for many."""
    return Tracer(ratio=1.0, rng=Random(1), queued=1000, many=10)


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Lets go of whoever hangs at the end."""
    sink = Sink()
    yield sink
    sink.free.set()


def fill(tracer: Tracer, count: int) -> None:
    """Finished requests, each with one attempt: two spans."""
    for _ in range(count):
        trace = begun(tracer)
        trace.attempt_finished(b"", 1, "u", "e", "ok", 200, 0.0, 0.0, 0.0, 0.0, is_hedge=False)
        finish(trace)


def until(condition: Callable[[], object]) -> None:
    """Waits for what another thread does."""
    ends = MONOTONIC() + 10
    pause = threading.Event()
    while not condition():
        assert MONOTONIC() < ends
        pause.wait(0.002)


async def test_what_is_kept_is_sent_in_batches_and_counted(tracer: Tracer, sink: Sink) -> None:
    """Every span once, none of a batch too large, and what is left at the end too."""
    export = SpanExport(tracer, lambda: sink, every=0.01)
    fill(tracer, 2 * BATCH + 1)
    export.start()
    until(lambda: export.exported == 2 * (2 * BATCH + 1))
    assert sink.batches == [BATCH, BATCH, 1]
    fill(tracer, 3)
    await export.close(5.0)
    assert (export.exported, export.dropped) == (2 * (2 * BATCH + 4), 0)


async def test_many_are_sent_without_waiting_for_the_next_turn(tracer: Tracer, sink: Sink) -> None:
    """The interval is a minute here; ten requests are enough to be worth a message."""
    export = SpanExport(tracer, lambda: sink, every=60.0)
    export.start()
    fill(tracer, 10)
    until(lambda: export.exported)
    await export.close(5.0)
    assert export.exported == 20


async def test_what_comes_while_a_message_is_sent_waits_for_the_next(tracer: Tracer, sink: Sink) -> None:
    """Or steady traffic would make one small message after the other, without an end."""
    export = SpanExport(tracer, lambda: sink, every=60.0)
    sink.meanwhile = lambda: fill(tracer, 1)
    export.start()
    fill(tracer, 10)
    until(lambda: export.exported)
    sink.meanwhile = lambda: None
    await export.close(5.0)
    assert sink.batches == [10, 1]


@pytest.mark.parametrize("answer", ["it answered with 400", "raise"])
async def test_what_is_not_taken_is_counted_and_told_once_per_interval(
    tracer: Tracer, sink: Sink, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One line however many messages failed, without a word of an exception's text; none when nothing was lost."""
    sink.answer = answer
    export = SpanExport(tracer, lambda: sink, every=0.01)
    export.tick()
    assert caplog.records == []
    fill(tracer, 3 * BATCH)
    export.start()
    until(lambda: export.failed == 6 * BATCH)
    export.tick()
    export.tick()
    await export.close(5.0)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    why = "they could not be sent (RuntimeError)" if answer == "raise" else answer
    assert record.getMessage() == f"spans lost: {6 * BATCH} were not taken by the collector: {why}"
    assert record.__dict__["fields"] == {"event": "tracing", "not_taken": 6 * BATCH, "queue_full": 0, "last": why}


async def test_a_collector_that_hangs_neither_fills_memory_nor_holds_up_the_end(
    sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    """The queue has its bound; the end waits as long as it was told, and what is left behind is counted as lost."""
    tracer = Tracer(ratio=1.0, rng=Random(1), queued=BATCH, many=1)
    sink.free.clear()
    export = SpanExport(tracer, lambda: sink, every=0.01)
    export.start()
    fill(tracer, 1)
    assert sink.reached.wait(10)
    fill(tracer, BATCH + 5)
    assert (tracer.waiting, tracer.dropped) == (BATCH, 10)
    began = MONOTONIC()
    await export.close(0.2)
    assert 0.2 <= MONOTONIC() - began < 2.0
    assert sink.closed
    assert (export.exported, export.dropped, tracer.waiting) == (0, 2 * (1 + BATCH + 5), 0)
    (record,) = caplog.records
    assert "10 found the queue full" in record.getMessage()


async def test_an_exporter_that_cannot_be_made_is_one_line(tracer: Tracer, caplog: pytest.LogCaptureFixture) -> None:
    """Traffic goes on; requests that are recorded all the same are dropped when the queue is full."""

    def broken() -> Sink:
        raise ImportError("half an installation")

    export = SpanExport(tracer, broken)
    export.start()
    until(lambda: caplog.records)
    await export.close(1.0)
    assert [record.getMessage() for record in caplog.records] == ["tracing is off: its exporter can't be made"]


async def test_closed_before_it_started_it_ends_at_once(tracer: Tracer, sink: Sink) -> None:
    """A sidecar that could not bind never sent a span."""
    export = SpanExport(tracer, lambda: sink)
    await export.close(5.0)
    assert sink.batches == []
