"""What is kept of answers for later, and what is found of it when they fail to come.

What heads say about that is worked out once for heads of the same bytes: a quarter of the time.
"""

from typing import Final, Protocol, cast

from sidecar.policy import freshness
from sidecar.policy import last_known_good as policy
from sidecar.policy.fallback import LastKnownGood
from sidecar.policy.last_known_good import Store, Stored
from sidecar.policy.route import Route
from sidecar.proxy.commands import Keep, Recall
from sidecar.wire.message import Header, RequestHead, ResponseHead

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
"""Request headers of who wants an answer to a condition, a part of it, or the origin's own word."""
_RUNGS: Final = 8
"""That a head remembers something for."""


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


class Asking:
    """What a request's field lines say. who: of it, for the key. forbidden: to keep its answer. alone: see `_ALONE`."""

    __slots__ = ("alone", "forbidden", "rung", "who")

    def __init__(self, rung: LastKnownGood, headers: list[Header]) -> None:
        lines = [line for line in headers if line[0] not in rung.unseen] if rung.unseen else headers
        self.rung = rung
        self.who = policy.asker(lines, rung.identity)
        self.forbidden = bool(policy.request_forbids(lines, rung.identity))
        self.alone = any(low in _ALONE for low, _, _ in headers)


class Saying:
    """What a response's say. forbidden: to keep it. headers: what is kept of them. for_one: it has cookies."""

    __slots__ = ("ages", "for_one", "forbidden", "headers", "rung")

    def __init__(self, rung: LastKnownGood, headers: list[Header]) -> None:
        self.rung = rung
        self.forbidden = bool(policy.answer_forbids(headers, frozenset(rung.identity), rung.overrule))
        self.headers = policy.cleaned(headers)
        self.ages = freshness.speaks_of_age(headers)
        self.for_one = any(low == b"set-cookie" for low, _, _ in headers)


def _asking(head: RequestHead, rung: LastKnownGood) -> Asking:
    first = head.kin or head
    if head.own is not None and any(low in rung.identity for low, _, _ in head.own):
        return Asking(rung, head.headers)  # who asks is told by what its kin does not have
    known: dict[int, Asking] | None = first.asking
    if known is None:
        known = first.asking = {}
    found = known.get(id(rung))
    if found is None or found.rung is not rung:
        if len(known) >= _RUNGS:
            known.clear()
        found = known[id(rung)] = Asking(rung, first.headers)
    return found


def _saying(head: ResponseHead, rung: LastKnownGood) -> Saying:
    found: Saying | None = head.kept
    if found is None or found.rung is not rung:
        found = head.kept = Saying(rung, head.headers)
    return found


def recall(exchange: Asked, command: Recall) -> Stored | None:
    """Looks for a last known good answer that operator, origin and caller all take for young enough."""
    rung = command.rung
    asked = _question(exchange, _asking(exchange.head, rung))
    gateway = exchange.gateway
    stored = None if asked is None else gateway.store.get(asked)
    if stored is None:
        return None
    age = gateway.wall() - stored.stored_at
    if age > min(rung.max_age, stored.usable_for):
        return None
    return stored if freshness.accepts(exchange.head.headers, age=age, fresh_for=stored.fresh_for) else None


def keep(exchange: Asked, command: Keep) -> bool:
    """Takes note of an answer to GET: a new last known good one, or a word about the one that is kept.

    True if what is kept is now as new as this answer, and nothing in it was for this caller alone.
    """
    attempt = cast("Answered", command.outcome)
    rung = command.rung
    asking = _asking(exchange.head, rung)
    asked = _question(exchange, asking)
    if asked is None:
        return False
    if attempt.status == 200:
        return not asking.forbidden and _put(exchange, rung, asked, attempt)
    if attempt.status == 304:
        return not asking.forbidden and _confirm(exchange, rung, asked, attempt.head)
    exchange.gateway.store.forget(asked)  # it is gone, or no longer for this caller to see
    return False


def _put(exchange: Asked, rung: LastKnownGood, asked: bytes, attempt: Answered) -> bool:
    saying = _saying(attempt.head, rung)
    if attempt.body is None or saying.forbidden:
        return False
    now = exchange.gateway.wall()
    age, fresh_for, usable_for = (
        freshness.lifetime(attempt.head.headers, rung.overrule, now) if saying.ages else freshness.UNSAID
    )
    if usable_for <= age:
        return False
    _store(exchange, asked, Stored(attempt.status, saying.headers, attempt.body, now - age, fresh_for, usable_for))
    return not saying.for_one


def _confirm(exchange: Asked, rung: LastKnownGood, asked: bytes, head: ResponseHead) -> bool:
    """The answer that the caller has still holds (RFC 9111 section 4.3.4): so does the kept one, if it is the same.

    Without this, who polls with `If-None-Match` would have nothing young enough to fall back on.
    """
    answer = head.headers
    stored = exchange.gateway.store.get(asked)
    if stored is None or not policy.confirms(answer, stored) or _saying(head, rung).forbidden:
        return False
    now = exchange.gateway.wall()
    age, fresh_for, usable_for = freshness.lifetime(answer, rung.overrule, now)
    if not any(low in {b"cache-control", b"expires"} for low, _, _ in answer):
        fresh_for, usable_for = stored.fresh_for, stored.usable_for
    _store(exchange, asked, stored._replace(stored_at=now - age, fresh_for=fresh_for, usable_for=usable_for))
    return True


def _store(exchange: Asked, asked: bytes, stored: Stored) -> None:
    exchange.gateway.store.put(asked, stored)
    assert exchange.route is not None
    exchange.route.observer.kept(stored.stored_at)


def question_of_many(exchange: Asked, rung: LastKnownGood) -> bytes | None:
    """What stands for all who ask the same; None where the answer would be for this caller alone.

    That is one to a condition, to a part, or to who insists on asking the origin itself.
    """
    asking = _asking(exchange.head, rung)
    return None if asking.alone or exchange.head.upgrade else _question(exchange, asking)


def _question(exchange: Asked, asking: Asking) -> bytes | None:
    head = exchange.head
    if head.length or asking.who is None:
        return None  # what its body asks is not in the key
    assert exchange.route is not None
    return policy.key_of(exchange.route.name, head.method, head.host, head.path, head.query, asking.who)
