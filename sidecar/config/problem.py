"""What is wrong with a configuration, and where: the only exception this package lets out."""

from typing import Final, NamedTuple

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the file down to one value."""

_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/")


class Place(NamedTuple):
    """Where a value stands in the file. Line and column count from 1, as editors do."""

    line: int
    column: int


class Problem(NamedTuple):
    """One thing that must be put right before the configuration can be used.

    `path` is "" when the problem is the file's own: syntax, encoding, size. `message` never quotes a secret,
    nor anything that came from the environment.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        what = f"{self.path}: {self.message}" if self.path else self.message
        return f"{self.file}:{self.line}:{self.column}: {what}"


class ConfigError(Exception):
    """The configuration cannot be used. `problems` holds everything found, in file order; never empty."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


def path_text(path: Path) -> str:
    """A path as people write it: `routes[0].timeout.total`; keys that would be ambiguous stand in quotes."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part and _PLAIN.issuperset(part):
            text += f".{part}" if text else part
        else:
            text += f"[{part!a}]"
    return text
