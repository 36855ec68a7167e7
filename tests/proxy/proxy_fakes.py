"""What tests of the proxy share: time set by hand, both sides of an exchange as recorders, and a whole gateway."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from sidecar.policy.answer import Answer
from sidecar.policy.breaker import Breaker
from sidecar.policy.budget import RetryBudget
from sidecar.policy.ejection import Ejection
from sidecar.policy.endpoints import Endpoint, Upstream
from sidecar.policy.last_known_good import Stored
from sidecar.policy.outcome import Verdict
from sidecar.policy.retry import Retry
from sidecar.policy.route import Route
from sidecar.policy.router import Match, Router
from sidecar.proxy.exchange import Exchange
from sidecar.proxy.gateway import Gateway
from sidecar.proxy.ids import Ids
from sidecar.proxy.target import Target
from sidecar.stores.memory import MemoryStore
from sidecar.wire.client import ClientConnection
from sidecar.wire.errors import UpstreamError
from sidecar.wire.known import KnownRequests
from sidecar.wire.message import Header, RequestHead, ResponseHead
from sidecar.wire.parse import RequestParser, ResponseParser
from sidecar.wire.pool import Pool
from sidecar.wire.server import ServerConnection
from sidecar.wire.timers import Timers

SUCCESS, FAILURE, THROTTLED, NEUTRAL = Verdict.SUCCESS, Verdict.FAILURE, Verdict.THROTTLED, Verdict.NEUTRAL
UNAVAILABLE = Answer(503, ((b"Content-Type", b"application/json"),), b'{"error_code": "X"}')

GET = b"GET /a?q=1 HTTP/1.1\r\nHost: app\r\n\r\n"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno"


class HandClock:
    """Stands still until `now` is changed."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time, as a clock's."""
        return self.now


class Middle(Random):
    """Draws the middle of every range."""

    def random(self) -> float:
        """Never anything else."""
        return 0.5


@dataclass
class Recorder:
    """Observer of one route, and of all: keeps what it is told."""

    told: list[tuple[Any, ...]] = field(default_factory=list)

    def route(self, name: str) -> "Recorder":
        """Itself, whatever the route."""
        return self

    def __getattr__(self, fact: str) -> Callable[..., None]:
        return lambda *values: self.told.append((fact, *values))

    def of(self, fact: str) -> list[tuple[Any, ...]]:
        """What was told of one fact."""
        return [values for name, *values in map(list, self.told) if name == fact]  # type: ignore[misc]


def a_breaker(clock: Callable[[], float], **changed: Any) -> Breaker:
    """Opens after 3 failures in a row, for 5 s; one probe, one success closes; the ratio is off."""
    settings: dict[str, Any] = {
        "consecutive_failures": 3,
        "failure_ratio": 0.0,
        "window": 10.0,
        "minimum_requests": 10,
        "slow_longer_than": None,
        "slow_ratio": 0.5,
        "open_for": 5.0,
        "jitter": 0.0,
        "open_for_max": 60.0,
        "probes": 1,
        "successes_to_close": 1,
        "lease": 100.0,
        "dry_run": False,
        "clock": clock,
        "rng": Middle(),
        "on_change": lambda *_: None,
    }
    return Breaker(**(settings | changed))


def trip(breaker: Breaker, times: int = 3) -> None:
    """Opens a closed breaker of `a_breaker`."""
    for _ in range(times):
        permit = breaker.admit()
        assert permit is not None
        permit.settle(FAILURE, 0.1)
    assert breaker.state == "open"


def an_upstream(
    clock: Callable[[], float], endpoints: Sequence[Endpoint], *, name: str = "connect", **budget: float
) -> Upstream:
    """One failure ejects an endpoint for 30 s, and all of them may be away at once; ten retries at hand."""
    return Upstream(
        name=name,
        endpoints=endpoints,
        ejection=Ejection(consecutive_failures=1, base=30.0, cap=300.0, max_share=1.0, clock=clock),
        budget=RetryBudget(**({"ratio": 0.2, "per_second": 1.0} | budget), clock=clock),  # type: ignore[arg-type]
        clock=clock,
        rng=Middle(),
    )


def a_retry(budget: RetryBudget, /, **changed: Any) -> Retry:
    """Two attempts, 100 ms apart, for everything that is listed by default."""
    settings: dict[str, Any] = {
        "attempts": 2,
        "on": ("connect_failure", "reset", "timeout", 408, 429, 502, 503, 504),
        "methods": (b"GET", b"HEAD", b"OPTIONS"),
        "idempotency_key": False,
        "base": 0.1,
        "factor": 2.0,
        "cap": 1.0,
        "jitter": False,
        "respect_retry_after": True,
        "budget": budget,
        "rng": Middle(),
    }
    return Retry(**(settings | changed))


