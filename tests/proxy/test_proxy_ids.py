"""Request ids and traces: the caller's where they are good, ours otherwise."""

import re
from random import Random

import pytest

from sidecar.proxy.ids import Ids, request_id_of, traceparent_of

TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"


@pytest.mark.parametrize("given", [b"abc", b"A-1_2.3:4/5+6=7@8", b"x" * 128, b"d290f1ee-6c54-4b01-90e6-d701748f0851"])
def test_a_printable_request_id_is_kept(given: bytes) -> None:
    """As it came."""
    assert request_id_of(given) == given


@pytest.mark.parametrize("given", [None, b"", b"x" * 129, b"a b", b'a"b', b"a\\b", b"caf\xc3\xa9", b"a\tb"])
def test_any_other_is_replaced(given: bytes | None) -> None:
    """It stands in logs and headers as it is, so it must need no escape."""
    assert request_id_of(given) is None


@pytest.mark.parametrize(
    "given",
    [
        b"00-%b-%b-01" % (TRACE, SPAN),
        b"00-%b-%b-00" % (TRACE, SPAN),
        b"cc-%b-%b-01" % (TRACE, SPAN),
        b"cc-%b-%b-01-what-comes-later" % (TRACE, SPAN),
    ],
)
def test_a_trace_is_kept(given: bytes) -> None:
    """Of any version but ff; only those to come may be longer (W3C Trace Context)."""
    assert traceparent_of(given) == given


@pytest.mark.parametrize(
    "given",
    [
        None,
        b"",
        b"00-%b-%b-01-more" % (TRACE, SPAN),
        b"ff-%b-%b-01" % (TRACE, SPAN),
        b"00-%b-%b-01" % (b"0" * 32, SPAN),
        b"00-%b-%b-01" % (TRACE, b"0" * 16),
        b"00-%b-%b-01" % (TRACE.upper(), SPAN),
        b"00-%b-%b" % (TRACE, SPAN),
        b"00-%b-%b-1" % (TRACE, SPAN),
        b"00-%b-%b-01, 00-%b-%b-01" % (TRACE, SPAN, TRACE, SPAN),
    ],
)
def test_what_is_no_trace_is_replaced(given: bytes | None) -> None:
    """It would be refused or misread at the other end."""
    assert traceparent_of(given) is None


def test_a_made_id_can_be_kept_by_the_next_one() -> None:
    """32 hexadecimal digits, each one new."""
    ids = Ids(Random(1))
    made = {ids.request_id() for _ in range(100)}
    assert len(made) == 100
    assert all(request_id_of(one) == one and len(one) == 32 for one in made)


def test_a_new_trace_bears_the_request_s_own_id() -> None:
    """So that one finds the other; nobody is told to record it."""
    trace = Ids(Random(1)).traceparent(TRACE)
    assert trace.startswith(b"00-" + TRACE + b"-")
    assert trace.endswith(b"-00")
    assert traceparent_of(trace) == trace


@pytest.mark.parametrize(
    "request_id", [b"Z" * 32, TRACE.upper(), b"0" * 32, b"abc", b"abcdefghijklmnopqrstuvwxyz012345", b""]
)
def test_an_id_that_is_no_trace_s_does_not_become_one(request_id: bytes) -> None:
    """The trace must be valid whatever the caller called its request."""
    trace = Ids(Random(1)).traceparent(request_id)
    assert traceparent_of(trace) == trace


def test_every_process_has_a_name_of_its_own() -> None:
    """A token that stands in `Via`: eight hexadecimal digits tell sidecars apart."""
    names = {Ids(Random(seed)).pseudonym for seed in range(100)}
    assert len(names) == 100
    assert all(re.fullmatch(rb"sidecar-[0-9a-f]{8}", name) for name in names)
