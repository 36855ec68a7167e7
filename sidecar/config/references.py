"""What one part of the file says about another: names that must exist, things that cannot go together.

Works on the data before the models, so that a wrong name is reported together with everything else that is
wrong. Data of the wrong shape is passed over: the models say so.
"""

from collections.abc import Iterator
from typing import Any

from sidecar.config.document import Document
from sidecar.config.problem import Path, Problem
from sidecar.config.scalars import shown
from sidecar.config.translate import nearest

_Routes = list[tuple[Path, Any]]


def problems(document: Document, data: Any) -> Iterator[Problem]:
    """Every reference that leads nowhere. `data`: the document's, with defaults laid under its routes."""
    if not isinstance(data, dict):
        return
    upstreams = _mapping(data.get("upstreams"))
    routes: _Routes = [(("routes", index), route) for index, route in _items(data.get("routes"))]
    for path, route in routes:
        yield from _of_route(document, path, _mapping(route), upstreams)
    yield from _duplicate_names(document, routes)
    yield from _sequences(document, _mapping(data.get("caller")), routes)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> Iterator[tuple[int, Any]]:
    return enumerate(value if isinstance(value, list) else ())


def _unknown(document: Document, path: Path, kind: str, name: str, known: Any) -> Problem:
    return document.problem(path, f"no {kind} is named {shown(name)}{nearest(name, known)}")


def _of_route(document: Document, path: Path, route: dict[str, Any], upstreams: dict[str, Any]) -> Iterator[Problem]:
    own = route.get("upstream")
    if isinstance(own, str) and own not in upstreams:
        yield _unknown(document, (*path, "upstream"), "upstream", own, upstreams)
    for index, rung in _items(route.get("fallback")):
        at = (*path, "fallback", index, "upstream")
        other = _mapping(rung).get("upstream")
        if isinstance(other, str) and other not in upstreams:
            yield _unknown(document, at, "upstream", other, upstreams)
        elif isinstance(other, str) and other == own:
            yield document.problem(at, "is the route's own upstream: what just failed there would fail again")
    if "regex" in _mapping(route.get("match")) and _mapping(route.get("rewrite")).get("prefix") is not None:
        yield document.problem(
            (*path, "rewrite", "prefix"),
            "needs match.path or match.prefix: a regex leaves no prefix to replace",
        )


def _duplicate_names(document: Document, routes: _Routes) -> Iterator[Problem]:
    first: dict[str, Path] = {}
    for path, route in routes:
        name = _mapping(route).get("name")
        if not isinstance(name, str):
            continue
        if name in first:
            line = document.place((*first[name], "name")).line
            yield document.problem((*path, "name"), f"another route has this name (line {line}): each needs its own")
        first.setdefault(name, path)


def _sequences(document: Document, caller: dict[str, Any], routes: _Routes) -> Iterator[Problem]:
    names = [name for _, route in routes if isinstance(name := _mapping(route).get("name"), str)]
    for outer, sequence in _items(caller.get("in_sequence")):
        for inner, name in _items(sequence):
            if isinstance(name, str) and name not in names:
                yield _unknown(document, ("caller", "in_sequence", outer, inner), "route", name, names)
