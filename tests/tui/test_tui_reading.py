"""What an answer says, whatever it lacks."""

import copy
import math
from typing import Any

import pytest
from fixtures.status import a_document, a_route, an_open
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.tui import reading
from sidecar.tui.reading import Reader, Reading, Row


def read(document: object, now: float = 100.0) -> Reading:
    """By a reader of its own, at Unix time 5000."""
    return Reader().read(document, now, 5000.0)


def only(found: Reading) -> Row:
    """Its one row."""
    (row,) = found.rows
    return row


def without(document: Any, path: tuple[Any, ...], value: Any = None) -> Any:
    """The document with one member gone, or with another value."""
    changed = copy.deepcopy(document)
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return changed


def paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where everything stands in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, each in inner for place in ((*above, key), *paths(each, (*above, key)))]


WHOLE = a_document(an_open("toggles"), a_route("sms"))


def test_the_document_has_the_last_word_on_rates() -> None:
    """Its numbers are shown as they are; one whose breaker is open says since when."""
    row = only(read(a_document(an_open("toggles"))))
    assert (row.state, row.since, row.retry_after) == ("open", 120.0, 3.0)
    assert (row.rate, row.errors, row.fallbacks, row.refused) == (512.0, 0.25, 0.75, None)
    assert (row.p50, row.p99) == (0.001, 1.5)


def test_since_is_a_date_where_there_is_one() -> None:
    """A date does not age on its way here."""
    assert only(read(a_document(a_route("r", since="1970-01-01T01:20:00Z")))).since == 200.0


@pytest.mark.parametrize("path", paths(WHOLE))
def test_nothing_is_needed(path: tuple[Any, ...]) -> None:
    """Whatever is missing, or of another type, the rest is shown."""
    for value in (None, [], {}, "text", -1, True, math.inf):
        found = read(without(WHOLE, path, value))
        assert len(found.journal) >= 0
        assert found.rejected in ("", "no reason given")
        if path[0] != "routes":
            assert [row.name for row in found.rows] == ["toggles", "sms"]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["routes", "name", "breaker", "state", "totals", "by_outcome", "ok", "rates", "upstreams", "journal", "since"]
    ), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON, JSON)
@settings(max_examples=150, deadline=None)
def test_any_json_at_all_can_be_read(first: Any, second: Any) -> None:
    """One document after another, of whatever shape."""
    reader = Reader()
    reader.read(first, 1.0, 1.0)
    reader.read(second, 2.0, 2.0)


def counted(requests: int, **outcomes: int) -> dict[str, Any]:
    """A document of an older sidecar: totals, and no rates."""
    route = a_route("r", totals={"requests": requests, "by_outcome": outcomes})
    del route["rates"]
    return a_document(route)


def test_rates_are_reckoned_where_the_document_has_none() -> None:
    """From what was counted since the oldest answer of the last ten seconds."""
    reader = Reader()
    assert only(reader.read(counted(100, ok=100), 0.0, 0.0)).rate is None
    row = only(reader.read(counted(140, ok=110, upstream_error=10, last_known_good=16, refused=4), 4.0, 4.0))
    assert (row.rate, row.errors, row.fallbacks, row.refused) == (10.0, 0.25, 0.4, 0.1)
    assert row.p99 == 0.1
    idle = counted(140, ok=110, upstream_error=10, last_known_good=16, refused=4)
    row = only(reader.read(idle, 12.0, 12.0))
    assert (row.rate, row.errors) == (0.0, None)


def test_a_restart_begins_anew() -> None:
    """Counts that have fallen are another process's: no rate is better than a negative one."""
    reader = Reader()
    reader.read(counted(100, ok=100), 0.0, 0.0)
    assert only(reader.read(counted(5, ok=5), 1.0, 1.0)).rate is None
    assert only(reader.read(counted(7, ok=7), 2.0, 2.0)).rate == 2.0


def test_nothing_of_it_reaches_the_terminal_as_a_command() -> None:
    """Escape sequences, line breaks and endless texts become harmless."""
    assert reading.text("a\x1b[2Jb\r\nc\x9b") == "a?[2Jb??c?"
    assert len(reading.text("x" * 10_000)) == 300
    assert reading.text(7) == ""


def test_what_matched_no_route_is_shown_once_it_has_come() -> None:
    """The route "-" is in every document, and says nothing as long as it is empty."""
    empty = a_route("-", totals={"requests": 0, "by_outcome": {}})
    assert [row.name for row in read(a_document(a_route("r"), empty)).rows] == ["r"]
    assert [row.name for row in read(a_document(a_route("r"), a_route("-"))).rows] == ["r", "-"]


def test_a_rejected_configuration_is_told() -> None:
    """Its first problem, as one line."""
    config = {"rejected": {"at": "2026-11-22T12:00:00Z", "problems": ["x.yaml:3:1: routes: bad", "more"]}}
    assert read(a_document(config=config)).rejected == "x.yaml:3:1: routes: bad"
