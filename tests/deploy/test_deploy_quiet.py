"""The sidecar calls its upstreams and nobody else: it reports to no maker, looks for no update, asks no DNS in vain."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_nothing_but_its_upstreams_is_reached() -> None:
    """Alone on a loopback it starts, serves, checks health, shows its pages and ends; the kernel counted no attempt.

    The kernel's counters of a network namespace cannot be bypassed. A call to elsewhere, made at the end on purpose,
    shows that they would have told.
    """
    alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    done = subprocess.run(
        [*alone, sys.executable, str(HERE / "quiet.py")],
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout)
    assert counted["exit"] == 0
    assert counted["after"] == counted["before"]
    assert counted["seen"]["OutNoRoutes"] == counted["before"]["OutNoRoutes"] + 1
