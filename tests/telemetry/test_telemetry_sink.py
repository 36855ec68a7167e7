"""Laws of a bounded buffer before a descriptor that may not take anything."""

import errno
import fcntl
import os
import pty
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.telemetry.sink import Sink, _ask_first


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe with the smallest capacity there is: one page. Reading end, writing end."""
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 4096)
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def drain(descriptor: int) -> bytes:
    """Everything that can be read without waiting."""
    os.set_blocking(descriptor, False)
    read = b""
    with suppress(BlockingIOError):
        while chunk := os.read(descriptor, 65536):
            read += chunk
    return read


def numbered(count: int, width: int = 100) -> list[bytes]:
    """Lines that cannot be mistaken for one another."""
    return [(b"%06d " % number).ljust(width, b".") + b"\n" for number in range(count)]


def test_lines_arrive_whole_and_in_order(tmp_path: Path) -> None:
    """A file gets what was written, once, after the flush and not before."""
    sink = Sink(str(tmp_path / "log"))
    lines = numbered(10)
    for line in lines:
        sink.write(line)
    assert (tmp_path / "log").read_bytes() == b""
    sink.flush()
    assert (tmp_path / "log").read_bytes() == b"".join(lines)
    sink.close()


def test_a_full_batch_does_not_wait_for_the_flush(tmp_path: Path) -> None:
    """Between two flushes no more than a batch is held back."""
    sink = Sink(str(tmp_path / "log"), batch=1000)
    for line in numbered(25):
        sink.write(line)
    assert (tmp_path / "log").stat().st_size >= 2525 - 1000
    sink.close()


def test_a_pipe_nobody_reads_costs_a_bounded_buffer(pipe: tuple[int, int]) -> None:
    """It neither blocks nor grows; what is lost is counted; when reading resumes, whole lines go on."""
    sink = Sink(pipe[1], batch=1000, limit=10_000)
    lines = numbered(500)
    for line in lines:
        sink.write(line)
    sink.flush()
    assert len(sink.buffer) <= 10_000
    assert sink.dropped > 300
    assert sink.failure
    read = b""
    while chunk := drain(pipe[0]):
        read += chunk
        sink.flush()
    kept = read.splitlines(keepends=True)
    assert kept == lines[: len(kept)]
    assert len(kept) + sink.dropped == len(lines)
    sink.write(b"after\n")
    sink.flush()
    assert drain(pipe[0]) == b"after\n"
    assert not sink.failure
    sink.close()


def test_a_stalled_reader_is_not_asked_for_every_line(tmp_path: Path) -> None:
    """One attempt per flush, however many lines come in between."""
    sink = Sink(str(tmp_path / "log"), batch=100, limit=5000)
    calls = 0

    def stuck(_: bytearray) -> int:
        nonlocal calls
        calls += 1
        raise BlockingIOError

    sink._write = stuck
    for line in numbered(200):
        sink.write(line)
    assert calls == 1
    sink.flush()
    assert calls == 2


def test_a_descriptor_shared_with_others_keeps_its_flags(pipe: tuple[int, int]) -> None:
    """O_NONBLOCK on an inherited pipe would reach every process that has it: ours is opened anew."""
    before = fcntl.fcntl(pipe[1], fcntl.F_GETFL)
    sink = Sink(pipe[1])
    sink.write(b"line\n")
    sink.flush()
    assert fcntl.fcntl(pipe[1], fcntl.F_GETFL) == before
    assert drain(pipe[0]) == b"line\n"
    sink.close()
    os.write(pipe[1], b"still open\n")
    assert drain(pipe[0]) == b"still open\n"


def test_a_terminal_keeps_its_flags() -> None:
    """The shell that started us shares its terminal's flags; a stopped terminal does not stop us."""
    master, slave = pty.openpty()
    before = fcntl.fcntl(slave, fcntl.F_GETFL)
    sink = Sink(slave)
    sink.write(b"line\n")
    sink.flush()
    assert fcntl.fcntl(slave, fcntl.F_GETFL) == before
    assert os.read(master, 100) == b"line\r\n"
    for line in numbered(5000):  # nobody reads the other side: more than a terminal's buffer
        sink.write(line)
    sink.flush()
    assert len(sink.buffer) > 0
    sink.close()
    os.close(master)
    os.close(slave)


