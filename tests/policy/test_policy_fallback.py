"""Laws of the ladder: which rung is tried for which reason."""

import pytest

from sidecar.policy.answer import Answer
from sidecar.policy.fallback import KINDS, LastKnownGood, Static, covers
from sidecar.policy.reasons import REASONS

ANSWER = Answer(200, ((b"Content-Type", b"application/json"),), b"{}")


def test_the_kinds_are_the_contract_s() -> None:
    """The words of `on`."""
    assert {"open", "timeout", "connect", "response", "refused"} == KINDS


@pytest.mark.parametrize("reason", REASONS)
def test_a_rung_covers_its_kinds(reason: str) -> None:
    """One kind covers what is of that kind."""
    for kind in KINDS:
        assert covers(Static(ANSWER, frozenset({kind})), reason) == (kind in REASONS[reason].kinds)


@pytest.mark.parametrize("reason", REASONS)
def test_a_rung_without_kinds_covers_every_failure_and_no_fault_of_the_caller(reason: str) -> None:
    """A bad request, an unknown route or a caller who left is not rescued: a 4xx is never masked."""
    rung = LastKnownGood(max_age=60.0, identity=())
    assert covers(rung, reason) == bool(REASONS[reason].kinds)


@pytest.mark.parametrize(
    ("reason", "kinds"),
    [
        ("breaker_open", {"open"}),
        ("bulkhead_full", {"refused"}),
        ("attempt_timeout", {"timeout"}),
        ("deadline", {"timeout"}),
        ("connect_timeout", {"timeout", "connect"}),
        ("connect_failure", {"connect"}),
        ("reset", {"response"}),
        ("upstream_error", {"response"}),
        ("unexpected_response", {"response"}),
        ("no_route", set()),
        ("client_gone", set()),
    ],
)
def test_what_the_kinds_of_the_main_reasons_are(reason: str, kinds: set[str]) -> None:
    """So that a change of the vocabulary is seen to change which fallbacks are tried."""
    assert {kind for kind in KINDS if covers(Static(ANSWER, frozenset({kind})), reason)} == kinds
