"""Writes the commit into what is built: `sidecar/COMMIT`, which `sidecar --version` shows.

The commit is, in this order: SIDECAR_COMMIT from the environment (a build without git, as in an image), what an sdist
brought along, git's HEAD with `-dirty` behind it if tracked files were changed. Where none is known none is written.
"""

import os
import subprocess
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INSIDE = "sidecar/COMMIT"


class CommitHook(BuildHookInterface):  # type: ignore[type-arg]
    """For sdist and wheel; an editable install reads git when it is asked."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the file to what is packed; the source tree stays as it is."""
        commit = "" if version == "editable" else known(Path(self.root))
        if commit:
            with NamedTemporaryFile("w", delete=False) as file:
                file.write(commit + "\n")
            build_data["force_include"][file.name] = INSIDE
            self._made = Path(file.name)

    def finalize(self, _version: str, _build_data: dict[str, Any], _artifact_path: str) -> None:
        """Removes what was made for the archive."""
        if made := getattr(self, "_made", None):
            made.unlink()


def known(root: Path) -> str:
    """The commit of that tree, or ""."""
    if named := os.environ.get("SIDECAR_COMMIT"):
        return named
    if (brought := root / INSIDE).is_file():
        return brought.read_text(encoding="utf-8").strip()
    if not (root / ".git").exists():  # git would look further up, and name the commit of something else
        return ""
    head = _git(root, "rev-parse", "HEAD")
    return f"{head}-dirty" if head and _git(root, "status", "--porcelain", "--untracked-files=no") else head


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)  # noqa: S603, S607
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
