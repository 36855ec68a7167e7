"""Load at a fixed rate from callers who do not wait for one another (an open loop).

The moments of departure are drawn beforehand (Poisson arrivals, the same for every proxy). A request's
latency counts from the moment it was due, whether or not it could be sent then: a proxy that stalls for 50 ms
delays everything that was due meanwhile, and all of it shows (wrk2's remedy against "coordinated omission").
One thread around select(2), whose time-outs are exact to some 50 µs; those of epoll and uvloop are whole
milliseconds.
"""

import gc
import random
import re
import select
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.child import Unusable
from bench.workloads import HEADERS, Workload
from sidecar.clock import MONOTONIC

_READY = 32
_MOST = 400
"""Connections at the start, and at most: select(2) watches fewer than 1,024 descriptors."""
_BATCH = 50
"""Connections opened at a time: fewer than the shortest accept queue among the proxies."""
_PATIENCE = 5.0
"""Seconds to wait for the last answers."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(slots=True)
class Tally:
    """Latencies in seconds, one per request that was due."""

    latencies: list[float] = field(default_factory=list)
    failed: int = 0

    def percentile_ms(self, share: float) -> float:
        """The smallest latency that `share` of the requests did not exceed, in milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


class _Caller:
    """One keep-alive connection with at most one request under way."""

    __slots__ = ("answer", "due", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self.answer = b""

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, request: bytes, due: float) -> None:
        self.due = due
        self.answer = b""
        self.socket.sendall(request)

    def receive(self) -> bool:
        """True: the answer is complete.

        Raises:
            Unusable: the connection ended first.
        """
        data = self.socket.recv(65536)
        if not data:
            raise Unusable("a connection was closed without an answer")
        self.answer += data
        return complete(self.answer)


def steady(workload: Workload, port: int, *, rate: float, seconds: float, seed: int = 1) -> Tally:
    """Sends `rate` requests per second on average for `seconds`, and waits for the last answers.

    Raises:
        Unusable: a connection failed, an answer was no 200, or the last ones never came.
    """
    departures = _departures(rate, seconds, random.Random(seed))
    with _callers(port) as callers, _no_collections():
        tally = _drive(deque(departures), callers, _request(workload, port), port)
    if tally.failed:
        raise Unusable(f"{tally.failed} of {len(tally.latencies)} answers at {rate:.0f}/s were not 200")
    return tally


def complete(answer: bytes) -> bool:
    """Whether this is a whole response of known length, or one whose last chunk has come."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if length:
        return bool(separator) and len(body) >= int(length[1])
    return body.endswith(b"0\r\n\r\n")


@contextmanager
def idle_connections(workload: Workload, port: int, count: int) -> Iterator[None]:
    """Holds `count` keep-alive connections open, each of which has had one answer."""
    callers: list[_Caller] = []
    try:
        while len(callers) < count:
            fresh = [_Caller(port) for _ in range(min(_BATCH, count - len(callers)))]
            callers += fresh
            _ask_once(fresh, _request(workload, port))
        yield
    finally:
        for caller in callers:
            caller.socket.close()


def _ask_once(callers: Sequence[_Caller], request: bytes) -> None:
    for caller in callers:
        caller.send(request, due=0.0)
    for caller in callers:
        while not caller.receive():
            pass


def _drive(departures: deque[float], idle: list[_Caller], request: bytes, port: int) -> Tally:
    tally, busy = Tally(), set[_Caller]()
    began = MONOTONIC()
    limit = began + (departures[-1] if departures else 0.0) + _PATIENCE
    while departures or busy:
        now = MONOTONIC()
        if now > limit:
            raise Unusable(f"{len(busy) + len(departures)} requests had no answer after {_PATIENCE:.0f} s")
        while departures and began + departures[0] <= now and len(busy) < _MOST:
            caller = idle.pop() if idle else _Caller(port)
            caller.send(request, began + departures.popleft())
            busy.add(caller)
        pause = began + departures[0] - MONOTONIC() if departures and len(busy) < _MOST else _PATIENCE
        for caller in _answered(busy, max(0.0, pause)):
            tally.latencies.append(MONOTONIC() - caller.due)
            tally.failed += not caller.answer.startswith(b"HTTP/1.1 200")
            busy.discard(caller)
            idle.append(caller)
    return tally


def _answered(busy: set[_Caller], pause: float) -> Iterator[_Caller]:
    readable, _, _ = select.select(list(busy), [], [], pause)
    return (caller for caller in readable if caller.receive())


def _departures(rate: float, seconds: float, chance: random.Random) -> Iterator[float]:
    due = chance.expovariate(rate)
    while due < seconds:
        yield due
        due += chance.expovariate(rate)


@contextmanager
def _callers(port: int) -> Iterator[list[_Caller]]:
    callers = [_Caller(port) for _ in range(_READY)]
    everyone = list(callers)
    try:
        yield callers
    finally:
        for caller in {*everyone, *callers}:
            caller.socket.close()


@contextmanager
def _no_collections() -> Iterator[None]:
    """A collection in the generator would count as the proxy's latency."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _request(workload: Workload, port: int) -> bytes:
    lines = [f"{workload.method} {workload.path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in HEADERS.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
