"""What all simulated requests share."""

from collections.abc import Callable, Mapping

from sidecar.policy.endpoints import Endpoint
from sidecar.policy.last_known_good import Store
from sidecar.policy.route import Route
from sidecar.policy.router import Router
from sidecar.simulation.attempt import VirtualAttempt
from sidecar.simulation.exchange import Exchange, Request
from sidecar.simulation.server import Server
from sidecar.simulation.world import World

Finished = Callable[[Exchange], None]


class Gateway:
    """The sidecar in a world: takes requests, and reaches servers.

    `router`, and all policies behind it, must be made with the world's clock. `servers`: what stands behind each
    endpoint.
    """

    __slots__ = ("_servers", "attempts", "router", "store", "under_way", "world")

    def __init__(self, world: World, router: Router[Route], store: Store, servers: Mapping[Endpoint, Server]) -> None:
        self.world = world
        self.router = router
        self.store = store
        self._servers = servers
        self.under_way: dict[Exchange, Finished] = {}
        """Requests that have not ended, oldest first."""
        self.attempts: list[float] = []
        """When each was made."""

    def wall(self) -> float:
        """Unix time."""
        return self.world.wall()

    def accept(self, request: Request, finished: Finished) -> Exchange:
        """A request comes. `finished` is called once, when it has ended, however it did."""
        exchange = Exchange(self, request)
        self.under_way[exchange] = finished
        exchange.resume()
        return exchange

    def reach(self, attempt: VirtualAttempt) -> None:
        """An attempt goes out."""
        self.attempts.append(self.world.now)
        self._servers[attempt.command.endpoint].take(attempt)

    def finished(self, exchange: Exchange) -> None:
        """An exchange has ended."""
        self.under_way.pop(exchange)(exchange)
