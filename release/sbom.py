"""The bill of materials: CycloneDX JSON of what the lock pins, the same bytes at every run.

    python -m release.sbom dist/sidecar.cdx.json

cyclonedx-py reads an environment that was installed from the lock a moment ago. Its time stamp is SOURCE_DATE_EPOCH, or
2020-01-01. What the lock pins for other Pythons and machines only is not in it.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from release import locked
from release.licenses import listed
from release.slim import EPOCH
from sidecar import __version__


def main(arguments: list[str]) -> int:
    """Writes the document to the file that is named."""
    (name,) = arguments
    with tempfile.TemporaryDirectory() as work:
        bill = of_environment(locked.environment(Path(work) / "environment"), validate=True)
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(bill, indent=2) + "\n")
    print(f"{file}: {len(bill['components'])} components")
    return 0


def of_environment(python: Path, *, validate: bool = False) -> dict[str, Any]:
    """The bill of an environment's distributions, ours as the one that they are parts of.

    validate: against CycloneDX's schema, which takes ten seconds.
    """
    tool = Path(sys.executable).with_name("cyclonedx-py")
    about = ["--pyproject", str(locked.ROOT / "pyproject.toml"), "--mc-type", "application"]
    how = ["--output-reproducible", "--validate" if validate else "--no-validate"]
    env = {**os.environ, "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH") or str(EPOCH)}
    done = subprocess.run(
        [str(tool), "environment", *how, *about, str(python)], env=env, capture_output=True, check=True
    )
    bill: dict[str, Any] = json.loads(done.stdout)
    bill["metadata"]["component"]["version"] = __version__  # pyproject.toml leaves it to the source
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    _complete(bill, listed(packages))
    return bill


def _complete(bill: dict[str, Any], known: Mapping[str, tuple[str, str]]) -> None:
    """Gives a licence to whom the tool gave none: it leaves out names that SPDX does not have."""
    for component in bill["components"]:
        if "licenses" not in component:
            _, licence = known[canonicalize_name(component["name"])]
            component["licenses"] = [{"license": {"acknowledgement": "declared", "name": licence}}]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
