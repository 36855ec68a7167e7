"""Which files a configuration depends on, and whether one of them holds something else now."""

import os
from pathlib import Path

import pytest

from sidecar.config import ConfigError, Sources, load

TEXT = """
upstreams:
  a: {endpoints: ["http://a.test"], headers: {set: {Authorization: {file: token}}}}
  b: {endpoints: ["https://b.test"], tls: {ca: ca.pem}}
routes: [{name: a, match: {prefix: /}, upstream: a, expect: {json_schema: schema.json}}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration, and what it refers to."""
    (tmp_path / "token").write_text("s3cret\n")
    (tmp_path / "ca.pem").write_text("an authority, which loading does not look into")
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    (tmp_path / "sidecar.yaml").write_text(TEXT)
    return tmp_path / "sidecar.yaml"


def names(sources: Sources) -> set[str]:
    """Without their directory."""
    return {Path(path).name for path in sources.files}


def test_what_is_read_is_known(file: Path) -> None:
    """The file, its secrets and schemas; not certificates, which are looked after by themselves."""
    assert names(load(file).sources) == {"sidecar.yaml", "token", "schema.json"}


@pytest.mark.parametrize("name", ["sidecar.yaml", "token", "schema.json"])
def test_a_change_of_any_of_them_is_one(file: Path, name: str) -> None:
    """Of content, not of date; one that is gone has changed too; the old content again is no change."""
    sources = load(file).sources
    path = file.with_name(name)
    content = path.read_bytes()
    os.utime(path, (1, 1))
    assert not sources.have_changed()
    path.write_bytes(content + b" ")
    assert sources.have_changed()
    path.unlink()
    assert sources.have_changed()
    path.write_bytes(content)
    assert not sources.have_changed()


def test_what_could_not_be_read_is_watched_as_well(file: Path) -> None:
    """A secret that comes later must be noticed when it comes."""
    file.with_name("token").unlink()
    sources = Sources()
    with pytest.raises(ConfigError):
        load(file, sources=sources)
    assert not sources.have_changed()
    file.with_name("token").write_text("here")
    assert sources.have_changed()


def test_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    """Nothing, then something."""
    sources = Sources()
    with pytest.raises(ConfigError):
        load(tmp_path / "none.yaml", sources=sources)
    assert not sources.have_changed()
    (tmp_path / "none.yaml").write_text("x")
    assert sources.have_changed()


def test_a_long_secret_does_not_change_by_being_long(file: Path) -> None:
    """What is compared is what was looked at: a file beyond the limit is not taken for a new one for ever."""
    file.with_name("token").write_text("x" * 70_000)
    sources = Sources()
    with pytest.raises(ConfigError, match="larger"):
        load(file, sources=sources)
    assert not sources.have_changed()


def test_a_link_that_leads_elsewhere_is_a_change(tmp_path: Path, file: Path) -> None:
    """As Kubernetes swaps `..data`; and the stamps, which are looked at first, tell it."""
    for name, secret in (("one", "s3cret\n"), ("two", "other\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(secret)
    data = tmp_path / "..data"
    data.symlink_to("one")
    file.with_name("token").unlink()
    file.with_name("token").symlink_to("..data/token")
    sources = load(file).sources
    before = sources.stamps()
    assert sources.stamps() == before
    (tmp_path / "..new").symlink_to("two")
    (tmp_path / "..new").rename(data)
    assert sources.stamps() != before
    assert sources.have_changed()


def test_a_pipe_is_read_once_and_never_looked_at(tmp_path: Path) -> None:
    """`-c /dev/stdin` works; a look at it would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    sources = Sources()
    sources.note(str(tmp_path / "pipe"), 10, b"content")
    assert not sources.have_changed()


def test_the_same_content_is_the_same(file: Path) -> None:
    """Two readings of the same are the same; of something else are not."""
    first, second = load(file).sources, load(file).sources
    assert first.same_as(second)
    file.with_name("token").write_text("other")
    assert not first.same_as(load(file).sources)
