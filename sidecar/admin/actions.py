"""What the admin port can change while the process runs: breakers held, faults injected, readiness withdrawn.

Everything but a drain ends by itself. Each action, and each end, is one line in the log, with the peer's address and
never with anything it sent; each is counted.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, Final, NamedTuple

from sidecar.admin import bodies
from sidecar.admin.entries import date
from sidecar.admin.guard import Guard
from sidecar.admin.parts import breaker_now, fault_now
from sidecar.clock import WALL, Clock
from sidecar.policy.breaker import Breaker
from sidecar.policy.fault import Fault
from sidecar.policy.route import Route

_log = logging.getLogger("sidecar.admin")

BREAKER: Final = "breaker"
FAULT: Final = "fault"
DRAIN: Final = "drain"
RELOAD: Final = "reload"

Told = tuple[int, dict[str, Any]]
"""Status and document of an answer."""


class Asked(NamedTuple):
    """One request for an action, without its body.

    action: breaker, fault, drain, reload. method: POST, or DELETE to lift. route: as it stands in the path, "" for
    none. peer: its address. The rest: its header fields, "" where absent; `origin` may be absent as such.
    """

    action: str
    method: str
    route: str
    peer: str
    host: str
    origin: str | None
    authorization: str
    content_type: str


class Conflict(Exception):
    """The route is not made for it."""


class Actions:
    """Of one process. Called on the loop.

    clock: the one breakers and faults run on. drain: called to withdraw readiness. reload: reads the configuration
    anew, and says what came of it. note: called with kind, subject, sentence and fields of what was done and of what
    ended by itself; it goes to the journal.
    """

    def __init__(
        self,
        *,
        routes: Iterable[Route],
        guard: Guard,
        drain: Callable[[], None],
        clock: Clock,
        rng: Random,
        wall: Clock = WALL,
        reload: Callable[[], Awaitable[Told]] | None = None,
        note: Callable[..., object] = lambda *_, **__: None,
    ) -> None:
        self._reload = reload
        self._note = note
        self._routes = {route.name: route for route in routes}
        self._guard = guard
        self._drain = drain
        self._clock = clock
        self._rng = rng
        self._wall = wall
        self._held: set[str] = set()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._perform: Mapping[tuple[str, str], Callable[[Asked, bytes], Told]] = {
            (BREAKER, "POST"): self._hold,
            (BREAKER, "DELETE"): self._release,
            (FAULT, "POST"): self._inject,
            (FAULT, "DELETE"): self._lift,
            (DRAIN, "POST"): self._drained,
        }

    def follow(self, routes: Iterable[Route], guard: Guard) -> None:
        """Other routes, and who may change them, from now on."""
        self._routes = {route.name: route for route in routes}
        self._guard = guard
        self._held = {name for name in self._held if name in self._routes and self._routes[name].breaker is not None}

    def counts(self) -> Iterator[tuple[Sequence[str], float]]:
        """How many were asked for, by action and result: ok, invalid (not as it must be asked for), denied."""
        yield from self._counts.items()

    def refused(self, asked: Asked) -> Told | None:
        """Why it is not to be done, whatever its body says; None if it may be."""
        refusal = self._guard.refuses(host=asked.host, origin=asked.origin, authorization=asked.authorization)
        if refusal is not None:
            self._counts[asked.action, "denied"] += 1
            _log.info("%s asked for an action (%s) and was refused: %d", asked.peer, asked.action, refusal.status)
            return refusal.status, {"error": refusal.sentence}
        if asked.method == "POST" and asked.content_type != "application/json":
            return self._invalid(asked, 415, "Content-Type must be application/json")
        return None

    def perform(self, asked: Asked, body: bytes) -> Told:
        """Does it, or says what is wrong with it."""
        if asked.route and asked.route not in self._routes:
            return self._invalid(asked, 404, "no route has this name")
        try:
            told = self._perform[asked.action, asked.method](asked, body)
        except bodies.Invalid as error:
            return self._invalid(asked, 400, str(error))
        except Conflict as error:
            return self._invalid(asked, 409, str(error))
        self._counts[asked.action, "ok"] += 1
        return told

    async def reload(self, asked: Asked, body: bytes) -> Told:
        """Has the configuration read anew: 200 and what changed, or 422 and what is wrong with it."""
        if self._reload is None:
            return self._invalid(asked, 501, "there is no configuration to read again")
        try:
            bodies.nothing(body)
        except bodies.Invalid as error:
            return self._invalid(asked, 400, str(error))
        self._say(f"{asked.peer} asks for a reload", RELOAD, by=asked.peer)
        told = await self._reload()
        self._counts[asked.action, "ok" if told[0] == 200 else "invalid"] += 1
        return told

    def tick(self) -> None:
        """Clears away what is over."""
        for route in self._routes.values():
            if route.fault is not None and not route.fault.left:
                route.fault = None
                self._say(f"fault on {route.name} is over", FAULT, route.name, done="expired")
        for name in [name for name in self._held if self._breaker(self._routes[name]).forced() is None]:
            self._held.discard(name)
            self._say(f"breaker of {name} is no longer held", BREAKER, name, done="expired")

    def _invalid(self, asked: Asked, status: int, sentence: str) -> Told:
        self._counts[asked.action, "invalid"] += 1
        return status, {"error": sentence}

    # Breakers.

    def _hold(self, asked: Asked, body: bytes) -> Told:
        hold = bodies.hold(body)
        if hold.state == "auto":
            return self._release(asked, b"")
        route = self._routes[asked.route]
        breaker = self._breaker(route)
        if breaker.dry_run and hold.state == "open":
            raise Conflict(f"the breaker of {route.name} runs dry (breaker.dry_run): it refuses nothing")
        breaker.force(hold.state, hold.seconds)
        self._held.add(route.name)
        text = f"{asked.peer} holds the breaker of {route.name} {hold.state} for {hold.seconds:g} s"
        told = {"by": asked.peer, "state": hold.state, "seconds": hold.seconds}
        self._say(text, BREAKER, route.name, done="forced", until=date(self._wall() + hold.seconds), **told)
        return self._about_breaker(route, breaker)

    def _release(self, asked: Asked, _: bytes) -> Told:
        route = self._routes[asked.route]
        breaker = self._breaker(route)
        breaker.release()
        self._held -= {name for name, other in self._routes.items() if other.breaker is breaker}
        text = f"{asked.peer} releases the breaker of {route.name}"
        self._say(text, BREAKER, route.name, done="lifted", by=asked.peer, state="auto")
        return self._about_breaker(route, breaker)

    @staticmethod
    def _breaker(route: Route) -> Breaker:
        if route.breaker is None:
            raise Conflict(f"route {route.name} has no breaker (breaker.enabled: false): there is nothing to hold")
        return route.breaker

    def _about_breaker(self, route: Route, breaker: Breaker) -> Told:
        others = [name for name, other in self._routes.items() if other.breaker is breaker and other is not route]
        shown = breaker_now(breaker, self._clock(), self._wall())
        return 200, {"route": route.name, "breaker": shown, "shared_with": others}

    # Faults.

    def _inject(self, asked: Asked, body: bytes) -> Told:
        wanted = bodies.injection(body)
        route = self._routes[asked.route]
        route.fault = Fault(
            abort=wanted.abort,
            delay=wanted.delay,
            reset=wanted.reset,
            ratio=wanted.ratio,
            until=self._clock() + wanted.seconds,
            clock=self._clock,
            rng=self._rng,
        )
        shown = fault_now(route.fault, self._wall())
        text = f"{asked.peer} injects a fault into {route.name} for {wanted.seconds:g} s"
        told = {"by": asked.peer, "seconds": wanted.seconds, "fault": shown}
        self._say(text, FAULT, route.name, done="fault", until=date(self._wall() + wanted.seconds), **told)
        return 200, {"route": route.name, "fault": shown}

    def _lift(self, asked: Asked, _: bytes) -> Told:
        route = self._routes[asked.route]
        route.fault = None
        self._say(f"{asked.peer} lifts the fault on {route.name}", FAULT, route.name, done="lifted", by=asked.peer)
        return 200, {"route": route.name, "fault": None}

    # The process.

    def _drained(self, asked: Asked, body: bytes) -> Told:
        bodies.nothing(body)
        self._drain()
        self._say(f"{asked.peer} asks for a drain: not ready any more, still serving", DRAIN, by=asked.peer)
        return 200, {"draining": True}

    def _say(self, text: str, action: str, route: str = "", *, done: str = "", **more: Any) -> None:
        """One line in the log, one entry in the journal. `done`: forced, lifted, fault, expired; "": no entry."""
        fields = {"event": "admin", "action": action, **({"route": route} if route else {}), **more}
        _log.warning("%s", text, extra={"fields": fields})
        if done:
            self._note("action", route, text, action=done, what=action, route=route, **more)
