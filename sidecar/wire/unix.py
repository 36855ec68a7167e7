"""Unix sockets to listen on: files that outlive their process, and must never be taken from one that still lives."""

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path


class UnixSocket:
    """A socket bound to a path. `sock` is for a loop to listen on; `remove` ends the file."""

    __slots__ = ("_identity", "path", "sock")

    def __init__(self, path: str, mode: int) -> None:
        """Binds, in place of a socket that nobody listens on any more. `mode`: of the file, whatever the umask.

        Raises:
            OSError: somebody listens there, it is something else than a socket, or the directory does not let us.
        """
        self.path = path
        _clear(path)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(self.sock.fileno(), mode)  # before the file exists: nobody may connect who should not
            self.sock.bind(path)
            Path(path).chmod(mode)
            self._identity = _identity(path)
        except BaseException:
            self.sock.close()
            raise

    def remove(self) -> None:
        """Removes the file, unless another has taken its place. Idempotent."""
        with suppress(OSError):
            if _identity(self.path) == self._identity:
                Path(self.path).unlink()


def _identity(path: str) -> tuple[int, int, int]:
    found = Path(path).lstat()
    return found.st_dev, found.st_ino, found.st_mtime_ns  # the number of a removed file is given to the next


def _clear(path: str) -> None:
    """Removes a socket whose process is gone."""
    try:
        mode = Path(path).lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(0, "there is a file of that name, and it is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)  # noqa: FBT003 - socket's own signature
        refused = asking.connect_ex(path)
    if refused == errno.ECONNREFUSED:
        Path(path).unlink(missing_ok=True)
    elif refused in (0, errno.EAGAIN):  # the latter: its queue is full
        raise OSError(0, "another process listens on it")
    elif refused != errno.ENOENT:
        raise OSError(refused, os.strerror(refused))
