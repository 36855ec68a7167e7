"""When files are worth reading again: once they have changed, and have settled."""

from pathlib import Path

from sidecar.app.watch import Watch
from sidecar.config import Sources


def watched(path: Path) -> tuple[Watch, Sources]:
    """The file as it is now."""
    sources = Sources()
    sources.note(str(path), 1000, path.read_bytes())
    watch = Watch(sources)
    assert watch.look(), "it may have changed between being read and being watched"
    assert not watch.look()
    return watch, sources


def test_a_file_that_is_left_alone_is_read_once(tmp_path: Path) -> None:
    """However often it is looked at."""
    path = tmp_path / "x"
    path.write_text("1")
    watch, _ = watched(path)
    assert not any(watch.look() for _ in range(5))


def test_a_change_is_given_time_to_settle(tmp_path: Path) -> None:
    """A file that grows from look to look is being written; it is worth reading once it has stopped."""
    path = tmp_path / "x"
    path.write_text("1")
    watch, _ = watched(path)
    for size in range(2, 6):
        path.write_text("1" * size)
        assert not watch.look()
    assert watch.look()
    assert not watch.look()


def test_a_file_that_comes_and_goes(tmp_path: Path) -> None:
    """Both are changes."""
    path = tmp_path / "x"
    path.write_text("1")
    watch, sources = watched(path)
    path.unlink()
    assert (watch.look(), watch.look()) == (False, True)
    watch.follow(sources)
    assert watch.look()
    path.write_text("1")
    assert (watch.look(), watch.look()) == (False, True)
