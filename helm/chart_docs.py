"""Writes the table of values into the chart's README: `python helm/chart_docs.py` (`make chart-docs`).

A value is documented by the comment right above it in values.yaml. A section whose keys have comments has a row for
each of them; one without comments inside is one value.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

CHART: Final = Path(__file__).parent / "sidecar"
BEGIN: Final = "<!-- values: written by `make chart-docs`, do not edit -->\n"
END: Final = "<!-- end of values -->\n"
_KEY: Final = re.compile(r"( *)([A-Za-z]+):")
_INDENT: Final = 2


class Value(NamedTuple):
    """One row: its path, its default as YAML in one line, and what it means."""

    path: str
    default: str
    meaning: str


def values(text: str) -> list[Value]:
    """Every value of a values.yaml.

    Raises:
        ValueError: one has no comment.
    """
    comments = list(_comments(text))
    sections = {path[:-1] for path, _ in comments if len(path) > 1}
    defaults = yaml.safe_load(text)
    found = [
        Value(".".join(path), _shown(_at(defaults, path)), meaning)
        for path, meaning in comments
        if path not in sections
    ]
    documented = {value.path.split(".")[0] for value in found}
    if bare := next((key for key in defaults if key not in documented), None):
        raise ValueError(f"values.yaml: {bare} has no comment")
    return found


def _comments(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    path: list[str] = []
    above: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("#"):
            above.append(bare.removeprefix("#").strip())
            continue
        if key := _KEY.match(line):
            path = [*path[: len(key[1]) // _INDENT], key[2]]
            if above:
                yield tuple(path), " ".join(above)
        above = []


def _at(defaults: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        defaults = defaults[key]
    return defaults


def _shown(default: Any) -> str:
    text = yaml.safe_dump(default, default_flow_style=True, sort_keys=False, width=1 << 30)
    return text.removesuffix("\n").removesuffix("\n...").replace("''", '""')


def table(text: str) -> str:
    """The rows in Markdown."""
    rows = [f"| `{value.path}` | `{value.default}` | {value.meaning} |" for value in values(text)]
    return "\n".join(("| value | default | meaning |", "|---|---|---|", *rows)) + "\n"


def readme(old: str, text: str) -> str:
    """The README with the table made of this values.yaml."""
    head, _, rest = old.partition(BEGIN)
    tail = rest.partition(END)[2]
    return f"{head}{BEGIN}\n{table(text)}\n{END}{tail}"


def main() -> int:
    """Writes it."""
    page = CHART / "README.md"
    page.write_text(readme(page.read_text(), (CHART / "values.yaml").read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
