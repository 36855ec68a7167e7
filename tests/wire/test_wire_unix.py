"""Laws of unix sockets: a file that a dead process left is replaced, one of a living process never."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.wire.unix import UnixSocket


@pytest.fixture
def path() -> Iterator[str]:
    """Where a socket goes: pytest's own directories are too long for one."""
    directory = Path("/tmp") / f"sidecar-{os.getpid()}"
    directory.mkdir(mode=0o700)
    yield str(directory / "s.sock")
    for left in directory.iterdir():
        left.unlink()
    directory.rmdir()


def descriptors() -> int:
    """How many the process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_its_mode_is_what_was_asked_for(path: str) -> None:
    """Whatever the umask takes away."""
    before = os.umask(0o077)
    try:
        bound = UnixSocket(path, 0o666)
    finally:
        os.umask(before)
    with bound.sock:
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o666


def test_a_socket_that_nobody_listens_on_is_replaced(path: str) -> None:
    """Its process was killed before it could remove it."""
    with UnixSocket(path, 0o600).sock as left:
        left.listen()
    with UnixSocket(path, 0o600).sock as sock:
        sock.listen()
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(path)


@pytest.mark.parametrize("waiting", [0, 1])
def test_a_socket_that_somebody_listens_on_is_left_alone(path: str, waiting: int) -> None:
    """Even where its queue is full and it answers nobody."""
    with UnixSocket(path, 0o600).sock as living, socket.socket(socket.AF_UNIX) as caller:
        living.listen(0)
        if waiting:
            caller.connect(path)
        with pytest.raises(OSError, match="another process listens on it"):
            UnixSocket(path, 0o600)
        assert Path(path).is_socket()


def test_what_is_no_socket_is_left_alone(path: str) -> None:
    """A file, a directory, a link that leads nowhere."""
    other = Path(path)
    for make in (other.touch, other.mkdir, lambda: other.symlink_to("nowhere")):
        make()
        with pytest.raises(OSError, match="not a socket"):
            UnixSocket(path, 0o600)
        if other.is_dir():
            other.rmdir()
        else:
            other.unlink()


def test_a_directory_that_is_not_there(path: str) -> None:
    """The system's own word for it; no descriptor is left."""
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        UnixSocket(path + "/deeper", 0o600)
    assert descriptors() == before


def test_it_removes_its_own_file_and_no_other(path: str) -> None:
    """Another process may have replaced it."""
    first = UnixSocket(path, 0o600)
    first.sock.close()
    second = UnixSocket(path, 0o600)
    first.remove()
    assert Path(path).is_socket()
    second.remove()
    assert not Path(path).exists()
    second.remove()
    second.sock.close()
