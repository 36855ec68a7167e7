"""The corpus as a table: every nasty message there is has its exact verdict, alone and behind another."""

import pytest

from conformance import deviations
from conformance.corpus import Seed, requests, responses
from conformance.targets import requests as listener
from conformance.targets import responses as upstream

FIRST = b"POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhi\r\n0\r\nX-A: b\r\n\r\n"


def named(seed: Seed) -> str:
    """A seed's name, as pytest shows it."""
    return seed.name


def method_of(seed: Seed) -> bytes:
    """Of the request that a response of the corpus answers."""
    return b"HEAD" if seed.name.startswith("HEAD ") else b"GET"


@pytest.mark.parametrize("seed", requests.SEEDS, ids=named)
def test_a_request_has_its_verdict(seed: Seed) -> None:
    """Accepted as exactly this, or refused with exactly this status; and where it is accepted, h11 reads the same."""
    understood = listener.read([seed.wire])
    assert understood.shape() == seed.verdict
    listener.agrees_with_h11(seed.wire, understood)


@pytest.mark.parametrize("seed", requests.SEEDS, ids=named)
def test_a_request_has_the_same_verdict_behind_another(seed: Seed) -> None:
    """Nothing that came before it on its connection has a say in how a message is read."""
    assert listener.read([FIRST + seed.wire]).shape() == f"POST /first 'hi' | {seed.verdict}"


@pytest.mark.parametrize("seed", responses.SEEDS, ids=named)
def test_a_response_has_its_verdict(seed: Seed) -> None:
    """Taken as exactly this, or refused; and what is taken as complete is complete to h11."""
    answered = upstream.read([seed.wire], method_of(seed))
    assert answered.shape() == seed.verdict
    upstream.agrees_with_h11(seed.wire, method_of(seed), upstream.read([seed.wire], method_of(seed), ends=True))


@pytest.mark.parametrize("corpus", [requests.SEEDS, responses.SEEDS])
def test_names_are_their_own(corpus: list[Seed]) -> None:
    """A verdict that changes is found by its name."""
    assert len({seed.name for seed in corpus}) == len(corpus)


def test_every_deviation_from_h11_is_needed() -> None:
    """A name that explains nothing in the corpus would only hide what comes later."""
    used = {listener.agrees_with_h11(seed.wire, listener.read([seed.wire])) for seed in requests.SEEDS}
    for seed in responses.SEEDS:
        ended = upstream.read([seed.wire], method_of(seed), ends=True)
        used.add(upstream.agrees_with_h11(seed.wire, method_of(seed), ended))
    assert used - {""} == {deviation.name for deviation in (*deviations.REQUESTS, *deviations.RESPONSES)}
