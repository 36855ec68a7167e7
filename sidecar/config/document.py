"""A file's data that remembers where each value stands."""

from typing import Any

from sidecar.config.problem import ConfigError, Path, Place, Problem, path_text


class Where:
    """Where one value stands, its key, and what is inside it. The parser's marks count from 0."""

    __slots__ = ("inner", "key", "scalar", "value")

    def __init__(self, value: Any, key: Any, *, scalar: bool) -> None:
        self.value = value
        self.key = key
        self.inner: dict[str | int, Where] = {}
        self.scalar = scalar


class Document:
    """One file's data, the place of every key and value in it, and what was wrong short of its syntax."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.data: Any = None
        self.problems: dict[Path, Problem] = {}
        self.top: Where | None = None
        self._origins: dict[Path, Path] = {}

    def inherit(self, path: Path, origin: Path) -> None:
        """What is used at `path` was written at `origin`: a default that a route takes over."""
        self._origins[path] = origin

    def origin(self, path: Path) -> Path:
        """The path under which the value was written; `path` itself as a rule."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._origins:
                return self._origins[path[:length]] + path[length:]
        return path

    def place(self, path: Path) -> Place:
        """Of a scalar, itself; of a mapping or list, its key; of a default, the nearest around it."""
        where = self._nearest(path)
        if where is None:
            return Place(1, 1)
        return place_of(where.value if where.scalar or where.key is None else where.key)

    def key_place(self, path: Path) -> Place:
        """Of the key itself."""
        where = self._nearest(path)
        return self.place(path) if where is None or where.key is None else place_of(where.key)

    def _nearest(self, path: Path) -> Where | None:
        where = self.top
        for part in self.origin(path):
            if where is None or part not in where.inner:
                break
            where = where.inner[part]
        return where

    def written(self, path: Path) -> Path:
        """The origin, without what only the models see: the `url` of an endpoint that is plain text."""
        where, found = self.top, list[str | int]()
        path = self.origin(path)
        for length, part in enumerate(path):
            if where is None or where.scalar:
                break
            if part in where.inner:
                where = where.inner[part]
            elif isinstance(part, int):
                continue  # the position of a single item where a list may stand
            else:
                return (*found, *path[length:])
            found.append(part)
        return tuple(found)

    def problem(self, path: Path, message: str, *, place: Place | None = None) -> Problem:
        """A problem at the place where `path` was written."""
        line, column = place or self.place(path)
        return Problem(self.file, line, column, path_text(self.origin(path)), message)


def place_of(mark: Any) -> Place:
    """The parser counts from 0, people from 1."""
    return Place(mark.line + 1, mark.column + 1)


def fail(file: str, place: Place, message: str) -> ConfigError:
    """The error for what concerns the file as a whole."""
    return ConfigError([Problem(file, *place, "", message)])
