"""New connections to one address: name resolution, TCP and TLS within one timeout."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from sidecar.clock import Clock
from sidecar.tasks import spawn
from sidecar.wire.errors import ConnectFailure, ConnectTimeout, DnsFailure, TlsFailure
from sidecar.wire.options import give_up_on_silence
from sidecar.wire.renewal import Resuming
from sidecar.wire.tls import failure

P = TypeVar("P", bound=asyncio.BaseProtocol)
Address = tuple[int, int, int, str, tuple[Any, ...]]
"""One answer of getaddrinfo: family, type, protocol, canonical name, socket address."""
Resolve = Callable[[str, int], Awaitable[list[Address]]]
"""Looks up a host and port. Raises OSError (as `socket.gaierror` is) where there is no answer."""

_STAGGER: Final = 0.25
"""Seconds that an address has to itself before the next one is tried as well (RFC 8305 section 5)."""
_RESOLVE_AGAIN: Final = 1.0
"""Seconds between two resolutions at least, however many connections fail."""
_FAREWELL: Final = 2.0
"""Seconds that a closing TLS connection waits for the peer's own farewell."""
_UNROUTABLE: Final = dict.fromkeys((errno.ENETUNREACH, errno.EHOSTUNREACH), "destination_ip_unroutable")


async def system_resolve(host: str, port: int) -> list[Address]:
    """Asks the system's resolver, in a thread of the loop."""
    return list(await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM))


class Names:
    """What a name resolves to, kept fresh without anybody waiting for it.

    After `refresh` seconds, or a second after a connection failed, the next use starts a resolution in the
    background and still gets the last good answer. That answer stays until there is a better one: a name
    server that is down must not take down what works. Only the first use waits. IP literals are never looked
    up.
    """

    __slots__ = (
        "_addresses",
        "_clock",
        "_failed",
        "_host",
        "_port",
        "_refresh",
        "_resolve",
        "_task",
        "_turn",
        "_when",
    )

    def __init__(self, *, host: str, port: int, refresh: float, clock: Clock, resolve: Resolve) -> None:
        self._host = host
        self._port = port
        self._clock = clock
        self._resolve = resolve
        self._addresses = _literal(host, port)
        self._refresh = float("inf") if self._addresses else refresh
        self._when = clock()
        self._failed = False
        self._task: asyncio.Task[str] | None = None
        self._turn = 0

    async def addresses(self) -> list[Address]:
        """The addresses to try, in order; the first one is another each time.

        Raises:
            DnsFailure: the name has never resolved, and does not now.
        """
        if not self._addresses:
            # Shielded: the answer is everybody's, whoever asked first may have run out of time.
            if problem := await asyncio.shield(self._resolution()):
                raise DnsFailure(problem)
        elif self._is_due():
            _ = self._resolution()
        self._turn += 1
        return in_turn(self._addresses, self._turn)

    def doubt(self) -> None:
        """A connection to these addresses failed: the name may have moved."""
        self._failed = self._refresh != float("inf")

    def _is_due(self) -> bool:
        age = self._clock() - self._when
        return age >= self._refresh or (self._failed and age >= _RESOLVE_AGAIN)

    def _resolution(self) -> asyncio.Task[str]:
        if self._task is None:
            self._task = spawn(self._look_up(), name=f"resolve {self._host}")
        return self._task

    async def _look_up(self) -> str:
        """Returns what went wrong, or nothing: raised errors would be one object shared by all who wait."""
        try:
            found = await self._resolve(self._host, self._port)
        except (OSError, UnicodeError) as error:  # the latter for labels that no name can have
            return f"the name does not resolve ({getattr(error, 'strerror', None) or 'not a host name'})"
        finally:
            self._task = None
            self._when = self._clock()
            self._failed = False
        self._addresses = list(dict.fromkeys(found)) or self._addresses
        return "" if self._addresses else "the name has no addresses"


