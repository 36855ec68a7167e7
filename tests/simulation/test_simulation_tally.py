"""Figures over spans of time, worked out by hand."""

from math import inf, isnan

from sidecar.simulation.tally import Entry, Tally, quantile


def tally(*entries: tuple[float, float, str]) -> Tally:
    """Of requests by when they came, when they ended, and how."""
    made = Tally()
    made.entries = [Entry(asked, ended, label, "", 200, 1, 1) for asked, ended, label in entries]
    return made


def test_shares_are_of_those_asked_in_the_span() -> None:
    """Its end excluded; who left has no time."""
    figures = tally(
        (0.0, 0.1, "ok"), (1.0, 1.3, "ok"), (1.5, 1.5, "refused"), (1.6, 9.0, "client_gone"), (1.7, 2.0, "static"),
        (2.0, 2.1, "ok"),
    ).figures(1.0, 2.0)  # fmt: skip
    assert figures.requests == 4
    assert (figures.success, figures.refused, figures.gone, figures.rescued) == (0.25, 0.25, 0.25, 0.25)
    assert (figures.failed, figures.attempts) == (0.0, 1.0)
    assert abs(figures.p50 - 0.3) < 1e-9


def test_without_requests_there_are_no_shares() -> None:
    """Not zero: that would be a failure."""
    figures = tally().figures()
    assert figures.requests == 0
    assert isnan(figures.success)
    assert isnan(figures.p99)


def test_recovery_is_when_it_lasts() -> None:
    """A good second before a bad one is none; without any good end there is none at all."""
    good = [(second + tenth / 10, second + tenth / 10, "ok") for second in (0, 2, 3, 4) for tenth in range(10)]
    bad = [(1.0 + tenth / 10, 1.0 + tenth / 10, "refused") for tenth in range(10)]
    assert tally(*good, *bad).well_from(0.0) == 2.0
    assert tally(*bad).well_from(1.0) == inf


def test_quantiles_are_of_what_was_measured() -> None:
    """The nearest rank."""
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.0
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.99) == 4.0
    assert quantile([5.0], 0.01) == 5.0
