"""Which commit runs: the same answer from a checkout, a wheel and a wheel out of an sdist."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import hatch_build
from sidecar import __version__, revision

ROOT = Path(__file__).resolve().parents[1]


def git(where: Path, *arguments: str) -> str:
    """What git says there, whatever the machine's own settings are."""
    own = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *own, *arguments], cwd=where, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit on a branch."""
    where = tmp_path / "checkout"
    where.mkdir()
    git(where, "init", "-q")
    (where / "file").write_text("1")
    git(where, "add", "file")
    git(where, "commit", "-qm", "one")
    return where


def test_head_is_read_as_git_reads_it(checkout: Path, tmp_path: Path) -> None:
    """On a branch, packed, detached, in a worktree: always what `git rev-parse HEAD` says, and git is not started."""
    head = git(checkout, "rev-parse", "HEAD")
    assert revision.in_checkout(str(checkout)) == head
    git(checkout, "worktree", "add", "-qb", "side", str(tmp_path / "side"))
    assert revision.in_checkout(str(tmp_path / "side")) == head
    git(checkout, "pack-refs", "--all")
    assert not list((checkout / ".git/refs/heads").iterdir())
    assert revision.in_checkout(str(checkout)) == head
    assert revision.in_checkout(str(tmp_path / "side")) == head
    git(checkout, "checkout", "-q", "--detach")
    assert revision.in_checkout(str(checkout)) == head
    assert revision.in_checkout(str(tmp_path)) == ""


def test_what_is_built_says_what_it_was_built_from(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit; that files were changed; what the environment says where there is no git."""
    head = git(checkout, "rev-parse", "HEAD")
    assert hatch_build.known(checkout) == head
    (checkout / "file").write_text("2")
    assert hatch_build.known(checkout) == f"{head}-dirty"
    assert hatch_build.known(checkout / ".git") == "", "the commit of what lies around it"
    monkeypatch.setenv("SIDECAR_COMMIT", "f" * 40)
    assert hatch_build.known(checkout / ".git") == "f" * 40


def test_the_commit_travels_through_sdist_and_wheel(tmp_path: Path) -> None:
    """A wheel made from the sdist, where there is no git any more, knows it as well."""
    commit = "0123456789abcdef" * 2 + "01234567"
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path), "-t"]
    env = {**os.environ, "SIDECAR_COMMIT": commit}
    subprocess.run([*build, "sdist"], cwd=ROOT, env=env, check=True, capture_output=True)
    subprocess.run(["tar", "-xzf", next(tmp_path.glob("*.tar.gz")), "-C", tmp_path], check=True)
    source = next(tmp_path.glob("resilience_sidecar-*/"))
    del env["SIDECAR_COMMIT"]
    subprocess.run([*build, "wheel"], cwd=source, env=env, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        archive.extractall(tmp_path / "installed")
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "--version"],
        cwd=tmp_path / "installed",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"sidecar {__version__} (commit {commit[:12]})\n"


def test_what_is_no_commit_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged file makes no label and no version."""
    (tmp_path / "COMMIT").write_text("ref: nonsense\n")
    monkeypatch.setattr(revision, "_BAKED", str(tmp_path / "COMMIT"))
    revision.revision.cache_clear()
    assert revision.revision() == ""
    assert revision.described() == __version__
    revision.revision.cache_clear()
