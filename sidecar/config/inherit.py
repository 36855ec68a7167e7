"""`defaults`, laid under each route before anything is validated.

A mapping is merged key by key and the route wins; anything else is replaced. Free documents are replaced
whole too: a `json` made of two halves is one that nobody wrote.
"""

from collections.abc import Mapping
from typing import Any, Final

from sidecar.config.document import Document
from sidecar.config.problem import Path

_WHOLE: Final = frozenset({"json", "json_equals", "headers"})
_OWN: Final = frozenset({"name", "match"})
"""A route's own keys. Under `defaults` they are an error, which is reported there alone."""


def with_defaults(document: Document) -> Any:
    """The document's data, its routes completed. Data of the wrong shape is left for the models to refuse."""
    data = document.data
    if not isinstance(data, dict):
        return data
    defaults, routes = data.get("defaults"), data.get("routes")
    if not isinstance(defaults, dict) or not isinstance(routes, list):
        return data
    shared = {key: value for key, value in defaults.items() if key not in _OWN}
    completed = [
        _merged(document, shared, route, ("defaults",), ("routes", index)) if isinstance(route, dict) else route
        for index, route in enumerate(routes)
    ]
    return {**data, "routes": completed}


def _merged(document: Document, below: Mapping[str, Any], above: Mapping[str, Any], origin: Path, path: Path) -> Any:
    result = dict(above)
    for key, value in below.items():
        if key not in above:
            document.inherit((*path, key), (*origin, key))
            result[key] = value
        elif key not in _WHOLE and isinstance(value, dict) and isinstance(above[key], dict):
            result[key] = _merged(document, value, above[key], (*origin, key), (*path, key))
    return result
