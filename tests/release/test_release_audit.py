"""The audit is green only if somebody was asked who would have known."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from release import audit
from release.locked import LOCK

Output = pytest.CaptureFixture[str]
CANARY = {"name": "jinja2", "version": "2.10", "vulns": [{"id": "PYSEC-2019-217"}]}
SKIPPED = {"name": "jinja2", "skip_reason": "Dependency not found on PyPI and could not be audited: jinja2 (2.10)"}
CLEAN = {"name": "yarl", "version": "1.25.1", "vulns": []}
BAD = {"name": "yarl", "version": "1.25.1", "vulns": [{"id": "PYSEC-1"}, {"id": "PYSEC-2"}]}

Answers = Mapping[tuple[str, str], list[dict[str, Any]] | None]


def audited(answers: Answers) -> int:
    """The exit code, where (service, file) is answered so."""

    def ask(service: str, file: Path) -> list[dict[str, Any]] | None:
        return answers.get((service, file.name))

    return audit.main(ask, [LOCK])


@pytest.mark.parametrize("unaware", [None, [], [SKIPPED], [{**CANARY, "vulns": []}]])
def test_without_a_database_nothing_was_checked(unaware: list[dict[str, Any]] | None, capsys: Output) -> None:
    """A crash, no answer, a skip, and "none found" for what is known to be vulnerable: all are no answer."""
    assert audited({("pypi", "canary.txt"): unaware, ("pypi", LOCK.name): [CLEAN]}) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "no advisory database could be reached: nothing was checked" in said.err


def test_clean_is_0_and_says_how_many_were_checked(capsys: Output) -> None:
    """With a service that knows the canary."""
    assert audited({("pypi", "canary.txt"): [CANARY], ("pypi", LOCK.name): [CLEAN]}) == 0
    assert capsys.readouterr().out == f"{LOCK.name}: 1 distributions checked by pypi, 0 vulnerable\n"


def test_the_second_service_is_asked_if_the_first_knows_nothing() -> None:
    """And then about the lock as well."""
    answers = {("pypi", "canary.txt"): [SKIPPED], ("osv", "canary.txt"): [CANARY], ("osv", LOCK.name): [BAD]}
    assert audited(answers) == 1


def test_vulnerable_is_1_and_named(capsys: Output) -> None:
    """With the advisories."""
    assert audited({("pypi", "canary.txt"): [CANARY], ("pypi", LOCK.name): [BAD]}) == 1
    assert f"{LOCK.name}: yarl 1.25.1: PYSEC-1, PYSEC-2\n" in capsys.readouterr().out


def test_what_was_skipped_is_not_checked(capsys: Output) -> None:
    """One that could not be looked up is 2, and named, whatever was found besides."""
    assert audited({("pypi", "canary.txt"): [CANARY], ("pypi", LOCK.name): [BAD, SKIPPED]}) == 2
    assert "not checked: jinja2" in capsys.readouterr().err


def test_the_real_one_answers_in_the_form_that_is_read(tmp_path: Path) -> None:
    """pip-audit, asked about nothing, needs no network: an empty list, not a failure."""
    file = tmp_path / "none.txt"
    file.write_text("")
    assert audit.pip_audit("pypi", file) == []
