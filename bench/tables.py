"""Tables, as text for a terminal and as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """The first column is text and stands left, the others stand right."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: bool = True
    """False: every column is text."""


def as_text(table: Table) -> str:
    """Columns padded to their widest cell."""
    widths = [max(map(len, column)) for column in zip(table.header, *table.rows, strict=True)]
    lines = [_line(table, row, widths) for row in (table.header, *table.rows)]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join([table.title, *lines])


def as_markdown(table: Table) -> str:
    """A pipe table under a third-level heading."""
    ruler = ["---", *["---:" if table.numbers else "---"] * (len(table.header) - 1)]
    lines = ["| " + " | ".join(row) + " |" for row in (table.header, ruler, *table.rows)]
    return "\n".join([f"### {table.title}", "", *lines])


def number(value: float | None) -> str:
    """Three significant digits or so, thousands apart; a dash for what was not measured."""
    if value is None:
        return "–"  # noqa: RUF001 - the dash of typeset tables
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def spread(samples: Sequence[float], middle: float | None) -> str:
    """The median, and in brackets the least and the greatest of several rounds."""
    if len(samples) < 2:
        return number(middle)
    return f"{number(middle)} [{number(min(samples))}, {number(max(samples))}]"


def _line(table: Table, row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    padded = [cell.rjust(width) if table.numbers else cell.ljust(width) for cell, width in others]
    return "  ".join([first[0].ljust(first[1]), *padded]).rstrip()
