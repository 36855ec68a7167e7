"""Certificates, keys and authorities that change on disk: looked at each second, taken, counted, told."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from sidecar.wire.renewal import Renewal
from sidecar.wire.tls import TlsSettingError

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the files. A look costs about 10 µs per file."""

_log = logging.getLogger("sidecar")


@dataclass(slots=True)
class Renewals:
    """All settings that have files. taken, refused: how often one was made anew, or could not be."""

    taken: int = 0
    refused: int = 0
    _watched: list[tuple[str, Renewal, Callable[[], None]]] = field(default_factory=list)

    def watch(self, what: str, renewal: Renewal, then: Callable[[], None] = lambda: None) -> None:
        """Looks at it from now on. `what`: for the log. `then`: called when there is a new context."""
        if renewal.files:
            self._watched.append((what, renewal, then))

    def clear(self) -> None:
        """Looks at none, until it is told to watch again. What each has seen of its files, it remembers itself."""
        self._watched.clear()

    def look(self) -> None:
        """To be called every `LOOK_EVERY` seconds."""
        for what, renewal, then in self._watched:
            try:
                if not renewal.look():
                    continue
            except TlsSettingError as error:
                self.refused += 1
                _tell(logging.ERROR, what, f"the old one stays: {error}", "rejected")
                continue
            self.taken += 1
            _tell(logging.INFO, what, "taken for new connections", "ok")
            then()

    def counts(self) -> Iterator[tuple[Sequence[str], float]]:
        """Label values and value, as a counter's series."""
        yield ("ok",), self.taken
        yield ("rejected",), self.refused


def _tell(level: int, what: str, text: str, result: str) -> None:
    fields = {"event": "tls_reload", "of": what, "result": result}
    _log.log(level, "%s", f"TLS files of {what} changed: {text}", extra={"fields": fields})
