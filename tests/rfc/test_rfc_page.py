"""docs/rfc.md and the tests of the rules say the same."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "rfc.md"
MODULES = sorted(HERE.glob("test_rfc91*.py"))
ROW = re.compile(r"^\| `(test_\w+)` \| (91\d\d (?:§|app\. )[^|]+) \| ([^|]+) \|$", re.MULTILINE)


def rules(module: Path) -> dict[str, str]:
    """The section that each test of a module names, by the test's name."""
    found = {}
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            text = " ".join((ast.get_docstring(node) or "").split())
            said = re.match(r"RFC 91\d\d (?:section|appendix) [^:]+(?=: )", text)
            assert said, f"{node.name} names no section"
            found[node.name] = said[0]
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_each_rule_is_on_the_page_with_its_section(module: Path) -> None:
    """Under the module's own name, and nothing that is not tested stands there."""
    text = PAGE.read_text()
    _, _, part = text.partition(f"`tests/rfc/{module.name}`")
    assert part, "the module is not on the page"
    rows = {name: section for name, section, _ in ROW.findall(part.partition("\n### ")[0])}
    short = {
        name: section.replace("RFC ", "").replace(" section ", " §").replace(" appendix ", " app. ")
        for name, section in rules(module).items()
    }
    assert rows == short


def test_no_row_is_left_over() -> None:
    """Every row is of one module, and no name comes twice."""
    rows = [name for name, _, _ in ROW.findall(PAGE.read_text())]
    assert sorted(rows) == sorted(name for module in MODULES for name in rules(module))
