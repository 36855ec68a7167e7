"""docs/performance.md: prose by people around figures by the bench."""

from collections.abc import Iterable
from pathlib import Path

from bench.machine import Machine
from bench.tables import Table, as_markdown

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN = "<!-- figures: written by `make bench`, do not edit -->"
END = "<!-- end of figures -->"


def write(page: Path, machine: Machine, rounds: int, found: Iterable[Table]) -> None:
    """Replaces what stands between the two markers.

    Raises:
        ValueError: the page has not both of them, once and in order.
    """
    told = f"Measured on {machine.sentence()}; {rounds} alternating rounds."
    figures = "\n\n".join([told, *(as_markdown(table) for table in found)])
    page.write_text(replaced(page.read_text(), figures))


def replaced(text: str, figures: str, *, begin: str = BEGIN, end: str = END) -> str:
    """The page with new figures between its two markers.

    Raises:
        ValueError: the page has not both of them, in order.
    """
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"the page lacks {begin} … {end}")
    return f"{before}{begin}\n\n{figures}\n\n{end}{after}"
