"""Laws of the vocabulary."""

from typing import Final, get_type_hints

import pytest

from sidecar.policy import reasons
from sidecar.policy.reasons import REASONS
from sidecar.wire import errors

KINDS: Final = {"open", "timeout", "connect", "response", "refused"}


def test_every_constant_is_in_the_table_and_nothing_else() -> None:
    """One closed vocabulary: a word without a meaning cannot be said."""
    words = {
        value for name, value in vars(reasons).items() if name in get_type_hints(reasons) and name.isupper()
        if isinstance(value, str)
    }  # fmt: skip
    assert words - {reasons.OK} == set(REASONS)


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_has_a_status_and_known_kinds(reason: str) -> None:
    """Kinds are the words of a rung's `on`; statuses say whose fault it is."""
    status, error, kinds = REASONS[reason]
    assert kinds <= KINDS
    assert 400 <= status <= 599
    assert error


def subclasses(kind: type[errors.UpstreamError]) -> list[type[errors.UpstreamError]]:
    """All of them, at any depth."""
    return [kind, *(sub for direct in kind.__subclasses__() for sub in subclasses(direct))]


@pytest.mark.parametrize("error", subclasses(errors.UpstreamError))
def test_the_wire_speaks_the_same_words(error: type[errors.UpstreamError]) -> None:
    """Its errors spell them out, since it knows no policy."""
    assert error.reason in REASONS
