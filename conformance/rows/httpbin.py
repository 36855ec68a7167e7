"""httpbin behind the proxy: its own tests, and those of requests."""

import sys
from collections.abc import Iterable
from pathlib import Path

from conformance.row import ROOT, Command, Row, Target, python
from conformance.rows.junit import junit
from conformance.score import Case
from conformance.shelf import Missing, Repository, Shelf, last_line, told_by

HTTPBIN = Repository("psf", "httpbin", "e32f9933af1386f580d737578e1051d656e8d4c7")
REQUESTS = Repository("psf", "requests", "1f6589ec3a1ee910f9a65cc3ceac60b26677bc0e")
BEHIND = "CONFORMANCE_BEHIND"
"""Environment variable: the URL at which the tests' server is to be found."""
_LIMIT = 300.0


def origin(shelf: Shelf, port: int) -> Command:
    """The server on gunicorn, with threads, so that connections are kept alive.

    It is the one its tests were written for: the newest release answers some of them differently.
    """
    tree = shelf.checkout(HTTPBIN)
    threads = ["--worker-class", "gthread", "--threads", "8", "--keep-alive", "30"]
    return python("gunicorn", *threads, "--chdir", str(tree), "--bind", f"127.0.0.1:{port}", "httpbin:app")


def run_httpbin(shelf: Shelf, target: Target) -> Iterable[Case]:
    """Its tests, their Flask client replaced by one that sends real requests."""
    return _pytest(shelf.checkout(HTTPBIN), "tests/test_httpbin.py", "conformance.rows.plugin_httpbin", target)


def run_requests(shelf: Shelf, target: Target) -> Iterable[Case]:
    """Its tests that use httpbin without TLS; the others reach no proxy, and are left out."""
    tree = shelf.checkout(REQUESTS)
    return _pytest(tree, "tests", "conformance.rows.plugin_requests", target, path=[tree / "src"])


def _pytest(tree: Path, tests: str, plugin: str, target: Target, path: Iterable[Path] = ()) -> Iterable[Case]:
    report = target.folder / "report.xml"
    told = told_by(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", plugin, "-p", "no:cacheprovider", "-p", "no:xdist"),
            *("-c", "/dev/null", "--rootdir", str(tree)),
            *("--junitxml", str(report), "-o", "asyncio_mode=strict", tests),
        ],
        limit=_LIMIT,
        folder=tree,
        environment={
            BEHIND: f"http://127.0.0.1:{target.port}",
            "PYTHONPATH": ":".join(map(str, [*path, ROOT])),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    cases = tuple(junit(report))
    if not cases:
        raise Missing(f"pytest: {last_line(told.stdout + told.stderr)}")
    return cases


HTTPBIN_ROW = Row(
    name="httpbin",
    title="httpbin's own tests",
    source="GitHub, psf/httpbin 0.10.2; the server on gunicorn, from PyPI",
    least=60,
    origin=origin,
    run=run_httpbin,
)
REQUESTS_ROW = Row(
    name="requests",
    title="requests' own tests",
    source="GitHub, psf/requests 2.34.2, those that use httpbin without TLS; the server as above",
    least=190,
    origin=origin,
    run=run_requests,
)
