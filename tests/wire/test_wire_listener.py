"""Laws of listeners, on real sockets and the loop that serves: what a caller sees of how a connection ends."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
import uvloop
from wire_fakes import Answerer, HandClock, Sink

from sidecar.wire.listener import Listener
from sidecar.wire.options import IDLE
from sidecar.wire.server import LINGER
from sidecar.wire.shared import Server

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture
def run() -> Iterator[Callable[..., None]]:
    """Runs a coroutine on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner.run


class Place:
    """A listener on loopback, and its callers."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.server = listener.server
        self.clients: list[Client] = []

    def client(self) -> "Client":
        """One more caller."""
        self.clients.append(Client(self.listener))
        return self.clients[-1]


@asynccontextmanager
async def listening(
    answerer: Answerer, *, clock: HandClock | None = None, reuse_port: bool = False
) -> AsyncIterator[Place]:
    """A place whose callers and connections have ended afterwards."""
    server = Server(responder=answerer, clock=clock or HandClock())
    place = Place(await Listener.bind(server, "127.0.0.1", 0, reuse_port=reuse_port))
    try:
        yield place
    finally:
        place.listener.close()
        for connection in list(server.connections):
            connection.abort()
        for client in place.clients:
            client.socket.close()
        await until(lambda: not server.connections)
        assert not server.leaving


async def until(law: Callable[[], object]) -> None:
    """Waits for what the loop still has to do."""
    async with asyncio.timeout(10):
        while not law():  # noqa: ASYNC110 - nobody tells what a law waits for
            await asyncio.sleep(0.001)


class Client:
    """A caller with a plain socket."""

    def __init__(self, listener: Listener) -> None:
        self.socket = socket.create_connection((listener.host, listener.port), timeout=10)
        self.socket.setblocking(False)  # noqa: FBT003 - socket's own signature

    async def send(self, data: bytes) -> None:
        """All of it."""
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def read(self, count: int = 65536) -> bytes:
        """What comes next; nothing at the end."""
        async with asyncio.timeout(10):
            return await asyncio.get_running_loop().sock_recv(self.socket, count)

    async def read_all(self) -> bytes:
        """Until the end."""
        data = b""
        while piece := await self.read():
            data += piece
        return data

    def reset(self) -> None:
        """Leaves without a word."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def test_a_port_is_bound_once(run: Callable[..., None]) -> None:
    """The port is the real one, and a second listener on it says why not."""

    async def law() -> None:
        async with listening(Answerer()) as place:
            assert place.listener.port
            with pytest.raises(OSError, match="in use"):
                await Listener.bind(place.server, "127.0.0.1", place.listener.port)

    run(law())


