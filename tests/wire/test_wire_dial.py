"""Laws of new connections: every failure has its name, names stay usable, nothing is left behind."""

import asyncio
import functools
import inspect
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from wire_peers import AUTHORITY, Ear, full_backlog, listening, refusing, server_context

from sidecar import tasks
from sidecar.wire.dial import Address, Dialer, Resolve, in_turn
from sidecar.wire.errors import ConnectFailure, ConnectTimeout, DnsFailure, TlsFailure, UpstreamError
from sidecar.wire.options import UNACKNOWLEDGED
from sidecar.wire.tls import client_context

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs a test on each: they open, cancel and close sockets in ways of their own."""

    def run(*args: object, loop: str, **kwargs: object) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(test(*args, **kwargs))

    own = inspect.Parameter("loop", inspect.Parameter.KEYWORD_ONLY)
    signature = inspect.signature(test)
    functools.update_wrapper(run, test)
    del run.__dict__["__wrapped__"]
    parameters = [*signature.parameters.values(), own]
    run.__dict__["__signature__"] = signature.replace(parameters=parameters, return_annotation=None)
    return pytest.mark.parametrize("loop", LOOPS)(run)


class Clock:
    """Time that stands until it is told to pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def address(host: str, port: int) -> Address:
    """What a resolver says of an address."""
    if ":" in host:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (host, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))


class Resolver:
    """Gives its answers one after another, the last one for ever; counts the questions."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[Address]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, Exception):
            raise answer
        return [address(host, port) for host in answer]


def dialer(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
    connect_timeout: float = 5.0,
    clock: Clock | None = None,
    resolve: Resolve | None = None,
) -> Dialer:
    """A dialer of which a test says only what it is about."""
    return Dialer(
        host=host,
        port=port,
        tls=tls,
        server_name=server_name,
        connect_timeout=connect_timeout,
        clock=clock or Clock(),
        resolve=resolve or Resolver(AssertionError("nobody was to be asked")),
    )


def sockets() -> int:
    """How many the process has open. Not all files: uvloop opens /dev/null, too, and keeps it."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists the others
            count += str(descriptor.readlink()).startswith("socket:")
    return count


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop turn until something is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - sockets set no event when the kernel lets them go
            await asyncio.sleep(0)


@asynccontextmanager
async def leaving_nothing() -> AsyncIterator[None]:
    """What is opened inside is closed soon after."""
    before = sockets()
    yield
    await until(lambda: sockets() <= before)


async def failure(work: Awaitable[object]) -> UpstreamError:
    """How it fails."""
    with pytest.raises(UpstreamError) as caught:
        await work
    return caught.value


async def peer_of(dialer: Dialer) -> str:
    """Where a connection goes; it is closed again."""
    transport, protocol = await dialer.dial(Ear)
    assert isinstance(protocol, Ear)
    host: str = transport.get_extra_info("peername")[0]
    transport.abort()
    return host


@pytest.fixture
def trusting(tmp_path: Path) -> ssl.SSLContext:
    """A client context for the test's own authority."""
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return client_context(ca=str(path))


@pytest.fixture
def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


@pytest.fixture
def blackhole() -> Iterator[int]:
    """A port where connections are never made."""
    crowd = full_backlog()
    yield crowd[0].getsockname()[1]
    for sock in crowd:
        sock.close()


# Connections.


@on_both_loops
async def test_a_literal_address_is_never_looked_up() -> None:
    """No resolver, however often and late."""
    clock = Clock()
    async with listening() as port:
        to = dialer(port=port, clock=clock)
        for _ in range(2):
            assert await peer_of(to) == "127.0.0.1"
            clock.now += 1e9


@on_both_loops
async def test_an_ipv6_literal() -> None:
    """Of the other family, the same."""
    async with listening(host="::1") as port:
        assert await peer_of(dialer("::1", port)) == "::1"


@on_both_loops
async def test_small_writes_are_not_held_back() -> None:
    """TCP_NODELAY is set on every connection."""
    async with listening() as port:
        transport, _ = await dialer(port=port).dial(Ear)
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        transport.abort()


