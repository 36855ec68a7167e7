"""Which connection a request gets: none that the peer has ended, where that can be known before it is sent."""

import pytest
from test_wire_pool import PLAIN, Lessee, World, settle, transport

from sidecar.wire.client import ClientConnection
from sidecar.wire.pool import HINT_MARGIN


class Careful(Lessee):
    """Its request must not be lost."""

    def ask(self) -> "Careful":
        connection = self.leased_from.lease_quiet(self)
        if connection is not None:
            self.connected(connection)
        return self


class Burnt(Lessee):
    """It met a dead one."""

    def ask(self) -> "Burnt":
        self.leased_from.lease_new(self)
        return self


async def idle(world: World, count: int) -> list[ClientConnection]:
    """So many connections that have carried an exchange."""
    lessees = await world.ask(count)
    for _ in lessees:
        await world.dialer.succeed()
    for lessee in lessees:
        lessee.answered()
    assert world.pool.idle == count
    return [lessee.connection for lessee in lessees]


def stir(connection: ClientConnection) -> None:
    """The peer ended it, or sent something; the loop has not read it yet."""
    transport(connection).socket.stir()


async def test_a_request_that_must_not_be_lost_gets_a_quiet_connection() -> None:
    """However many of the idle ones have ended in this very turn."""
    world = World(idle=3)
    quiet, *ended = await idle(world, 3)
    for connection in ended:
        stir(connection)
    assert Careful(world.pool).ask().leases == [quiet]
    assert all(connection.closed for connection in ended)
    assert world.counts == (0, 1, 0, 0)


async def test_where_none_is_quiet_a_new_one_is_made() -> None:
    """Nothing is sent on the old ones."""
    world = World(idle=3)
    ended = await idle(world, 3)
    for connection in ended:
        stir(connection)
    lessee = Careful(world.pool).ask()
    await settle()
    assert (lessee.leases, world.counts) == ([], (0, 0, 1, 1))
    new = await world.dialer.succeed()
    assert lessee.leases == [new]
    assert all(connection.exchanges == 1 for connection in ended)


async def test_a_connection_that_is_being_lost_is_not_quiet() -> None:
    """The loop knows of the reset, and tells a turn later; its descriptor may be another's by then."""
    world = World()
    (dying,) = await idle(world, 1)
    transport(dying).aborted = True
    assert not dying.is_quiet()
    assert Careful(world.pool).ask().leases == []


async def test_quiet_is_asked_anew_each_time() -> None:
    """A connection that was quiet once may not be for ever."""
    world = World()
    (connection,) = await idle(world, 1)
    assert connection.is_quiet()
    assert connection.is_quiet()
    stir(connection)
    assert not connection.is_quiet()


async def test_who_waits_is_not_handed_a_connection_that_has_just_ended() -> None:
    """A peer that closes after every answer, without a word: the answer and the end come together."""
    world = World(connections=1)
    (first,) = await world.ask()
    old = await world.dialer.succeed()
    second = Lessee(world.pool).ask()
    stir(old)
    first.answered()
    await settle()
    assert (first.ends, second.leases, old.closed) == (["whole"], [], True)
    new = await world.dialer.succeed()
    assert second.leases == [new]


async def test_who_met_a_dead_one_gets_a_new_one() -> None:
    """Never one that was used before, whose end it could meet again; and who waits behind it keeps its turn."""
    world = World(connections=1)
    (first,) = await world.ask()
    old = await world.dialer.succeed()
    burnt = Burnt(world.pool).ask()
    behind = Lessee(world.pool).ask()
    first.answered()
    await settle()
    assert (burnt.leases, behind.leases, old.closed) == ([], [], True)
    new = await world.dialer.succeed()
    assert burnt.leases == [new]
    burnt.answered()
    assert behind.leases == [new]


async def test_who_met_a_dead_one_has_the_others_closed() -> None:
    """The peer may have restarted."""
    world = World(idle=3)
    others = await idle(world, 3)
    burnt = Burnt(world.pool).ask()
    await settle()
    assert all(connection.closed for connection in others)
    assert burnt.leases == [await world.dialer.succeed()]
    assert world.counts == (0, 1, 0, 0)


async def test_the_defect_of_who_waits_is_not_that_of_who_releases(caplog: pytest.LogCaptureFixture) -> None:
    """The exchange before it ends as it should; the waiter hears that it failed, and its connection is closed."""

    class Broken(Lessee):
        def connected(self, connection: ClientConnection) -> None:
            raise ZeroDivisionError

    world = World(connections=1)
    (first,) = await world.ask()
    await world.dialer.succeed()
    broken = Broken(world.pool).ask()
    transport(first.connection).receive(PLAIN)
    assert first.ends == ["whole"]
    assert broken.ends == ["failed"]
    assert world.counts == (0, 0, 0, 0)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"timeout=5", 5),
        (b"timeout=5, max=100", 5),
        (b"max=100, Timeout = 5", 5),
        (b'timeout="5"', 5),
        (b"timeout=1", 1),
        (b"timeout=0", 0),
        (b"timeout=100000", 30 + HINT_MARGIN),
        (b"max=5", 30 + HINT_MARGIN),
        (b"timeout=", 30 + HINT_MARGIN),
        (b"", 30 + HINT_MARGIN),
    ],
)
async def test_a_peer_may_say_how_long_it_keeps_a_connection(value: bytes, seconds: float) -> None:
    """It is closed before that time comes, however late the sweeps are; our own limit holds where it is shorter."""
    world = World()
    (lessee,) = await world.ask()
    connection = await world.dialer.succeed()
    transport(connection).receive(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: %b\r\n\r\nhi" % value)
    assert lessee.ends
    idle_for = 0.0
    world.sweep(0.499)  # just missed by the sweep before
    while not connection.closed:
        idle_for += 0.5
        world.sweep(0.5)
    # The sweep that noted it was half a second late, and so may the last one be.
    assert max(0, seconds - HINT_MARGIN) <= idle_for <= max(0.5, seconds - HINT_MARGIN)
    assert idle_for + 0.5 < max(seconds, 1.1)
