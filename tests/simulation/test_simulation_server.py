"""The model of an endpoint: capacity, and each thing that can be wrong with it."""

import pytest

from sidecar.simulation.server import WELL, Condition, Response, Server
from sidecar.simulation.world import World
from sidecar.wire.message import RequestHead


class Client:
    """Notes what became of one request, and when."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.request = RequestHead()
        self.end: tuple[str, float] | None = None

    def answered(self, response: Response) -> None:
        self.end = str(response.status), self.world.now

    def refused(self) -> None:
        self.end = "refused", self.world.now

    def broken(self) -> None:
        self.end = "broken", self.world.now


def asked(server: Server, world: World, count: int) -> list[Client]:
    """So many clients at once."""
    clients = [Client(world) for _ in range(count)]
    for client in clients:
        server.take(client)
    return clients


def ends(clients: list[Client]) -> list[str]:
    """What each was told."""
    return ["" if client.end is None else client.end[0] for client in clients]


def test_it_does_as_many_at_once_as_it_has_workers() -> None:
    """A hundred requests at two workers take fifty times as long as two; nobody is forgotten."""
    world = World()
    few, many = Server(world, workers=2), Server(world, workers=2)
    world.run()
    begun = world.now
    assert ends(asked(few, world, 2)) == ["", ""]
    world.run()
    short, begun = world.now - begun, world.now
    clients = asked(many, world, 100)
    world.run()
    assert ends(clients) == ["200"] * 100
    assert 25 * 0.04 < world.now - begun < 100 * 0.1
    assert short < 0.3


def test_beyond_its_backlog_it_refuses() -> None:
    """One is worked on and three wait: the fifth is refused at once."""
    world = World()
    server = Server(world, workers=1, backlog=3)
    clients = asked(server, world, 5)
    world.run()
    assert ends(clients) == ["200"] * 4 + ["refused"]


@pytest.mark.parametrize(
    ("condition", "end", "well"),
    [
        (Condition(refuses=True), "refused", False),
        (Condition(fails=1.0), "503", False),
        (Condition(fails=1.0, status=500), "500", False),
        (Condition(resets=1.0), "broken", True),
        (WELL, "200", True),
    ],
)
def test_what_is_wrong_shows(condition: Condition, end: str, well: bool) -> None:  # noqa: FBT001 - a column
    """In the answer, and in what a health check would find."""
    world = World()
    server = Server(world)
    server.become(condition)
    clients = asked(server, world, 3)
    world.run()
    assert ends(clients) == [end] * 3
    assert server.well == well


def test_what_hangs_is_worked_through_when_it_is_over() -> None:
    """Also for those that left long ago: it does not know."""
    world = World()
    server = Server(world, workers=1)
    server.become(Condition(hangs=True))
    clients = asked(server, world, 3)
    world.run()
    assert (ends(clients), server.waiting) == ([""] * 3, 3)
    server.become(WELL)
    world.run()
    assert ends(clients) == ["200"] * 3


def test_slower_takes_workers_and_added_does_not() -> None:
    """The same second more for each of four: one after the other, or at once."""

    def seconds(condition: Condition) -> float:
        world = World()
        server = Server(world, workers=1, median=0.01)
        server.become(condition)
        asked(server, world, 4)
        world.run()
        return world.now

    assert seconds(Condition(added=1.0)) < 1.5
    assert seconds(Condition(slower=100.0)) > 2.0


def test_a_share_of_its_workers_is_a_share_of_what_it_does() -> None:
    """Half of them, twice as long."""

    def seconds(share: float) -> float:
        world = World()
        server = Server(world, workers=8)
        server.become(Condition(workers=share))
        asked(server, world, 400)
        world.run()
        return world.now

    assert 1.7 < seconds(0.5) / seconds(1.0) < 2.3
