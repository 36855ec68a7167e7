"""What the clients have in common."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

LIMIT = 10.0
"""Seconds a client gives one exchange."""


@dataclass(frozen=True, slots=True)
class Question:
    """One exchange. `pieces`: a body of a length that is not told. `follow`: redirects too."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    pieces: Sequence[bytes] | None = None
    follow: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client made of what came back: content codings undone. Names of headers in lower case."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    def get(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for low, value in self.headers if low == name]

    def json(self) -> Any:
        """The body, as a document."""
        return json.loads(self.body)


class Client(Protocol):
    """One client library or program, with one pool of connections."""

    def ask(self, question: Question) -> Answer:
        """One exchange. Raises whatever the client raises."""
        ...

    def close(self) -> None:
        """Lets go of its connections."""
        ...


Make = Callable[[], Client]
"""Raises shelf.Missing where the client cannot be had."""
