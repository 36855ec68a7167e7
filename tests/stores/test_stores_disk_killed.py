"""Real processes, killed at any moment: what is read afterwards is whole, and was really given."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_killed_process_leaves_whole_answers_only(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Pairs of processes share the file, as in a rolling restart; none is damaged, none need be set aside."""
    script = Path(__file__).with_name("killing.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path / "kept", "60", "7"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    record_property("figure", f"{found['killed']} kills, {found['read']} answers read, {len(found['wrong'])} wrong")
    assert found["wrong"] == []
    assert found["different"] > 100
