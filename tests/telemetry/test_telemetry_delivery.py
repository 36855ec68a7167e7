"""Laws of delivery: go on where it may help, as long as it may help, as slowly as the receiver asks."""

from random import Random

import pytest

from sidecar.telemetry.delivery import GIVE_UP_AFTER, LONGEST, LONGEST_ASKED, Delivery, Reply


def test_it_waits_twice_as_long_each_time_and_gives_up_after_an_hour() -> None:
    """Between half and all of 1, 2, 4 … 60 s."""
    now, waits = 0.0, []
    delivery = Delivery(now, Random(1))
    while (wait := delivery.wait(Reply("connect_failure"), now)) is not None:
        now += wait
        waits.append(wait)
    for planned, wait in zip([1, 2, 4, 8, 16, 32, *[LONGEST] * 200], waits, strict=False):
        assert planned / 2 <= wait <= planned
    assert GIVE_UP_AFTER - LONGEST <= now <= GIVE_UP_AFTER


@pytest.mark.parametrize("status", [0, 408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status: int) -> None:
    """No answer, too much at once, an error of its own."""
    assert Delivery(0.0, Random(1)).wait(Reply("x", status), 0.0) is not None


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410, 413])
def test_what_will_not_pass_is_not(status: int) -> None:
    """The same words to the same place would be refused again."""
    assert Delivery(0.0, Random(1)).wait(Reply("x", status), 0.0) is None


def test_retry_after_is_honoured_within_reason() -> None:
    """Not sooner than asked; but one that asks for a day is asked again in a quarter of an hour."""
    delivery = Delivery(0.0, Random(1))
    assert delivery.wait(Reply("x", 429, 37.0), 0.0) == 37.0
    assert delivery.wait(Reply("x", 429, 86_400.0), 0.0) == LONGEST_ASKED
    assert (delivery.wait(Reply("x", 429, 0.0), 0.0) or 0.0) >= 2.0
