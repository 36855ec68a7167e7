"""What a request says about its way, member by member."""

import pytest

from sidecar.policy.reasons import LOOP_DETECTED
from sidecar.proxy.hops import HOPS, ends_here, expectation, one_hop_less, takes_trailers

US = b"sidecar-0123abcd"


@pytest.mark.parametrize(
    ("via", "looped"),
    [
        (None, False),
        (b"", False),
        (b"1.1 sidecar-0123abcd", True),
        (b"1.1 a, 1.0 SIDECAR-0123abcd (x), 1.1 b", True),
        (b"HTTP/1.1\tsidecar-0123abcd", True),
        (b"1.1 sidecar-0123abce", False),
        (b"sidecar-0123abcd 1.1", False),
        (b"1.1 a (sidecar-0123abcd)", False),
        (b"1.1", False),
        (b",,", False),
    ],
)
def test_a_loop_is_our_own_name_as_a_hop(via: bytes | None, looped: bool) -> None:  # noqa: FBT001 - a parameter
    """In the second place of a member of `Via`, whatever its case, and nowhere else (RFC 9110 section 7.6.3)."""
    assert ends_here(b"GET", via, None, US) == (LOOP_DETECTED if looped else "")


@pytest.mark.parametrize(
    ("method", "value", "end", "passed"),
    [
        (b"OPTIONS", b"0", HOPS, b"0"),
        (b"TRACE", b"000", HOPS, b"0"),
        (b"OPTIONS", b"1", "", b"0"),
        (b"TRACE", b"010", "", b"9"),
        (b"OPTIONS", b"999999999", "", b"999999998"),
        (b"OPTIONS", b"9999999999", "", b"9999999999"),
        (b"OPTIONS", b"", "", b""),
        (b"OPTIONS", b"-1", "", b"-1"),
        (b"OPTIONS", b"0, 0", "", b"0, 0"),
        (b"OPTIONS", b"\xb2", "", b"\xb2"),
        (b"GET", b"0", "", b"0"),
        (b"GET", b"5", "", b"5"),
    ],
)
def test_hops_are_counted_for_two_methods_alone(method: bytes, value: bytes, end: str, passed: bytes) -> None:
    """What is no number passes as it is (RFC 9110 section 7.6.2)."""
    assert (ends_here(method, None, value, US), one_hop_less(method, value)) == (end, passed)


def test_a_loop_comes_before_the_count() -> None:
    """Whoever asks how far it got must not be told that it arrived."""
    assert ends_here(b"TRACE", b"1.1 " + US, b"0", US) == LOOP_DETECTED


@pytest.mark.parametrize(
    ("te", "takes"),
    [
        (b"trailers", True),
        (b"gzip;q=0.5 ,\tTrailers", True),
        (b"", False),
        (b"xtrailers", False),
        (b"trailers2", False),
        (b"gzip", False),
    ],
)
def test_trailers_are_taken_by_whoever_says_so(te: bytes, takes: bool) -> None:  # noqa: FBT001 - a parameter
    """A member of its own (RFC 9110 section 10.1.4)."""
    assert takes_trailers(te) is takes


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b"100-continue", b""),
        (b"100-Continue, x=1", b"x=1"),
        (b"a, ,b", b"a, b"),
        (b"", b""),
        (b"100-continued", b"100-continued"),
    ],
)
def test_only_the_expectation_that_we_meet_ends_here(value: bytes, left: bytes) -> None:
    """Others are the upstream's to meet (RFC 9110 section 10.1.1)."""
    assert expectation(value) == left
