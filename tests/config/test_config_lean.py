"""Laws of the lean import of pydantic."""

import subprocess
import sys


def test_loading_a_configuration_reads_no_package_metadata() -> None:
    """Neither importing the models nor building them looks for plugins of pydantic."""
    code = (
        "import sys; from sidecar import config;"
        "from sidecar.config import Config; Config.model_rebuild(force=True);"
        "assert 'importlib.metadata' not in sys.modules, 'metadata was read'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
