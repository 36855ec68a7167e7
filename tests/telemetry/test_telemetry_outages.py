"""Laws of outages: each is an error once, those that belong together in one, and none is forgotten."""

from sidecar.telemetry.outages import Outages


class World:
    """Virtual time, and breakers that are open until they are not."""

    def __init__(self) -> None:
        self.now = 0.0
        self.given: dict[str, int] = {}
        self.outages = Outages(
            after=600.0, clock=lambda: self.now, broken=lambda route: True, answers=lambda route: dict(self.given)
        )

    def run(self, until: float) -> list[tuple[float, list[str]]]:
        """When it was late for whom, looked at every ten seconds."""
        told = []
        while self.now < until:
            self.now += 10.0
            if late := self.outages.late():
                told.append((self.now, list(late)))
        return told


def test_routes_that_open_one_after_another_are_one_error() -> None:
    """Those that are nearly as late are told with the first."""
    world = World()
    for number in range(6):
        world.outages.opened(f"r{number}")
        world.now += 10.0
    assert world.run(7200.0) == [(600.0, [f"r{number}" for number in range(6)])]


def test_however_many_open_at_whatever_time_errors_are_few() -> None:
    """A route every ten seconds for ten minutes, none closed for half an hour."""
    world = World()
    for number in range(60):
        world.outages.opened(f"r{number}")
        world.now += 10.0
    told = world.run(1800.0)
    assert len(told) <= 5
    assert [name for _, names in told for name in names] == [f"r{number}" for number in range(60)]


def test_one_that_opens_again_in_half_open_is_the_same() -> None:
    """Its time and its counts are from the first opening."""
    world = World()
    world.given = {"ok": 5}
    world.outages.opened("r")
    world.now = 100.0
    world.given = {"ok": 5, "refused": 7}
    world.outages.opened("r")
    world.now = 150.0
    assert world.outages.closed("r") == (150.0, {"refused": 7})
    assert world.outages.closed("r") is None
