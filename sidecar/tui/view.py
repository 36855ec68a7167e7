"""What the person looking has chosen: which route, in which order, how much of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sidecar.tui.reading import Row

_ORDERS: Final[dict[str, Callable[[Row], Any]]] = {
    "state": lambda row: (row.badness, row.name),
    "rate": lambda row: (-(row.rate or 0.0), row.name),
    "errors": lambda row: (-(row.errors or 0.0), row.name),
}
ORDERS: Final = tuple(_ORDERS)
_PAGE: Final = 10
_LONGEST_FILTER: Final = 40


@dataclass(slots=True)
class View:
    """Changed by keys alone. `selected` is a route's name, so that it stays where it is whatever the order."""

    selected: str = ""
    order: str = ORDERS[0]
    filter: str = ""
    typing: bool = False
    """The filter is being typed."""
    details: bool = False
    paused: bool = False
    quit: bool = False

    def rows(self, rows: Sequence[Row]) -> list[Row]:
        """Those that are shown, in their order: what matched no route comes last."""
        wanted = self.filter.lower()
        shown = [row for row in rows if wanted in row.name.lower() or wanted in row.upstream.lower()]
        shown.sort(key=_ORDERS[self.order])
        shown.sort(key=lambda row: row.name == "-")
        return shown

    def place(self, shown: Sequence[Row]) -> int:
        """Which of them is selected: the first, if it is gone."""
        return next((place for place, row in enumerate(shown) if row.name == self.selected), 0)

    def press(self, key: str, shown: Sequence[Row]) -> None:
        """One key; `shown` as `rows` has it."""
        if self.typing:
            self._type(key)
        elif key in _MOVES:
            self._move(_MOVES[key], shown)
        elif key in _DO:
            _DO[key](self)

    def _type(self, key: str) -> None:
        if key in {"enter", "escape"}:
            self.typing = False
            self.filter = "" if key == "escape" else self.filter
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif len(key) == 1 and len(self.filter) < _LONGEST_FILTER:
            self.filter += key

    def _move(self, by: int, shown: Sequence[Row]) -> None:
        if shown:
            self.selected = shown[min(max(self.place(shown) + by, 0), len(shown) - 1)].name

    def _leave(self) -> None:
        if self.details:
            self.details = False
        else:
            self.filter = ""

    def _begin_typing(self) -> None:
        self.typing, self.filter = True, ""

    def _next_order(self) -> None:
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]

    def _toggle_details(self) -> None:
        self.details = not self.details

    def _toggle_pause(self) -> None:
        self.paused = not self.paused

    def _quit(self) -> None:
        self.quit = True


_MOVES: Final = {
    "up": -1,
    "k": -1,
    "down": 1,
    "j": 1,
    "page_up": -_PAGE,
    "page_down": _PAGE,
    "home": -1_000_000,
    "g": -1_000_000,
    "end": 1_000_000,
    "G": 1_000_000,
}
_DO: Final[dict[str, Callable[[View], None]]] = {
    "q": View._quit,  # noqa: SLF001 - its own keys
    "enter": View._toggle_details,  # noqa: SLF001 - the same
    "escape": View._leave,  # noqa: SLF001 - the same
    "s": View._next_order,  # noqa: SLF001 - the same
    "/": View._begin_typing,  # noqa: SLF001 - the same
    "p": View._toggle_pause,  # noqa: SLF001 - the same
}