def a_route(
    clock: Callable[[], float],
    upstream: Upstream,
    observer: Any,
    *,
    retry: dict[str, Any] | None = None,
    **changed: Any,
) -> Route:
    """10 s in all, 4 s an attempt, no retries, no breaker, nothing to fall back on."""
    settings: dict[str, Any] = {
        "name": "toggles",
        "upstream": upstream,
        "total": 10.0,
        "attempt_timeout": 4.0,
        "critical": False,
        "bulkhead": None,
        "breaker": None,
        "retry": a_retry(upstream.budget, **({"attempts": 1} if retry is None else retry)),
        "expect": None,
        "ladder": (),
        "unavailable": None,
        "observer": observer,
    }
    return Route(**(settings | changed))


class Pipe(asyncio.Transport):
    """A transport after it was handed over: what was written to it, and how it was ended."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.written = b""
        self.end = ""

    def write(self, data: Any) -> None:
        """Takes bytes."""
        self.written += data

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Its socket, which it is itself."""
        return self if name == "socket" else default

    def setsockopt(self, *_: Any) -> None:
        """Only resets are asked for so."""

    def get_write_buffer_size(self) -> int:
        """It takes all at once."""
        return 0

    def can_write_eof(self) -> bool:
        """It is TCP."""
        return True

    def write_eof(self) -> None:
        """No more comes."""
        self.end = "shut"

    def is_closing(self) -> bool:
        """Whether it is over."""
        return self.end in ("closed", "aborted")

    def close(self) -> None:
        """In order."""
        self.end = "closed"

    def abort(self) -> None:
        """At once."""
        self.end = "aborted"


class Caller:
    """A caller's connection: what was written to it, and whether it may be read."""

    def __init__(self) -> None:
        self.written = b""
        self.paused = False
        self.keeps_alive = True
        self.continued = False
        self.backlog = 0
        """Bytes of the answer that it has not taken."""
        self.pipe: Pipe
        self.ahead = b""
        """Bytes it sends before it has its answer."""
        self.ends: list[str] = []
        """finished, closed or aborted: once per exchange."""
        self.full_from = float("inf")
        """Bytes after which it tells `exchange` that it is full, while they are being written."""
        self.exchange: Exchange | None = None

    def send_continue(self) -> None:
        """Asks for the body."""
        self.continued = True

    def write(self, data: bytes) -> None:
        """Takes bytes of the answer."""
        self.written += data
        if len(self.written) >= self.full_from and self.exchange is not None:
            self.full_from = float("inf")
            self.exchange.caller_full()

    def unsent(self) -> int:
        """Bytes that it has not taken."""
        return self.backlog

    def pause(self) -> None:
        """Reads no more."""
        self.paused = True

    def resume(self) -> None:
        """Reads again."""
        self.paused = False

    def finish(self, now: float, *, close: bool = False) -> None:
        """The answer is complete."""
        self.ends.append("closed" if close else "finished")

    def abort(self) -> None:
        """The answer never will be."""
        self.ends.append("aborted")

    def hand_over(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport, bytes]:
        """Its transport, and what it sent ahead."""
        self.pipe = Pipe(protocol)
        return self.pipe, self.ahead

    def lost(self) -> None:
        """It is gone."""
        self.ends.append("lost")

    @property
    def status(self) -> int:
        """Of the last head written."""
        return int(self.written.rpartition(b"HTTP/1.1 ")[2][:3])

    @property
    def head(self) -> list[bytes]:
        """Lines of the (only) answer's head."""
        return self.written.partition(b"\r\n\r\n")[0].split(b"\r\n")

    @property
    def body(self) -> bytes:
        """What follows the first head."""
        return self.written.partition(b"\r\n\r\n")[2]

    def field(self, name: bytes) -> bytes | None:
        """A header of the answer."""
        found = [line.partition(b": ")[2] for line in self.head[1:] if line.partition(b":")[0].lower() == name.lower()]
        assert len(found) < 2, found
        return found[0] if found else None


