"""What is shipped: the wheel, the image, the chart, and the examples that people copy."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import sidecar
from sidecar import config

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = [ROOT / "config/sidecar.yaml", *sorted((ROOT / "config/examples").glob("*.yaml"))]


def test_the_wheel_holds_the_program_and_nothing_else(tmp_path: Path) -> None:
    """`pip install` brings the package, its type marker, its licence and its command; no tests, no bench."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith("/METADATA")).rsplit("/", 1)[0]
        commands = archive.read(f"{metadata}/entry_points.txt").decode()
    assert {name.split("/")[0] for name in names} == {"sidecar", metadata}
    assert "sidecar/py.typed" in names
    assets = [path for path in (ROOT / "sidecar/admin/assets").rglob("*") if path.is_file()]
    assert {str(path.relative_to(ROOT)) for path in assets} <= set(names)
    assert "sidecar/admin/assets/uplot/LICENSE" in names
    assert f"{metadata}/licenses/LICENSE" in names
    assert "sidecar = sidecar.cli:main" in commands
    assert f"-{sidecar.__version__}-" in wheel.name


def test_one_version_everywhere() -> None:
    """Package, chart, image and changelog name the same version."""
    chart = yaml.safe_load((ROOT / "helm/sidecar/Chart.yaml").read_text())
    labelled = re.search(r"^ARG VERSION=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    newest = re.search(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert labelled is not None
    assert newest is not None
    assert {chart["appVersion"], labelled[1], newest[1]} == {sidecar.__version__}


def test_the_image_is_nobodys_and_writes_nothing() -> None:
    """A numeric user that is not root, SIGTERM to stop, a health check, no shell around the program."""
    last = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    user = re.search(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert user is not None
    assert int(user[1]) > 0
    assert "STOPSIGNAL SIGTERM" in last
    assert "HEALTHCHECK" in last
    commands = re.findall(r"(?:ENTRYPOINT|CMD) (.*)", last)
    assert len(commands) == 3
    assert all(json.loads(command) for command in commands), "in shell form"
    assert not re.search(r"^RUN", last, re.MULTILINE)
    assert "PYTHONDONTWRITEBYTECODE=1" in last


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_shipped_configurations_have_nothing_to_complain_about(path: Path) -> None:
    """What people copy loads, and no lint rule has a word to say."""
    assert config.lint(config.load(path, env={})) == []


def test_the_readme_configuration_works(tmp_path: Path) -> None:
    """The YAML that the README shows loads as it stands."""
    (shown,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    path = tmp_path / "sidecar.yaml"
    path.write_text(shown)
    assert config.lint(config.load(path, env={})) == []
    assert len(shown.splitlines()) <= 10
