"""Durations, sizes, ratios: what is written is what is meant, in both directions."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import scalars


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        ("1m30s", 90.0),
        ("1h0.5s", 3600.5),
        (0, 0.0),
        (0.0, 0.0),
        ("0s", 0.0),
    ],
)
def test_durations_are_go_syntax_with_days(text: object, seconds: float) -> None:
    """A duration is numbers with units; only zero may stand without."""
    assert scalars.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        5,
        1.5,
        "15 s",
        "-1s",
        "+1s",
        "1x",
        "1s ",
        "s",
        ".5s",
        "1.s",
        True,
        None,
        [],
        "367d",
        "9" * 30 + "s",
        "1H",
    ],
)
def test_no_other_duration(text: object) -> None:
    """Everything else is refused with a ValueError: no unit, a sign, white space, an absurd length."""
    with pytest.raises(ValueError, match=r".+"):
        scalars.parse_duration(text)


@given(st.integers(0, int(scalars.LONGEST) * 1_000_000))
def test_a_duration_survives_formatting(micros: int) -> None:
    """Format, then parse: the same to the microsecond, over all that is allowed."""
    text = scalars.format_duration(micros / 1e6)
    assert round(scalars.parse_duration(text) * 1e6) == micros


@given(st.floats(0, scalars.LONGEST, allow_nan=False))
def test_any_float_of_seconds_can_be_formatted(seconds: float) -> None:
    """What a computation brings out is text that parses to within half a microsecond."""
    assert scalars.parse_duration(scalars.format_duration(seconds)) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512B", 512),
        ("64KiB", 65536),
        ("1MiB", 1 << 20),
        ("10MB", 10**7),
        ("1.5KiB", 1536),
        ("2GiB", 2 << 30),
        (0, 0),
    ],
)
def test_sizes_tell_1000_from_1024(text: object, size: int) -> None:
    """KiB is 1024 bytes, KB is 1000."""
    assert scalars.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "64", 64, "64K", "64kib", "-1B", "0.5B", "1.0001KiB", True, None, "1 MiB", {}])
def test_no_other_size(text: object) -> None:
    """No unit, another unit, or part of a byte is refused with a ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        scalars.parse_size(text)


@given(st.integers(0, 10**15))
def test_a_size_survives_formatting(size: int) -> None:
    """Format, then parse: the same number of bytes."""
    assert scalars.parse_size(scalars.format_size(size)) == size


@pytest.mark.parametrize(
    ("text", "ratio"), [("20%", 0.2), (0.2, 0.2), (1, 1.0), (0, 0.0), ("100%", 1.0), ("0.5%", 0.005)]
)
def test_ratios_in_both_forms(text: object, ratio: float) -> None:
    """A share is a number from 0 to 1, or a percentage."""
    assert scalars.parse_ratio(text) == ratio


@pytest.mark.parametrize("text", [20, -0.1, "101%", "20", "-5%", True, None, "", float("nan"), "20 %"])
def test_no_other_ratio(text: object) -> None:
    """Out of bounds, a quoted number or no number is refused with a ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        scalars.parse_ratio(text)


@given(st.integers(0, 10**9))
def test_a_ratio_survives_formatting(billionths: int) -> None:
    """Format, then parse: the same share to a billionth."""
    text = scalars.format_ratio(billionths / 1e9)
    assert scalars.parse_ratio(text) == pytest.approx(billionths / 1e9, abs=1e-11)


@given(st.text() | st.integers() | st.floats() | st.none() | st.booleans() | st.lists(st.integers()))
def test_only_value_errors_come_out(value: object) -> None:
    """Whatever YAML may hold, a parser answers or raises ValueError."""
    for parse in (scalars.parse_duration, scalars.parse_size, scalars.parse_ratio):
        with contextlib.suppress(ValueError):
            assert parse(value) >= 0


def test_values_from_the_environment_are_not_quoted() -> None:
    """A message shows what stands in the file, shortened, and never what a variable put there."""
    assert scalars.shown("x" * 100) == "'" + "x" * 56 + "..."
    assert "hunter2" not in scalars.shown(scalars.FromEnvironment("hunter2"))
