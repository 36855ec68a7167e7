"""The bill of materials and the licences say what the lock and the image say."""

import json
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from release import licenses, locked, sbom
from sidecar import __version__


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of what the lock pins."""
    return locked.environment(tmp_path_factory.mktemp("locked") / "environment")


def test_the_bill_lists_what_the_lock_pins_and_is_the_same_twice(python: Path) -> None:
    """Every component with version and licence, ours above them, no time but SOURCE_DATE_EPOCH."""
    bill = sbom.of_environment(python)
    pinned = {(pin.name, pin.version) for pin in locked.pins() if pin.needed_here()}
    assert {(canonicalize_name(each["name"]), each["version"]) for each in bill["components"]} == pinned
    assert [each["name"] for each in bill["components"] if not each.get("licenses")] == []
    ours = bill["metadata"]["component"]
    assert (ours["name"], ours["version"]) == ("resilience-sidecar", __version__)
    assert bill["metadata"]["timestamp"] == "2020-01-01T00:00:00+00:00"
    assert json.dumps(bill) == json.dumps(sbom.of_environment(python))


def test_the_page_of_licences_is_up_to_date(python: Path) -> None:
    """Each distribution stands there with the licence that it declares; `make licenses` writes the page."""
    rows = (locked.ROOT / "docs/licenses.md").read_text().splitlines()
    shown = {tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows if row.startswith("| ")}
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    installed = {(name, version, licence) for name, (version, licence) in licenses.listed(packages).items()}
    assert installed <= shown
    assert {(name, version) for name, version, _ in shown - {("distribution", "version", "licence")}} == {
        (pin.name, pin.version) for pin in locked.pins()
    }


def test_a_licence_is_taken_from_where_it_is_said(tmp_path: Path) -> None:
    """The expression before the field, the field before the classifiers; a whole text is not a name."""
    said = {
        "one": "License-Expression: MIT\nLicense: other\n",
        "two": "License: BSD-3-Clause\nClassifier: License :: OSI Approved :: MIT License\n",
        "three": f"License: {'word ' * 50}\nClassifier: License :: OSI Approved :: GNU Something (GSL)\n",
        "four": "",
    }
    for name, fields in said.items():
        place = tmp_path / f"{name}-1.dist-info"
        place.mkdir()
        (place / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1\n{fields}\n")
    found = {each.metadata["Name"]: licenses.licence(each) for each in distributions(path=[str(tmp_path)])}
    assert found == {"one": "MIT", "two": "BSD-3-Clause", "three": "GSL", "four": ""}