@pytest.mark.parametrize("hosts", [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]])
@pytest.mark.parametrize("encrypted", [False, True])
@on_both_loops
async def test_a_peer_that_vanishes_is_noticed(trusting: ssl.SSLContext, hosts: list[str], *, encrypted: bool) -> None:
    """By probes while it is idle, by bytes that nobody acknowledges otherwise; under TLS and after a race as well."""
    context = server_context("a.example") if encrypted else None
    async with listening(context, host="0.0.0.0") as port:
        to = dialer("a.example", port, tls=trusting if encrypted else None, resolve=Resolver(hosts))
        transport, _ = await to.dial(Ear)
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNACKNOWLEDGED
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        transport.abort()


@on_both_loops
async def test_the_protocol_is_the_factory_s() -> None:
    """It is made once, and connected when the dial returns."""

    class Peer(asyncio.Protocol):
        transport: asyncio.BaseTransport | None = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

    made: list[Peer] = []

    def factory() -> Peer:
        made.append(Peer())
        return made[-1]

    async with listening() as port:
        transport, protocol = await dialer(port=port).dial(factory)
        assert made == [protocol]
        assert protocol.transport is transport
        transport.abort()


@on_both_loops
async def test_a_refused_connection(closed_port: int) -> None:
    """It is told at once, with the kernel's word for it."""
    async with leaving_nothing():
        error = await failure(dialer(port=closed_port).dial(Ear))
        assert isinstance(error, ConnectFailure)
        assert error.detail == "connection refused"


@on_both_loops
async def test_a_connection_that_is_never_made(blackhole: int) -> None:
    """connect_timeout ends the wait for TCP."""
    async with leaving_nothing():
        error = await failure(dialer(port=blackhole, connect_timeout=0.05).dial(Ear))
        assert isinstance(error, ConnectTimeout)
        assert error.detail == "no connection within 0.05 s (TCP)"


@on_both_loops
async def test_a_handshake_that_is_never_answered(trusting: ssl.SSLContext) -> None:
    """connect_timeout ends the wait for TLS as well: a connection that cannot be used is none."""
    async with leaving_nothing(), listening() as port:
        error = await failure(dialer(port=port, tls=trusting, connect_timeout=0.05).dial(Ear))
        assert isinstance(error, ConnectTimeout)
        assert error.detail == "no connection within 0.05 s (TLS)"


@on_both_loops
async def test_a_name_that_is_never_answered() -> None:
    """connect_timeout ends the wait for the resolver as well; its question stays under way for the next."""
    answer: asyncio.Future[list[Address]] = asyncio.get_running_loop().create_future()
    asked = 0

    async def resolve(host: str, port: int) -> list[Address]:
        nonlocal asked
        asked += 1
        return await answer

    async with listening() as port:
        to = dialer("a.example", port, connect_timeout=0.05, resolve=resolve)
        error = await failure(to.dial(Ear))
        assert isinstance(error, ConnectTimeout)
        assert error.detail == "no connection within 0.05 s (name resolution)"
        answer.set_result([address("127.0.0.1", port)])
        assert await peer_of(to) == "127.0.0.1"
        assert asked == 1


# Names.


@on_both_loops
async def test_a_name_that_does_not_resolve() -> None:
    """It is told by its own name, and asked again by the next connection."""
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    async with listening() as port:
        to = dialer("a.example", port, resolve=Resolver(unknown, ["127.0.0.1"]))
        error = await failure(to.dial(Ear))
        assert isinstance(error, DnsFailure)
        assert error.detail == "the name does not resolve (Name or service not known)"
        assert await peer_of(to) == "127.0.0.1"


@on_both_loops
async def test_a_name_without_addresses() -> None:
    """An empty answer is no answer."""
    error = await failure(dialer("a.example", 1, resolve=Resolver([])).dial(Ear))
    assert isinstance(error, DnsFailure)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", "nowhere.invalid"])
@on_both_loops
async def test_names_that_the_system_refuses(host: str) -> None:
    """Whatever the system's resolver makes of a name, it is a DnsFailure."""
    to = Dialer(host=host, port=1, tls=None, connect_timeout=5.0, clock=Clock())
    assert isinstance(await failure(to.dial(Ear)), DnsFailure)


