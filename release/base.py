"""Base images where no registry can be reached: Debian's own Python and its libraries, out of their packages.

Two OCI layouts. `build` has a shell, coreutils and pip, as the Dockerfile's first stage needs;
`runtime` has Python and what that is linked against, and no shell at all, so that an image on it shows that none is
needed. apt resolves and verifies the packages as if nothing were installed; they are unpacked, never configured: no
script of theirs runs, and no root is needed up to here.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

RUNTIME: Final = ("python3",)
BUILD: Final = (*RUNTIME, "python3-pip", "dash", "coreutils")
_MERGED: Final = ("bin", "sbin", "lib", "lib64")
"""Links into /usr (Debian's UsrMerge), which packages expect to find."""
_PLACES: Final = ("tmp", "proc", "sys", "dev", "run", "var/tmp", "etc/ssl/certs")
_BUNDLE: Final = Path("etc/ssl/certs/ca-certificates.crt")
_OCI: Final = "application/vnd.oci.image"
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


def make(work: Path) -> None:
    """Makes the layouts `base-build` and `base-runtime` in that directory.

    Raises:
        RuntimeError: apt or the packages are not to be had.
    """
    archives = work / "packages"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    apt(archives, "--download-only", *BUILD)
    write_image(work / "base-build", _unpacked(work / "build-root", sorted(archives.glob("*.deb"))))
    needed = [archives / name for name in _needed(archives)]
    write_image(work / "base-runtime", _unpacked(work / "runtime-root", needed))


def apt(archives: Path, *arguments: str) -> str:
    """What `apt-get install` would do on a machine with nothing installed; no lock and no state of this one is touched.

    Raises:
        RuntimeError: it failed; its own words are the message.
    """
    options = {"Dir::State::status": "/dev/null", "Dir::Cache::archives": str(archives), "Debug::NoLocking": "1"}
    settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    command = ["apt-get", "-qq", "-y", *settings, "--no-install-recommends", "install", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or "apt-get failed")
    return done.stdout


def _needed(archives: Path) -> list[str]:
    """File names of the packages behind RUNTIME: the second word of each line, `'URL' NAME SIZE HASH`."""
    # What lies in the cache already is not printed, so this looks at an empty one.
    empty = archives / "none"
    (empty / "partial").mkdir(parents=True, exist_ok=True)
    return [line.split()[1] for line in apt(empty, "--print-uris", *RUNTIME).splitlines() if line.startswith("'")]


def _unpacked(root: Path, packages: Iterable[Path]) -> Path:
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in packages:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as reader:
            command = ["tar", "-x", "-C", str(root), "--keep-directory-symlink", "--no-same-owner"]
            subprocess.run(command, stdin=reader.stdout, check=True)
    for name in _PLACES:
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    # Unconfigured, ca-certificates has made no bundle; the machine's own also knows the authority of its proxy.
    shutil.copyfile("/" / _BUNDLE, root / _BUNDLE)
    return root


def write_image(layout: Path, root: Path) -> None:
    """Writes a tree as an image of one layer, as an OCI image layout (image-spec 1.0)."""
    command = ["tar", "-c", "-C", str(root), "--owner=0", "--group=0", "--numeric-owner", "."]
    packed = subprocess.run(command, capture_output=True, check=True).stdout
    layer = _put(layout, "layer.v1.tar", packed)
    config = {
        "architecture": _MACHINES[os.uname().machine],
        "os": "linux",
        "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    described = _put(layout, "config.v1+json", json.dumps(config).encode())
    whole = {"schemaVersion": 2, "mediaType": f"{_OCI}.manifest.v1+json", "config": described, "layers": [layer]}
    manifest = _put(layout, "manifest.v1+json", json.dumps(whole).encode())
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def _put(layout: Path, kind: str, data: bytes) -> dict[str, object]:
    name = hashlib.sha256(data).hexdigest()
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    (blobs / name).write_bytes(data)
    return {"mediaType": f"{_OCI}.{kind}", "digest": f"sha256:{name}", "size": len(data)}
