"""Fixtures for tests that use real sockets and processes. Everything they start, they end.

Behaviours for `upstream` are in `fixtures.upstream` (`hang()`, `ok({...})`, `reset()`, ...).
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from fixtures.process import Process, RunningSidecar, free_port
from fixtures.upstream import Upstream
from hypothesis import HealthCheck, settings

# A busy machine is slow, not wrong: how long an example takes decides nothing.
settings.register_profile("sidecar", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sidecar")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows what tests measured: `record_property("figure", "...")`. Figures inform; they decide nothing."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    figures = [
        f"{report.nodeid}: {value}" for report in reports for name, value in report.user_properties if name == "figure"
    ]
    if figures:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(figures))


@contextmanager
def _children(root: Path) -> Iterator[tuple[Callable[[], Path], list[Process]]]:
    children: list[Process] = []

    def directory() -> Path:
        return Path(tempfile.mkdtemp(prefix="process-", dir=root))

    try:
        yield directory, children
    finally:
        for child in children:
            child.kill()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """One scripted upstream on a free port."""
    with Upstream() as server:
        yield server


@pytest.fixture
def port() -> int:
    """A free TCP port."""
    return free_port()


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """`command([...], env=...)` starts a process whose output is collected."""
    with _children(tmp_path) as (directory, children):

        def run(arguments: list[str], env: Mapping[str, str] | None = None) -> Process:
            children.append(Process(arguments, directory(), env))
            return children[-1]

        yield run


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Callable[..., RunningSidecar]]:
    """`sidecar(yaml, env=...)` starts `sidecar run` on that configuration and returns when it is ready.

    `listen` and `admin` may be left out: free ports are put in. A sidecar that wrote a traceback fails its
    test, whatever else happened.
    """
    with _children(tmp_path) as (directory, children):

        def run(config: str, env: Mapping[str, str] | None = None) -> RunningSidecar:
            running = RunningSidecar(config, directory(), env)
            children.append(running)
            return running

        yield run
    for child in children:
        assert "Traceback" not in child.log_text(), child.log_text()
