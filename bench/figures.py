"""The samples of a run, and what is told of them: medians and spreads, never a single run's number."""

import json
from pathlib import Path
from statistics import median

DIRECT = "direct"
"""The row without any proxy: the load straight at the origin."""


class Figures:
    """Samples by proxy and figure, one per round; and why there are none where there are none."""

    def __init__(self) -> None:
        self._samples: dict[str, dict[str, list[float]]] = {}
        self.troubles: dict[str, str] = {}
        """Proxy, or "proxy figure", to what went wrong."""

    def add(self, proxy: str, figure: str, value: float) -> None:
        """One more sample."""
        self._samples.setdefault(proxy, {}).setdefault(figure, []).append(value)

    def trouble(self, proxy: str, text: str) -> None:
        """Remembered once per proxy and text."""
        self.troubles.setdefault(proxy, text)

    def samples(self, proxy: str, figure: str) -> list[float]:
        """In the order of the rounds."""
        return self._samples.get(proxy, {}).get(figure, [])

    def median(self, proxy: str, figure: str) -> float | None:
        """None: there is no sample."""
        samples = self.samples(proxy, figure)
        return median(samples) if samples else None

    def ratio(self, figure: str, proxy: str, reference: str) -> float | None:
        """Of the two medians."""
        above, below = self.median(proxy, figure), self.median(reference, figure)
        return above / below if above is not None and below else None

    def added_p99_ratio(self, proxy: str, reference: str) -> float | None:
        """Latency at a fixed rate above that of the origin alone. None where the reference adds nothing."""
        values = [self.median(name, "steady_p99") for name in (proxy, reference, DIRECT)]
        if None in values:
            return None
        mine, theirs, bare = (value or 0.0 for value in values)
        return (mine - bare) / (theirs - bare) if theirs > bare else None

    def save(self, path: Path) -> None:
        """Every sample, as JSON."""
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"samples": self._samples, "troubles": self.troubles}, indent=1) + "\n")
