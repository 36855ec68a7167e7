"""The locks: every requirement of pyproject.toml is pinned, with hashes, and nothing else is."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release import locked

ROOT = locked.ROOT
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {pin.name: pin for pin in locked.pins()}


def required(extra: str = "image") -> list[Requirement]:
    """The dependencies, and those of an extra, with what extras of our own stand for."""
    found = [Requirement(text) for text in PROJECT["dependencies"]]
    for text in PROJECT["optional-dependencies"][extra]:
        requirement = Requirement(text)
        if canonicalize_name(requirement.name) == PROJECT["name"]:
            for other in sorted(requirement.extras):
                found += [Requirement(each) for each in PROJECT["optional-dependencies"][other]]
        else:
            found.append(requirement)
    return found


@pytest.mark.parametrize("requirement", required(), ids=str)
def test_what_pyproject_asks_for_is_pinned(requirement: Requirement) -> None:
    """`make lock` was run after the last change: each version that is pinned is one that is asked for."""
    pin = PINS[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pin.version, prereleases=True)
    assert pin.marker == ""


@pytest.mark.parametrize("lock", [locked.LOCK, locked.BUILD_LOCK], ids=lambda path: path.name)
def test_every_pin_has_hashes_and_somebody_who_needs_it(lock: Path) -> None:
    """Nothing is installed without a hash, and what nobody asks for any more has left."""
    pins = locked.pins(lock)
    assert pins
    assert [pin.name for pin in pins if not pin.hashes] == []
    text = lock.read_text()
    for pin in pins:
        (after,) = re.findall(rf"(?ms)^{re.escape(pin.name)}==.*?# via\s+(.*?)(?=^\S|\Z)", text)
        needing = {canonicalize_name(word) for word in re.findall(r"^\s*#?\s*([\w.-]+)", after, re.MULTILINE)}
        known = {pin.name for pin in pins} | {PROJECT["name"], "-r"}
        assert needing <= known, f"{pin.name} is there for {needing - known}"


def test_the_build_lock_has_what_builds() -> None:
    """The backend that pyproject.toml names, and what installs."""
    pins = {pin.name: pin for pin in locked.pins(locked.BUILD_LOCK)}
    (backend,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert Requirement(backend).specifier.contains(pins["hatchling"].version)
    assert "uv" in pins


def test_a_line_that_is_not_understood_is_an_error(tmp_path: Path) -> None:
    """An unpinned or unhashed requirement cannot slip past the reader."""
    file = tmp_path / "x.lock"
    file.write_text("requests>=2\n")
    with pytest.raises(ValueError, match=r"x\.lock:1: not understood"):
        locked.pins(file)
