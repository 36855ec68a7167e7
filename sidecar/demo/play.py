"""Runs the demo: the upstream first, then the sidecar, then what to try."""

import sys

from sidecar.app.run import run
from sidecar.config import ConfigError, load
from sidecar.demo.story import Stage, StageError, told
from sidecar.demo.upstream import Upstream


def play(path: str) -> int:
    """Serves until the process is told to end.

    Returns the exit code: 2 if it could not start, after one line on standard error that says why.
    """
    try:
        config = load(path)
        stage = Stage.of(config)
    except ConfigError as error:
        return _refuse(str(error))
    except StageError as error:
        return _refuse(f"{path}: {error}")
    try:
        upstream = Upstream(stage.upstream_host, stage.upstream_port)
    except OSError as error:
        return _refuse(f"cannot listen on {stage.upstream}: {error.strerror}")
    with upstream:
        return run(config, on_ready=lambda: print(told(stage), flush=True), log_format="text")


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 2
