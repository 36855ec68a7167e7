"""Builds the image from the Dockerfile where no container engine runs, twice, and says what came of it.

    python -m release.image .image

buildah follows the Dockerfile with chroot isolation: it needs root, and mounts, but no daemon and no registry. The
second build runs beside the first, from a copy of the sources with other time stamps, under another umask and time
zone; the environment that the image carries must come out the same to the byte.

.image/made.json tells the tests where the unpacked image is and what its configuration says. Nothing is kept from one
run to the next.
"""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from release import base
from sidecar.clock import MONOTONIC
from sidecar.revision import in_checkout

_STARTED: Final = MONOTONIC()
ROOT: Final = Path(__file__).resolve().parents[1]
ENVIRONMENT: Final = Path("opt/sidecar")
"""In the image: everything that is ours."""
_BASES: Final = {"BASE": "oci:base-build", "RUNTIME": "oci:base-runtime"}
"""Relative, because buildah makes an image's name of them, and a name may not contain what a path may."""
_POLICY: Final = {"default": [{"type": "insecureAcceptAnything"}]}
"""Of signatures: the only image taken is the base that was made a moment ago."""
_SOURCES: Final = ("Dockerfile", ".dockerignore", "pyproject.toml", "hatch_build.py", "README.md", "LICENSE")


def main(arguments: list[str]) -> int:
    """Builds into the directory that is named. 0: built, and twice the same."""
    (name,) = arguments
    work = Path(name).absolute()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        made = build(work)
    except RuntimeError as error:
        print(f"make image: {error}", file=sys.stderr)
        return 1
    first, again = made["environment"], made["again"]
    print(f"image: {made['bytes'] / 1e6:.1f} MB above the base; built twice, {first[:12]} and {again[:12]}")
    if first != again:
        print("make image: the two builds differ", file=sys.stderr)
        return 1
    tidy(work)
    (work / "made.json").write_text(json.dumps(made, indent=2))
    return 0


def tidy(work: Path) -> None:
    """Leaves the image and the logs: the stores, bases and packages behind them are ten times as large."""
    for place in work.iterdir():
        if place.is_dir() and place.name != "root":
            shutil.rmtree(place)


def build(work: Path) -> dict[str, Any]:
    """Both builds, and what there is to know about them.

    Raises:
        RuntimeError: it can't be done here, or a step failed; the message says which.
    """
    if os.geteuid() != 0 or shutil.which("buildah") is None:
        raise RuntimeError("needs root, and buildah: apt-get install buildah")
    base.make(work)
    _note("base unpacked")
    (work / "policy.json").write_text(json.dumps(_POLICY))
    second = Builder(work, "second", stage="build", env={"TZ": "Pacific/Auckland"}, umask=0o077)
    first = Builder(work, "first")
    with first.start(ROOT) as one, second.start(_elsewhere(work / "sources")) as two:
        codes = one.wait(), two.wait()
    if any(codes):
        raise RuntimeError("\n" + "".join(builder.log.read_text() for builder in (first, second)))
    _note("built twice")
    root = work / "root"
    with first.mounted() as mounted:
        subprocess.run(["cp", "-a", f"{mounted}/.", root], check=True)
    with second.mounted() as mounted:
        again = digest(mounted / ENVIRONMENT)
    return {
        "root": str(root),
        "config": first.config(),
        "bytes": size(root / ENVIRONMENT),
        "environment": digest(root / ENVIRONMENT),
        "again": again,
    }


def storage(work: Path) -> str:
    """The storage driver: overlay where it may be mounted, for vfs copies the whole tree at every turn."""
    places = {name: work / "overlay" / name for name in ("lower", "upper", "work", "merged")}
    for place in places.values():
        place.mkdir(parents=True)
    options = "lowerdir={lower},upperdir={upper},workdir={work}".format(**places)
    mount = ["mount", "-t", "overlay", "overlay", "-o", options, str(places["merged"])]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        return "vfs"
    subprocess.run(["umount", str(places["merged"])], check=True)
    return "overlay"


class Builder:
    """One build in a store of its own. `stage`: stop there instead of at the end."""

    def __init__(
        self,
        work: Path,
        name: str,
        *,
        stage: str | None = None,
        env: Mapping[str, str] | None = None,
        umask: int = 0o022,
    ) -> None:
        self._work = work
        self.log = work / f"{name}.log"
        driver = ["--storage-driver", storage(work / f"{name}.try")]
        self._store = ["--root", str(work / name), "--runroot", str(work / f"{name}.run"), *driver]
        self._policy = ["--signature-policy", str(work / "policy.json")]
        self._stage = [] if stage is None else ["--target", stage]
        self._env = {**os.environ, **(env or {})}
        self._umask = umask

    def start(self, context: Path) -> "subprocess.Popen[bytes]":
        """Starts the build from that directory."""
        given = {**_BASES, "REVISION": in_checkout(str(ROOT))}
        arguments = [word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")]
        # Docker's format: OCI's has no place for a health check.
        how = ["--isolation", "chroot", "--network", "host", "--pull-never", "--format", "docker", "--timestamp", "0"]
        command = ["buildah", *self._store, "build", *self._policy, *how, *arguments, *self._stage, "-t", "it"]
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [*command, str(context)],
                cwd=self._work,
                env=self._env,
                umask=self._umask,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """The image unpacked, for a while."""
        container = self._said("from", *self._policy, "--pull-never", "localhost/it")
        try:
            yield Path(self._said("mount", container))
        finally:
            self._said("rm", container)

    def config(self) -> Any:
        """Entry point, user, health check and the rest, as an engine would read them."""
        return json.loads(self._said("inspect", "--type", "image", "localhost/it"))["Docker"]["config"]

    def _said(self, *arguments: str) -> str:
        done = subprocess.run(["buildah", *self._store, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return done.stdout.strip()


def _note(done: str) -> None:
    print(f"image: {done} after {MONOTONIC() - _STARTED:.0f} s", flush=True)


def _elsewhere(place: Path) -> Path:
    """The sources again, as if checked out on another day."""
    shutil.copytree(ROOT / "sidecar", place / "sidecar", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "release", place / "release", ignore=shutil.ignore_patterns("__pycache__"))
    for name in _SOURCES:
        shutil.copyfile(ROOT / name, place / name)
    for path in place.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    return place


def size(tree: Path) -> int:
    """Bytes of all files."""
    return sum(path.lstat().st_size for path in tree.rglob("*") if not path.is_dir())


def digest(tree: Path) -> str:
    """One hash over names, kinds, modes, owners, time stamps, link targets and contents."""
    whole = hashlib.sha256()
    for path in sorted([tree, *tree.rglob("*")]):
        about = path.lstat()
        what = (path.relative_to(tree).as_posix(), about.st_mode, about.st_uid, about.st_gid, int(about.st_mtime))
        whole.update(repr(what).encode())
        if stat.S_ISLNK(about.st_mode):
            whole.update(bytes(path.readlink()))
        elif stat.S_ISREG(about.st_mode):
            whole.update(path.read_bytes())
    return whole.hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
