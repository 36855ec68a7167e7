"""Where the suites are kept, and how they get there. None of them is part of this repository.

A Git suite is cloned at a fixed commit; what comes from npm is installed beside it. Where neither can be reached, the
row is not run and says why.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.place import script

MIRROR = "CONFORMANCE_MIRROR"
"""Environment variable: a directory of Git repositories named owner+name, or owner+name/repo, used before GitHub."""
GITHUB = "https://github.com"
PYTHON2 = "CONFORMANCE_PYTHON2"
"""Environment variable: a CPython 2.7, for the one suite that needs it."""
_CLONE_LIMIT = 120.0
_INSTALL_LIMIT = 300.0


class Missing(Exception):
    """A suite, or a program that it needs, cannot be had on this machine. The text says which and why."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A suite in Git, at the commit whose results are in docs/conformance.md."""

    owner: str
    name: str
    commit: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """A directory outside version control."""

    root: Path

    def checkout(self, repository: Repository) -> Path:
        """Its work tree at the fixed commit.

        Raises:
            Missing: no source of it can be reached.
        """
        tree = self.root / repository.name
        if _head(tree) == repository.commit:
            return tree
        tried = [_clone(source, repository.commit, tree) for source in _sources(repository)]
        if _head(tree) != repository.commit:
            raise Missing(f"{repository.owner}/{repository.name}: {'; '.join(filter(None, tried))}")
        return tree

    def node(self, *packages: str) -> Path:
        """The directory of node_modules with these packages ("name@major") in it.

        Raises:
            Missing: there is no npm, or the registry cannot be reached.
        """
        modules = self.root / "node_modules"
        if not all((modules / package.rpartition("@")[0]).is_dir() for package in packages):
            npm = program("npm")
            command = [npm, "install", "--prefix", str(self.root), "--no-audit", "--no-fund", *packages]
            told = told_by(command, limit=_INSTALL_LIMIT)
            if told.returncode:
                raise Missing(f"npm install failed: {last_line(told.stderr)}")
        return modules

    def debian(self, package: str, path: str) -> str:
        """A program: the system's, or the one in Debian's package, which is unpacked and not installed.

        Raises:
            Missing: there is none, and no apt-get or no archive to be reached.
        """
        if found := script(Path(path).name):
            return found
        unpacked = self.root / "debian" / package
        if not (unpacked / path).is_file():
            unpacked.mkdir(parents=True, exist_ok=True)
            told_by([program("apt-get"), "-qq", "download", package], limit=_INSTALL_LIMIT, folder=unpacked)
            for archive in unpacked.glob("*.deb"):
                told_by([program("dpkg-deb"), "--extract", str(archive), str(unpacked)], limit=_INSTALL_LIMIT)
        if not (unpacked / path).is_file():
            raise Missing(f"{Path(path).name} is not installed, and Debian's package {package} could not be had")
        return str(unpacked / path)

    def python2(self, *packages: str) -> tuple[str, dict[str, str]]:
        """A CPython 2.7 and the environment in which it finds these packages.

        Raises:
            Missing: there is none, or the index cannot be reached.
        """
        interpreter = next(filter(_is_python2, _candidates()), None)
        if interpreter is None:
            raise Missing(f"no CPython 2.7 on this machine (name one in {PYTHON2})")
        base = self.root / "python2"
        environment = {"PYTHONUSERBASE": str(base)}
        if not base.is_dir():
            command = [interpreter, "-m", "pip", "install", "--user", "--quiet", *packages]
            told = told_by(command, limit=_INSTALL_LIMIT, environment=environment)
            if told.returncode:
                shutil.rmtree(base, ignore_errors=True)
                raise Missing(f"pip install for Python 2.7 failed: {last_line(told.stderr)}")
        return interpreter, environment


def program(name: str) -> str:
    """Where it is.

    Raises:
        Missing: it is not installed.
    """
    found = script(name)
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


def told_by(
    command: Sequence[str], *, limit: float, environment: dict[str, str] | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, or for `limit` seconds; a run that was cut short has the exit code 124."""
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        partial = late.stdout.decode(errors="replace") if late.stdout else ""
        return subprocess.CompletedProcess(command, 124, partial, f"not done in {limit:.0f} s")


def last_line(text: str) -> str:
    """The last line that says anything."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no output"


def _sources(repository: Repository) -> Iterator[str]:
    if mirror := os.environ.get(MIRROR):
        bare = Path(mirror) / f"{repository.owner}+{repository.name}"
        yield str(bare / "repo" if (bare / "repo").is_dir() else bare)
    yield f"{GITHUB}/{repository.owner}/{repository.name}"


def _clone(source: str, commit: str, tree: Path) -> str:
    """Why it could not be had; "" where it could, or had been already."""
    if _head(tree) == commit:
        return ""
    shutil.rmtree(tree, ignore_errors=True)
    cloned = told_by(
        ["git", "clone", "--quiet", source, str(tree)], limit=_CLONE_LIMIT, environment={"GIT_TERMINAL_PROMPT": "0"}
    )
    if cloned.returncode:
        return last_line(cloned.stderr)
    chosen = told_by(["git", "-C", str(tree), "checkout", "--quiet", "--detach", commit], limit=_CLONE_LIMIT)
    return last_line(chosen.stderr) if chosen.returncode else ""


def _head(tree: Path) -> str:
    if not (tree / ".git").is_dir():
        return ""
    return told_by(["git", "-C", str(tree), "rev-parse", "HEAD"], limit=10.0).stdout.strip()


def _candidates() -> Iterator[str]:
    if named := os.environ.get(PYTHON2):
        yield named
    if found := shutil.which("python2.7"):
        yield found
    yield from map(str, sorted(Path.home().glob(".pyenv/versions/2.7.*/bin/python2.7")))


def _is_python2(interpreter: str) -> bool:
    """Runs it: pyenv puts a python2.7 on the path that only says which one to choose."""
    try:
        return told_by([interpreter, "-c", "import sys; print(sys.version_info[:2])"], limit=10.0).stdout == "(2, 7)\n"
    except OSError:
        return False
