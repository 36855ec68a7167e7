"""The journal as the admin port shows it. It is kept elsewhere: here is only what is asked of it."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, Protocol

SHOWN: Final = 100
"""Entries in a `/status`, the newest ones."""


class Entry(Protocol):
    """One fact. `at`: Unix time."""

    @property
    def number(self) -> int:
        """Rises by one with each."""

    @property
    def at(self) -> float:
        """When."""

    @property
    def kind(self) -> str:
        """What sort of fact."""

    @property
    def subject(self) -> str:
        """The route or upstream it is about; "" for the process."""

    @property
    def text(self) -> str:
        """One sentence."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """The same for programs."""


class Journal(Protocol):
    """Where they are taken down."""

    def since(self, number: int = 0) -> Iterator[Entry]:
        """Those after that number, oldest first."""

    def listen(self, listener: Callable[[Entry], None], /) -> Callable[[], None]:
        """Calls it with each from now on; what is returned ends that."""


class Blank:
    """A journal with nothing in it."""

    @staticmethod
    def since(number: int = 0) -> Iterator[Entry]:  # noqa: ARG004 - a journal's signature
        """None."""
        return iter(())

    @staticmethod
    def listen(listener: Callable[[Entry], None], /) -> Callable[[], None]:  # noqa: ARG004 - the same
        """Nothing to hear."""
        return lambda: None


BLANK: Final[Journal] = Blank()


def newest(journal: Journal) -> list[dict[str, Any]]:
    """The newest entries, newest last."""
    entries = list(journal.since())
    return [shown(entry) for entry in islice(entries, max(0, len(entries) - SHOWN), None)]


def shown(entry: Entry) -> dict[str, Any]:
    """An entry as it stands in `/status` and `/events`."""
    return {
        "number": entry.number,
        "at": date(entry.at, "milliseconds"),
        "kind": entry.kind,
        "subject": entry.subject,
        "text": entry.text,
        "fields": dict(entry.fields),
    }


def date(wall: float, precision: str = "seconds") -> str:
    """Unix time as RFC 3339, in UTC."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec=precision).replace("+00:00", "Z")
