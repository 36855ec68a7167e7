"""The licences of everything that the lock pins, as the distributions themselves declare them.

python -m release.licenses docs/licenses.md
"""

import re
import sys
import tempfile
from collections.abc import Iterable
from email.message import Message
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from release import locked

HEAD: Final = """# Licences

Written by `make licenses` from the metadata of what `release/requirements.lock` pins, for whatever Python and machine;
the image holds what its own Python needs of it, and a test compares the two. The sidecar itself is under
[Apache-2.0](../LICENSE). The licences' texts are in the image, in each distribution's `*.dist-info`.

| distribution | version | licence |
|---|---|---|
"""
_LONGEST: Final = 60
"""Characters; a `License` that is longer is the text itself."""
_OWN: Final = {"resilience-sidecar"}


def main(arguments: list[str]) -> int:
    """Writes the page to the file that is named. 1: a distribution declares no licence."""
    (name,) = arguments
    with tempfile.TemporaryDirectory() as work:
        (packages,) = (
            locked.environment(Path(work) / "environment", whole=True).parents[1].glob("lib/python*/site-packages")
        )
        found = listed(packages)
    Path(name).write_text(page(found))
    unknown = [name for name, (_, licence) in found.items() if not licence]
    print(f"{name}: {len(found)} distributions" + (f"; without a licence: {', '.join(unknown)}" if unknown else ""))
    return 1 if unknown else 0


def page(found: dict[str, tuple[str, str]]) -> str:
    """The document."""
    return HEAD + "".join(f"| {name} | {version} | {licence} |\n" for name, (version, licence) in found.items())


def listed(packages: Path) -> dict[str, tuple[str, str]]:
    """Version and licence of each distribution in a directory, by name; ours is left out."""
    found = {canonicalize_name(each.metadata["Name"]): each for each in distributions(path=[str(packages)])}
    return {name: (found[name].version, licence(found[name])) for name in sorted(found.keys() - _OWN)}


def licence(distribution: Distribution) -> str:
    """`License-Expression` (PEP 639), else a short `License`, else the classifiers' names; "" if nothing is said."""
    said: Message = distribution.metadata  # type: ignore[assignment]
    if expression := said.get("License-Expression"):
        return str(expression)
    classified = _classified(said.get_all("Classifier") or ())
    short = str(said.get("License") or "").strip()
    return short if short and len(short) <= _LONGEST and "\n" not in short else classified


def _classified(classifiers: Iterable[str]) -> str:
    names = [words.rpartition(" :: ")[2] for words in classifiers if words.startswith("License :: OSI Approved :: ")]
    return " and ".join(re.sub(r"^.*\(([^)]+)\)$", r"\1", name) for name in names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