class Line:
    """A connection to an endpoint: what was sent on it. The test plays the endpoint with `answer` and the like."""

    def __init__(self, pool: "Lines", *, exchanges: int = 0) -> None:
        self.pool = pool
        self.exchanges = exchanges
        self.connect_seconds = 0.25
        self.sent = b""
        self.whole = True
        self.paused = False
        self.abandoned = False
        self.sink: Any = None
        self.asked = self.first = b""
        self.pipe: Pipe
        self.full_at_once = False
        """Tells that it is full while the first bytes are being written, as a transport may."""

    def send(self, sink: Any, method: bytes, data: bytes, *, whole: bool) -> None:
        """Starts an exchange."""
        self.sink = sink
        self.exchanges += 1
        self.whole = whole
        self.send_body(data)
        if self.full_at_once:
            sink.upstream_full()

    def send_body(self, data: bytes) -> None:
        """Takes more of the request."""
        assert not self.abandoned
        self.sent += data

    def sent_all(self) -> None:
        """All of the request is here."""
        self.whole = True

    def pause(self) -> None:
        """Reads no more."""
        self.paused = True

    def resume(self) -> None:
        """Reads again."""
        self.paused = False

    def may_switch(self, asked: bytes) -> None:
        """The request asks for other protocols."""
        self.asked = asked

    def switch(self, data: bytes) -> None:
        """A 101, and what follows it in the same segment."""
        head, self.first = parsed(data)
        self.sink.response_switched(head)

    def hand_over(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport, bytes]:
        """Its transport, and what came after the 101."""
        self.sink = None
        self.pipe = Pipe(protocol)
        return self.pipe, self.first

    def lost(self) -> None:
        """It is gone."""
        self.abandoned = True

    def abandon(self) -> None:
        """Lets go."""
        self.abandoned = True
        self.sink = None

    def answer(self, data: bytes, method: bytes = b"GET") -> None:
        """The whole response, head and body, in one piece."""
        head, body = parsed(data, method)
        sink, self.sink = self.sink, None
        self.pool.idle.append(self)
        sink.response_whole(head, body)

    def interim(self, data: bytes) -> None:
        """A 1xx."""
        self.sink.response_interim(parsed(data)[0])

    def begin(self, data: bytes, method: bytes = b"GET") -> None:
        """A response's head, and what of its body is in `data`."""
        head, body = parsed(data, method)
        self.sink.response_head(head)
        if body and self.sink is not None:
            self.sink.response_body(body)

    def go_on(self, data: bytes) -> None:
        """More of the body."""
        if self.sink is not None:
            self.sink.response_body(data)

    def end(self, trailers: list[Header] | None = None) -> None:
        """The response is complete."""
        sink, self.sink = self.sink, None
        sink.response_end(trailers or [])

    def fail(self, error: UpstreamError) -> None:
        """It never will be."""
        sink, self.sink = self.sink, None
        sink.response_failed(error)


class Lines:
    """The pool of one endpoint: hands out idle lines; the test decides when a new one is there."""

    def __init__(self) -> None:
        self.idle: list[Line] = []
        self.waiters: list[Any] = []
        self.all: list[Line] = []
        self.careful = 0

    def lease(self, lessee: Any) -> Line | None:
        """An idle line, or None."""
        if self.idle:
            return self.idle.pop()
        self.waiters.append(lessee)
        return None

    def lease_quiet(self, lessee: Any) -> Line | None:
        """As `lease`: what these lines hear of, they hear at once."""
        self.careful += 1
        return self.lease(lessee)

    def lease_new(self, lessee: Any) -> None:
        """Only a new line will do."""
        self.idle.clear()
        self.waiters.append(lessee)

    def cancel(self, lessee: Any) -> None:
        """Waits no more."""
        if lessee in self.waiters:
            self.waiters.remove(lessee)

    def add_idle(self, *, exchanges: int = 1) -> Line:
        """A line that has been used before."""
        line = Line(self, exchanges=exchanges)
        self.idle.append(line)
        self.all.append(line)
        return line

    def connect(self, *, full_at_once: bool = False) -> Line:
        """The next waiter gets a new line."""
        line = Line(self)
        line.full_at_once = full_at_once
        self.all.append(line)
        self.waiters.pop(0).connected(line)
        return line

    def refuse(self, error: UpstreamError) -> None:
        """The next waiter gets none."""
        self.waiters.pop(0).connect_failed(error)


def parsed(data: bytes, method: bytes = b"GET") -> tuple[ResponseHead, bytes]:
    """A response's head and the bytes after it."""
    head, end, body = data.partition(b"\r\n\r\n")
    return ResponseParser().parse(head + end, method), body


def request_head(data: bytes, known: KnownRequests | None = None) -> RequestHead:
    """A request's head: recognised, if it came before to who knows them."""
    data = data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    head = None if known is None else known.recognise(data)
    if head is None:
        head = RequestParser(max_headers=100).parse(data)
        if known is not None:
            known.learn(data, head)
    return head


