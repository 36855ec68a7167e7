"""The journal keeps the newest entries in order, and tells whoever listens."""

import pytest

from sidecar.telemetry.journal import Entry, Journal


def test_entries_are_numbered_dated_and_told() -> None:
    """Each entry has the next number and the time of the wall clock, and reaches every listener once."""
    heard: list[Entry] = []
    journal = Journal(lambda: 1_000.5)
    journal.listen(heard.append)
    first = journal.add("breaker", "toggles", "opened", to="open")
    second = journal.add("config", "", "taken")
    assert [first.number, second.number] == [1, 2]
    assert first.at == 1_000.5
    assert first.fields == {"to": "open"}
    assert heard == [first, second]
    assert list(journal.since()) == [first, second]
    assert list(journal.since(1)) == [second]


def test_the_oldest_go_first() -> None:
    """More entries than it has room for push out the oldest; numbers go on rising."""
    journal = Journal(lambda: 0.0, size=3)
    for at in range(5):
        journal.add("action", "", str(at))
    assert [entry.text for entry in journal.since()] == ["2", "3", "4"]
    assert [entry.number for entry in journal.since()] == [3, 4, 5]


def test_a_listener_that_left_hears_nothing() -> None:
    """The end of a subscription holds, and may be asked for twice."""
    heard: list[Entry] = []
    journal = Journal(lambda: 0.0)
    end = journal.listen(heard.append)
    end()
    end()
    journal.add("drain", "", "draining")
    assert heard == []


def test_a_listener_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The others hear of it, the entry is kept, and the failure is logged once."""

    def broken(_: Entry) -> None:
        raise RuntimeError

    heard: list[Entry] = []
    journal = Journal(lambda: 0.0)
    journal.listen(broken)
    journal.listen(heard.append)
    journal.add("action", "toggles", "held open")
    assert len(heard) == 1
    assert len(list(journal.since())) == 1
    assert [record.message for record in caplog.records] == ["a listener of the journal failed"]
