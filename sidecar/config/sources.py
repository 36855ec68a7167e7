"""The files that a configuration was read from, and a mark of what was in each: whether one has changed since.

What is compared is content, never dates: an editor that writes the same again has changed nothing, and a link that
leads elsewhere (Kubernetes swaps one when a ConfigMap changes) has, whatever the date of what it leads to.
"""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

_Stamp = tuple[int, int, int] | None


class Sources:
    """Collects while a configuration is read: its own file, those of its secrets, its JSON Schemas.

    Certificates and keys are not among them: they are looked after by themselves, and no configuration changes.
    """

    __slots__ = ("_read",)

    def __init__(self) -> None:
        self._read: dict[str, tuple[int, bytes]] = {}  # by path: bytes that are looked at, and the mark of them

    def note(self, path: str, limit: int, content: bytes | None) -> None:
        """That file was read, `limit` bytes at most. `content`: None if it could not be."""
        usable = content is not None and _is_file(path)
        self._read[path] = limit, blake2b(content, digest_size=16).digest() if usable and content is not None else b""

    @property
    def files(self) -> Sequence[str]:
        """Their paths."""
        return tuple(self._read)

    def stamps(self) -> list[_Stamp]:
        """What the file system says of each, without reading any: some 3 µs per file."""
        return [_stamp(path) for path in self._read]

    def have_changed(self) -> bool:
        """Whether any holds something else now. Reads them: not for the loop."""
        return not self.same_as(self._again())

    def same_as(self, other: "Sources") -> bool:
        """Whether the same files held the same."""
        return self._read == other._read  # noqa: SLF001 - its own class

    def _again(self) -> "Sources":
        now = Sources()
        for path, (limit, _) in self._read.items():
            now.note(path, limit, _content(path, limit))
        return now


def _is_file(path: str) -> bool:
    """Not a pipe, which would block whoever looks at it."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def _content(path: str, limit: int) -> bytes | None:
    if not _is_file(path):
        return None
    try:
        with Path(path).open("rb") as stream:
            return stream.read(limit)
    except OSError:
        return None


def _stamp(path: str) -> _Stamp:
    try:
        found = Path(path).stat()  # follows links
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
