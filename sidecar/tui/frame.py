"""What is known, and what was chosen, as the lines of one screen."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from sidecar.tui import details, words
from sidecar.tui.poll import Polled
from sidecar.tui.reading import Reading, Row
from sidecar.tui.table import Layout
from sidecar.tui.view import View

NEWS: Final = 4
"""Lines of the journal below the table, where there is room."""
_HEAD: Final = 4
"""Lines above the table's first row."""
_KEYS: Final = (
    "q quit",
    "j/k select",
    "enter details",
    "s sort: {order}",
    "/ filter",
    "p {pause}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """How a terminal takes lines. lines: 0 for as many as there are. ascii: nothing else may be sent."""

    columns: int
    lines: int = 0
    ascii: bool = False
    colour: bool = True

    def painted(self, lines: Sequence[Text]) -> list[str]:
        """With escape sequences, each line at most as wide as the screen. NO_COLOR is respected."""
        console = Console(
            file=io.StringIO(),
            width=self.columns,
            force_terminal=self.colour,
            color_system="auto" if self.colour else None,
            legacy_windows=False,
            highlight=False,
            emoji=False,
            markup=False,
        )
        return [self._painted(console, line) for line in lines]

    def _painted(self, console: Console, line: Text) -> str:
        cut = self._cut(line)
        with console.capture() as captured:
            console.print(cut, end="", no_wrap=True, overflow="ignore", crop=False)
        return captured.get()

    def _cut(self, line: Text) -> Text:
        if self.ascii and not line.plain.isascii():
            line = line.copy()
            line.plain = line.plain.encode("ascii", "replace").decode()
        if line.cell_len > self.columns:
            line = line.copy()
            line.truncate(self.columns - 1, overflow="crop")
            line.append(self.more)
        return line

    def shorten(self, value: str, width: int) -> str:
        """At most `width` cells of it."""
        if self.ascii:
            value = value.encode("ascii", "replace").decode()
        return value if cell_len(value) <= width else set_cell_size(value, max(0, width - 1)).rstrip() + self.more

    @property
    def more(self) -> str:
        """Stands where something was cut off."""
        return "~" if self.ascii else "\N{HORIZONTAL ELLIPSIS}"


def draw(reading: Reading | None, polled: Polled, view: View, *, url: str, now: float, screen: Screen) -> list[Text]:
    """One frame. `now`: Unix time."""
    shown = view.rows(reading.rows) if reading is not None else []
    top = [*_head(reading, polled, view, url, now, screen)]
    if reading is None:
        return _footed([*top, Text("")], view, screen)
    layout = Layout(reading.rows, screen.columns)
    top += [Text(""), layout.heading()]
    place = view.place(shown)
    below = [*_below(reading, shown, place, view, screen)]
    room = screen.lines - len(top) - len(below) - 1 if screen.lines else len(shown)
    stale = polled.failing_since is not None
    table = [layout.line(row, screen.shorten, selected=n == place and screen.lines > 0) for n, row in enumerate(shown)]
    for line in table if stale else ():
        line.stylize("dim")
    window = _window(table, place, max(1, room))
    if not shown:
        window = [Text(f"  no route matches {view.filter!r}" if view.filter else "  no routes")]
    return _footed([*top, *window, *below], view, screen)


def _head(reading: Reading | None, polled: Polled, view: View, url: str, now: float, screen: Screen) -> Iterator[Text]:
    title = Text("sidecar", style="bold")
    if reading is not None:
        title.append(f" {reading.version}", style="not bold")
        title.append(f"  up {words.duration(reading.uptime)}  ", style="not bold")
        title.append(*_readiness(reading))
    if view.paused:
        title.append("  PAUSED", style="bold yellow")
    space = screen.columns - title.cell_len - len(url)
    if space >= 2:
        title.append(" " * space + url, style="not bold dim")
    yield title
    if polled.failing_since is not None:
        yield _no_answer(polled, url, now, screen.columns)
    elif reading is None:
        yield Text(f"asking {url} ...")
    elif reading.rejected:
        yield Text(f"configuration rejected, the old one serves: {reading.rejected}", style="bold red")
    else:
        yield _summary(reading)


def _readiness(reading: Reading) -> tuple[str, str]:
    if reading.draining:
        return "draining", "bold yellow"
    return {True: ("ready", "green"), False: ("not ready", "bold red"), None: ("", "")}[reading.ready]


def _no_answer(polled: Polled, url: str, now: float, columns: int) -> Text:
    said = f"since {words.clock(polled.failing_since or now)}, retrying"
    whole = f"no answer from {url} {said}"
    line = Text(whole if len(whole) <= columns else f"no answer {said}", style="bold red")
    return line.append(f" ({polled.why})", style="not bold")


def _summary(reading: Reading) -> Text:
    states = [row.state for row in reading.rows]
    is_open, half = states.count("open"), states.count("half_open")
    line = Text(f"{len(reading.rows)} routes: ")
    line.append(f"{is_open} open", style="bold red" if is_open else "")
    line.append(f", {half} half open", style="bold yellow" if half else "")
    rates = [row.rate for row in reading.rows if row.rate is not None]
    if rates:
        errors = sum((row.rate or 0.0) * (row.errors or 0.0) for row in reading.rows)
        line.append(f"   {words.rate(sum(rates))} req/s")
        line.append(f"   {words.share(errors / sum(rates) if sum(rates) else 0.0)} errors")
    return line


def _below(reading: Reading, shown: Sequence[Row], place: int, view: View, screen: Screen) -> Iterator[Text]:
    """Under the table: the selected route with all there is, or one sentence about it, and the news."""
    if not shown:
        return
    room = screen.lines - _HEAD - min(len(shown), 3) - 2 if screen.lines else 100
    if view.details:
        yield Text("")
        yield from islice(details.about(reading, shown[place]), max(0, room))
        return
    pane = [Text("")]
    if shown[place].callers_get:
        pane.append(Text(f"{shown[place].name}: {shown[place].callers_get}"))
    pane += islice(details.happened(reading), NEWS)
    if len(pane) > 1:
        yield from islice(pane, max(0, room))


def _window(lines: list[Text], place: int, room: int) -> list[Text]:
    """The part of the table that has the selected line in it."""
    first = min(max(0, place - room // 2), max(0, len(lines) - room))
    return lines[first : first + room]


def _footed(lines: list[Text], view: View, screen: Screen) -> list[Text]:
    if not screen.lines:
        return lines
    lines = lines[: screen.lines - 1]
    lines += [Text("")] * (screen.lines - 1 - len(lines))
    if view.typing:
        return [*lines, Text(f"filter: {view.filter}_   enter keeps it, escape clears it", style="bold")]
    line = Text("")
    for key in _KEYS:
        said = key.format(order=view.order, pause="go on" if view.paused else "pause")
        if line.cell_len + len(said) + 2 <= screen.columns:
            line.append(said + "  ")
    line.rstrip()
    line.stylize("dim")
    return [*lines, line]
