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
from pathlib import Path
from typing import Any

from release import locked
from release.slim import EPOCH
from sidecar import __version__


def main(arguments: list[str]) -> int:
    """Writes the document to the file that is named."""
    (name,) = arguments
    with tempfile.TemporaryDirectory() as work:
        bill = of_environment(locked.environment(Path(work) / "environment"))
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(bill, indent=2) + "\n")
    print(f"{file}: {len(bill['components'])} components")
    return 0


def of_environment(python: Path) -> dict[str, Any]:
    """The bill of an environment's distributions, ours as the one that they are parts of."""
    tool = Path(sys.executable).with_name("cyclonedx-py")
    about = ["--pyproject", str(locked.ROOT / "pyproject.toml"), "--mc-type", "application"]
    command = [str(tool), "environment", "--output-reproducible", *about, str(python)]
    env = {**os.environ, "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH") or str(EPOCH)}
    done = subprocess.run(command, env=env, capture_output=True, check=True)
    bill: dict[str, Any] = json.loads(done.stdout)
    bill["metadata"]["component"]["version"] = __version__  # pyproject.toml leaves it to the source
    return bill


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
