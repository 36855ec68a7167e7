"""Virtual time, routes that are as ill as a test says, and somebody who reads the messages."""

from collections.abc import Mapping
from typing import Any

from sidecar.telemetry.digest import Digest
from sidecar.telemetry.journal import Journal
from sidecar.telemetry.message import Message

EPOCH = 1_790_000_000.0
"""Unix time when virtual time is 0."""


class FakeRoute:
    """Implements `Watched` as it is told to."""

    def __init__(self, upstream: str = "connect") -> None:
        self.upstream = upstream
        self.broke: bool | None = False
        self.given: dict[str, int] = {}

    def broken(self) -> bool | None:
        """As set."""
        return self.broke

    def failed_closed(self) -> int:
        """As counted."""
        return self.given.get("fail_closed", 0)

    def answers(self) -> Mapping[str, int]:
        """As counted."""
        return dict(self.given)

    def give(self, outcome: str, count: int = 1) -> None:
        """Callers got that."""
        self.given[outcome] = self.given.get(outcome, 0) + count


class People:
    """One receiver, its digest ticked every second of virtual time."""

    def __init__(self, routes: Mapping[str, FakeRoute], **changed: Any) -> None:
        self.now = 0.0
        self.routes = dict(routes)
        self.told: list[tuple[float, Message]] = []
        settings: dict[str, Any] = {
            "on": ("breaker_open", "fail_closed", "config_rejected"),
            "window": 30.0,
            "after": 600.0,
            "subjects": lambda: self.routes,
            "clock": lambda: self.now,
            "wall": lambda: EPOCH + self.now,
        }
        self.digest = Digest(**(settings | changed))
        self.journal = Journal(lambda: EPOCH + self.now)
        self.journal.listen(self.digest.heard)
        self.digest.tick()

    def move(self, route: str, to: str, **fields: Any) -> None:
        """Its breaker moved, and the journal heard of it."""
        self.routes[route].broke = {"open": True, "half_open": None, "closed": False}[to]
        self.journal.add("breaker", route, "it moved", route=route, to=to, **fields)

    def wait(self, seconds: float, tick: float = 1.0) -> list[Message]:
        """What comes meanwhile."""
        before = len(self.told)
        for _ in range(round(seconds / tick)):
            self.now += tick
            if (message := self.digest.tick()) is not None:
                self.told.append((self.now, message))
        return [message for _, message in self.told[before:]]


def routes_of(lines: Any) -> list[str]:
    """The names in a part of a message."""
    return [line.route for line in lines]
