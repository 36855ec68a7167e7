"""What is kept of answers for later, and what is found of it when they fail to come."""

from typing import Protocol, cast

from sidecar.policy.fallback import LastKnownGood
from sidecar.policy.freshness import accepts, lifetime
from sidecar.policy.last_known_good import Store, Stored, cleaned, confirms, question, storable
from sidecar.policy.route import Route
from sidecar.proxy.commands import Keep, Recall
from sidecar.wire.message import Header, RequestHead, ResponseHead


class Memory(Protocol):
    """What is shared by all that ask."""

    store: Store

    def wall(self) -> float:
        """Unix time."""
        ...


class Asked(Protocol):
    """A request, as far as an answer to it may depend on it: an exchange, on sockets or simulated."""

    head: RequestHead
    route: Route | None

    @property
    def gateway(self) -> Memory:
        """Where it was asked."""
        ...


class Answered(Protocol):
    """An attempt that brought an answer. `body`: None where not all of it was collected."""

    status: int
    head: ResponseHead
    body: bytes | None


def recall(exchange: Asked, command: Recall) -> Stored | None:
    """Looks for a last known good answer that operator, origin and caller all take for young enough."""
    rung = command.rung
    asked = _question(exchange, rung)
    gateway = exchange.gateway
    stored = None if asked is None else gateway.store.get(asked)
    if stored is None:
        return None
    age = gateway.wall() - stored.stored_at
    if age > min(rung.max_age, stored.usable_for):
        return None
    return stored if accepts(exchange.head.headers, age=age, fresh_for=stored.fresh_for) else None


def keep(exchange: Asked, command: Keep) -> None:
    """Takes note of an answer to GET: a new last known good one, or a word about the one that is kept."""
    attempt = cast("Answered", command.outcome)
    rung = command.rung
    asked = _question(exchange, rung)
    if asked is None:
        return
    if attempt.status == 200:
        _put(exchange, rung, asked, attempt)
    elif attempt.status == 304:
        _confirm(exchange, rung, asked, attempt.head.headers)
    else:  # it is gone, or no longer for this caller to see
        exchange.gateway.store.forget(asked)


def _put(exchange: Asked, rung: LastKnownGood, asked: bytes, attempt: Answered) -> None:
    answer = attempt.head.headers
    if attempt.body is None or _forbidden(exchange, rung, answer):
        return
    now = exchange.gateway.wall()
    age, fresh_for, usable_for = lifetime(answer, rung.overrule, now)
    if usable_for > age:
        _store(
            exchange,
            asked,
            Stored(attempt.status, cleaned(answer), attempt.body, now - age, fresh_for, usable_for),
        )


def _confirm(exchange: Asked, rung: LastKnownGood, asked: bytes, answer: list[Header]) -> None:
    """The answer that the caller has still holds (RFC 9111 section 4.3.4): so does the kept one, if it is the same.

    Without this, who polls with `If-None-Match` would have nothing young enough to fall back on.
    """
    stored = exchange.gateway.store.get(asked)
    if stored is None or not confirms(answer, stored) or _forbidden(exchange, rung, answer):
        return
    now = exchange.gateway.wall()
    age, fresh_for, usable_for = lifetime(answer, rung.overrule, now)
    if not any(low in {b"cache-control", b"expires"} for low, _, _ in answer):
        fresh_for, usable_for = stored.fresh_for, stored.usable_for
    _store(exchange, asked, stored._replace(stored_at=now - age, fresh_for=fresh_for, usable_for=usable_for))


def _forbidden(exchange: Asked, rung: LastKnownGood, answer: list[Header]) -> str:
    return storable(_lines(exchange, rung), answer, declared_identity=rung.identity, overruled=rung.overrule)


def _store(exchange: Asked, asked: bytes, stored: Stored) -> None:
    exchange.gateway.store.put(asked, stored)
    assert exchange.route is not None
    exchange.route.observer.kept(stored.stored_at)


def _question(exchange: Asked, rung: LastKnownGood) -> bytes | None:
    head = exchange.head
    if head.length:
        return None  # what its body asks is not in the key
    assert exchange.route is not None
    name = exchange.route.name
    return question(name, head.method, head.host, head.path, head.query, _lines(exchange, rung), rung.identity)


def _lines(exchange: Asked, rung: LastKnownGood) -> list[Header]:
    """The caller's header lines that the answer may depend on."""
    lines = exchange.head.headers
    return [line for line in lines if line[0] not in rung.unseen] if rung.unseen else lines
