"""docs/limits.md speaks of every limit there is, with the default it has."""

import re
from pathlib import Path

import pytest

from sidecar.config.process import Limits
from sidecar.policy.reasons import REASONS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "limits.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("key", Limits.model_fields)
def test_every_limit_has_its_row_with_its_default(key: str) -> None:
    """A limit that nobody can look up is a riddle."""
    row = next(row for row in ROWS if f"`limits.{key}`" in row)
    assert row[2].strip("`") == str(Limits.model_fields[key].default)


def test_every_status_is_that_of_its_reason() -> None:
    """As the vocabulary has it."""
    told = [(row[3], row[4].strip("`")) for row in ROWS if len(row) == 5 and re.match(r"\d{3}", row[3])]
    assert len(told) >= 9
    for status, reason in told:
        assert REASONS[reason].status == int(status[:3])
