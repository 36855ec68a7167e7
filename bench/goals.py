"""The figures the sidecar is held to, and how each is read off the samples. Shown, never asserted."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.figures import Figures
from bench.lineup import ENVOY, SIDECAR, WATCHED

_Read = Callable[[Figures], float | None]


@dataclass(frozen=True, slots=True)
class Goal:
    """`must` and `aim` are upper limits of what `read` finds."""

    title: str
    must: float
    aim: float
    read: _Read

    def verdict(self, value: float | None) -> str:
        """In one word or two."""
        if value is None:
            return "not measured"
        if value > self.must:
            return "above must"
        return "within must" if value > self.aim else "within aim"


def _ratio(figure: str) -> _Read:
    return lambda figures: figures.ratio(figure, SIDECAR.name, ENVOY.name)


def _own(figure: str) -> _Read:
    return lambda figures: figures.median(SIDECAR.name, figure)


def _watched(figures: Figures) -> float | None:
    mine, theirs = figures.median(WATCHED.name, "cpu_plain"), figures.median(ENVOY.name, "cpu_plain")
    return mine / theirs if mine is not None and theirs is not None else None


GOALS = (
    Goal("CPU per request ÷ Envoy's, plain GET", 0.80, 0.50, _ratio("cpu_plain")),
    Goal("the same with everything on that watches", 0.85, 0.60, _watched),
    Goal("the same with a TLS upstream", 0.90, 0.60, _ratio("cpu_tls")),
    Goal("the same for a refusal with the breaker open", 0.60, 0.40, _ratio("cpu_refused")),
    Goal(
        "added p99 at 1,000 requests/s ÷ Envoy's",
        1.2,
        0.8,
        lambda figures: figures.added_p99_ratio(SIDECAR.name, ENVOY.name),
    ),
    Goal("10 MiB download, CPU ÷ Envoy's", 1.5, 1.0, _ratio("cpu_download")),
    Goal("resident memory idle, MB", 58, 45, _own("rss_idle")),
    Goal("resident memory with 1,000 open connections, MB", 80, 60, _own("rss_open")),
    Goal("start to first answer, s", 0.6, 0.3, _own("start")),
)