def test_a_socket_nobody_reads_does_not_block() -> None:
    """The journal's stdout is a socket, which cannot be opened anew: it is asked before it is written to."""
    reader, writer = socket.socketpair()
    writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sink = Sink(writer.fileno(), batch=1000, limit=100_000)
    lines = numbered(2000)
    for line in lines:
        sink.write(line)
    sink.flush()
    assert sink.dropped > 0
    assert writer.getblocking()
    read = b""
    while chunk := drain(reader.fileno()):
        read += chunk
        sink.flush()
    assert len(read.splitlines()) + sink.dropped == len(lines)
    reader.close()
    sink.write(b"nobody is there\n")
    sink.flush()
    assert len(read.splitlines()) + sink.dropped == len(lines) + 1
    sink.close()
    writer.close()


def test_a_pipe_that_cannot_be_opened_anew_does_not_block_either(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe made by another user: its own descriptor gets only as much as it has room for."""

    def forbidden(*_: object) -> int:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", forbidden)
        sink = Sink(pipe[1])
    lines = numbered(300)
    for line in lines:
        sink.write(line)
    read = b""
    for _ in range(10):
        sink.flush()
        read += drain(pipe[0])
    assert read == b"".join(lines)
    assert os.get_blocking(pipe[1])
    sink.close()


def test_what_was_taken_before_an_error_is_not_written_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that fails between two portions: the first is out, and only the rest is dropped."""
    reader, writer = socket.socketpair()
    sink = Sink(writer.fileno())
    real, portions = os.write, []

    def second_fails(descriptor: int, data: bytes) -> int:
        portions.append(data)
        if len(portions) > 1:
            raise BrokenPipeError(errno.EPIPE, "gone")
        return real(descriptor, data)

    lines = numbered(100)
    for line in lines:
        sink.write(line)
    with monkeypatch.context() as patched:
        patched.setattr(sink, "_write", partial(_ask_first, sink._descriptor))
        patched.setattr(os, "write", second_fails)
        sink.flush()
        sink.flush()
    sink.write(b"after\n")
    sink.close()
    read = drain(reader.fileno()).splitlines(keepends=True)
    whole = [line for line in read if line in set(lines)]
    assert whole == lines[: len(whole)]
    assert len(whole) + sink.dropped == len(lines)
    assert read[-1] == b"after\n"
    reader.close()
    writer.close()


def test_a_reader_that_left_is_counted_not_raised(pipe: tuple[int, int]) -> None:
    """EPIPE: every line since is dropped, and the reason can be told."""
    sink = Sink(pipe[1])
    os.close(pipe[0])
    for _ in range(3):
        sink.write(b"line\n")
        sink.flush()
    assert sink.dropped == 3
    assert sink.failure == os.strerror(errno.EPIPE)
    sink.close()


def test_a_full_disk_is_counted_not_raised() -> None:
    """ENOSPC, as /dev/full reports it for every write."""
    sink = Sink("/dev/full")
    sink.write(b"one\n")
    sink.write(b"two\n")
    sink.flush()
    assert sink.dropped == 2
    assert sink.failure == os.strerror(errno.ENOSPC)
    assert not sink.buffer
    sink.close()


def test_a_file_that_may_not_grow_ends_in_a_whole_line_when_it_may_again(tmp_path: Path) -> None:
    """What a partial write tore is ended before the next line, so that the next line can be read."""
    path = tmp_path / "log"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    sink = Sink(str(path))
    lines = numbered(10)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (550, hard))
        for line in lines:
            sink.write(line)
        sink.flush()  # takes five lines and a half
        sink.flush()  # takes nothing: EFBIG
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sink.dropped == 5
    sink.write(b"after\n")
    sink.flush()
    read = path.read_bytes().splitlines(keepends=True)
    assert read[:5] == lines[:5]
    assert lines[5].startswith(read[5].rstrip(b"\n"))
    assert read[6:] == [b"after\n"]
    sink.close()


Step = int | None | OSError
steps = st.lists(
    st.one_of(
        st.integers(1, 30),
        st.none(),
        st.sampled_from([OSError(errno.ENOSPC, "full"), OSError(errno.EPIPE, "gone")]),
    ),
    max_size=40,
)


