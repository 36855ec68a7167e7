"""Second opinions on thousands of messages: h11 in process, nginx on real sockets."""

from collections.abc import Callable
from random import Random

import pytest

from conformance import deviations
from conformance.corpus import requests, responses
from conformance.corpus.words import WORDS
from conformance.differential import differences, inputs, unexplained
from conformance.mutate import Mutator
from conformance.reference import Missing
from conformance.targets import requests as listener
from conformance.targets import responses as upstream

MESSAGES = 6000
MUTATIONS = 250


def test_what_we_accept_h11_accepts(record_property: Callable[[str, object], None]) -> None:
    """Of any caller's bytes, as the same requests; what differs has a name and a reason."""
    mutator = Mutator(requests.STARTS, WORDS, Random(20260101))
    accepted, named = 0, 0
    for _ in range(MESSAGES):
        wire = mutator.next()
        understood = listener.read([wire])
        named += bool(listener.agrees_with_h11(wire, understood))
        accepted += len(understood.whole)
    record_property("figure", f"{accepted} requests accepted of {MESSAGES} inputs, {named} by a named deviation")
    assert accepted > MESSAGES // 4


def test_what_we_take_as_complete_h11_takes_as_complete(record_property: Callable[[str, object], None]) -> None:
    """Of any upstream's bytes, as the same response; what differs has a name and a reason."""
    mutator = Mutator([seed.wire for seed in responses.SEEDS], WORDS, Random(20260101))
    taken, named = 0, 0
    for number in range(MESSAGES):
        wire, method = mutator.next(), (b"GET", b"GET", b"HEAD")[number % 3]
        ended = upstream.read([wire], method, ends=True)
        named += bool(upstream.agrees_with_h11(wire, method, ended))
        taken += ended.whole
    record_property("figure", f"{taken} responses taken of {MESSAGES} inputs, {named} by a named deviation")
    assert taken > MESSAGES // 8


def test_what_nginx_refuses_is_refused(record_property: Callable[[str, object], None]) -> None:
    """Or is a named deviation; and whatever we pass on a strict parser takes for one request."""
    wires = inputs(MUTATIONS, seed=1)
    try:
        found = differences("nginx", wires)
    except Missing as error:
        pytest.fail(str(error))
    assert not unexplained(found), "\n".join(map(str, unexplained(found)))
    stricter = sum(not difference.looser for difference in found)
    record_property("figure", f"{len(wires)} cases, {stricter} where the sidecar is stricter than nginx")
    assert stricter > 20, "the reference takes much that we refuse: if not, something else was measured"
    used = {difference.deviation for difference in found if difference.looser}
    assert used == {deviation.name for deviation in deviations.REFERENCES["nginx"]}
