"""From a file to a `Config`, or to everything that is wrong with it."""

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path as FilePath
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sidecar.config import references, translate
from sidecar.config.document import Document
from sidecar.config.inherit import with_defaults
from sidecar.config.model import Config
from sidecar.config.outside import with_addresses
from sidecar.config.problem import ConfigError, Path, Problem
from sidecar.config.reader import MAX_BYTES, read
from sidecar.config.sources import Sources

_SHOWN: Final = 100
"""Problems that are listed; a file with more of them is some other kind of file."""


def load(
    path: str | os.PathLike[str], *, env: Mapping[str, str] = os.environ, sources: Sources | None = None
) -> Config:
    """Reads, checks and returns the configuration in the file at `path`.

    `env`: what `${VAR}` stands for. Relative paths in the file count from its own directory. `sources`: learns of
    every file that is read, also where that fails.

    Raises:
        ConfigError: everything that is wrong, in file order. No other exception leaves this function.
    """
    file = os.fspath(path)
    sources = Sources() if sources is None else sources
    try:
        with open(file, "rb") as stream:  # noqa: PTH123 - a path with a NUL must fail here, inside the try
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        sources.note(file, MAX_BYTES + 1, None)
        why = (error.strerror if isinstance(error, OSError) else None) or "not a usable name"
        raise ConfigError([Problem(file, 1, 1, "", f"cannot be read: {why}")]) from None
    sources.note(file, MAX_BYTES + 1, raw)
    return parse(raw, file=file, env=env, sources=sources)


def parse(
    raw: bytes,
    *,
    file: str = "<config>",
    env: Mapping[str, str] = os.environ,
    elsewhere: bool = False,
    sources: Sources | None = None,
) -> Config:
    """The same from bytes. `file`: the name for messages, whose directory is that of relative paths.

    `elsewhere`: it will be used on another machine, so secrets and certificates may be missing here.

    Raises:
        ConfigError: as `load`.
    """
    document = read(raw, file=file, env=env)
    data = with_addresses(with_defaults(document), file=file, env=env)
    sources = Sources() if sources is None else sources
    config, complaints = _validated(document, data, sources, elsewhere=elsewhere)
    found = [*document.problems.values(), *complaints, *islice(references.problems(document, data), _SHOWN + 1)]
    if config is not None and not found:
        found.extend(_shared_breakers(document, config))
    if config is None or found:
        raise ConfigError(_sorted(found))
    config._document = document  # noqa: SLF001 - set once, by the only maker
    config._sources = sources  # noqa: SLF001 - the same
    return config


def _validated(
    document: Document, data: Any, sources: Sources, *, elsewhere: bool
) -> tuple[Config | None, Iterable[Problem]]:
    context = {"directory": FilePath(document.file).parent, "elsewhere": elsewhere, "sources": sources}
    try:
        return Config.model_validate(data, context=context), ()
    except ValidationError as error:
        details = error.errors(include_url=False)
    return None, [
        translate.problem(document, detail)
        for detail in details[: 10 * _SHOWN]
        if not _reported(document, detail["loc"]) and not _follows(detail)
    ]


def _reported(document: Document, loc: Path) -> bool:
    """Whether the reader already complained: what stands in for the value is not the user's mistake."""
    return document.origin(loc) in document.problems


def _follows(detail: ErrorDetails) -> bool:
    """Whether a list is called too short only because what is in it is wrong."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _shared_breakers(document: Document, config: Config) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, route in enumerate(config.routes):
        if route.breaker.share != "upstream":
            continue
        other = first.setdefault(route.upstream, index)
        if route.breaker.model_dump() != config.routes[other].breaker.model_dump():
            yield document.problem(
                ("routes", index, "breaker"),
                f"shares one breaker with route {config.routes[other].name!r} but has other settings: make "
                "them the same, e.g. under defaults",
            )


def _sorted(found: Iterable[Problem]) -> list[Problem]:
    """In file order, each once: what is wrong under `defaults` is found again in every route."""
    problems = sorted(set(found), key=lambda problem: (problem.line, problem.column, problem.path, problem.message))
    if len(problems) > _SHOWN:
        rest = problems[_SHOWN]
        problems = [
            *problems[:_SHOWN],
            Problem(rest.file, rest.line, rest.column, "", "and more from here on"),
        ]
    return problems