def test_small_answers_are_not_delayed(run: Callable[..., None]) -> None:
    """TCP_NODELAY is set on what is accepted."""
    options = []

    def note(sink: Sink) -> None:
        raw = sink.connection._transport.get_extra_info("socket")
        options.append(raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        sink.answer()

    async def law() -> None:
        async with listening(Answerer(accept=note)) as place:
            client = place.client()
            await client.send(GET)
            assert (await client.read()).endswith(b"/a")

    run(law())
    assert options == [1]


def test_a_caller_that_vanishes_is_noticed(run: Callable[..., None]) -> None:
    """The kernel asks whether it is there: the options of the listening socket are those of what it accepts."""
    options = []

    def note(sink: Sink) -> None:
        raw = sink.connection._transport.get_extra_info("socket")
        options.append(raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        options.append(raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE))
        sink.answer()

    async def law() -> None:
        async with listening(Answerer(accept=note)) as place:
            client = place.client()
            await client.send(GET)
            assert (await client.read()).endswith(b"/a")

    run(law())
    assert options == [1, IDLE]


def test_closing_leaves_what_is_being_answered(run: Callable[..., None]) -> None:
    """Idle connections end, new ones are refused, the others get their answers."""
    answerer = Answerer()

    async def law() -> None:
        async with listening(answerer) as place:
            idle, busy = place.client(), place.client()
            await busy.send(GET)
            await until(lambda: len(place.server.connections) == 2 and answerer.sinks)
            place.listener.close()
            assert await idle.read() == b""
            with pytest.raises(ConnectionRefusedError):
                place.client()
            answerer.last.answer()
            assert (await busy.read()).endswith(b"/a")

    run(law())


def test_a_refused_caller_can_read_why(run: Callable[..., None]) -> None:
    """Though it goes on sending: a reset would take the answer from it. When it does not stop, it is cut off."""
    clock = HandClock()
    answerer = Answerer()

    async def law() -> None:
        async with listening(answerer, clock=clock) as place:
            client = place.client()
            await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n")
            for _ in range(20):
                await client.send(b"x" * 50_000)
            assert (await client.read_all()).startswith(b"HTTP/1.1 413")
            clock.now += LINGER
            place.server.sweep(clock.now)
            await until(lambda: not place.server.connections)

    run(law())


def test_a_broken_answer_is_a_reset(run: Callable[..., None]) -> None:
    """What has no length can't be taken for whole: the caller gets an error, not an end."""
    answerer = Answerer(accept=lambda sink: sink.connection.write(b"HTTP/1.0 200 OK\r\n\r\nhalf"))

    async def law() -> None:
        async with listening(answerer) as place:
            client = place.client()
            await client.send(GET)
            assert (await client.read()).endswith(b"half")
            answerer.last.answered = True
            answerer.last.connection.abort()
            with pytest.raises(ConnectionResetError):
                await client.read()

    run(law())


@pytest.mark.parametrize("how", ["close", "shutdown", "reset"])
def test_a_caller_that_leaves_is_noticed(run: Callable[..., None], how: str) -> None:
    """While it waits for its answer, at once."""
    answerer = Answerer()

    async def law() -> None:
        async with listening(answerer) as place:
            client = place.client()
            await client.send(GET)
            await until(lambda: answerer.sinks)
            if how == "reset":
                client.reset()
            elif how == "close":
                client.socket.close()
            else:
                client.socket.shutdown(socket.SHUT_WR)
            await until(lambda: "gone" in answerer.last.told)
            await until(lambda: not place.server.connections)

    run(law())


def test_a_caller_that_does_not_read_is_noticed_leaving(run: Callable[..., None]) -> None:
    """Its end of file comes while megabytes wait for it: no close can flush them."""
    answerer = Answerer(accept=lambda sink: sink.connection.write(b"x" * 20_000_000))

    async def law() -> None:
        async with listening(answerer) as place:
            client = place.client()
            await client.send(GET)
            await until(lambda: answerer.sinks and "full" in answerer.last.told)
            client.socket.shutdown(socket.SHUT_WR)
            await until(lambda: "gone" in answerer.last.told)
            await until(lambda: not place.server.connections)

    run(law())


def test_pipelined_requests_are_answered_in_order(run: Callable[..., None]) -> None:
    """Thousands at once, on a caller that reads: turns, pauses and full buffers included."""

    def answer(sink: Sink) -> None:
        sink.answer(b"%b\n" % sink.head.target)

    async def law() -> None:
        async with listening(Answerer(accept=answer)) as place:
            client = place.client()
            count = 5000
            sending = asyncio.ensure_future(  # noqa: TID251 - a test's own task, awaited below
                client.send(b"".join(GET.replace(b"/a", b"/%d" % number) for number in range(count)))
            )
            data = b""
            while data.count(b"\n") < count:
                data += await client.read()
            await sending
            assert data == b"".join(b"/%d\n" % number for number in range(count))

    run(law())


def test_a_listener_that_retires_takes_who_waits_and_lets_nobody_down(run: Callable[..., None]) -> None:
    """Whom the kernel has let in is served; a connection ends with the answer to its next request, which says so."""

    async def law() -> None:
        async with listening(Answerer(accept=lambda sink: sink.answer())) as place:
            known = place.client()
            await known.send(GET)
            assert await known.read()
            assert [connection.keeps_alive for connection in place.server.connections] == [True]
            waiting = [place.client() for _ in range(20)]  # the loop has had no turn to accept them
            await place.listener.retire()
            with pytest.raises(ConnectionRefusedError):
                place.client()
            for client in (known, *waiting):
                await client.send(GET)
            for client in (known, *waiting):
                assert (await client.read_all()).endswith(b"/a")

    run(law())


def test_connections_of_another_listener_stay(run: Callable[..., None]) -> None:
    """They share everything but the address they came in at."""

    async def law() -> None:
        async with listening(Answerer(accept=lambda sink: sink.answer())) as place:
            other = await Listener.bind(place.server, "127.0.0.1", 0)
            client = place.client()
            await client.send(GET)
            assert await client.read()
            await other.retire()
            for _ in range(2):
                await client.send(GET)
                assert (await client.read()).endswith(b"/a")

    run(law())


@pytest.mark.parametrize("leaving", [0, 1])
def test_of_two_that_share_an_address_either_may_leave(run: Callable[..., None], leaving: int) -> None:
    """Who came before is served by whom the kernel chose, who comes after by the one that stays; nobody is reset."""

    async def law() -> None:
        async with listening(Answerer(accept=lambda sink: sink.answer()), reuse_port=True) as first:
            server = Server(responder=Answerer(accept=lambda sink: sink.answer()), clock=HandClock())
            second = await Listener.bind(server, "127.0.0.1", first.listener.port, reuse_port=True)
            both = [first.listener, second]
            clients = [first.client() for _ in range(40)]  # the loop has had no turn to accept them
            handing = asyncio.get_running_loop().create_task(both[leaving].hand_over())
            while not handing.done():
                clients.append(first.client())
                await asyncio.sleep(0.005)
            assert await handing
            count = both[1 - leaving].arrivals.count
            late = [first.client() for _ in range(20)]
            for client in (*clients, *late):
                await client.send(GET)
                assert (await client.read()).endswith(b"/a")
            assert both[1 - leaving].arrivals.count - count >= len(late)
            assert not await both[1 - leaving].hand_over()
            second.close()
            for connection in list(server.connections):
                connection.abort()

    run(law())


def test_nobody_hands_over_to_nobody(run: Callable[..., None]) -> None:
    """Who is alone at its address, or shares it with none, stays."""

    async def law() -> None:
        for reuse_port in (False, True):
            async with listening(Answerer(accept=lambda sink: sink.answer()), reuse_port=reuse_port) as place:
                assert not await place.listener.hand_over()
                client = place.client()
                await client.send(GET)
                assert (await client.read()).endswith(b"/a")

    run(law())


def test_an_adopted_socket_is_not_ours_to_end(run: Callable[..., None]) -> None:
    """Who waits in it when one listener goes is served by the next."""

    async def law() -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            server = Server(responder=Answerer(accept=lambda sink: sink.answer()), clock=HandClock())
            old = await Listener.adopt(server, sock)
            place = Place(old)
            waiting = [place.client() for _ in range(10)]
            assert await old.hand_over()
            late = [place.client() for _ in range(10)]
            new = await Listener.adopt(server, sock)
            for client in (*waiting, *late):
                await client.send(GET)
                assert b"/a" in await client.read()
            new.close()
            for connection in list(server.connections):
                connection.abort()
            for client in place.clients:
                client.socket.close()

    run(law())
