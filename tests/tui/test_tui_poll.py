"""Asking for /status."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from fixtures import upstream as scripted
from fixtures.upstream import Upstream

from sidecar.tui import poll
from sidecar.tui.poll import NoAnswer, Polled, Poller


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("http://127.0.0.1:9901", "http://127.0.0.1:9901"),
        ("https://pod.example/sidecar/", "https://pod.example/sidecar"),
        ("localhost:9901", "http://localhost:9901"),
        ("http://[::1]:9901/", "http://[::1]:9901"),
    ],
)
def test_an_address_is_taken_as_people_write_it(written: str, url: str) -> None:
    """With or without scheme and slash."""
    assert poll.checked(written) == url


@pytest.mark.parametrize(
    "written", ["", "ftp://h", "http://", "http://u:p@h", "http://h:99999", "http://h:x", "http://[::1", "http://h/ x"]
)
def test_what_is_no_address_is_refused(written: str) -> None:
    """In one sentence, which does not repeat it: it may hold a password."""
    with pytest.raises(ValueError, match=r"^ADMIN_URL must be a URL such as http://127\.0\.0\.1:9901$"):
        poll.checked(written)


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (scripted.status(503), "it answered with 503"),
        (scripted.answer(200, b"<html>"), "its answer is no status document"),
        (scripted.garbage(), "it broke off"),
        (scripted.half_body(), "connection reset by peer"),
        (scripted.hang(), "it did not answer in time"),
    ],
)
def test_a_bad_answer_is_none(behaviour: scripted.Behaviour, why: str) -> None:
    """Said in words of ours."""
    with Upstream(otherwise=behaviour) as port, pytest.raises(NoAnswer, match=f"^{why}$"):
        poll.fetch(port.url, timeout=0.3)


def test_a_closed_port_is_none() -> None:
    """The system says why."""
    with Upstream() as port:
        url = port.url
    with pytest.raises(NoAnswer, match=r"^connection refused$"):
        poll.fetch(url)


def test_it_goes_straight_to_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is the application's."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with Upstream(otherwise=scripted.ok({"version": "1"})) as port:
        assert poll.fetch(port.url) == {"version": "1"}
        assert port.requests()[0].target == "/status"


def polled(answers: list[Any]) -> list[Polled]:
    """What a poller knows after each of these, on a clock that moves by one."""
    seen: list[Polled] = []
    done = threading.Event()
    ticks = iter(range(1, 100))

    def ask(_: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def changed() -> None:
        seen.append(poller.latest)
        if not answers:
            poller.close()
            done.set()

    wall: Callable[[], float] = lambda: float(next(ticks))  # noqa: E731 - a clock of one line
    poller = Poller("http://x", changed, every=0.0, ask=ask, wall=wall)
    poller.start()
    assert done.wait(10)
    return seen


def test_the_last_answer_stays_while_there_is_none() -> None:
    """With the time of the first failure, until one comes again."""
    first, failed, again, back = polled([{"a": 1}, NoAnswer("refused"), NoAnswer("timeout"), {"a": 2}])
    assert first == Polled({"a": 1}, 1.0)
    assert failed == Polled({"a": 1}, 1.0, 2.0, "refused")
    assert again == Polled({"a": 1}, 1.0, 2.0, "timeout")
    assert back == Polled({"a": 2}, 3.0)
