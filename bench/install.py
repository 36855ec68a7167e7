"""The programs that come from Debian rather than from PyPI."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence

from bench.place import executable

PROGRAMS = ("wrk", "nginx", "haproxy")
"""Each in the package of the same name."""
_APT = ["apt-get", "install", "-y", "-q", "--no-install-recommends"]


def missing(programs: Sequence[str] = PROGRAMS) -> list[str]:
    """Those of them that are not to be found."""
    return [program for program in programs if not executable(program)]


def install(say: Callable[[str], None], programs: Sequence[str] = PROGRAMS) -> None:
    """Installs what is missing where nothing need be asked: as root, with apt-get. Otherwise says how."""
    packages = missing(programs)
    if not packages:
        return
    command = " ".join(["apt-get install", *packages])
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        say(f"not installed: {', '.join(packages)} (as root: {command})")
        return
    say(f"{command} (--no-install leaves them out)")
    if not _apt([*_APT, *packages]) and not (_apt(["apt-get", "update", "-q"]) and _apt([*_APT, *packages])):
        say(f"{command} failed")


def _apt(command: list[str]) -> bool:
    told = subprocess.run(
        command, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, capture_output=True, check=False
    )
    return told.returncode == 0
