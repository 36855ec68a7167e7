"""What release/requirements.lock pins, and an environment of exactly that."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from packaging.markers import Marker
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = ROOT / "release/requirements.lock"
BUILD_LOCK: Final = ROOT / "release/build.lock"
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(?: ; (.+?))? \\$")
_MARKER: Final = re.compile(r"^(\S+==\S+) ; .+? \\$", re.MULTILINE)
_HASH: Final = re.compile(r"^    --hash=sha256:([0-9a-f]{64})(?: \\)?$")


class Pin(NamedTuple):
    """One distribution."""

    name: str
    version: str
    marker: str
    """Where it is needed (PEP 508); "" is everywhere."""
    hashes: tuple[str, ...]
    """SHA-256 of each of its files."""

    def needed_here(self) -> bool:
        """Whether this Python on this machine needs it."""
        return not self.marker or Marker(self.marker).evaluate()


def pins(lock: Path = LOCK) -> list[Pin]:
    """Every pin, in the file's order.

    Raises:
        ValueError: a line is neither a pin, nor a hash, nor a comment.
    """
    found: list[Pin] = []
    for number, line in enumerate(lock.read_text().splitlines(), 1):
        if pin := _PIN.match(line):
            found.append(Pin(canonicalize_name(pin[1]), pin[2], pin[3] or "", ()))
        elif digest := _HASH.match(line):
            found[-1] = found[-1]._replace(hashes=(*found[-1].hashes, digest[1]))
        elif line.strip() and not line.lstrip().startswith("#"):
            raise ValueError(f"{lock.name}:{number}: not understood")
    return found


def environment(place: Path, *, whole: bool = False) -> Path:
    """Makes an environment of what the lock pins, every file checked against its hash; returns its Python.

    whole: also of what only other Pythons need.
    """
    uv = [str(Path(sys.executable).with_name("uv")), "--no-config", "--quiet"]
    subprocess.run([*uv, "venv", "--python", sys.executable, str(place)], check=True)
    text = LOCK.read_text()
    wanted = place / "wanted.txt"
    wanted.write_text(_MARKER.sub(r"\1 \\", text) if whole else text)
    how = ["--only-binary", ":all:", "--no-deps", "--require-hashes", "-r", str(wanted)]
    subprocess.run([*uv, "pip", "install", "--python", str(place), *how], check=True)
    return place / "bin/python"
