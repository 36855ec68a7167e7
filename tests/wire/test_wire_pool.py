"""Laws of a pool: never too many connections, everybody who waits is told once and in turn, nothing is left behind."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from wire_fakes import Exchange, FakeTransport, HandClock

from sidecar import tasks
from sidecar.wire.client import ClientConnection
from sidecar.wire.dial import Dialer
from sidecar.wire.errors import ConnectFailure, UpstreamError
from sidecar.wire.pool import Pool

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class FakeDialer:
    """Dials that end when a test says so, oldest first unless told otherwise."""

    def __init__(self) -> None:
        self.dials: list[tuple[asyncio.Future[None], ClientConnection]] = []
        self.count = 0

    async def dial(self, factory: Callable[[], ClientConnection]) -> tuple[FakeTransport, ClientConnection]:
        """As a Dialer's."""
        self.count += 1
        done = asyncio.get_running_loop().create_future()
        connection = factory()
        dial = (done, connection)
        self.dials.append(dial)
        try:
            await done
        finally:
            self.dials.remove(dial)
        return cast("FakeTransport", connection._transport), connection

    async def succeed(self, *, closed: bool = False) -> ClientConnection:
        """The oldest dial gets its connection. `closed`: which the peer closes at once."""
        done, connection = self.dials[0]
        transport = FakeTransport(connection)
        if closed:
            transport.end()
            transport.lose()
        done.set_result(None)
        await settle()
        return connection

    async def fail(self, error: BaseException) -> None:
        """The oldest dial fails."""
        self.dials[0][0].set_exception(error)
        await settle()


async def settle() -> None:
    """Lets every task go as far as it can."""
    for _ in range(4):
        await asyncio.sleep(0)