class Dialer:
    """Makes connections to `host`:`port`.

    `tls`: a context of tls.py, or one of renewal.py that resumes sessions, or None for plain TCP. `server_name`: sent
    as SNI and checked against the certificate; by default the host. `connect_timeout`: seconds for name resolution,
    TCP and TLS together. `refresh`: seconds that an answer of the resolver is good for. Of several addresses the next
    one is tried after 250 ms, or as soon as the one before has failed.
    """

    __slots__ = ("_connect_timeout", "_nameable", "_names", "_server_name", "_tls")

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        server_name: str | None = None,
        connect_timeout: float,
        clock: Clock,
        refresh: float = 30.0,
        resolve: Resolve = system_resolve,
    ) -> None:
        self._names = Names(host=host, port=port, refresh=refresh, clock=clock, resolve=resolve)
        self._tls = tls
        self._server_name = server_name or host
        self._connect_timeout = connect_timeout
        # Found out here: the loops do not agree on who closes the socket when a handshake finds it out.
        self._nameable = tls is None or _is_nameable(tls, self._server_name)

    async def dial(self, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        """A new connection, ready for the first byte, its protocol made by `factory`.

        Cancelled, it leaves no socket behind (after its handshake, for no longer than the peer's farewell takes).

        Raises:
            DnsFailure: the name does not resolve.
            ConnectFailure: no address accepted the connection.
            ConnectTimeout: `connect_timeout` passed; the detail says in which stage.
            TlsFailure: the handshake failed; the detail says why.
        """
        if not self._nameable:
            raise TlsFailure("the server name is not a host name")
        stage = "name resolution"
        try:
            async with asyncio.timeout(self._connect_timeout):
                addresses = await self._names.addresses()
                stage = "TCP"
                sock = await self._connect(addresses)
                stage = "TLS"
                return await self._establish(factory(), sock)
        except TimeoutError:
            self._names.doubt()
            error = "dns_timeout" if stage == "name resolution" else ""
            raise ConnectTimeout(f"no connection within {self._connect_timeout:g} s ({stage})", error=error) from None

    async def _connect(self, addresses: list[Address]) -> socket.socket:
        try:
            if len(addresses) == 1:
                sock = await _connect_one(addresses[0])
            else:
                sock = await self._race(addresses)
        except TimeoutError:  # the kernel's own, or ours: dial() tells the caller
            raise
        except (OSError, RuntimeError) as error:  # uvloop raises the latter for some unusable addresses
            self._names.doubt()
            raise ConnectFailure(_why(error), error=_UNROUTABLE.get(getattr(error, "errno", 0), "")) from None
        give_up_on_silence(sock)
        return sock

    async def _race(self, addresses: list[Address]) -> socket.socket:
        from aiohappyeyeballs import start_connection  # noqa: PLC0415 - most names have one address

        # All of them get their chance within the timeout, however short it is.
        stagger = min(_STAGGER, self._connect_timeout / (len(addresses) + 1))
        return await start_connection(addresses, happy_eyeballs_delay=stagger, interleave=1)

    async def _establish(self, protocol: P, sock: socket.socket) -> tuple[asyncio.Transport, P]:
        """Gives the socket to the loop, which from then on is the one to close it, whatever happens.

        A handshake that is cancelled in its last moment ends with a farewell, during which the loop still reads: to
        close the socket under it would give its number to another connection.
        """
        loop = asyncio.get_running_loop()
        if self._tls is None:
            return await loop.create_connection(lambda: protocol, sock=sock)
        try:
            return await loop.create_connection(
                lambda: protocol,
                sock=sock,
                ssl=self._tls,
                server_hostname=self._server_name,
                ssl_handshake_timeout=2 * self._connect_timeout,  # ours comes first
                ssl_shutdown_timeout=_FAREWELL,
            )
        except TimeoutError:
            raise
        except ssl.SSLError as error:
            if isinstance(self._tls, Resuming):
                self._tls.forget()
            raise failure(error, self._server_name) from None
        except OSError:
            raise TlsFailure("the peer closed the connection during the handshake") from None


async def _connect_one(address: Address) -> socket.socket:
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(0)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def in_turn(addresses: list[Address], turn: int) -> list[Address]:
    """Rotates the addresses within each family: which family goes first is the resolver's word (RFC 6724)."""
    if len(addresses) == 1:
        return addresses
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    ordered: list[Address] = []
    for group in families.values():
        first = turn % len(group)
        ordered += group[first:] + group[:first]
    return ordered


def _is_nameable(context: ssl.SSLContext, server_name: str) -> bool:
    try:
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=server_name)
    except ValueError:  # empty, with a leading dot or a label that is too long
        return False
    return True


def _literal(host: str, port: int) -> list[Address]:
    numeric = socket.AI_NUMERICHOST  # asks nobody
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=numeric))
    except (OSError, UnicodeError):
        return []


def _why(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else "no address could be reached"
