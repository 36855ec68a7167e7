"""When people are told, and what: as little as says it all.

- **Openings wait one window** from the first of them. When an upstream goes, its routes find out one after another,
  each with its own next calls: the wait makes one message of them. Alertmanager's `group_wait` does the same, with the
  same 30 s.
- **A recovery must last one window**, and waits up to four for the other routes of its upstream: their probes come
  when their callers do. What breaks again before that goes on as the same incident.
- **Each further message about the same upstream waits twice as long** as the one before it, up to ten minutes, until
  it has been well for an hour: an upstream that flaps is not news each time.
- **Escalation**: once per incident, when it is `after` old, together with all that will be within a window.

Pure: clocks are arguments, `tick` returns what to send. Every receiver has a digest of its own.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sidecar.clock import Clock
from sidecar.telemetry.incidents import Incident, Incidents
from sidecar.telemetry.journal import Entry
from sidecar.telemetry.message import Line, Message
from sidecar.telemetry.watched import Subjects

LONGEST_WAIT: Final = 600.0
"""Seconds up to which waits double."""
FORGIVEN: Final = 3600.0
"""Seconds without an incident after which an upstream counts as new."""
_STRAGGLERS: Final = 4
"""Windows that a recovery waits for the other routes of its upstream."""


@dataclass(slots=True)
class _Upstream:
    """What was said about one: how often that it fails, and that it is well; when last."""

    failing: int = 0
    well: int = 0
    last: float = 0.0


@dataclass(slots=True)
class _Rejected:
    problems: tuple[str, ...]
    due: float
    told: bool = False
    accepted: bool = False


class Digest:
    """Of one receiver.

    on: the kinds it is told of (breaker_open, fail_closed, config_rejected). window, after: seconds.
    subjects: the routes as they are now.
    """

    def __init__(
        self,
        *,
        on: Collection[str],
        window: float,
        after: float,
        subjects: Callable[[], Subjects],
        clock: Clock,
        wall: Clock,
    ) -> None:
        self._on = frozenset(on)
        self._window = window
        self._after = after
        self._subjects = subjects
        self._clock = clock
        self._wall = wall
        self._incidents = Incidents(on, quiet=window, clock=clock, wall=wall)
        self._upstreams: dict[str, _Upstream] = {}
        self._rejected: _Rejected | None = None
        self._spoke = float("-inf")

    def heard(self, entry: Entry) -> None:
        """An entry of the journal: a breaker moved, a configuration was taken or not. Others say nothing here."""
        if entry.kind == "breaker":
            watched = self._subjects().get(entry.subject)
            if watched is not None:
                self._incidents.look_at(entry.subject, watched)
            self._incidents.explain(entry.subject, entry.fields.get("failures", {}))
        elif entry.kind == "config" and "config_rejected" in self._on:
            self._configured(entry)

    def tick(self) -> Message | None:
        """What is due now. To be called about once a second."""
        now = self._clock()
        self._incidents.look(self._subjects())
        self._forgive(now)
        return self._message(now, self._well(now)) if self._is_due(now) else None

    def last(self) -> Message | None:
        """What waits, whether it is due or not: there will be no other tick."""
        now = self._clock()
        self._incidents.look(self._subjects())
        over = [incident for incident in self._incidents.all if incident.told and incident.ended is not None]
        pending = over or list(self._fresh()) or self._news()
        return self._message(now, over, last=True) if pending else None

    # What waits.

    def _fresh(self) -> Iterator[Incident]:
        return (incident for incident in self._incidents.all if not incident.told)

    def _is_clear(self, incident: Incident, now: float) -> bool:
        """Whether it can be said how it stands: it is wrong, or has been well for long enough."""
        return incident.ended is None or now >= incident.ended + self._wait(self._said(incident.upstream).well)

    def _late(self, by: float) -> list[Incident]:
        """Told, not over, and by then old enough to be told again."""
        return [
            incident
            for incident in self._incidents.all
            if incident.told and not incident.escalated and incident.ended is None
            if incident.since + self._after <= by
        ]

    def _well(self, now: float) -> list[Incident]:
        """Those whose recovery is due, by upstream."""
        found: list[Incident] = []
        for upstream in {incident.upstream for incident in self._incidents.all}:
            mine = [incident for incident in self._incidents.all if incident.told and incident.upstream == upstream]
            ended = {incident: incident.ended for incident in mine if incident.ended is not None}
            if not ended:
                continue
            hold = self._wait(self._said(upstream).well)
            due = min(ended.values()) + _STRAGGLERS * hold
            if len(ended) == len(mine):
                due = min(due, max(ended.values()) + hold)
            if now >= due:
                found += ended
        return found

    def _news(self) -> bool:
        """Whether there is something to say about the configuration."""
        rejected = self._rejected
        return rejected is not None and (not rejected.told or rejected.accepted)

    # When.

    def _is_due(self, now: float) -> bool:
        if self._late(now):
            return True
        if now - self._spoke < self._window:  # only recoveries of several upstreams ever wait for this
            return False
        fresh = (incident for incident in self._fresh() if self._is_clear(incident, now))
        if any(now >= incident.since + self._wait(self._said(incident.upstream).failing) for incident in fresh):
            return True
        if self._news() and self._rejected is not None and now >= self._rejected.due:
            return True
        return bool(self._well(now))

    def _wait(self, before: int) -> float:
        """Seconds before the next message, after so many."""
        return min(self._window * 2.0 ** min(before, 20), max(LONGEST_WAIT, self._window))

    def _said(self, upstream: str) -> _Upstream:
        return self._upstreams.setdefault(upstream, _Upstream())

    def _forgive(self, now: float) -> None:
        ill = {incident.upstream for incident in self._incidents.all}
        for name in [name for name, said in self._upstreams.items() if name not in ill and now - said.last > FORGIVEN]:
            del self._upstreams[name]

    # What.

    def _message(self, now: float, well: Iterable[Incident], *, last: bool = False) -> Message:
        fresh = [incident for incident in self._fresh() if last or self._is_clear(incident, now)]
        over = [incident for incident in fresh if incident.ended is not None]  # a short one: told once, as over
        opened = [incident for incident in fresh if incident.ended is None]
        late = self._late(now + self._window)
        recovered = [*well, *over]
        problems, accepted = self._about_configuration()
        message = Message(
            at=self._wall(),
            opened=tuple(self._line(incident, now) for incident in opened),
            escalated=tuple(self._line(incident, now) for incident in late),
            recovered=tuple(self._line(incident, now) for incident in recovered),
            rejected=problems,
            accepted=accepted,
        )
        self._spoke = now
        self._count(fresh, recovered, now)
        for incident in (*opened, *late):
            incident.escalated = incident.since + self._after <= now + self._window
            incident.told = True
        for incident in recovered:
            self._incidents.forget(incident)
        return message

    def _count(self, fresh: Iterable[Incident], recovered: Iterable[Incident], now: float) -> None:
        for upstream in {incident.upstream for incident in fresh}:
            self._said(upstream).failing += 1
            self._said(upstream).last = now
        for upstream in {incident.upstream for incident in recovered}:
            self._said(upstream).well += 1
            self._said(upstream).last = now

    @staticmethod
    def _line(incident: Incident, now: float) -> Line:
        return Line(
            route=incident.route,
            upstream=incident.upstream,
            kinds=tuple(incident.kinds),
            at=incident.at,
            seconds=incident.seconds(now),
            callers=incident.callers(),
            failures=incident.failures,
        )

    # The configuration.

    def _configured(self, entry: Entry) -> None:
        before = self._rejected
        due = self._clock() + self._window
        if entry.fields.get("result") == "rejected":
            problems = tuple(map(str, entry.fields.get("problems", ()))) or (entry.text,)
            if before is None or before.problems != problems:  # the same again, as a watcher finds it, is no news
                self._rejected = _Rejected(problems, due if before is None or before.told else before.due)
            else:
                before.accepted = False
        elif before is not None and not before.accepted:
            before.accepted = True
            before.due = max(before.due, due) if before.told else before.due

    def _about_configuration(self) -> tuple[tuple[str, ...], bool]:
        rejected = self._rejected
        if rejected is None or not self._news():
            return (), False
        problems = () if rejected.told else rejected.problems
        rejected.told = True
        if rejected.accepted:
            self._rejected = None
        return problems, rejected.accepted
