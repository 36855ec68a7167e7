"""The routes as lines: as many columns as fit, the most telling first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from sidecar.tui import words
from sidecar.tui.reading import Row

NAME_AT_LEAST: Final = 12
NAME_AT_MOST: Final = 32
SENTENCE_AT_LEAST: Final = 24
_STATES: Final = {"open": "open", "half_open": "half open", "closed": "closed"}
_STYLES: Final = {"open": "bold red", "half_open": "bold yellow", "closed": "green"}
_MANY: Final = 0.01
"""The share of errors from which it is red."""


@dataclass(frozen=True, slots=True)
class Column:
    """One number of a route. width: in cells."""

    title: str
    width: int
    value: Callable[[Row], str]
    style: Callable[[Row], str] = lambda _: ""


def state(row: Row) -> str:
    """The breaker's, in words: colour is never all that tells."""
    if not row.state:
        return words.UNKNOWN
    said = _STATES.get(row.state, row.state)
    if row.held:
        return f"held {said.partition(' ')[0]}"
    return f"dry {said.partition(' ')[0]}" if row.dry and row.state != "closed" else said


def state_style(row: Row) -> str:
    """Of the word."""
    return _STYLES.get(row.state, "")


def _alarming(value: float | None) -> str:
    return "bold red" if (value or 0.0) >= _MANY else ""


# In the order in which they stand; `_CHOSEN` says in which order they are given room.
_STATE: Final = Column("state", 11, state, state_style)
_SINCE: Final = Column("since", 6, lambda row: words.duration(row.since))
_RATE: Final = Column("req/s", 5, lambda row: words.rate(row.rate))
_ERRORS: Final = Column("err", 5, lambda row: words.share(row.errors), lambda row: _alarming(row.errors))
_FALLBACKS: Final = Column(
    "fallb", 5, lambda row: words.share(row.fallbacks), lambda row: "yellow" if row.fallbacks else ""
)
_REFUSED: Final = Column("refus", 5, lambda row: words.share(row.refused), lambda row: _alarming(row.refused))
_P50: Final = Column("p50", 7, lambda row: words.seconds(row.p50))
_P99: Final = Column("p99", 7, lambda row: words.seconds(row.p99))
_FLIGHT: Final = Column("flight", 6, lambda row: words.count(row.in_flight))
_ALL: Final = (_STATE, _SINCE, _RATE, _ERRORS, _FALLBACKS, _REFUSED, _P50, _P99, _FLIGHT)
_CHOSEN: Final = (_STATE, _RATE, _ERRORS, _P99, _FALLBACKS, _SINCE, _REFUSED, _P50, _FLIGHT)


class Layout:
    """Which columns fit into `width` cells, and how wide the names and the sentences are."""

    def __init__(self, rows: Sequence[Row], width: int) -> None:
        longest = max((cell_len(row.name) for row in rows), default=0)
        left = width - 2 - NAME_AT_LEAST
        chosen = set()
        for column in _CHOSEN:
            if column.width + 1 <= left:
                left -= column.width + 1
                chosen.add(column.title)
        self.columns = [column for column in _ALL if column.title in chosen]
        wanted = max(0, min(longest, NAME_AT_MOST) - NAME_AT_LEAST)
        self.name = max(1, min(width - 2, NAME_AT_LEAST) + min(max(0, left), wanted))
        left -= self.name - NAME_AT_LEAST
        said = any(row.callers_get for row in rows)
        self.sentence = left - 2 if said and left - 2 >= SENTENCE_AT_LEAST else 0

    def heading(self) -> Text:
        """The names of the columns."""
        line = Text("  " + _cell("route", self.name), style="bold")
        for column in self.columns:
            line.append(" " + _placed(column, column.title))
        if self.sentence:
            line.append("  callers get")
        return line

    def line(self, row: Row, shorten: Callable[[str, int], str], *, selected: bool) -> Text:
        """One route. `shorten` cuts a text to a number of cells."""
        line = Text(("> " if selected else "  ") + _cell(shorten(row.name, self.name), self.name))
        for column in self.columns:
            line.append(" ")
            line.append(_placed(column, shorten(column.value(row), column.width)), style=column.style(row))
        if self.sentence:
            line.append("  " + shorten(row.callers_get, self.sentence), style="dim" if row.state == "closed" else "")
        if selected:
            line.stylize("reverse")
        return line


def _cell(value: str, width: int) -> str:
    return value + " " * (width - cell_len(value))


def _placed(column: Column, value: str) -> str:
    pad = " " * (column.width - cell_len(value))
    return value + pad if column is _STATE else pad + value
