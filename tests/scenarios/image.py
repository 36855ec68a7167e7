"""The image that `make image` unpacked, run as an engine runs it with --read-only: the same user, environment, command.

No engine is there, so this does what one does: in a mount namespace of its own the image's tree becomes the root,
read-only, with /proc and /dev, the configuration and the volume mounted into it; the process is a number without
capabilities, which it can never gain again.
"""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from fixtures.process import ROOT, RunningSidecar

MADE: Final = ROOT / ".image/made.json"
CONFIG: Final = "etc/sidecar"
STATE: Final = "var/lib/sidecar"


def made() -> Any:
    """What `make image` wrote about the image."""
    assert MADE.exists(), "no image: run `make image`, as root, with buildah"
    return json.loads(MADE.read_text())


def inside(config: Path, state: Path, *arguments: str) -> list[str]:
    """The command line that runs the image's entry point with these arguments, or with its own if there are none.

    config, state: directories that are mounted where the image looks for them, the first read-only.
    """
    image = made()
    root, settings = image["root"], image["config"]
    mounts = [
        f"mount --bind {root} {root}",
        f"mount --bind -o ro {shlex.quote(str(config))} {root}/{CONFIG}",
        f"mount --bind {shlex.quote(str(state))} {root}/{STATE}",
        f"mount --rbind /proc {root}/proc",
        f"mount --rbind /dev {root}/dev",
        f"mount -o remount,bind,ro {root}",
    ]
    user = ["--userspec", settings["User"], "--groups", settings["User"].partition(":")[2]]
    program = [*settings["Entrypoint"], *(arguments or settings["Cmd"])]
    # `chroot` looks its command up with the PATH that it is given, in the new root.
    change = ["env", "-i", *settings["Env"], "/usr/sbin/chroot", *user, root, *program]
    script = " && ".join([*mounts, "exec setpriv --no-new-privs " + shlex.join(change)])
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]


def run(config: Path, state: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """One command in the image, to its end."""
    return subprocess.run(inside(config, state, *arguments), capture_output=True, text=True, check=False, timeout=30)


def prepare(directory: Path) -> tuple[Path, Path]:
    """A directory for the configuration, and an empty volume that is the image's user's own."""
    root = Path(made()["root"])
    (root / CONFIG).mkdir(parents=True, exist_ok=True)  # as an engine makes the mount point of a volume
    config, state = directory / "config", directory / "state"
    config.mkdir(mode=0o755)
    state.mkdir()
    of_the_image = (root / STATE).stat()
    os.chown(state, of_the_image.st_uid, of_the_image.st_gid)  # as an engine fills a new volume
    return config, state


class ImagedSidecar(RunningSidecar):
    """`docker run --read-only -v config:/etc/sidecar:ro -v state:/var/lib/sidecar --network host IMAGE`."""

    config: Path
    state: Path

    def command(self) -> list[str]:
        """The image's own command."""
        directory = self.config_path.parent
        self.config, self.state = prepare(directory)
        shutil.copy(self.config_path, self.config / "sidecar.yaml")
        return inside(self.config, self.state)
