"""The only way to start a task: named, referenced, its exception reported."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_running: set[asyncio.Task[Any]] = set()
_log = logging.getLogger("sidecar")


def spawn(work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
    """Starts `work` on the running loop and keeps it referenced until it ends.

    An exception that ends the task is logged once, by its type and name: a task nobody awaits must not
    fail silently, and must not print what a caller sent.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_finished)
    return task


def running() -> int:
    """How many tasks are under way. Tests assert that it returns to where it was."""
    return len(_running)


def _finished(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("task %s failed: %s", task.get_name(), type(error).__name__, exc_info=error)
