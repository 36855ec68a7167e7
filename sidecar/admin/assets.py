"""The dashboard's files, as they lie beside this module: nothing is built, nothing comes from elsewhere."""

from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final, NamedTuple

PAGE: Final = "index.html"

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_OTHERWISE: Final = "text/plain; charset=utf-8"


class Asset(NamedTuple):
    """A file with what is said about it. `etag`: changes when it does."""

    body: bytes
    kind: str
    etag: str


def load() -> dict[str, Asset]:
    """All files by their path below `assets/`. Reads 100 kB: call it in a thread."""
    return dict(_below(files("sidecar.admin") / "assets", ""))


def _below(folder: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found: list[tuple[str, Asset]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _below(entry, f"{prefix}{entry.name}/")
        else:
            found.append((prefix + entry.name, _asset(entry.name, entry.read_bytes())))
    return found


def _asset(name: str, body: bytes) -> Asset:
    _, dot, suffix = name.rpartition(".")
    return Asset(body, _TYPES.get(dot + suffix, _OTHERWISE), sha256(body).hexdigest()[:16])
