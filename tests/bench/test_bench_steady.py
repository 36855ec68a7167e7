"""The fixed-rate load."""

import select
import socket
import threading
from contextlib import ExitStack
from typing import Self

import pytest

from bench.child import Unusable
from bench.steady import complete, idle_connections, steady
from bench.workloads import PLAIN

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class Withholding:
    """Answers nobody until `hold` requests have come, then everybody at once. Leaving its block stops it."""

    def __init__(self, hold: int, answer: bytes = OK) -> None:
        self._hold = hold
        self._answer = answer
        self._waiting: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._end, self._alarm = socket.socketpair()
        self._open: set[socket.socket] = {self._listener, self._end}
        self._thread = threading.Thread(target=self._run)
        self.port: int = self._listener.getsockname()[1]
        self.most_open = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._alarm.close()
        self._thread.join()

    def _run(self) -> None:
        with ExitStack() as stack:
            while self._end in self._open:
                for ready in select.select(list(self._open), [], [])[0]:
                    if ready is self._listener:
                        self._open.add(stack.enter_context(ready.accept()[0]))
                        self.most_open = max(self.most_open, len(self._open) - 2)
                    elif ready.recv(65536):
                        self._received(ready)
                    else:
                        self._open.discard(ready)
        self._listener.close()
        self._end.close()

    def _received(self, connection: socket.socket) -> None:
        self._waiting.append(connection)
        self._hold -= 1
        if self._hold <= 0:
            for waiting in self._waiting:
                waiting.sendall(self._answer)
            self._waiting.clear()


def test_a_stall_shows_in_everything_that_was_due_meanwhile() -> None:
    """Whoever holds back every answer until the n-th request has delayed the first n, not one of them."""
    held, rate = 100, 1000.0
    with Withholding(hold=held) as server:
        tally = steady(PLAIN, server.port, rate=rate, seconds=0.3)
    slow = [latency for latency in tally.latencies if latency > held / rate / 4]
    assert len(slow) >= held / 2
    assert tally.percentile_ms(0.99) >= held / rate * 1000 / 2


def test_the_number_of_requests_does_not_depend_on_the_answers() -> None:
    """An open loop: a server that stalls is asked as often as one that does not."""
    counts = []
    for hold in (0, 150):
        with Withholding(hold=hold) as server:
            counts.append(len(steady(PLAIN, server.port, rate=1000, seconds=0.3).latencies))
    assert counts[0] == counts[1] > 200


def test_failures_are_no_figures() -> None:
    """A latency of answers that were errors is worthless, and said to be."""
    with Withholding(hold=0, answer=BUSY) as server, pytest.raises(Unusable, match="were not 200"):
        steady(PLAIN, server.port, rate=1000, seconds=0.05)


def test_idle_connections_are_all_open_at_once() -> None:
    """As many as were asked for, each of them after an answer."""
    with Withholding(hold=0) as server:
        with idle_connections(PLAIN, server.port, 120):
            pass
        assert server.most_open == 120


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True),
    ],
)
def test_an_answer_is_complete_at_its_last_byte(answer: bytes, *, whole: bool) -> None:
    """Neither before nor only when the connection closes."""
    assert complete(answer) is whole
