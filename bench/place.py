"""Where a run happens: its cores, its folder, its ports."""

import os
import random
import re
import shutil
import socket
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TEMPLATES = Path(__file__).parent / "peers"
_PLACE = re.compile(r"@([a-z_]+)@")
_PORTS = range(20_000, 30_000)
"""Below the range the kernel takes ports of outgoing connections from, so that none of those sits on ours."""


@dataclass(frozen=True, slots=True)
class Cores:
    """The proxy has one core to itself; the load and the origin share another, or with one core that."""

    proxy: int
    load: int


def choose_cores() -> Cores:
    """The last two cores this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(proxy=usable[-1], load=usable[-2] if len(usable) > 1 else usable[-1])


def executable(name: str) -> str | None:
    """Where the program is. Debian keeps servers where an ordinary user's PATH does not look."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def script(name: str) -> str | None:
    """A program that a wheel put beside the interpreter."""
    return shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)


def free_port() -> int:
    """A port of loopback on which nobody listens."""
    candidates = random.Random()
    while True:
        port = candidates.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def render(name: str, target: Path, values: Mapping[str, str], templates: Path = TEMPLATES) -> None:
    """Fills the templates of bench/peers/NAME, or of another folder's NAME, into the folder `target`.

    `@key@` stands for a value; every configuration language here uses the other brackets itself.

    Raises:
        KeyError: a template names a key that has no value.
    """
    target.mkdir(exist_ok=True)
    for template in (templates / name).iterdir():
        if template.is_file():
            text = _PLACE.sub(lambda place: values[place[1]], template.read_text())
            (target / template.name).write_text(text)
