"""What is kept of answers for later, and what is found of it when they fail to come."""

from typing import TYPE_CHECKING, Final

from sidecar.policy.fallback import LastKnownGood
from sidecar.policy.freshness import accepts, lifetime
from sidecar.policy.last_known_good import Stored, cleaned, confirms, question, storable
from sidecar.proxy.attempt import LiveAttempt
from sidecar.proxy.commands import Keep, Recall
from sidecar.wire.message import Header

if TYPE_CHECKING:
    from sidecar.proxy.exchange import Exchange

_ALONE: Final = frozenset(
    (
        b"cache-control",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"pragma",
        b"range",
    )
)


def recall(exchange: "Exchange", command: Recall) -> Stored | None:
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


def keep(exchange: "Exchange", command: Keep) -> bool:
    """Takes note of an answer to GET: a new last known good one, or a word about the one that is kept.

    True if what is kept is now as new as this answer, and nothing in it was for this caller alone.
    """
    attempt = command.outcome
    assert isinstance(attempt, LiveAttempt)
    rung = command.rung
    asked = _question(exchange, rung)
    if asked is None:
        return False
    if attempt.status == 200:
        return _put(exchange, rung, asked, attempt) and attempt.head.get(b"set-cookie") is None
    if attempt.status == 304:
        return _confirm(exchange, rung, asked, attempt.head.headers)
    exchange.gateway.store.forget(asked)  # it is gone, or no longer for this caller to see
    return False


def _put(exchange: "Exchange", rung: LastKnownGood, asked: bytes, attempt: LiveAttempt) -> bool:
    answer = attempt.head.headers
    if attempt.body is None or _forbidden(exchange, rung, answer):
        return False
    now = exchange.gateway.wall()
    age, fresh_for, usable_for = lifetime(answer, rung.overrule, now)
    if usable_for <= age:
        return False
    _store(exchange, asked, Stored(attempt.status, cleaned(answer), attempt.body, now - age, fresh_for, usable_for))
    return True


def _confirm(exchange: "Exchange", rung: LastKnownGood, asked: bytes, answer: list[Header]) -> bool:
    """The answer that the caller has still holds (RFC 9111 section 4.3.4): so does the kept one, if it is the same.

    Without this, who polls with `If-None-Match` would have nothing young enough to fall back on.
    """
    stored = exchange.gateway.store.get(asked)
    if stored is None or not confirms(answer, stored) or _forbidden(exchange, rung, answer):
        return False
    now = exchange.gateway.wall()
    age, fresh_for, usable_for = lifetime(answer, rung.overrule, now)
    if not any(low in {b"cache-control", b"expires"} for low, _, _ in answer):
        fresh_for, usable_for = stored.fresh_for, stored.usable_for
    _store(exchange, asked, stored._replace(stored_at=now - age, fresh_for=fresh_for, usable_for=usable_for))
    return True


def _forbidden(exchange: "Exchange", rung: LastKnownGood, answer: list[Header]) -> str:
    return storable(_lines(exchange, rung), answer, declared_identity=rung.identity, overruled=rung.overrule)


def _store(exchange: "Exchange", asked: bytes, stored: Stored) -> None:
    exchange.gateway.store.put(asked, stored)
    assert exchange.route is not None
    exchange.route.observer.kept(stored.stored_at)


def question_of_many(exchange: "Exchange", rung: LastKnownGood) -> bytes | None:
    """What stands for all who ask the same; None where the answer would be for this caller alone.

    That is one to a condition, to a part, or to who insists on asking the origin itself.
    """
    head = exchange.head
    if head.upgrade or any(low in _ALONE for low, _, _ in head.headers):
        return None
    return _question(exchange, rung)


def _question(exchange: "Exchange", rung: LastKnownGood) -> bytes | None:
    head = exchange.head
    if head.length:
        return None  # what its body asks is not in the key
    assert exchange.route is not None
    name = exchange.route.name
    return question(name, head.method, head.host, head.path, head.query, _lines(exchange, rung), rung.identity)


def _lines(exchange: "Exchange", rung: LastKnownGood) -> list[Header]:
    """The caller's header lines that the answer may depend on."""
    lines = exchange.head.headers
    return [line for line in lines if line[0] not in rung.unseen] if rung.unseen else lines