@on_both_loops
async def test_the_system_knows_localhost() -> None:
    """The resolver that is used unless another is given."""
    async with listening() as port:
        to = Dialer(host="localhost", port=port, tls=None, connect_timeout=5.0, clock=Clock())
        assert await peer_of(to) == "127.0.0.1"


@on_both_loops
async def test_everybody_waits_for_one_answer() -> None:
    """Connections that are made at the same time ask once; each failure is an object of its own."""
    resolver = Resolver(socket.gaierror(socket.EAI_AGAIN, "try again"), ["127.0.0.1"])
    async with listening() as port:
        to = dialer("a.example", port, resolve=resolver)
        errors = await asyncio.gather(*(failure(to.dial(Ear)) for _ in range(3)))
        assert len(set(map(id, errors))) == 3
        await asyncio.gather(*(peer_of(to) for _ in range(3)))
        assert resolver.asked == 2


@on_both_loops
async def test_a_name_is_resolved_again_in_the_background() -> None:
    """After `refresh` the next connection asks, and goes where the last one went; later ones go elsewhere."""
    clock = Clock()
    resolver = Resolver(["127.0.0.1"], ["127.0.0.2"])
    async with listening(host="0.0.0.0") as port:
        to = dialer("a.example", port, clock=clock, resolve=resolver)
        assert await peer_of(to) == "127.0.0.1"
        clock.now += 29.9
        assert await peer_of(to) == "127.0.0.1"
        assert resolver.asked == 1
        clock.now += 0.2
        assert await peer_of(to) == "127.0.0.1"
        await until(lambda: tasks.running() == 0)
        assert await peer_of(to) == "127.0.0.2"
        assert resolver.asked == 2


@on_both_loops
async def test_the_last_good_answer_is_kept() -> None:
    """A name server that fails, or suddenly knows nothing, takes down nothing that works."""
    clock = Clock()
    resolver = Resolver(["127.0.0.1"], socket.gaierror(socket.EAI_AGAIN, "try again"), [], ["127.0.0.2"])
    seen = []
    async with listening(host="0.0.0.0") as port:
        to = dialer("a.example", port, clock=clock, resolve=resolver)
        for _ in range(5):
            seen.append(await peer_of(to))
            await until(lambda: tasks.running() == 0)
            clock.now += 31
    assert seen == ["127.0.0.1"] * 4 + ["127.0.0.2"]


@on_both_loops
async def test_a_slow_name_server_is_asked_one_question() -> None:
    """While one is under way, due or not, there is no other."""
    clock = Clock()
    answers: list[asyncio.Future[list[Address]]] = []

    async def resolve(host: str, port: int) -> list[Address]:
        answers.append(asyncio.get_running_loop().create_future())
        return await answers[-1]

    async with listening() as port:
        to = dialer("a.example", port, clock=clock, resolve=resolve)
        first = asyncio.gather(peer_of(to))
        await until(lambda: bool(answers))
        answers[0].set_result([address("127.0.0.1", port)])
        await first
        clock.now += 31
        for _ in range(3):
            await peer_of(to)
        assert len(answers) == 2
        answers[1].set_result([])
        await until(lambda: tasks.running() == 0)


@on_both_loops
async def test_a_failed_connection_asks_again_soon(closed_port: int) -> None:
    """The name may have moved: after a second, not after `refresh`, and not with each failure."""
    clock = Clock()
    resolver = Resolver(["127.0.0.1"])
    to = dialer("a.example", closed_port, clock=clock, resolve=resolver)
    for passed, asked in [(0.0, 1), (0.9, 1), (0.2, 2), (0.9, 2), (0.2, 3)]:
        clock.now += passed
        await failure(to.dial(Ear))
        await until(lambda: tasks.running() == 0)
        assert resolver.asked == asked


@on_both_loops
async def test_addresses_take_turns() -> None:
    """Each is first as often as any other; one that is named twice counts once."""
    resolver = Resolver(["127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.3"])
    async with listening(host="0.0.0.0") as port:
        to = dialer("a.example", port, resolve=resolver)
        seen = [await peer_of(to) for _ in range(6)]
    assert sorted(seen[:3]) == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert seen[3:] == seen[:3]


