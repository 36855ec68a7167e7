"""The shape of the repository: what reviewers would otherwise have to see."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "sidecar").rglob("*.py"))
WITHOUT_SOURCE = {"fixtures", "scenarios", "bench", "rfc", "fuzz", "conformance", "helm", "release", "deploy"}
"""Folders of tests that speak of something other than one module of sidecar/."""
LONGEST = 400


def identified(path: Path) -> str:
    """A path as people write it."""
    return str(path.relative_to(ROOT))


def test_the_layers_hold() -> None:
    """No module imports upwards, sideways, or what its layer may not know: [tool.importlinter] says which."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("source", SOURCES, ids=identified)
def test_a_module_says_what_it_is_and_is_no_longer_than_a_sitting(source: Path) -> None:
    """Every module of sidecar/ has a docstring and at most 400 lines."""
    text = source.read_text()
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    lines = text.count("\n")
    assert lines <= LONGEST


MIRRORS = [
    test
    for test in sorted((ROOT / "tests").glob("*/**/test_*.py"))
    if test.relative_to(ROOT / "tests").parts[0] not in WITHOUT_SOURCE
]


@pytest.mark.parametrize("test", MIRRORS, ids=identified)
def test_tests_mirror_the_source(test: Path) -> None:
    """tests/policy/test_policy_breaker_open.py speaks of sidecar/policy/breaker.py: its name begins alike.

    Or it speaks of a function of the package itself (test_cli_main.py), or of a page of documentation
    (test_telemetry_metrics_doc.py of docs/metrics.md).
    """
    room = test.parent.relative_to(ROOT / "tests")
    package = ROOT / "sidecar" / room
    assert package.is_dir()
    name = re.sub(rf"^test_({room.name}_)?", "", test.stem)
    modules = [source.stem for source in package.glob("*.py")]
    modules += re.findall(r"^def (\w+)", (package / "__init__.py").read_text(), re.MULTILINE)
    modules += [f"{page.stem}_doc" for page in (ROOT / "docs").glob("*.md")]
    assert any(name == module or name.startswith(module + "_") for module in modules), f"no module of {package}"
