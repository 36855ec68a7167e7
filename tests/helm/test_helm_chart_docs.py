"""The table of values in the chart's README."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def docs() -> ModuleType:
    """The script that writes it."""
    spec = importlib.util.spec_from_file_location("chart_docs", ROOT / "helm/chart_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_is_up_to_date(docs: ModuleType) -> None:
    """`make chart-docs` would change nothing."""
    page = (docs.CHART / "README.md").read_text()
    assert docs.readme(page, (docs.CHART / "values.yaml").read_text()) == page


def test_every_value_is_in_the_table_and_in_the_schema(docs: ModuleType) -> None:
    """Nothing is left out of either, and nothing is there too much."""
    text = (docs.CHART / "values.yaml").read_text()
    top = {value.path.split(".")[0] for value in docs.values(text)}
    schema = yaml.safe_load((docs.CHART / "values.schema.json").read_text())
    assert top == set(yaml.safe_load(text)) == set(schema["properties"]) - {"global", "enabled"}
    for value in docs.values(text):
        part = schema
        for key in value.path.split("."):
            part = part["properties"][key]


def test_a_value_without_a_comment_is_refused(docs: ModuleType) -> None:
    """So that none can be forgotten."""
    with pytest.raises(ValueError, match="bare has no comment"):
        docs.values("# Yes.\nfine: 1\n\nbare: 2\n")


def test_sections_have_a_row_for_each_key_with_a_comment(docs: ModuleType) -> None:
    """And a value whose keys have none is one row."""
    text = "a:\n  # One.\n  x: []\n  # Two,\n  # and more.\n  y: ''\n# All.\nb:\n  z: {k: 1}\n"
    assert docs.values(text) == [("a.x", "[]", "One."), ("a.y", '""', "Two, and more."), ("b", "{z: {k: 1}}", "All.")]