@given(st.lists(st.sampled_from(["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1", "::2"]), min_size=1, unique=True))
def test_turns_keep_the_resolver_s_order_of_families(hosts: list[str]) -> None:
    """Which family goes first is its word (RFC 6724); within a family each address leads in its turn."""
    found = [address(host, 1) for host in hosts]
    families = list(dict.fromkeys(entry[0] for entry in found))
    leaders: dict[int, set[Address]] = {family: set() for family in families}
    for turn in range(60):
        ordered = in_turn(found, turn)
        assert sorted(map(str, ordered)) == sorted(map(str, found))
        assert list(dict.fromkeys(entry[0] for entry in ordered)) == families
        for family in families:
            leaders[family].add(next(entry for entry in ordered if entry[0] == family))
    assert all(len(led) == sum(entry[0] == family for entry in found) for family, led in leaders.items())


@on_both_loops
async def test_an_address_that_refuses_gives_way() -> None:
    """The next one is tried at once, whoever's turn it is."""
    async with leaving_nothing(), listening(host="127.0.0.2") as port:
        to = dialer("a.example", port, resolve=Resolver(["127.0.0.1", "127.0.0.2", "127.0.0.3"]))
        assert [await peer_of(to) for _ in range(3)] == ["127.0.0.2"] * 3


@on_both_loops
async def test_a_dead_family_gives_way() -> None:
    """A dual-stack name works where one of its families does not (RFC 8305)."""
    async with leaving_nothing(), listening() as port:
        to = dialer("a.example", port, resolve=Resolver(["::1", "127.0.0.1"]))
        assert await peer_of(to) == "127.0.0.1"


@on_both_loops
async def test_an_address_that_is_silent_gives_way(blackhole: int) -> None:
    """The next one is tried before the timeout, however short that is, and the silent one let go."""
    async with leaving_nothing(), listening(host="127.0.0.2", port=blackhole):
        resolver = Resolver(["127.0.0.1", "127.0.0.2"])
        to = dialer("a.example", blackhole, resolve=resolver, connect_timeout=0.2)
        assert [await peer_of(to) for _ in range(2)] == ["127.0.0.2"] * 2


@on_both_loops
async def test_a_silent_family_gives_way() -> None:
    """A dual-stack name whose IPv6 leads into nothing costs a quarter of a second at most (RFC 8305 section 5)."""
    crowd = full_backlog("::1")
    port = crowd[0].getsockname()[1]
    try:
        async with leaving_nothing(), listening(port=port):
            to = dialer("a.example", port, resolve=Resolver(["::1", "127.0.0.1"]), connect_timeout=5.0)
            async with asyncio.timeout(2.0):
                assert await peer_of(to) == "127.0.0.1"
    finally:
        for sock in crowd:
            sock.close()


@on_both_loops
async def test_no_address_lets_us_in(closed_port: int, blackhole: int) -> None:
    """All refuse: connect_failure. One is silent, and no other answers: connect_timeout."""
    both = ["127.0.0.1", "127.0.0.2"]
    async with leaving_nothing():
        error = await failure(dialer("a.example", closed_port, resolve=Resolver(both)).dial(Ear))
        assert isinstance(error, ConnectFailure)
        assert error.detail == "connection refused"
        to = dialer("a.example", blackhole, resolve=Resolver(both), connect_timeout=0.1)
        assert isinstance(await failure(to.dial(Ear)), ConnectTimeout)


# TLS.


@on_both_loops
async def test_tls_names_the_server(trusting: ssl.SSLContext) -> None:
    """SNI is the host, or `server_name` where it is set; the certificate is checked for the same."""
    for host, server_name, expected in [
        ("a.example", None, "a.example"),
        ("127.0.0.1", "b.example", "b.example"),
    ]:
        context = server_context(expected)
        named: list[str | None] = []
        context.sni_callback = lambda _, name, __, named=named: named.append(name)
        async with leaving_nothing(), listening(context) as port:
            to = dialer(host, port, tls=trusting, server_name=server_name, resolve=Resolver(["127.0.0.1"]))
            transport, _ = await to.dial(Ear)
            assert named == [expected]
            assert transport.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            transport.abort()