class Lessee(Exchange):
    """Asks for a connection, sends on it, remembers."""

    def __init__(self, pool: Pool, on_failure: "Callable[[Lessee], None] | None" = None) -> None:
        super().__init__()
        self.leased_from = pool
        self.failures: list[UpstreamError] = []
        self.leases: list[ClientConnection] = []
        self.on_failure = on_failure

    def ask(self) -> "Lessee":
        """Waits, or has one at once."""
        connection = self.leased_from.lease(self)
        if connection is not None:
            self.connected(connection)
        return self

    def connected(self, connection: ClientConnection) -> None:
        """Sends a request."""
        assert not connection.closed
        assert not self.ends
        self.leases.append(connection)
        self.connection = connection
        connection.send(self, b"GET", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", whole=True)

    def connect_failed(self, error: UpstreamError) -> None:
        """Is told."""
        assert not self.ends
        self.failures.append(error)
        self.told.append("failed")
        if self.on_failure is not None:
            self.on_failure(self)

    def answered(self) -> None:
        """The upstream answers it."""
        transport(self.connection).receive(PLAIN)


def transport(connection: ClientConnection) -> FakeTransport:
    """What it runs on."""
    return cast("FakeTransport", connection._transport)


class World:
    """A pool and what it needs."""

    def __init__(self, **set_: Any) -> None:
        self.clock = HandClock()
        self.dialer = FakeDialer()
        limits: dict[str, Any] = {"connections": 3, "idle": 2, "idle_timeout": 30.0, "max_age": 600.0}
        self.pool = Pool(name="u", dialer=cast("Dialer", self.dialer), clock=self.clock, **limits | set_)

    async def ask(self, count: int = 1) -> list[Lessee]:
        """So many ask, in turn."""
        lessees = [Lessee(self.pool).ask() for _ in range(count)]
        await settle()
        return lessees

    def sweep(self, seconds: float) -> None:
        """Time passes, and is noticed."""
        self.clock.now += seconds
        self.pool.sweep(self.clock.now)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Idle, active, dialling, waiting."""
        pool = self.pool
        return pool.idle, pool.active, pool.dialing, pool.waiting


def error_of(lessee: Lessee) -> UpstreamError:
    """Why it got none."""
    assert len(lessee.failures) == 1
    return lessee.failures[0]


async def test_a_connection_is_made_once_and_used_again() -> None:
    """The first request dials; the next one gets the idle connection at once, in the same turn of the loop."""
    world = World()
    (first,) = await world.ask()
    connection = await world.dialer.succeed()
    assert first.leases == [connection]
    assert world.counts == (0, 1, 0, 0)
    first.answered()
    assert world.counts == (1, 0, 0, 0)
    second = Lessee(world.pool).ask()
    assert second.leases == [connection]
    assert world.dialer.count == 1


async def test_the_most_recently_used_connection_goes_first() -> None:
    """So that the others grow old and are closed."""
    world = World()
    lessees = await world.ask(2)
    for _ in lessees:
        await world.dialer.succeed()
    for lessee in lessees:
        lessee.answered()
    assert Lessee(world.pool).ask().leases == [lessees[1].connection]


async def test_the_cap_holds_and_waiters_are_served_in_turn() -> None:
    """Ten ask, three connections: dialled for the first three, handed over to who has waited longest."""
    world = World()
    lessees = await world.ask(10)
    assert world.counts == (0, 0, 3, 10)
    for _ in range(3):
        await world.dialer.succeed()
    for index in range(10):
        assert [bool(lessee.leases) for lessee in lessees].count(True) == min(10, 3 + index)
        assert lessees[index].leases
        lessees[index].answered()
    assert world.dialer.count == 3
    assert world.counts == (2, 0, 0, 0)


async def test_a_lost_connection_makes_room() -> None:
    """Who waits at the cap gets a dial of its own as soon as a connection is gone."""
    world = World(connections=1)
    first, second = await world.ask(2)
    await world.dialer.succeed()
    transport(first.connection).lose()
    await settle()
    assert first.ends == ["failed"]
    assert world.counts == (0, 0, 1, 1)
    await world.dialer.succeed()
    assert second.leases


async def test_an_abandoned_connection_makes_room_at_once() -> None:
    """It counts no more, although the loop has yet to close it, and is not forgotten twice."""
    world = World(connections=1)
    first, second = await world.ask(2)
    await world.dialer.succeed()
    first.abandon()
    await settle()
    assert world.counts == (0, 0, 1, 1)
    transport(first.connection).lose()
    await world.dialer.succeed()
    assert second.leases
    assert world.counts == (0, 1, 0, 0)


@pytest.mark.parametrize("how", ["eof", "lost", "bytes"])
async def test_an_idle_connection_that_ended_is_not_handed_out(how: str) -> None:
    """Not even in the turn of the loop in which its end came."""
    world = World()
    (first,) = await world.ask()
    await world.dialer.succeed()
    first.answered()
    wire = transport(first.connection)
    if how == "eof":
        wire.end()
    elif how == "lost":
        wire.lose()
    else:
        wire.receive(b"HTTP/1.1 408 X\r\n\r\n")
    second = Lessee(world.pool).ask()
    assert not second.leases
    await settle()
    assert world.counts == (0, 0, 1, 1)


async def test_one_failed_dial_fails_one_waiter() -> None:
    """The one that has waited longest; the others keep their dials."""
    world = World()
    lessees = await world.ask(5)
    await world.dialer.fail(ConnectFailure("refused"))
    assert [len(lessee.failures) for lessee in lessees] == [1, 0, 0, 0, 0]
    assert world.counts == (0, 0, 3, 4)


async def test_a_failure_storm_ends() -> None:
    """Five hundred wait, a hundred may dial, all fail: each waiter hears of one failure, and nothing is left."""
    world = World(connections=100)
    before = tasks.running()
    lessees = await world.ask(500)
    assert len(world.dialer.dials) == 100
    while world.dialer.dials:
        assert world.pool.dialing <= 100
        await world.dialer.fail(ConnectFailure("refused"))
    assert [len(lessee.failures) for lessee in lessees] == [1] * 500
    assert world.counts == (0, 0, 0, 0)
    assert world.dialer.count == 500
    assert tasks.running() == before


async def test_who_asks_again_when_it_failed_is_served() -> None:
    """Also within the call that told it."""
    world = World(connections=1)

    def again(lessee: Lessee) -> None:
        lessee.told.clear()
        lessee.ask()

    lessee = Lessee(world.pool, again).ask()
    await settle()
    await world.dialer.fail(ConnectFailure("refused"))
    assert world.counts == (0, 0, 1, 1)
    await world.dialer.succeed()
    assert lessee.leases


async def test_a_connection_that_closes_before_its_first_request_is_a_failure() -> None:
    """Whoever waited for it must not wait on, and the next one gets a dial."""
    world = World(connections=1)
    first, second = await world.ask(2)
    await world.dialer.succeed(closed=True)
    assert isinstance(error_of(first), ConnectFailure)
    assert world.counts == (0, 0, 1, 1)
    await world.dialer.succeed()
    assert second.leases


async def test_a_defect_in_dialling_strands_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The waiter is told, the next one gets a dial, the defect is logged."""
    world = World(connections=1)
    first, second = await world.ask(2)
    await world.dialer.fail(ZeroDivisionError())
    assert isinstance(error_of(first), ConnectFailure)
    await world.dialer.succeed()
    assert second.leases
    assert "ZeroDivisionError" in caplog.text


async def test_a_defect_in_a_lessee_leaves_no_connection_behind(caplog: pytest.LogCaptureFixture) -> None:
    """What it was given in a task of the pool is closed."""
    world = World()

    class Broken(Lessee):
        def connected(self, connection: ClientConnection) -> None:
            raise ZeroDivisionError

    Broken(world.pool).ask()
    await settle()
    connection = await world.dialer.succeed()
    assert connection.closed
    assert world.counts == (0, 0, 0, 0)
    assert "ZeroDivisionError" in caplog.text


async def test_who_left_is_not_told_and_its_dial_serves_another() -> None:
    """Cancelled, a waiter hears nothing; the connection made for it goes to who waits, or waits itself."""
    world = World()
    first, second = await world.ask(2)
    world.pool.cancel(first)
    world.pool.cancel(first)
    await world.dialer.succeed()
    assert not first.leases
    assert second.leases
    await world.dialer.succeed()
    assert world.counts == (1, 1, 0, 0)
    assert world.pool.idle == 1


async def test_a_failed_dial_that_nobody_waits_for_is_nobodys() -> None:
    """Its waiter left; the next one dials anew."""
    world = World()
    (first,) = await world.ask()
    world.pool.cancel(first)
    await world.dialer.fail(ConnectFailure("refused"))
    assert first.told == []
    assert world.counts == (0, 0, 0, 0)


async def test_no_more_are_kept_than_may_be_idle() -> None:
    """The others are closed when their exchanges end."""
    world = World(idle=1)
    lessees = await world.ask(3)
    for _ in lessees:
        await world.dialer.succeed()
    for lessee in lessees:
        lessee.answered()
    assert world.counts == (1, 0, 0, 0)
    assert [lessee.connection.closed for lessee in lessees] == [False, True, True]


async def test_what_is_idle_too_long_is_closed() -> None:
    """Not before `idle_timeout` after its last exchange, and at the second sweep after it at the latest."""
    world = World()
    (lessee,) = await world.ask()
    await world.dialer.succeed()
    lessee.answered()
    world.sweep(0.5)
    world.sweep(29.5)
    assert world.pool.idle == 1
    again = Lessee(world.pool).ask()
    again.answered()
    world.sweep(0.5)
    world.sweep(29.9)
    assert world.pool.idle == 1
    world.sweep(0.2)
    assert world.counts == (0, 0, 0, 0)
    assert lessee.connection.closed


async def test_what_is_too_old_is_closed_even_if_it_is_never_idle() -> None:
    """Who waits gets a new connection instead of the old one: or a name that moved would be followed by nobody."""
    world = World(connections=1)
    first, second = await world.ask(2)
    await world.dialer.succeed()
    world.sweep(600)
    assert not first.connection.closed
    first.answered()
    assert first.ends == ["end"]
    assert first.connection.closed
    assert not second.leases
    await settle()
    await world.dialer.succeed()
    assert second.leases
    second.answered()
    world.sweep(599)
    assert world.pool.idle == 1
    world.sweep(1)
    assert world.counts == (0, 0, 0, 0)


async def test_dropping_idle_connections_leaves_the_busy_ones() -> None:
    """A dead one tells of a restart, not of what is answering right now."""
    world = World()
    first, second = await world.ask(2)
    await world.dialer.succeed()
    await world.dialer.succeed()
    first.answered()
    world.pool.drop_idle()
    assert world.counts == (0, 1, 0, 0)
    second.answered()
    assert second.ends == ["whole"]


async def test_a_closed_pool_keeps_nothing() -> None:
    """Exchanges under way end in their own time, also those that still wait."""
    world = World(connections=1)
    first, second = await world.ask(2)
    await world.dialer.succeed()
    world.pool.close()
    first.answered()
    assert second.leases
    second.answered()
    assert second.ends == ["whole"]
    assert world.counts == (0, 0, 0, 0)
    assert world.pool.closed


async def test_heads_are_known_to_all_connections() -> None:
    """What two have parsed, the others need not parse."""
    world = World()
    lessees = await world.ask(3)
    for _ in lessees:
        await world.dialer.succeed()
    for lessee in lessees:
        lessee.answered()
    assert [lessee.ends for lessee in lessees] == [["whole"]] * 3
    head = lessees[2].head
    assert head is not None
    assert head.kin is not None
    assert repr(world.pool) == "<Pool u idle=2 active=0 dialing=0 waiting=0>"


def on_loop(method: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs a rule on the machine's own loop."""

    @functools.wraps(method)
    def run(self: "PoolMachine", **drawn: Any) -> None:
        self.loop.run_until_complete(method(self, **drawn))

    # Hypothesis reads the arguments of what it calls.
    run.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
    return run


class PoolMachine(RuleBasedStateMachine):
    """Anything in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.world = World()
        self.lessees: list[Lessee] = []
        self.cancelled: list[Lessee] = []

    def teardown(self) -> None:
        """Whatever happened, when all dials and exchanges end, everybody has heard one end, and nothing is left."""

        async def end() -> None:
            for lessee in self.busy:
                lessee.abandon()
            await settle()
            while self.world.dialer.dials:
                await self.world.dialer.fail(ConnectFailure("over"))

        self.loop.run_until_complete(end())
        self.loop.close()
        assert all(len(lessee.ends) == 1 for lessee in self.lessees)
        assert self.world.counts[1:] == (0, 0, 0)

    @property
    def busy(self) -> list[Lessee]:
        """Those whose exchange is under way."""
        return [lessee for lessee in self.lessees if lessee.leases and not lessee.ends]

    @rule()
    @on_loop
    async def ask(self) -> None:
        """Somebody asks."""
        self.lessees += await self.world.ask()

    @rule(index=st.integers(0, 9))
    @on_loop
    async def cancel(self, index: int) -> None:
        """Somebody who waits leaves."""
        waiting = [lessee for lessee in self.lessees if not lessee.told and not lessee.leases]
        if index < len(waiting):
            self.world.pool.cancel(waiting[index])
            waiting[index].told.append("abandoned")
            self.cancelled.append(waiting[index])

    @precondition(lambda self: self.world.dialer.dials)
    @rule(closed=st.booleans())
    @on_loop
    async def succeed(self, *, closed: bool) -> None:
        """A dial succeeds."""
        await self.world.dialer.succeed(closed=closed)

    @precondition(lambda self: self.world.dialer.dials)
    @rule()
    @on_loop
    async def fail(self) -> None:
        """A dial fails."""
        await self.world.dialer.fail(ConnectFailure("refused"))

    @rule(index=st.integers(0, 2), how=st.sampled_from(["answer", "close", "eof", "lost", "abandon", "extra"]))
    @on_loop
    async def end(self, index: int, how: str) -> None:
        """An exchange ends somehow."""
        if index >= len(self.busy):
            return
        lessee = self.busy[index]
        wire = transport(lessee.connection)
        if how == "answer":
            wire.receive(PLAIN)
        elif how == "extra":
            wire.receive(PLAIN + b"x")
        elif how == "close":
            wire.receive(PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        elif how == "eof":
            wire.end()
        elif how == "lost":
            wire.lose(ConnectionResetError())
        else:
            lessee.abandon()
        assert lessee.ends
        await settle()

    @rule(how=st.sampled_from(["eof", "lost", "drop", "bytes"]))
    @on_loop
    async def disturb(self, how: str) -> None:
        """Something happens to an idle connection."""
        idle = self.world.pool._idle
        if how == "drop":
            self.world.pool.drop_idle()
        elif idle:
            wire = transport(idle[0])
            {"eof": wire.end, "lost": wire.lose, "bytes": lambda: wire.receive(b"x")}[how]()
        await settle()

    @rule(seconds=st.sampled_from([0.5, 20.0, 400.0]))
    @on_loop
    async def sweep(self, seconds: float) -> None:
        """Time passes."""
        self.world.sweep(seconds)
        await settle()

    @invariant()
    def the_cap_holds(self) -> None:
        """Open and dialling ones together."""
        pool = self.world.pool
        assert pool.idle + pool.active + pool.dialing <= 3
        assert pool.idle <= 2
        assert pool.dialing == len(self.world.dialer.dials)

    @invariant()
    def nobody_waits_beside_an_idle_connection(self) -> None:
        """And there are as many dials as are needed and allowed."""
        pool = self.world.pool
        assert not (pool.waiting and pool.idle)
        assert pool.dialing >= min(pool.waiting, 3 - pool.active - pool.idle)

    @invariant()
    def the_longest_waiting_are_served_first(self) -> None:
        """Whoever still waits asked after everybody who has been told something."""
        told = [bool(lessee.told or lessee.leases) for lessee in self.lessees if lessee not in self.cancelled]
        assert told == sorted(told, reverse=True)

    @invariant()
    def active_connections_are_those_of_exchanges(self) -> None:
        """No connection is lost to the count, none is closed and kept."""
        pool = self.world.pool
        busy = [lessee.connection for lessee in self.busy]
        assert len(busy) == len(set(busy)) == pool.active
        assert not any(connection.closed for connection in pool._open)
        assert set(pool._idle) <= pool._open


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
