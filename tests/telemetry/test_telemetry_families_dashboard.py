"""Laws of the Grafana dashboard that is shipped: it fits Grafana's schema, and shows what there is."""

import enum
import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from fixtures.promql import DASHBOARDS, dashboard_queries, label_values, parsed, series_named
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
OF_THE_DATASOURCE = {"/annotations/list/0/titleFormat"}
"""What the schema leaves to the data source's plugin."""


@pytest.fixture(scope="module")
def document() -> Any:
    """The dashboard."""
    (file,) = DASHBOARDS
    return json.loads(file.read_text())


def lost(given: Any, kept: Any, where: str = "") -> Iterator[str]:
    """Places of what a schema does not know or has another value for; its own defaults may be added."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            yield from lost(value, kept[key], f"{where}/{key}") if key in kept else [f"{where}/{key}"]
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for number, pair in enumerate(zip(given, kept, strict=True)):
            yield from lost(*pair, f"{where}/{number}")
    elif given != kept:
        yield where


def misfits(value: Any, hint: Any, where: str) -> Iterator[str]:
    """Places whose value is not of the type that the schema gives them."""
    origin, inner = get_origin(hint), get_args(hint)
    if type(value).__module__.startswith("grafana_foundation_sdk."):
        for name, kind in get_type_hints(type(value)).items():
            yield from misfits(getattr(value, name), kind, f"{where}.{name}")
    elif origin in {Union, types.UnionType}:
        if all(list(misfits(value, kind, where)) for kind in inner):
            yield where
    elif origin is list and isinstance(value, list):
        for number, one in enumerate(value):
            yield from misfits(one, inner[0], f"{where}[{number}]")
    elif origin is dict and isinstance(value, dict):
        for key, one in value.items():
            yield from misfits(one, inner[1], f"{where}[{key}]")
    elif not _fits(value, hint, origin, inner):
        yield where


def _fits(value: Any, hint: Any, origin: Any, inner: tuple[Any, ...]) -> bool:
    if hint in {Any, object}:
        return True
    if origin is Literal:
        return value in inner
    if origin is not None or not isinstance(hint, type):
        return False
    if issubclass(hint, enum.Enum):
        return value in [member.value for member in hint]
    return type(value) is hint or (hint is float and type(value) is int)


def read(document: Any) -> Dashboard:
    """The dashboard as Grafana's own types read it."""
    register_default_plugins()
    return Dashboard.from_json(document)


def test_the_dashboard_fits_grafanas_schema(document: Any) -> None:
    """Every key of it is known there, panels' options and queries included, and every value has the type it must."""
    dashboard = read(document)
    kept = json.loads(JSONEncoder().encode(dashboard))
    assert set(lost(document, kept)) <= OF_THE_DATASOURCE
    assert list(misfits(dashboard, Dashboard, "")) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("panels/1/tittle", "x"),
        ("panels/1/options/colourMode", "value"),
        ("panels/1/targets/0/legend", "x"),
        ("panels/1/gridPos/w", "wide"),
        ("panels/8/fieldConfig/defaults/custom/drawStyle", "scribble"),
        ("templating/list/1/sort", 99),
        ("tags", "sidecar"),
    ],
)
def test_what_does_not_fit_is_found(document: Any, path: str, value: Any) -> None:
    """The check itself: an unknown key and a wrong value do not pass."""
    changed = json.loads(json.dumps(document))
    *way, last = path.split("/")
    place = changed
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[last] = value
    dashboard = read(changed)
    kept = json.loads(JSONEncoder().encode(dashboard))
    assert set(lost(changed, kept)) - OF_THE_DATASOURCE or list(misfits(dashboard, Dashboard, ""))


def test_every_query_is_promql(document: Any, tmp_path: Path) -> None:
    """Panels, variables and annotations: Prometheus's own parser takes each."""
    queries = list(dashboard_queries(document))
    assert len(queries) > 35
    assert parsed(queries, tmp_path) == ""


def test_every_query_is_about_what_exists(document: Any, vocabulary: dict[str, set[str]]) -> None:
    """An empty panel looks like a quiet night. It needs no recording rules: those are of another file."""
    for query in dashboard_queries(document):
        assert series_named(query) <= vocabulary["series"], query
        for label in ("outcome", "reason", "result", "kind", "state"):
            assert label_values(query, label) - {".*"} <= vocabulary[label], query


def test_it_can_be_imported_anywhere(document: Any) -> None:
    """No data source of ours is written into it: there is a variable for that, and all that ask use it."""

    def sources(part: Any) -> Iterator[Any]:
        if isinstance(part, dict):
            if "datasource" in part:
                yield part["datasource"]
            for value in part.values():
                yield from sources(value)
        elif isinstance(part, list):
            for value in part:
                yield from sources(value)

    assert all(source == DATASOURCE for source in sources(document))
    variables = [variable["name"] for variable in document["templating"]["list"]]
    assert variables == ["datasource", "namespace", "job", "pod", "route", "upstream"]
    assert "id" not in document


def test_panels_say_what_they_show_and_do_not_overlap(document: Any) -> None:
    """Each has a title, a sentence, a number of its own, and a place of its own in 24 columns."""
    panels = [panel for panel in document["panels"] if panel["type"] != "row"]
    assert all(panel["title"] and panel["description"].endswith(".") for panel in panels)
    numbers = [panel["id"] for panel in document["panels"]]
    assert len(numbers) == len(set(numbers))
    taken = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
