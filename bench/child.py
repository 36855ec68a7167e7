"""Programs the bench starts and always stops."""

import http.client
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from sidecar.clock import MONOTONIC

START_LIMIT = 20.0
"""Seconds a program may take to its first answer."""
STOP_LIMIT = 5.0
"""Seconds between SIGTERM and SIGKILL."""


class Unusable(Exception):
    """The program did not start, or does not answer as the workload needs. The text says how."""


class Answer(NamedTuple):
    """What came back for one request."""

    status: int
    body: bytes


class Child:
    """A program pinned to one core, or to none, its output in a log file. Leaving the `with` block stops it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        core: int | None,
        folder: Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.out"
        self.started = MONOTONIC()
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [*_pinned(core), *command],
                cwd=folder,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the program itself: taskset replaces itself with it."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it is no longer running."""
        return self._process.poll() is not None

    def wait_for_answer(self, port: int, path: str) -> float:
        """Asks until a 200 comes; seconds since the program was started.

        Raises:
            Unusable: it ended, or `START_LIMIT` passed.
        """
        while MONOTONIC() - self.started < START_LIMIT:
            if self.ended:
                raise Unusable(f"{self.name} ended at start: {self.last_words()}")
            if _answers(port, path):
                return MONOTONIC() - self.started
            time.sleep(0.001)
        raise Unusable(f"{self.name} gave no answer in {START_LIMIT:.0f} s: {self.last_words()}")

    def last_words(self) -> str:
        """The end of its output, on one line."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines()]
        telling = [line for line in lines if line.strip("^~ ")]
        return " | ".join(telling[-3:])[-500:] or "no output"

    def stop(self) -> None:
        """SIGTERM to its session, SIGKILL after `STOP_LIMIT`."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if self.ended:
                return
            os.killpg(self._process.pid, sign)
            try:
                self._process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                continue

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def ask(port: int, path: str, *, method: str = "GET", body: bytes | None = None, timeout: float = 5.0) -> Answer:
    """One request on a connection of its own. Raises OSError or HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return Answer(response.status, response.read())
    finally:
        connection.close()


def _answers(port: int, path: str) -> bool:
    try:
        return ask(port, path, timeout=1.0).status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False


def _pinned(core: int | None) -> list[str]:
    return ["taskset", "-c", str(core)] if core is not None and shutil.which("taskset") else []
