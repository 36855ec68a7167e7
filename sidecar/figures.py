"""What is read off living objects by whoever shows them: the other direction of `observer`.

The scrape and `/status` read the same figures and must not know each other, nor the objects that have them.
"""

from typing import Protocol


class Connections(Protocol):
    """Connections to one endpoint."""

    @property
    def idle(self) -> int:
        """Waiting in the pool."""

    @property
    def active(self) -> int:
        """Carrying an exchange."""


class Kept(Protocol):
    """Last known good answers."""

    def __len__(self) -> int:
        """How many."""

    @property
    def bytes_used(self) -> int:
        """In memory."""


class Disk(Protocol):
    """Where they outlive the process."""

    @property
    def state(self) -> str:
        """disk, or memory while the disk can't be used."""

    @property
    def written(self) -> int:
        """Writes that reached the file."""

    @property
    def failed(self) -> int:
        """Writes that failed and are tried again."""

    @property
    def dropped(self) -> int:
        """Writes that were given up."""
