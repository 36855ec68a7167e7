"""What keys do to the view."""

import pytest
from fixtures.status import a_document, a_route, an_open

from sidecar.tui.reading import Reader, Row
from sidecar.tui.view import View

ROWS = (
    Reader()
    .read(
        a_document(
            a_route("calm"),
            a_route("busy", upstream="sms", rates={"requests_per_second": 900.0, "error_share": 0.01}),
            an_open("toggles"),
            a_route("-"),
            a_route("bad", rates={"requests_per_second": 1.0, "error_share": 0.9}),
        ),
        0.0,
        0.0,
    )
    .rows
)


def press(view: View, *keys: str) -> list[str]:
    """Presses them, and returns the names that are shown then."""
    for key in keys:
        view.press(key, view.rows(ROWS))
    return [row.name for row in view.rows(ROWS)]


def selected(view: View) -> Row:
    """The one that the marker stands at."""
    shown = view.rows(ROWS)
    return shown[view.place(shown)]


def test_the_order_goes_round() -> None:
    """By state first: the ill one is on top; what matched no route is at the end of each."""
    view = View()
    assert press(view) == ["toggles", "bad", "busy", "calm", "-"]
    assert press(view, "s") == ["busy", "toggles", "calm", "bad", "-"]
    assert press(view, "s") == ["bad", "toggles", "busy", "calm", "-"]
    assert press(view, "s") == ["toggles", "bad", "busy", "calm", "-"]


def test_the_selection_stays_at_its_route() -> None:
    """Whatever the order; it stops at both ends."""
    view = View()
    press(view, "down", "j")
    assert selected(view).name == "busy"
    press(view, "s")
    assert selected(view).name == "busy"
    press(view, "up", "k", "k")
    assert selected(view).name == "busy"
    press(view, "G", "down")
    assert selected(view).name == "-"
    press(view, "g")
    assert selected(view).name == "busy"


def test_a_filter_is_typed() -> None:
    """Letters belong to it until it is left, and so does q; upstreams are found too."""
    view = View()
    assert press(view, "/", "S", "m", "q") == []
    assert not view.quit
    assert press(view, "backspace", "s", "enter") == ["busy"]
    assert not view.typing
    assert press(view, "escape") == ["toggles", "bad", "busy", "calm", "-"]
    assert press(view, "/", "b", "escape") == ["toggles", "bad", "busy", "calm", "-"]


def test_a_selection_that_is_filtered_out_is_the_first() -> None:
    """Something is selected as long as anything is shown."""
    view = View()
    press(view, "G", "/", "b", "enter")
    assert selected(view).name == "bad"


@pytest.mark.parametrize(("key", "member"), [("enter", "details"), ("p", "paused")])
def test_some_keys_toggle(key: str, member: str) -> None:
    """Once on, twice off."""
    view = View()
    press(view, key)
    assert getattr(view, member) is True
    press(view, key)
    assert getattr(view, member) is False


def test_escape_leaves_the_details_before_the_filter() -> None:
    """One step at a time."""
    view = View()
    press(view, "/", "b", "enter", "enter", "escape")
    assert (view.details, view.filter) == (False, "b")
    press(view, "escape")
    assert view.filter == ""


def test_nothing_shown_is_nothing_to_select() -> None:
    """Keys on an empty list do no harm."""
    view = View()
    for key in ("down", "up", "enter", "G", "q"):
        view.press(key, [])
    assert view.quit
