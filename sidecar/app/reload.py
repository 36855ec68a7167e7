"""The configuration read again: because somebody asks for it, or because its files have changed.

Reads and judges in a thread, hands over what is fit to be served, and tells what came of it: in the log, in the
journal, in a counter, in `/status`, and to whoever asked. What is not fit changes nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sidecar import config, tasks
from sidecar.admin.actions import Told
from sidecar.app import diff, systemd
from sidecar.app.bind import CannotStart
from sidecar.app.watch import Watch
from sidecar.clock import WALL, Clock
from sidecar.telemetry.journal import Journal
from sidecar.telemetry.prometheus import Prometheus

KIND: Final = "config"
"""Of entries in the journal."""
_SHOWN: Final = 5
"""Changes or problems in the text of a log line; its fields have all."""

_log = logging.getLogger("sidecar")


class NotFit(Exception):
    """The file cannot be served. problems: one line each, with its place."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__(problems)


@dataclass(frozen=True, slots=True)
class Rejected:
    """The last one that was, while nothing better has come. at: Unix time. sources: the files as they were."""

    at: float
    problems: list[str]
    sources: config.Sources


class Reload:
    """Of one process. `take`: serves a configuration from then on, or raises CannotStart and changes nothing."""

    def __init__(
        self,
        loaded: config.Config,
        *,
        take: Callable[[config.Config], Awaitable[None]],
        prometheus: Prometheus,
        journal: Journal,
        wall: Clock = WALL,
    ) -> None:
        self._loaded = loaded
        self._loaded_at = wall()
        self._take = take
        self._prometheus = prometheus
        self._journal = journal
        self._wall = wall
        self._rejected: Rejected | None = None
        self._watch = Watch(loaded.sources)
        self._one_at_a_time = asyncio.Lock()
        self._looking = self._takes = False

    def status(self) -> dict[str, Any]:
        """The member `config` of `/status`."""
        rejected = self._rejected
        return {
            "loaded_at": _date(self._loaded_at),
            "reloads": self._prometheus.reloads(),
            "rejected": None if rejected is None else {"at": _date(rejected.at), "problems": rejected.problems},
        }

    def begin(self) -> None:
        """The first configuration is served: others may come."""
        self._takes = True

    def end(self) -> None:
        """The process is on its way out: no other is taken."""
        self._takes = False

    async def asked(self) -> Told:
        """Reads it now, for somebody who waits: status and document of the answer."""
        if not self._takes:
            return 409, {"error": "the process is starting or ending: it takes no other configuration now"}
        async with self._one_at_a_time:
            try:
                changes, warnings = await self._again()
            except NotFit as error:
                said = "the configuration cannot be served; the one before it still is"
                return 422, {"error": said, "problems": error.problems}
        return 200, {"changes": changes, "warnings": warnings}

    def soon(self) -> None:
        """Reads it, for somebody who does not wait."""
        tasks.spawn(self.asked(), name="reload")

    def look(self) -> None:
        """Reads it if its files have changed. To be called every `watch.LOOK_EVERY` seconds."""
        if not self._looking and self._takes and self._watch.look():
            self._looking = True
            tasks.spawn(self._look(), name="look at the configuration")

    async def _look(self) -> None:
        try:
            async with self._one_at_a_time:
                if not await asyncio.to_thread(self._tried.have_changed):
                    return
                if self._rejected is not None and not await asyncio.to_thread(self._loaded.sources.have_changed):
                    self._restored()
                    return
                await self._again()
        except NotFit:
            pass  # told already
        finally:
            self._looking = False

    @property
    def _tried(self) -> config.Sources:
        """What was read last."""
        return self._loaded.sources if self._rejected is None else self._rejected.sources

    async def _again(self) -> tuple[list[str], list[str]]:
        """Changes and warnings.

        Raises:
            NotFit: nothing has changed, and everybody was told.
        """
        sources = config.Sources()
        systemd.tell(systemd.reloading())
        try:
            loaded, changes, warnings = await asyncio.to_thread(_read, self._loaded, sources)
            await self._take(loaded)
        except CannotStart as error:
            self._reject([str(error)], sources)
            raise NotFit([str(error)]) from None
        except NotFit as error:
            self._reject(error.problems, sources)
            raise
        finally:
            systemd.tell(systemd.READY)
        self._accept(loaded, changes, warnings)
        return changes, warnings

    def _accept(self, loaded: config.Config, changes: list[str], warnings: list[str]) -> None:
        again, self._rejected = self._rejected is not None, None
        self._loaded, self._loaded_at = loaded, self._wall()
        self._watch.follow(loaded.sources)
        self._prometheus.config_loaded(ok=True)
        text = f"configuration taken: {_summed(changes)}" if changes else "configuration read again: nothing changes"
        if changes or again:
            self._journal.add(KIND, "", text, result="ok", changes=changes)
        _say(logging.INFO, text, result="ok", changes=changes, warnings=warnings)

    def _reject(self, problems: list[str], sources: config.Sources) -> None:
        known = self._rejected is not None and self._rejected.sources.same_as(sources)
        self._rejected = Rejected(self._wall(), problems, sources)
        self._watch.follow(sources)
        self._prometheus.config_loaded(ok=False)
        text = f"configuration rejected, the one before it is still served: {_summed(problems)}"
        if not known:
            self._journal.add(KIND, "", text, result="rejected", problems=problems)
        _say(logging.ERROR, text, result="rejected", problems=problems)

    def _restored(self) -> None:
        self._rejected = None
        self._watch.follow(self._loaded.sources)
        text = "the configuration's files hold again what is served"
        self._journal.add(KIND, "", text, result="ok", changes=[])
        _say(logging.INFO, text, result="ok", changes=[])


def _read(before: config.Config, sources: config.Sources) -> tuple[config.Config, list[str], list[str]]:
    """The file as it is now, what it changes, and what may be unwise about it.

    Takes tens of milliseconds: not for the loop.

    Raises:
        NotFit: it is invalid, worse than unwise, or changes what cannot be changed.
    """
    if not before.sources.files or (Path(before.file).exists() and not Path(before.file).is_file()):
        raise NotFit(["the configuration was not read from a file"])  # a pipe is read once, and then for ever
    try:
        loaded = config.load(before.file, sources=sources)
    except config.ConfigError as error:
        raise NotFit([str(problem) for problem in error.problems]) from None
    findings = config.lint(loaded)
    errors = [config.line_of(loaded.file, finding) for finding in findings if finding.severity == "error"]
    if errors:
        raise NotFit(errors)
    return loaded, _changes(before, loaded), [config.line_of(loaded.file, finding) for finding in findings]


def _changes(before: config.Config, loaded: config.Config) -> list[str]:
    changes = diff.compare(before, loaded)
    if changes.impossible:
        raise NotFit(list(changes.impossible))
    return changes.sentences()


def _summed(sentences: list[str]) -> str:
    more = len(sentences) - _SHOWN
    return "; ".join([*sentences[:_SHOWN], *([f"and {more} more"] if more > 0 else [])])


def _say(level: int, text: str, **fields: Any) -> None:
    _log.log(level, "%s", text, extra={"fields": {"event": "config", **fields}})


def _date(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
