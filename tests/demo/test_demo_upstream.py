"""The played upstream answers as connect does, and misbehaves exactly as it is told."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from fixtures.process import free_port

from sidecar.clock import MONOTONIC
from sidecar.demo.connect import TOGGLES
from sidecar.demo.faults import FAULTS
from sidecar.demo.upstream import Upstream

AUTH = ("connect-id", "secret")
WHO = {"phone_number": "+15550100"}


class Connect:
    """Asks the played service as connect-id does."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def toggles(self, timeout: float = 5.0, **more: Any) -> requests.Response:
        """The call for the toggles."""
        wanted = {"auth": AUTH, "params": WHO, "timeout": timeout, **more}
        return requests.get(self.url + "/api/toggles/", **wanted)

    def turn(self, fault: str) -> requests.Response:
        """Switches a fault."""
        return requests.post(f"{self.url}/fault/{fault}", timeout=5)


@pytest.fixture
def connect() -> Iterator[Connect]:
    """One played service."""
    with Upstream("127.0.0.1", 0) as upstream:
        yield Connect(upstream.port)


def test_it_answers_like_connect(connect: Connect) -> None:
    """Both endpoints answer JSON to Basic credentials; without, 401; without a user, 400."""
    assert connect.toggles().json() == TOGGLES
    assert connect.toggles(auth=None).status_code == 401
    assert connect.toggles(params={}).status_code == 400
    invited = requests.get(connect.url + "/api/users/invited/", auth=AUTH, params=WHO, timeout=5)
    assert invited.json() == {"invited": True}


def hangs(connect: Connect) -> None:
    """Not a byte in a while."""
    with pytest.raises(requests.ReadTimeout):
        connect.toggles(timeout=0.3)


def fails(connect: Connect) -> None:
    """A server error."""
    assert connect.toggles().status_code == 500


def is_empty(connect: Connect) -> None:
    """Says that all is well, and nothing else."""
    answer = connect.toggles()
    assert (answer.status_code, answer.content) == (200, b"")


def resets(connect: Connect) -> None:
    """The connection breaks."""
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        connect.toggles()


def drips(connect: Connect) -> None:
    """A byte at a time."""
    started = MONOTONIC()
    with connect.toggles(timeout=1, stream=True) as answer:
        pieces = answer.raw.stream(1)
        assert b"".join(next(pieces) for _ in range(3)) == b'{"t'
    assert MONOTONIC() - started >= 0.4


SEEN = {"hang": hangs, "500": fails, "empty": is_empty, "reset": resets, "slow": drips}


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"off"}))
def test_a_fault_lasts_until_it_is_switched_off(connect: Connect, fault: str) -> None:
    """Each does what its word says, on every call, and leaves nothing behind."""
    assert connect.turn(fault).json() == {"fault": fault, "upstream": FAULTS[fault]}
    for _ in range(2):
        SEEN[fault](connect)
    connect.turn("off")
    assert connect.toggles().json() == TOGGLES


def test_an_unknown_fault_changes_nothing(connect: Connect) -> None:
    """It is answered with the words there are."""
    answer = connect.turn("flood")
    assert (answer.status_code, answer.json()["faults"]) == (404, FAULTS)
    assert connect.toggles().status_code == 200


def test_it_says_when_its_port_is_taken() -> None:
    """Before anything is served, as the error that an operator knows."""
    port = free_port()
    with Upstream("127.0.0.1", port), pytest.raises(OSError, match="in use"):
        Upstream("127.0.0.1", port)
