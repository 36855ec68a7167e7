"""Laws of redaction: a name that hides hides its value, however a peer spells it."""

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.telemetry.redaction import LONGEST, Redaction, shown_headers

HIDES = Redaction(["Token", "phone_number"])


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        (b"", b""),
        (b"page=2&sort=name", b"page=2&sort=name"),
        (b"token=s3cret&page=2", b"token=***&page=2"),
        (b"page=2&TOKEN=s3cret", b"page=2&TOKEN=***"),
        (b"phone%5Fnumber=s3cret", b"phone%5Fnumber=***"),
        (b"%74oken=s3cret", b"%74oken=***"),
        (b"+token=s3cret", b"+token=***"),
        (b"user%5Btoken%5D=s3cret", b"user%5Btoken%5D=***"),
        (b"token[]=s3cret&token[]=s3cret", b"token[]=***&token[]=***"),
        (b"a=1;token=s3cret;b=s3cret", b"a=1;token=***"),
        (b"token=s3;cret=s3cret", b"token=***"),
        (b"a?token=s3cret", b"a?token=***"),
        (b"token%3Ds3cret", b"***"),
        (b"a%26token=s3cret", b"a%26token=***"),
        (b"token==s3cret=", b"token=***"),
        (b"token&page", b"token&page"),
        (b"tokens=12", b"tokens=12"),
        (b"next=token", b"next=token"),
        (b"&&=&", b"&&=&"),
    ],
)
def test_queries(query: bytes, shown: bytes) -> None:
    """The value goes, the name and everything else stays."""
    assert HIDES(query) == shown


def test_no_names_hide_nothing() -> None:
    """An empty list is what it says."""
    assert Redaction([])(b"token=a") == b"token=a"


@given(st.lists(st.tuples(st.sampled_from(["token", "Phone_Number", "page", "käse"]), st.text()), max_size=6))
def test_what_a_receiver_reads_as_hidden_is_hidden(pairs: list[tuple[str, str]]) -> None:
    """As the standard library's own parser reads what was shown: no hidden value is left, all others are."""
    shown = HIDES(urlencode(pairs).encode()).decode()
    read = parse_qsl(shown, keep_blank_values=True)
    assert read == [(name, "***" if name.lower() in ("token", "phone_number") else value) for name, value in pairs]


def test_headers_are_those_that_were_asked_for() -> None:
    """By the configured spelling, repeated ones joined, long ones cut."""
    headers = [(b"x-tenant", b"X-TENANT", b"a"), (b"cookie", b"Cookie", b"s3cret"), (b"x-tenant", b"x-tenant", b"b")]
    assert shown_headers({b"x-tenant": "X-Tenant"}, headers) == {"X-Tenant": b"a, b"}
    assert len(shown_headers({b"x": "X"}, [(b"x", b"X", b"y" * 5000)])["X"]) == LONGEST
    assert shown_headers({}, headers) == {}
