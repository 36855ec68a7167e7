"""Ten minutes of outage, and all who watch: little is told to people, and what is shown is true all the time.

The same play as that of the alerts. Notifications, process log and `/status` are driven as the process drives them, in
virtual time; what callers saw is compared with what is said of it, twice a second.
"""

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from outage import BEFORE, OUTAGE, Outage

from sidecar.admin.status import Status
from sidecar.telemetry.digest import Digest
from sidecar.telemetry.ejections import Ejections
from sidecar.telemetry.events import INTERVAL, Events
from sidecar.telemetry.journal import Journal
from sidecar.telemetry.message import Message
from sidecar.telemetry.rates import Rates
from sidecar.telemetry.watched import Watch

OWN = "Callers get the upstream's own answers"
KEPT = "Callers get the last good answer, up to 1 h old"
NOTHING = "Callers get 503"


class Watched(Outage):
    """With everybody who watches."""

    def __init__(self) -> None:
        super().__init__()
        built = self.built
        self.journal = Journal(self.wall)
        self.rates = Rates(self.prometheus, clock=self.clock, wall=self.wall)
        subjects = Watch(built.routes, self.prometheus)
        self.events = Events(
            self.prometheus, clock=self.clock, journal=self.journal, escalate_after=600.0, broken=subjects.broken
        )
        self.ejections = Ejections(built.upstreams.values, journal=self.journal, clock=self.clock)
        self.digest = Digest(
            on=("breaker_open", "fail_closed", "config_rejected"),
            window=30.0,
            after=600.0,
            subjects=subjects,
            clock=self.clock,
            wall=self.wall,
        )
        self.journal.listen(self.digest.heard)
        self.status = Status(
            routes=built.routes,
            upstreams=built.upstreams.values(),
            pools={},
            totals=self.prometheus.totals,
            ready=lambda: "",
            draining=lambda: False,
            clock=self.clock,
            wall=self.wall,
            rates=self.rates,
            journal=self.journal,
        )
        self.messages: list[tuple[float, Message]] = []
        self.answered: list[tuple[float, str, str]] = []
        """When, on which route, with which outcome: what callers saw."""
        self.said: dict[str, Counter[str]] = {"toggles": Counter(), "search": Counter()}
        self._begun = self.clock()
        self._looks = 0
        self._marks = {self._begun: 0}
        """How many had been answered at each moment at which the counters may have been copied."""

    def write(self, *line: Any) -> None:
        """A request is over."""
        super().write(*line)
        self.answered.append((self.clock(), line[0], line[5]))

    def watch(self) -> None:
        """As the process does: rates, notifications and ejections each second, the log every ten; and a look."""
        self._looks += 1
        if self._looks % 2 == 0:
            self.rates.tick()
            self._marks[self.clock()] = len(self.answered)
            self.ejections.look()
            if (message := self.digest.tick()) is not None:
                self.messages.append((self.clock() - self._begun - BEFORE, message))
        if self._looks % (2 * INTERVAL) == 0:
            self.events.tick()
        self.look()

    def look(self) -> None:
        """What is shown is what happened."""
        document = self.status()
        shown = {route["name"]: route for route in document["routes"]}
        for route in self.built.routes:
            told = shown[route.name]
            assert route.breaker is not None
            assert told["breaker"]["state"] == route.breaker.state
            self.compare(told["rates"], route.name)
            self.compare_sentence(told["callers_get"], route.name, told["rates"]["outcomes"], route.breaker.state)
        moves = [entry for entry in document["journal"] if entry["kind"] == "breaker"]
        if moves:
            last = {entry["subject"]: entry["fields"]["to"] for entry in moves}
            assert {name: shown[name]["breaker"]["state"] for name in last} == last

    def compare(self, rates: dict[str, Any], route: str) -> None:
        """The last seconds' outcomes, counted by hand."""
        compared_with = self.rates._before().at
        assert rates["seconds"] == round(self.clock() - compared_with) <= 15
        seen = Counter(outcome for _, name, outcome in self.answered[self._marks[compared_with] :] if name == route)
        assert rates["outcomes"] == seen, (self.clock() - self._begun, route)

    def compare_sentence(self, sentence: str, route: str, outcomes: dict[str, int], state: str) -> None:
        """It names what callers were given of late; while a probe is out, or both were, either may stand there."""
        self.said[route][sentence] += 1
        if state == "open" and set(outcomes) <= {"fail_closed", "last_known_good"} and outcomes:
            assert sentence == (NOTHING if route == "toggles" else KEPT)
        if state == "closed" and set(outcomes) == {"ok"}:
            assert sentence == OWN


@pytest.fixture(scope="module")
def played() -> tuple[Watched, list[logging.LogRecord]]:
    """All of it."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    log = logging.getLogger("sidecar")
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        watched = Watched()
        for _ in watched.play(OUTAGE):
            pass
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    return watched, records


Played = tuple[Watched, list[logging.LogRecord]]


def test_people_are_told_little(played: Played, record_property: Callable[[str, object], None]) -> None:
    """At most three messages and five error lines, of thousands of requests that failed."""
    watched, records = played
    errors = [record for record in records if record.levelno >= logging.ERROR]
    warnings = [record for record in records if record.levelno == logging.WARNING]
    failed = sum(outcome != "ok" for _, _, outcome in watched.answered)
    record_property(
        "figure",
        f"{failed} requests failed in ten minutes: {len(watched.messages)} messages, {len(errors)} error lines, "
        f"{len(warnings)} warnings",
    )
    assert failed > 1000
    assert 2 <= len(watched.messages) <= 3
    assert len(errors) <= 5
    first, last = watched.messages[0], watched.messages[-1]
    assert 30.0 <= first[0] <= 60.0
    assert {line.route for line in first[1].opened} == {"toggles", "search"}
    assert last[0] > OUTAGE
    assert {line.route for line in last[1].recovered} == {"toggles", "search"}


def test_what_is_shown_was_true_all_the_time(played: Played) -> None:
    """Every look compared it; here: that there was something to compare, and each route was said to be what it was."""
    watched, _ = played
    assert watched._looks > 3000
    assert watched.said["toggles"][NOTHING] > 1000
    assert watched.said["search"][KEPT] > 1000
    assert min(watched.said[name][OWN] for name in watched.said) > 1000
    assert {line["callers_get"] for line in watched.status()["routes"][:2]} == {OWN}


def test_the_timeline_has_every_move_once(played: Played) -> None:
    """From the first opening to the last closing, in order, each from where the one before had led."""
    watched, _ = played
    for name in ("toggles", "search"):
        moves = [entry for entry in watched.journal.since() if entry.kind == "breaker" and entry.subject == name]
        states = [entry.fields["from"] for entry in moves] + [moves[-1].fields["to"]]
        assert states[0] == states[-1] == "closed"
        assert [entry.fields["to"] for entry in moves] == states[1:]
        assert sum(counted for counted in watched.prometheus.route(name).transitions.values()) == len(moves)
