"""What is told of the samples."""

import pytest

from bench.figures import DIRECT, Figures
from bench.goals import GOALS, Goal
from bench.tables import Table, as_markdown, as_text, number, spread

DASH = "\N{EN DASH}"


def of(samples: dict[str, list[float]]) -> Figures:
    """Samples of one figure by proxy."""
    figures = Figures()
    for proxy, values in samples.items():
        for value in values:
            figures.add(proxy, "steady_p99", value)
    return figures


def test_one_disturbed_round_does_not_move_the_figure() -> None:
    """Medians are told, with the spread beside them."""
    figures = of({"a": [10.0, 500.0, 11.0]})
    assert figures.median("a", "steady_p99") == 11.0
    assert spread(figures.samples("a", "steady_p99"), 11.0) == "11.0 [10.0, 500]"


def test_a_single_round_claims_no_spread() -> None:
    """One sample has no least and greatest."""
    assert spread([10.0], 10.0) == "10.0"


def test_added_latency_is_what_the_proxy_adds() -> None:
    """The time that the load takes without any proxy counts for neither side."""
    assert of({"a": [5.0], "b": [3.0], DIRECT: [2.0]}).added_p99_ratio("a", "b") == 3.0


@pytest.mark.parametrize("lacking", ["a", "b", DIRECT])
def test_a_ratio_of_something_unmeasured_is_none(lacking: str) -> None:
    """Nothing is made up where a proxy is absent."""
    samples = {"a": [5.0], "b": [3.0], DIRECT: [2.0]}
    del samples[lacking]
    assert of(samples).added_p99_ratio("a", "b") is None
    assert all(goal.read(Figures()) is None for goal in GOALS)


def test_a_reference_that_adds_nothing_gives_no_ratio() -> None:
    """Noise larger than what is measured must not become a number."""
    assert of({"a": [5.0], "b": [2.0], DIRECT: [2.0]}).added_p99_ratio("a", "b") is None


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (None, "not measured"),
        (0.5, "within aim"),
        (0.51, "within must"),
        (0.8, "within must"),
        (0.81, "above must"),
    ],
)
def test_limits_belong_to_the_better_side(value: float | None, verdict: str) -> None:
    """A figure that equals a limit has met it."""
    assert Goal("x", must=0.8, aim=0.5, read=lambda _: value).verdict(value) == verdict


@pytest.mark.parametrize(
    ("value", "text"), [(None, DASH), (0.456, "0.46"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12,346")]
)
def test_numbers_have_about_three_digits(value: float | None, text: str) -> None:
    """More would claim a precision that no round has."""
    assert number(value) == text


def test_both_forms_of_a_table_hold_every_cell() -> None:
    """The terminal and the page tell the same."""
    table = Table("title", ("proxy", "cpu"), [("one", "1.0"), ("two", "22.0")])
    for text in (as_text(table), as_markdown(table)):
        assert all(cell in text for cell in ("title", "proxy", "cpu", "one", "1.0", "two", "22.0"))
    assert {len(line) for line in as_text(table).splitlines()[1:]} == {len("proxy   cpu")}
