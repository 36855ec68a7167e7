"""How long the caller itself will wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.proxy.patience import HEADERS, UNLIMITED, patience


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        (b"x-sidecar-timeout", b"800ms", 0.8),
        (b"x-sidecar-timeout", b"1.5s", 1.5),
        (b"x-sidecar-timeout", b"250us", 0.00025),
        (b"x-sidecar-timeout", b"2m", 120.0),
        (b"x-sidecar-timeout", b"1h", 3600.0),
        (b"x-sidecar-timeout", b"0s", 0.0),
        (b"x-envoy-upstream-rq-timeout-ms", b"1500", 1.5),
        (b"x-envoy-expected-rq-timeout-ms", b"1234", 1.234),
        (b"grpc-timeout", b"100m", 0.1),
        (b"grpc-timeout", b"2S", 2.0),
        (b"grpc-timeout", b"1M", 60.0),
        (b"grpc-timeout", b"1H", 3600.0),
        (b"grpc-timeout", b"500u", 0.0005),
        (b"grpc-timeout", b"99999999n", 0.099999999),
    ],
)
def test_each_form_is_read_in_its_unit(name: bytes, value: bytes, seconds: float) -> None:
    """Ours with a unit, Envoy's in milliseconds, gRPC's with its letter."""
    assert patience({name: value}) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-sidecar-timeout", b"800"),
        (b"x-sidecar-timeout", b"-1s"),
        (b"x-sidecar-timeout", b"1e3s"),
        (b"x-sidecar-timeout", b"1s, 2s"),
        (b"x-sidecar-timeout", b""),
        (b"x-envoy-upstream-rq-timeout-ms", b"0"),
        (b"x-envoy-upstream-rq-timeout-ms", b"000"),
        (b"x-envoy-upstream-rq-timeout-ms", b"1.5"),
        (b"x-envoy-upstream-rq-timeout-ms", b"9" * 13),
        (b"x-envoy-expected-rq-timeout-ms", b"0"),
        (b"grpc-timeout", b"123456789m"),
        (b"grpc-timeout", b"5x"),
        (b"grpc-timeout", b"m"),
    ],
)
def test_what_cannot_be_read_is_ignored(name: bytes, value: bytes) -> None:
    """A caller's typing error must not make its request fail; Envoy's 0 means no timeout."""
    assert patience({name: value}) == UNLIMITED


def test_the_shortest_of_what_it_said_counts() -> None:
    """It may go through several clients that each say something."""
    said = {b"x-sidecar-timeout": b"3s", b"x-envoy-upstream-rq-timeout-ms": b"2000", b"grpc-timeout": b"2500m"}
    assert patience(said) == 2.0
    assert patience({}) == UNLIMITED


@given(st.dictionaries(st.sampled_from(sorted(HEADERS)), st.binary(max_size=20)))
def test_anything_at_all_is_a_time_or_nothing(said: dict[bytes, bytes]) -> None:
    """Never an error, never negative."""
    assert patience(said) >= 0.0
