"""Laws of what an action may be asked for with."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.admin import bodies
from sidecar.admin.bodies import Hold, Injection, Invalid


def said(document: Any) -> bytes:
    """As it comes."""
    return json.dumps(document).encode()


def test_a_breaker_is_held_for_a_minute_unless_told_otherwise() -> None:
    """The state is required, the time is not."""
    assert bodies.hold(said({"state": "open"})) == Hold("open", 60.0)
    assert bodies.hold(said({"state": "closed", "for": "1h30m"})) == Hold("closed", 5400.0)
    assert bodies.hold(said({"state": "auto"})) == Hold("auto", 60.0)


def test_a_fault_strikes_every_attempt_for_a_minute_unless_told_otherwise() -> None:
    """One of abort, delay and reset is enough; delay goes with either of the others."""
    assert bodies.injection(said({"abort": 503})) == Injection(503, 0.0, reset=False, ratio=1.0, seconds=60.0)
    assert bodies.injection(said({"delay": "1.5s", "ratio": "5%"})) == Injection(
        0, 1.5, reset=False, ratio=0.05, seconds=60.0
    )
    assert bodies.injection(said({"reset": True, "delay": "2s", "ratio": 0.5, "for": "24h"})) == Injection(
        0, 2.0, reset=True, ratio=0.5, seconds=86400.0
    )


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({}, "state"),
        ({"state": "ajar"}, "state"),
        ({"state": 1}, "state"),
        ({"state": ["open"]}, "state"),
        ({"state": "open", "for": 60}, "for"),
        ({"state": "open", "for": "0s"}, "for"),
        ({"state": "open", "for": "86401s"}, "for"),
        ({"state": "open", "for": "soon"}, "for"),
        ({"state": "open", "fro": "60s"}, "'fro'"),
        ([], "JSON object"),
        ("open", "JSON object"),
        (None, "JSON object"),
    ],
)
def test_a_hold_that_is_none_names_the_key(document: Any, named: str) -> None:
    """One sentence about the first thing that is wrong."""
    with pytest.raises(Invalid, match=named):
        bodies.hold(said(document))


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({}, "abort, delay, reset"),
        ({"ratio": 0.5}, "abort, delay, reset"),
        ({"reset": False}, "abort, delay, reset"),
        ({"abort": 399}, "abort"),
        ({"abort": 600}, "abort"),
        ({"abort": 503.5}, "abort"),
        ({"abort": True}, "abort"),
        ({"abort": "503"}, "abort"),
        ({"abort": 503, "reset": True}, "abort and reset"),
        ({"delay": 2}, "delay"),
        ({"delay": "-2s"}, "delay"),
        ({"reset": 1}, "reset"),
        ({"abort": 503, "ratio": 0}, "ratio"),
        ({"abort": 503, "ratio": 1.1}, "ratio"),
        ({"abort": 503, "ratio": "half"}, "ratio"),
        ({"abort": 503, "for": None}, "for"),
        ({"abort": 503, "path": "/"}, "'path'"),
    ],
)
def test_a_fault_that_is_none_names_the_key(document: Any, named: str) -> None:
    """The same."""
    with pytest.raises(Invalid, match=named):
        bodies.injection(said(document))


def test_what_has_no_keys_takes_none() -> None:
    """Nothing, or an empty object."""
    bodies.nothing(b"")
    bodies.nothing(b"{}")
    with pytest.raises(Invalid, match="'for'"):
        bodies.nothing(said({"for": "1s"}))


@given(body=st.binary(max_size=200))
def test_bytes_are_read_or_refused(body: bytes) -> None:
    """Nothing else happens, whatever they are."""
    for read in (bodies.hold, bodies.injection, bodies.nothing):
        with contextlib.suppress(Invalid):
            read(body)


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)


@given(document=st.dictionaries(st.sampled_from(["abort", "delay", "reset", "ratio", "for"]), VALUES))
def test_what_is_read_is_within_its_bounds(document: dict[str, Any]) -> None:
    """Never longer than a day, never a made-up success, never nothing at all."""
    try:
        got = bodies.injection(json.dumps(document).encode())
    except Invalid:
        return
    assert 0.0 < got.seconds <= bodies.LONGEST
    assert 0.0 <= got.delay <= bodies.LONGEST
    assert 0.0 < got.ratio <= 1.0
    assert got.abort == 0 or 400 <= got.abort <= 599
    assert got.abort or got.delay or got.reset