def a_target(name: str = "http://one", **changed: Any) -> tuple[Target, Lines]:
    """An endpoint and its lines."""
    lines = Lines()
    settings: dict[str, Any] = {"name": name, "pool": cast("Pool", lines), "authority": b"one.example"}
    return Target(**(settings | changed)), lines


@dataclass
class Handle:
    """What `call_later` returns."""

    later: list[Any]
    entry: Any

    def cancel(self) -> None:
        """It will not be called."""
        if self.entry in self.later:
            self.later.remove(self.entry)


class World:
    """A gateway in virtual time: one route `/`, one endpoint (`lines`), a second upstream to fall back on (`spare`)."""

    def __init__(
        self, *, retry: dict[str, Any] | None = None, target: dict[str, Any] | None = None, **route: Any
    ) -> None:
        self.clock = HandClock()
        self.wall = HandClock(1_700_000_000.0)
        self.told = Recorder()
        self.log: list[tuple[Any, ...]] = []
        self._later: list[tuple[float, Callable[[], None]]] = []
        self.timers = Timers(self._call_later, self.clock)
        self.target, self.lines = a_target(**(target or {}))
        self.upstream = an_upstream(self.clock, [self.target])
        self.spare_target, self.spare = a_target("http://spare", authority=b"spare.example")
        self.spare_upstream = an_upstream(self.clock, [self.spare_target], name="replica")
        self.route = a_route(self.clock, self.upstream, self.told, retry=retry, **route)
        self.store = MemoryStore(1_000_000)
        self.known = KnownRequests()
        self.gateway = Gateway(
            router=Router([(Match(prefix=b"/"), self.route)]),
            timers=self.timers,
            ids=Ids(Random(1)),
            store=self.store,
            observer=self.told,
            log=self,
            clock=self.clock,
            wall=self.wall,
        )

    def _call_later(self, delay: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        entry = (self.clock.now + delay + 1e-6, call)  # loops are late, never early
        self._later.append(entry)
        return cast("asyncio.TimerHandle", Handle(self._later, entry))

    def write(self, *line: Any) -> None:
        """Takes a line of the access log."""
        self.log.append(line)

    def advance(self, seconds: float) -> None:
        """Lets time pass, and every timer strike that is due."""
        until = self.clock.now + seconds
        while due := [entry for entry in self._later if entry[0] <= until]:
            when, call = entry = min(due, key=lambda entry: entry[0])
            self._later.remove(entry)
            self.clock.now = max(self.clock.now, when)
            call()
        self.wall.now += seconds
        self.clock.now = until

    def ask(self, data: bytes = GET, caller: Caller | None = None) -> tuple[Exchange, Caller]:
        """A caller sends a request; its body, if all of it is in `data`, comes with it."""
        caller = caller or Caller()
        exchange = self.gateway.accept(cast("ServerConnection", caller), request_head(data, self.known))
        body = data.partition(b"\r\n\r\n")[2]
        if body:
            exchange.request_body(body)
            exchange.request_end([])
        return exchange, caller

    def at_rest(self) -> None:
        """Nothing of any request is left anywhere."""
        assert self.timers.pending == 0
        assert self.gateway.active == 0
        assert not self.lines.waiters
        assert not self.spare.waiters
        assert self.target.pending == self.spare_target.pending == 0
        assert self.route.bulkhead is None or self.route.bulkhead.in_flight == 0
        assert all(line.sink is None for line in (*self.lines.all, *self.spare.all))
        assert len(self.told.of("request_started")) == len(self.told.of("request_finished")) == len(self.log)

    @property
    def outcome(self) -> tuple[int, str, str]:
        """Status, outcome and reason of the last line of the log."""
        return self.log[-1][4], self.log[-1][5], self.log[-1][6]

    @property
    def results(self) -> list[str]:
        """Of the attempts so far."""
        return [values[1] for values in self.told.of("attempt_finished")]


@dataclass
class Call:
    """A request as the path sees it."""

    method: bytes = b"GET"
    host: bytes = b"app"
    path: bytes = b"/a"
    headers: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    started: float = 1000.0
    patience: float = float("inf")
    already_retrying: bool = False
    has_key: bool = False
    body_to_come: bool = False
    ends_here: str = ""
    replayable: bool = True
    may_go_twice: bool = True
    route: Route | None = None
    asked: bytes | None = b"a question"

    def question(self, rung: object) -> bytes | None:
        """The same for every rung."""
        return self.asked


def stored(body: bytes = b"old") -> Stored:
    """A kept answer."""
    return Stored(200, ((b"Content-Type", b"text/plain"),), body, 1_699_999_990.0)


def line_of(connection: ClientConnection | None) -> Line:
    """An attempt's connection, as what it is here."""
    return cast("Line", connection)
