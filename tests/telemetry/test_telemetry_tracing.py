"""Which requests are recorded, and what is kept of them."""

from random import Random
from uuid import UUID

import pytest
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from sidecar.proxy.ids import Ids
from sidecar.telemetry.tracing import RequestTrace, Tracer

TRACE, CALLER = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"


def a_tracer(ratio: float = 0.0, *, queued: int = 4, many: int = 100) -> Tracer:
    """Its wall clock says 5000."""
    return Tracer(ratio=ratio, rng=Random(1), wall=lambda: 5000.0, queued=queued, many=many)


def begun(tracer: Tracer, flags: bytes = b"01", version: bytes = b"00", rest: bytes = b"") -> RequestTrace:
    """A request that its caller records."""
    trace = tracer.join(version + b"-" + TRACE + b"-" + CALLER + b"-" + flags + rest)
    assert trace is not None
    return trace


def finish(trace: RequestTrace) -> None:
    """200 after 2 s."""
    trace.finished("r", b"GET", 200, "ok", "", 10.0, 2.0)


@pytest.mark.parametrize(
    ("flags", "sampled"),
    [(b"00", False), (b"01", True), (b"02", False), (b"03", True), (b"ff", True), (b"fe", False)],
)
@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_the_callers_decision_stands(flags: bytes, ratio: float, *, sampled: bool) -> None:
    """Bit 0 of the flags, whatever the other bits and the ratio say."""
    trace = a_tracer(ratio).join(b"00-%b-%b-%b" % (TRACE, CALLER, flags))
    assert (trace is not None) == sampled


def test_the_context_is_a_child_of_the_callers() -> None:
    """The same trace, another span, version 00, and of the flags only those whose meaning we know."""
    version, trace, span, flags = begun(a_tracer(), b"ff", b"cc", b"-later").context.split(b"-")
    assert (version, trace, flags) == (b"00", TRACE, b"03")
    assert span not in (CALLER, b"0" * 16)
    assert begun(a_tracer()).context.endswith(b"-01")


def test_every_attempt_has_an_id_of_its_own() -> None:
    """And all of them the request's trace and flags."""
    trace = begun(a_tracer())
    contexts = [trace.attempt() for _ in range(3)]
    assert len({trace.context, *contexts}) == 4
    assert all(context.startswith(b"00-" + TRACE) and context.endswith(b"-01") for context in contexts)


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.1, 0.5, 0.9, 1.0])
def test_the_share_is_kept(ratio: float) -> None:
    """Of many new traces the share that was asked for is recorded; none at 0, all at 1."""
    tracer, ids = a_tracer(ratio), Ids(Random(7))
    drawn = 4000
    recorded = sum(tracer.begin(ids.traceparent(b"?")) is not None for _ in range(drawn))
    assert abs(recorded / drawn - ratio) <= (0.03 if 0.0 < ratio < 1.0 else 0.0)


def test_the_share_is_kept_where_request_ids_are_uuids() -> None:
    """The trace has the application's own id then, of which some bits never change.

    OpenTelemetry's own sampler reads those too, and would record none of these.
    """
    tracer, rng = a_tracer(0.1), Random(3)
    uuids = [UUID(int=rng.getrandbits(128), version=4) for _ in range(4000)]
    bound = TraceIdRatioBased.get_bound_for_rate(0.1)
    assert not any(uuid.int & (1 << 64) - 1 < bound for uuid in uuids)
    recorded = sum(tracer.begin(b"00-%b-%b-00" % (uuid.hex.encode(), CALLER)) is not None for uuid in uuids)
    assert 300 < recorded < 500


def test_a_higher_ratio_records_what_a_lower_one_does() -> None:
    """The decision is a function of the trace's id alone, and only grows with the ratio."""
    ids = Ids(Random(5))
    contexts = [ids.traceparent(b"?") for _ in range(2000)]
    chosen = [{context for context in contexts if a_tracer(ratio).begin(context)} for ratio in (0.1, 0.2, 0.6)]
    assert chosen[0] < chosen[1] < chosen[2]


def test_a_root_has_no_parent_and_says_so_upstream() -> None:
    """The ids made for it stand; the flag that goes on says that it is recorded."""
    tracer = a_tracer(1.0)
    trace = tracer.begin(b"00-%b-%b-00" % (TRACE, CALLER))
    assert trace is not None
    assert trace.context == b"00-%b-%b-01" % (TRACE, CALLER)
    finish(trace)
    (facts,) = tracer.take(9)
    assert (facts.trace, facts.span, facts.parent) == (TRACE, CALLER, b"")


def test_what_happened_is_kept_with_one_skew_for_all() -> None:
    """Unix time is the data plane's plus what they differed by at the end of the request."""
    tracer = a_tracer()
    trace = begun(tracer)
    sent = trace.attempt()
    trace.attempt_finished(sent, 1, "u", "http://e", "ok", 200, 10.5, 0.1, 0.2, 1.0, is_hedge=False)
    trace.attempt_finished(b"", 2, "u", "http://e", "connect_failure", 0, 11.6, -1.0, -1.0, 0.2, is_hedge=True)
    assert tracer.take(9) == []
    finish(trace)
    (facts,) = tracer.take(9)
    assert (facts.parent, facts.began, facts.ended, facts.skew) == (CALLER, 10.0, 12.0, 4988.0)
    first, second = facts.attempts
    assert first.span == sent[36:52]
    assert len(second.span) == 16
    assert second.span not in (first.span, b"0" * 16)
    assert (second.number, second.result, second.is_hedge) == (2, "connect_failure", True)


def test_the_queue_is_bounded_and_what_does_not_fit_is_counted() -> None:
    """The oldest stay; of what is dropped every span counts; room that was made is used again."""
    tracer = a_tracer(queued=2)
    for _ in range(2):
        finish(begun(tracer))
    lost = begun(tracer)
    lost.attempt_finished(b"", 1, "u", "e", "ok", 200, 0.0, 0.0, 0.0, 0.0, is_hedge=False)
    finish(lost)
    assert (tracer.waiting, tracer.dropped) == (2, 2)
    assert len(tracer.take(1)) == 1
    finish(begun(tracer))
    assert (tracer.waiting, tracer.dropped) == (2, 2)


def test_many_wake_the_exporter_once() -> None:
    """When so many wait, and not again with each that follows."""
    tracer = a_tracer(queued=10, many=3)
    woken: list[int] = []
    tracer.on_many = lambda: woken.append(tracer.waiting)
    for _ in range(5):
        finish(begun(tracer))
    assert woken == [3]