@on_both_loops
async def test_tls_failures_say_why(trusting: ssl.SSLContext) -> None:
    """The certificate of another, an expired one, a peer that speaks no TLS, one that hangs up."""
    for context, detail in [
        (server_context("b.example"), "certificate is not valid for a.example"),
        (server_context("a.example", days=-1), "certificate has expired"),
    ]:
        async with leaving_nothing(), listening(context) as port:
            error = await failure(dialer(port=port, tls=trusting, server_name="a.example").dial(Ear))
            assert isinstance(error, TlsFailure)
            assert error.detail == detail


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the peer does not speak TLS"),
        (b"", "the peer closed the connection during the handshake"),
    ],
)
@on_both_loops
async def test_a_peer_without_tls(trusting: ssl.SSLContext, answer: bytes, detail: str) -> None:
    """One that answers in plain text, and one that hangs up."""

    class Plain(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            plain = cast("asyncio.Transport", transport)  # uvloop's is no subclass
            plain.write(answer)
            plain.close()

    async with leaving_nothing(), listening(protocol=Plain) as port:
        error = await failure(dialer(port=port, tls=trusting).dial(Ear))
        assert isinstance(error, TlsFailure)
        assert error.detail == detail


@on_both_loops
async def test_a_peer_that_refuses_the_handshake(trusting: ssl.SSLContext) -> None:
    """Its alert is told in words."""
    context = server_context("a.example")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    old = ssl.create_default_context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with refusing(context) as port:
        error = await failure(dialer(port=port, tls=old, server_name="a.example").dial(Ear))
    assert isinstance(error, TlsFailure)
    assert error.detail == "no TLS version in common"


@on_both_loops
async def test_a_server_name_that_is_none(trusting: ssl.SSLContext) -> None:
    """A failure of TLS like others, not a crash."""
    async with leaving_nothing(), listening() as port:
        error = await failure(dialer(port=port, tls=trusting, server_name=".a").dial(Ear))
        assert isinstance(error, TlsFailure)


# Cancellation.


async def cancelled(work: Coroutine[Any, Any, tuple[asyncio.Transport, object]], turns: int) -> None:
    """Starts it, lets the loop turn so many times, cancels it."""
    task = tasks.spawn(work, name="to be cancelled")
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        transport, _ = await task  # it was faster
        transport.abort()


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]])
@on_both_loops
async def test_cancelled_while_it_connects(blackhole: int, addresses: list[str]) -> None:
    """No socket is left behind, of one address or of a race."""
    async with leaving_nothing():
        for turns in range(1, 12):
            await cancelled(dialer("a.example", blackhole, resolve=Resolver(addresses)).dial(Ear), turns)


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]])
@pytest.mark.parametrize("encrypted", [False, True])
@on_both_loops
async def test_cancelled_at_any_turn(trusting: ssl.SSLContext, addresses: list[str], *, encrypted: bool) -> None:
    """Wherever the loop stands, between two steps of the dial as well, no socket is left behind."""
    context = server_context("a.example") if encrypted else None
    async with leaving_nothing(), listening(context, host="0.0.0.0") as port:
        before = sockets()
        for turns in [*range(25), *random.Random(7).sample(range(25, 400), 15)]:
            tls = trusting if encrypted else None
            await cancelled(dialer("a.example", port, tls=tls, resolve=Resolver(addresses)).dial(Ear), turns)
        await until(lambda: sockets() <= before)


@on_both_loops
async def test_cancelled_while_it_shakes_hands(trusting: ssl.SSLContext) -> None:
    """The peer accepted and says nothing; the connection is cut."""
    async with listening() as port:
        before = sockets()
        for turns in range(1, 30):
            await cancelled(dialer(port=port, tls=trusting).dial(Ear), turns)
        await until(lambda: sockets() <= before)


@on_both_loops
async def test_cancelled_while_the_name_resolves() -> None:
    """The question goes on, for whoever comes next."""
    release = asyncio.Event()

    async def resolve(host: str, port: int) -> list[Address]:
        await release.wait()
        return [address("127.0.0.1", port)]

    async with listening() as port:
        to = dialer("a.example", port, resolve=resolve)
        await cancelled(to.dial(Ear), 3)
        release.set()
        await until(lambda: tasks.running() == 0)
        assert await peer_of(to) == "127.0.0.1"
