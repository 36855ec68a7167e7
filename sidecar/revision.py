"""Which commit this is: written into the wheel when it is built, read from git in a checkout.

Nothing is started to find out, and not even pathlib is imported: `sidecar --version` is asked by scripts, and in a
checkout two small files know it.
"""

import re
from functools import cache
from typing import Final

from sidecar import __version__

_SHOWN: Final = 12
"""Characters of a commit that people are shown; the metric's label carries the same."""
_HERE: Final = __file__.rpartition("/")[0]
_BAKED: Final = _HERE + "/COMMIT"
"""Written by hatch_build.py; no checkout has it."""
_HASH: Final = re.compile(r"[0-9a-f]{40,64}(-dirty)?")


@cache
def revision() -> str:
    """The commit, shortened, with `-dirty` behind it if the wheel was built from changed files; "" if unknown.

    In a checkout it is what HEAD names: whether files have been changed since would take git itself to say.
    """
    found = _read(_BAKED) or in_checkout(_HERE + "/..")
    if not _HASH.fullmatch(found):
        return ""
    commit, dirty, _ = found.partition("-dirty")
    return commit[:_SHOWN] + dirty


def described() -> str:
    """`0.1.0`, and where the commit is known `0.1.0 (commit 0123456789ab)`."""
    return f"{__version__} (commit {revision()})" if revision() else __version__


def in_checkout(root: str) -> str:
    """The commit that HEAD names, in full; "" where that is no checkout.

    gitrepository-layout(5): `.git` may be a file that names the directory (a worktree), HEAD a hash or the name of
    a reference, and a reference a file or a line of `packed-refs`.
    """
    git = root + "/.git"
    if (named := _read(git)).startswith("gitdir: "):
        git = _within(root, named.removeprefix("gitdir: "))
    head = _read(git + "/HEAD")
    if not head.startswith("ref: "):
        return head
    shared = _within(git, _read(git + "/commondir") or ".")
    name = head.removeprefix("ref: ")
    return _read(f"{git}/{name}") or _read(f"{shared}/{name}") or _packed(_read(shared + "/packed-refs"), name)


def _within(base: str, path: str) -> str:
    return path if path.startswith("/") else f"{base}/{path}"


def _packed(lines: str, name: str) -> str:
    found = re.search(rf"^([0-9a-f]+) {re.escape(name)}$", lines, re.MULTILINE)
    return found[1] if found else ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - see above
            return file.read().strip()
    except OSError:
        return ""