@given(steps, st.lists(st.integers(1, 12), max_size=60), st.integers(10, 60))
def test_every_line_is_out_whole_or_counted(script: list[Step], widths: list[int], limit: int) -> None:
    """Whatever mixture of partial writes, stalls and errors: lines out whole + dropped = written."""
    out = bytearray()
    answers = iter(script)

    def write(buffer: bytearray) -> int:
        answer = next(answers, len(buffer))
        if isinstance(answer, OSError):
            raise answer
        if answer is None:
            raise BlockingIOError
        taken = min(answer, len(buffer))
        out.extend(buffer[:taken])
        return taken

    sink = Sink("/dev/null", batch=8, limit=limit)
    sink._write = write
    written = [b"%d" % number + b"x" * width + b"\n" for number, width in enumerate(widths)]
    for number, line in enumerate(written):
        sink.write(line)
        assert len(sink.buffer) <= limit
        if number % 3 == 0:
            sink.flush()
    for _ in range(len(script) + 2):
        sink.flush()
    assert not sink.buffer
    whole = [line for line in bytes(out).splitlines(keepends=True) if line in set(written)]
    assert whole == sorted(whole, key=written.index)
    assert len(whole) + sink.dropped == len(written)
    sink.close()


def test_after_a_rotation_lines_go_to_the_new_file(tmp_path: Path) -> None:
    """What was written before stays in the moved file; nothing is lost between."""
    path = tmp_path / "log"
    sink = Sink(str(path))
    sink.write(b"before\n")
    path.rename(tmp_path / "log.1")
    sink.write(b"between\n")
    sink.reopen()
    sink.write(b"after\n")
    sink.close()
    assert (tmp_path / "log.1").read_bytes() == b"before\nbetween\n"
    assert path.read_bytes() == b"after\n"
    assert sink.dropped == 0


def test_a_rotation_that_fails_changes_nothing(tmp_path: Path) -> None:
    """The old file goes on, so that a mistake in the rotation loses no line."""
    directory = tmp_path / "logs"
    directory.mkdir()
    sink = Sink(str(directory / "log"))
    directory.rename(tmp_path / "moved")
    with pytest.raises(OSError, match="No such file"):
        sink.reopen()
    sink.write(b"after\n")
    sink.close()
    assert (tmp_path / "moved" / "log").read_bytes() == b"after\n"


@pytest.mark.parametrize(
    ("written", "rest", "dropped"),
    [(b"whole\n", b"", 0), (b"all but its end", b"\n", 0), (b"torn", b" line\n", 1)],
)
def test_a_new_file_begins_with_a_whole_line(tmp_path: Path, written: bytes, rest: bytes, dropped: int) -> None:
    """The rest of a line that was torn in the old file is dropped, not carried into the new one."""
    path = tmp_path / "log"
    sink = Sink(str(path))

    def once(buffer: bytearray) -> int:
        sink._write = stuck
        return len(written)

    def stuck(_: bytearray) -> int:
        raise BlockingIOError

    sink._write = once
    sink.write(written + rest)
    sink.write(b"second\n")
    sink.flush()
    sink.reopen()
    sink.close()
    assert path.read_bytes() == b"second\n"
    assert sink.dropped == dropped


def test_an_inherited_descriptor_is_not_reopened(pipe: tuple[int, int]) -> None:
    """Standard output cannot be rotated: reopening changes nothing."""
    sink = Sink(pipe[1])
    sink.reopen()
    sink.write(b"line\n")
    sink.close()
    assert drain(pipe[0]) == b"line\n"


def test_closing_waits_briefly_and_counts_the_rest(pipe: tuple[int, int]) -> None:
    """The end of the process does not hang on a reader that stalls."""
    sink = Sink(pipe[1])
    for line in numbered(100):
        sink.write(line)
    sink.close()
    whole = [line for line in drain(pipe[0]).splitlines(keepends=True) if line.endswith(b"\n")]
    assert len(whole) + sink.dropped == 100
    sink.write(b"late\n")
    sink.flush()
    sink.close()
    assert drain(pipe[0]) == b""


def test_what_cannot_be_opened_says_so(tmp_path: Path) -> None:
    """At start a wrong path is an error, not a silent loss."""
    with pytest.raises(FileNotFoundError):
        Sink(str(tmp_path / "missing" / "log"))


def test_a_log_is_not_for_everybody(tmp_path: Path) -> None:
    """Paths of requests are nobody else's business: the file is not world-readable."""
    Sink(str(tmp_path / "log")).close()
    assert (tmp_path / "log").stat().st_mode & 0o007 == 0
