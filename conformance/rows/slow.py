"""slowhttptest: 800 connections that send or read next to nothing, and a probe that must be served all the same."""

import re
from collections.abc import Iterable

from conformance.row import Command, Row, Target, python
from conformance.score import Case, Verdict
from conformance.shelf import Missing, Shelf, last_line, told_by

ATTACKS = {
    "slow headers": ("-H",),
    "slow body": ("-B",),
    "slow read": ("-X", "-w", "512", "-y", "1024", "-z", "32", "-k", "3"),
}
_CONNECTIONS = 800
_SECONDS = 12
_LIMIT = 60.0
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PROBE = re.compile(r"service available:\s*(YES|NO)")


def origin(_shelf: Shelf, port: int) -> Command:
    """Our own."""
    return python("conformance.origin", str(port))


def run(shelf: Shelf, target: Target) -> Iterable[Case]:
    """One attack after the other."""
    program = shelf.debian("slowhttptest", "usr/bin/slowhttptest")
    load = ["-c", str(_CONNECTIONS), "-r", "400", "-i", "2", "-l", str(_SECONDS), "-p", "3"]
    for name, options in ATTACKS.items():
        url = f"http://127.0.0.1:{target.port}/bytes?n=100000"
        told = told_by([program, *options, *load, "-u", url], limit=_LIMIT, folder=target.folder)
        if "Exit status" not in told.stdout:
            raise Missing(f"slowhttptest: {last_line(told.stdout + told.stderr)}")
        yield judged(name, told.stdout)


def judged(name: str, output: str) -> Case:
    """Passed where every probe was served, and there was one."""
    probes = _PROBE.findall(_COLOUR.sub("", output))
    served = bool(probes) and "NO" not in probes
    return Case(name, Verdict.PASSED if served else Verdict.FAILED, f"{probes.count('YES')} of {len(probes)} probes")


ROW = Row(
    name="slow",
    title="slowhttptest, 800 connections",
    source="Debian",
    least=len(ATTACKS),
    origin=origin,
    run=run,
)
