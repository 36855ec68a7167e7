"""Virtual time: order, repeatable chance, timers that do not strike."""

from sidecar.simulation.world import World


def test_things_happen_in_the_order_of_their_times_and_then_of_their_planning() -> None:
    """And each sees the time it was planned for; what is planned for the past happens next."""
    world = World()
    seen: list[tuple[str, float]] = []
    world.at(2.0, lambda: seen.append(("late", world.now)))
    world.at(1.0, lambda: seen.append(("first", world.now)))
    world.at(1.0, lambda: world.at(0.5, lambda: seen.append(("past", world.now))))
    world.run()
    assert seen == [("first", 1.0), ("past", 1.0), ("late", 2.0)]


def test_what_is_cancelled_does_not_happen_and_is_not_pending() -> None:
    """A timer strikes once, or never."""
    world = World()
    seen: list[int] = []
    kept, dropped = world.after(1.0, lambda: seen.append(1)), world.after(1.0, lambda: seen.append(2))
    dropped.cancel()
    assert (world.pending, kept.pending, dropped.pending) == (1, True, False)
    world.run()
    kept.strike()
    assert seen == [1]
    assert world.pending == 0


def test_time_goes_as_far_as_was_said_and_no_further() -> None:
    """What is due later waits; after a stall what was due is late."""
    world = World()
    seen: list[float] = []
    for when in (1.0, 3.0):
        world.at(when, lambda: seen.append(world.now))
    world.run(2.0)
    assert (world.now, seen) == (2.0, [1.0])
    world.stall(5.0)
    assert seen == [1.0, 7.0]


def test_chance_depends_on_the_seed_and_on_what_it_is_for() -> None:
    """So that more draws for one purpose leave the others as they were."""

    def draws(seed: int, purpose: str) -> list[float]:
        rng = World(seed).rng(purpose)
        return [rng.random() for _ in range(3)]

    assert draws(1, "a") == draws(1, "a")
    assert draws(1, "a") != draws(1, "b")
    assert draws(1, "a") != draws(2, "a")
