"""What a new configuration changes of the one that is served, and what of that a running process cannot take."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from sidecar import config
from sidecar.config.problem import Path

FIXED: Final = ("log", "state", "tracing")
"""Keys of the file that are bound when the process starts, `admin.listen` and what a listener is apart."""
_LIVE: Final = ("caller", "limits", "access_log", "drain", "notify")
"""Keys of the process that change while it runs."""
_AT_START: Final = "is bound when the process starts: it needs a restart"


@dataclass(frozen=True, slots=True)
class Moved:
    """Of one kind of named things: what is new, what is gone, and which keys of the others have changed."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: Mapping[str, tuple[str, ...]]

    def sentences(self, kind: str) -> Iterator[str]:
        """One each. Keys, never values: some are secrets."""
        yield from (f"{kind} {name}: added" for name in self.added)
        yield from (f"{kind} {name}: removed" for name in self.removed)
        yield from (f"{kind} {name}: {_listed(keys)} changed" for name, keys in self.changed.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """From one configuration to the next.

    listens: by address. process: keys of the process that changed, as they are written. reordered: the routes are the
    same and stand in another order, which decides between those that are equally specific. impossible: what a
    running process cannot take over, located in the new file; if there is any, nothing may be taken over.
    """

    routes: Moved
    upstreams: Moved
    listens: Moved
    process: tuple[str, ...]
    reordered: bool
    impossible: tuple[str, ...]

    def sentences(self) -> list[str]:
        """What changes, one short sentence each; none if nothing does."""
        found = [*self.routes.sentences("route"), *self.upstreams.sentences("upstream")]
        if self.reordered:
            found.append("routes: order changed")
        found += self.listens.sentences("listen")
        return found + [f"{key}: changed" for key in self.process]


def compare(old: config.Config, new: config.Config) -> Changes:
    """What `new` changes."""
    names = [route.name for route in old.routes], [route.name for route in new.routes]
    return Changes(
        routes=_moved({route.name: route for route in old.routes}, {route.name: route for route in new.routes}),
        upstreams=_moved(old.upstreams, new.upstreams),
        listens=_moved(by_address(old.listen), by_address(new.listen)),
        process=tuple(_process(old, new)),
        reordered=names[0] != names[1] and sorted(names[0]) == sorted(names[1]),
        impossible=tuple(_impossible(old, new)),
    )


def by_address(listens: Iterable[config.Listen]) -> dict[str, config.Listen]:
    """Each under a name of its own: its address, and a number where that is there before (the system chooses ports)."""
    found: dict[str, config.Listen] = {}
    for listen in listens:
        name, count = listen.address, 1
        while name in found:
            count += 1
            name = f"{listen.address} ({count})"
        found[name] = listen
    return found


def _moved(old: Mapping[str, BaseModel], new: Mapping[str, BaseModel]) -> Moved:
    changed = {name: keys for name in new if name in old and (keys := tuple(_differing(old[name], new[name])))}
    return Moved(
        tuple(name for name in new if name not in old), tuple(name for name in old if name not in new), changed
    )


def _differing(old: BaseModel, new: BaseModel) -> Iterator[str]:
    """Keys as they are written."""
    for name, field in type(new).model_fields.items():
        if getattr(old, name) != getattr(new, name):
            yield field.alias or name


def _process(old: config.Config, new: config.Config) -> Iterator[str]:
    for key in _LIVE:
        before, after = getattr(old, key), getattr(new, key)
        if before == after:
            continue
        if before is None or after is None:
            yield key
        else:
            yield from (f"{key}.{inner}" for inner in _differing(before, after))
    if old.admin.token != new.admin.token:
        yield "admin.token"


def _impossible(old: config.Config, new: config.Config) -> Iterator[str]:
    if old.admin.listen != new.admin.listen:
        yield _located(new, ("admin", "listen"), _AT_START)
    for key in FIXED:
        if getattr(old, key) != getattr(new, key):
            yield _located(new, (key,), _AT_START)
    before = by_address(old.listen)
    for index, (name, listen) in enumerate(by_address(new.listen).items()):
        if name in before and not _may_become(before[name], listen):
            what = "is in use in another way (tls, mode, reuse_port): that needs a restart"
            yield _located(new, ("listen", index), what)


def _may_become(old: config.Listen, new: config.Listen) -> bool:
    """Whether a listener stays bound as it is: other files of a certificate are all that it can be given."""
    same = (old.mode, old.reuse_port) == (new.mode, new.reuse_port)
    return same and (old.tls is None) == (new.tls is None)


def _located(new: config.Config, path: Path, message: str) -> str:
    line, column = new.place(path)
    return str(config.Problem(new.file, line, column, new.path(path), message))


def _listed(words: Iterable[Any]) -> str:
    return ", ".join(words)
