"""Who may change state, and who may not."""

import pytest

from sidecar.admin.guard import Guard, is_loopback
from sidecar.config.secret import Secret

TOKEN = "s3cret-of-the-operator"
HERE = "127.0.0.1:9901"


def status(guard: Guard, *, host: str = HERE, origin: str | None = None, authorization: str = "") -> int:
    """200, or why not."""
    refusal = guard.refuses(host=host, origin=origin, authorization=authorization)
    return 200 if refusal is None else refusal.status


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_on_loopback_no_token_is_needed(host: str) -> None:
    """Whoever is on the machine may."""
    assert is_loopback(host)
    assert status(Guard(host, None)) == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "192.0.2.1", "sidecar.internal"])
def test_beyond_loopback_nothing_is_changed_without_a_token(host: str) -> None:
    """403, and the sentence says which key is missing."""
    assert not is_loopback(host)
    refusal = Guard(host, None).refuses(host=HERE, origin=None, authorization="Bearer anything")
    assert refusal is not None
    assert refusal.status == 403
    assert "admin.token" in refusal.sentence


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_token_that_is_set_must_be_shown_everywhere(host: str) -> None:
    """On loopback too: whoever sets one means it."""
    guard = Guard(host, Secret(TOKEN))
    assert status(guard, authorization=f"Bearer {TOKEN}") == 200
    assert status(guard, authorization=f"bearer  {TOKEN} ") == 200, "RFC 9110 section 11.1: in any case of letters"
    for wrong in (
        "",
        TOKEN,
        f"Basic {TOKEN}",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer \udcff",
    ):
        assert status(guard, authorization=wrong) == 401


def test_what_is_said_to_those_who_may_not_holds_no_token() -> None:
    """Neither theirs nor ours, in no form."""
    guard = Guard("127.0.0.1", Secret(TOKEN))
    refusal = guard.refuses(host=HERE, origin=None, authorization="Bearer guessed")
    assert TOKEN not in repr((guard, refusal))
    assert "guessed" not in repr(refusal)


@pytest.mark.parametrize(
    ("host", "origin", "wanted"),
    [
        (HERE, f"http://{HERE}", 200),
        ("localhost:9901", "http://localhost:9901", 200),
        ("[::1]:9901", "http://[::1]:9901", 200),
        (HERE, "http://evil.example", 403),
        (HERE, "null", 403),
        (HERE, "", 403),
        (HERE, "http://127.0.0.1:8000", 403),
        ("evil.example:9901", "http://evil.example:9901", 403),
        ("", "http://", 403),
    ],
)
def test_a_page_must_be_ours(host: str, origin: str, wanted: int) -> None:
    """Of the very same host and port; and, with no token, asked for by its address: a name may be rebound."""
    assert status(Guard("127.0.0.1", None), host=host, origin=origin) == wanted


def test_with_a_token_the_port_may_have_a_name() -> None:
    """No foreign page knows the token."""
    guard = Guard("0.0.0.0", Secret(TOKEN))
    asked = {"host": "sidecar.internal:9901", "authorization": f"Bearer {TOKEN}"}
    assert status(guard, origin="https://sidecar.internal:9901", **asked) == 200
    assert status(guard, origin="https://evil.example", **asked) == 403
