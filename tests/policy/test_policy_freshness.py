"""Laws of age: operator, origin and caller must all allow an answer; what RFC 9111 and RFC 5861 say, case by case."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.policy.freshness import OVERRULABLE, Header, accepts, directives, lifetime

NOW = 784111777.0
"""Sun, 06 Nov 1994 08:49:37 GMT."""
DATE = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")


def lines(*pairs: tuple[str, str]) -> list[Header]:
    """Header lines as the wire gives them."""
    return [(name.lower().encode(), name.encode(), value.encode()) for name, value in pairs]


def control(value: str) -> list[Header]:
    """A Cache-Control field and no other."""
    return lines(("Cache-Control", value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("no-store", {b"no-store": b""}),
        ("Max-Age=60, must-revalidate", {b"max-age": b"60", b"must-revalidate": b""}),
        ('max-age="60"', {b"max-age": b"60"}),
        ('private="a, max-age=9", no-cache', {b"private": b"a, max-age=9", b"no-cache": b""}),
        ("max-age=1, max-age=2", {b"max-age": b"1"}),
        (" , ,, ", {}),
        ('=, =5, "', {b"5": b""}),
        ('a="unclosed, b', {b"a": b"", b"unclosed": b"", b"b": b""}),
    ],
)  # fmt: skip
def test_directives_are_read_as_they_are_written(value: str, expected: dict[bytes, bytes]) -> None:
    """In any case, quoted or not; a comma within quotes parts nothing; of two of a kind the first counts."""
    assert directives(control(value)) == expected


def test_directives_of_several_lines_are_one_list() -> None:
    """RFC 9110 section 5.3."""
    assert set(directives([*control("no-cache"), *control("max-age=1")])) == {b"no-cache", b"max-age"}


@given(st.binary(max_size=60))
def test_any_bytes_are_read_without_an_error(value: bytes) -> None:
    """An origin may write what it likes."""
    header = (b"cache-control", b"Cache-Control", value)
    assert lifetime([header], (), NOW).fresh_for >= 0
    assert accepts([header], age=1.0, fresh_for=0.0) in (True, False)


@pytest.mark.parametrize(
    ("fields", "fresh_for"),
    [
        ([], 0),
        ([("Cache-Control", "max-age=60")], 60),
        ([("Cache-Control", "max-age=60, s-maxage=5")], 5),
        ([("Cache-Control", "max-age=60"), DATE, ("Expires", "Sun, 06 Nov 1994 09:49:37 GMT")], 60),
        ([DATE, ("Expires", "Sun, 06 Nov 1994 09:49:37 GMT")], 3600),
        ([("Date", "Sun, 06 Nov 1994 09:49:27 GMT"), ("Expires", "Sun, 06 Nov 1994 09:49:37 GMT")], 10),
        ([("Expires", "Sun, 06 Nov 1994 08:50:37 GMT")], 60),
        ([DATE, ("Expires", "Sun, 06 Nov 1994 08:00:00 GMT")], 0),
        ([DATE, ("Expires", "0")], 0),
        ([DATE, ("Expires", "3600")], 0),
        ([DATE, ("Expires", "-1")], 0),
        ([("Cache-Control", "max-age=soon")], 0),
        ([("Cache-Control", "max-age=-5")], 0),
        ([("Cache-Control", "max-age=99999999999999999999999")], 2**31),
    ],
)
def test_how_long_an_answer_is_fresh(fields: list[tuple[str, str]], fresh_for: float) -> None:
    """RFC 9111 section 4.2.1; what is no number or no date counts as stale."""
    assert lifetime(lines(*fields), (), NOW).fresh_for == fresh_for


@pytest.mark.parametrize(("age", "seconds"), [("0", 0), ("90", 90), ("x", 0), ("-3", 0), ("99999999999", 2**31)])
def test_it_may_be_old_already_when_it_comes(age: str, seconds: float) -> None:
    """Another cache on the way says so."""
    assert lifetime(lines(("Age", age)), (), NOW).age == seconds


@pytest.mark.parametrize(
    ("value", "usable_for"),
    [
        ("", inf),
        ("max-age=60", inf),
        ("max-age=0", inf),
        ("no-cache", 0),
        ('no-cache="Set-Cookie"', 0),
        ("no-cache, stale-if-error=600", 0),
        ("max-age=60, must-revalidate", 60),
        ("must-revalidate", 0),
        ("max-age=60, proxy-revalidate", 60),
        ("max-age=60, must-revalidate, stale-if-error=600", 60),
        ("max-age=60, stale-if-error=600", 660),
        ("stale-if-error=600", 600),
        ("max-age=60, stale-if-error=0", 60),
        ("max-age=60, stale-if-error", 60),
        ("max-age=60, stale-if-error=x", 60),
        ("s-maxage=60", 60),
        ("s-maxage=60, max-age=5, stale-if-error=600", 660),
        ("public, max-age=60, immutable", inf),
    ],
)
def test_the_origin_may_forbid_stale_answers(value: str, usable_for: float) -> None:
    """RFC 9111 sections 5.2.2 and 4.2.4; RFC 5861 section 4. Without a word, the route's own bound is all."""
    assert lifetime(control(value), (), NOW).usable_for == usable_for


@pytest.mark.parametrize(
    ("value", "overruled", "usable_for"),
    [
        ("no-cache", {"no-cache"}, inf),
        ("no-cache", {"must-revalidate"}, 0),
        ("max-age=60, must-revalidate", {"must-revalidate"}, inf),
        ("max-age=60, must-revalidate, proxy-revalidate", {"must-revalidate"}, 60),
        ("max-age=60, stale-if-error=600", {"stale-if-error"}, inf),
        ("max-age=60, must-revalidate, stale-if-error=600", {"must-revalidate"}, 660),
    ],
)
def test_the_operator_may_overrule_the_origin(value: str, overruled: set[str], usable_for: float) -> None:
    """Word by word."""
    assert overruled <= OVERRULABLE
    assert lifetime(control(value), overruled, NOW).usable_for == usable_for


def test_an_overruled_s_maxage_is_no_lifetime_either() -> None:
    """It is as if it were not there."""
    assert lifetime(control("s-maxage=60, max-age=5"), {"s-maxage"}, NOW)[1:] == (5, inf)


def test_no_store_can_not_be_overruled() -> None:
    """What must be written nowhere is written nowhere."""
    assert "no-store" not in OVERRULABLE


@pytest.mark.parametrize(
    ("value", "oldest"),
    [
        ("", inf),
        ("no-store", inf),
        ("only-if-cached", inf),
        ("no-cache", None),
        ("no-cache, stale-if-error=600", None),
        ("max-age=30", 30),
        ("max-age=0", 0),
        ("max-age=x", 0),
        ("max-age=30, max-stale=10", 40),
        ("max-age=300, max-stale=10", 110),
        ("max-age=30, max-stale", inf),
        ("max-stale=10", 110),
        ("max-stale", inf),
        ("min-fresh=40", 60),
        ("min-fresh=x", None),
        ("stale-if-error=600", 700),
        ("stale-if-error=0", 100),
        ("max-age=0, stale-if-error=600", 700),
    ],
)
def test_the_caller_may_ask_for_something_younger(value: str, oldest: float | None) -> None:
    """RFC 9111 section 5.2.1, of an answer that was fresh for 100 s: up to which age it is taken, None for never."""
    request = control(value)
    if oldest is None:
        assert not accepts(request, age=0.0, fresh_for=100.0)
    elif oldest == inf:
        assert accepts(request, age=1e9, fresh_for=100.0)
    else:
        assert accepts(request, age=oldest, fresh_for=100.0)
        assert not accepts(request, age=oldest + 0.1, fresh_for=100.0)


def test_pragma_says_nothing() -> None:
    """Deprecated (RFC 9111 section 5.4)."""
    assert accepts(lines(("Pragma", "no-cache")), age=1.0, fresh_for=0.0)
