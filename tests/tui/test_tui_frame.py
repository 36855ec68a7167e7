"""One screen: what stands on it, and that it fits."""

import os
from typing import Any

import pytest
from fixtures.status import a_document, a_route, an_open
from rich.cells import cell_len
from rich.text import Text

from sidecar.tui.frame import Screen, draw
from sidecar.tui.poll import Polled
from sidecar.tui.reading import Reader
from sidecar.tui.view import View

URL = "http://127.0.0.1:9901"
NOW = 1_795_348_805.0
WIDE = "\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 20


def frame(
    document: Any,
    view: View | None = None,
    *,
    polled: Polled | None = None,
    columns: int = 80,
    lines: int = 24,
    ascii_only: bool = False,
) -> list[str]:
    """The lines without their colours."""
    reading = None if document is None else Reader().read(document, 0.0, NOW)
    screen = Screen(columns=columns, lines=lines, ascii=ascii_only, colour=False)
    drawn = draw(reading, polled or Polled(), view or View(), url=URL, now=NOW, screen=screen)
    return [Text.from_ansi(line).plain for line in screen.painted(drawn)]


OUTAGE = a_document(a_route("invited-user"), an_open("toggles"), a_route("sms", bulkhead={"limit": 5, "in_flight": 1}))


def test_an_outage_is_the_first_thing_seen() -> None:
    """The ill route on top, with its numbers, what its callers get, and what happened last."""
    lines = frame(OUTAGE)
    assert lines[0].startswith("sidecar 0.1.0  up 2 h  ready")
    assert lines[0].endswith(URL)
    assert lines[1].startswith("3 routes: 1 open, 0 half open   516 req/s   25% errors")
    assert lines[3].split() == ["route", "state", "since", "req/s", "err", "fallb", "refus", "p50", "p99", "flight"]
    assert " ".join(lines[4].split()) == "> toggles open 2 min 512 25% 75% - 1.0 ms 1.5 s 1"
    assert "toggles: Callers get yesterday's answer, up to 1 h old" in lines
    assert [line for line in lines if line.startswith("12:00")] == [
        "12:00:02 UTC  endpoint https://one.example.com ejected",
        "12:00:01 UTC  breaker of toggles: closed to open for 5.0 s",
    ]
    assert lines[-1].startswith("q quit  j/k select")


@pytest.mark.parametrize("details", [False, True])
@pytest.mark.parametrize("columns", [20, 40, 60, 61, 80, 100, 132, 200])
@pytest.mark.parametrize("lines", [4, 10, 24, 60])
def test_every_frame_fits(columns: int, lines: int, *, details: bool) -> None:
    """Exactly as many lines as the screen has, none wider than it, whatever the names and texts are."""
    document = a_document(
        *(a_route(f"route-{number}-{'x' * number}") for number in range(40)),
        an_open(WIDE, callers_get=WIDE * 4, upstream=WIDE),
        ready=False,
    )
    view = View(details=details, selected=WIDE)
    drawn = frame(document, view, columns=columns, lines=lines)
    assert len(drawn) == lines
    assert max(map(cell_len, drawn)) <= columns
    assert any(line.startswith("> ") for line in drawn) or lines < 6


def test_sixty_columns_show_what_matters() -> None:
    """Over a narrow line: the state, the rate, errors, fallbacks and p99 of each route, each on one line."""
    lines = frame(OUTAGE, columns=60)
    assert lines[3].split() == ["route", "state", "since", "req/s", "err", "fallb", "p99"]
    assert " ".join(lines[4].split()) == "> toggles open 2 min 512 25% 75% 1.5 s"


def test_a_wide_screen_says_what_callers_get() -> None:
    """In a column of its own, for every route."""
    lines = frame(OUTAGE, columns=140)
    assert lines[3].endswith("callers get")
    assert lines[4].endswith("Callers get yesterday's answer, up to 1 h old")
    assert lines[5].endswith("Callers get the upstream's answers")


def test_the_selected_route_can_be_seen_whatever_the_number() -> None:
    """The table scrolls with the selection."""
    document = a_document(*(a_route(f"r{number:03}") for number in range(200)))
    for name in ("r000", "r100", "r199"):
        assert [line for line in frame(document, View(selected=name)) if line.startswith(f"> {name}")]


def test_the_details_tell_everything_about_one_route() -> None:
    """Its breaker, bulkhead, fault, upstream with budget, endpoints and what happened to it."""
    route = an_open(
        "toggles",
        critical=True,
        bulkhead={"limit": 10, "in_flight": 3, "queued": 2},
        fault={"abort": 503, "delay": 2.0, "reset": False, "ratio": 0.5, "until": "2026-11-22T12:01:00Z"},
        totals={"requests": 9, "by_outcome": {"ok": 4, "fail_closed": 5}, "refused_by_reason": {"breaker_open": 5}},
    )
    text = "\n".join(frame(a_document(route), View(details=True), columns=100, lines=40))
    for said in (
        "toggles to connect  critical: fails closed",
        "breaker     open for 2 min, next probe in 3 s",
        "bulkhead    3 of 10 slots, 2 waiting",
        "fault       answers 503, waits 2.0 s for 50% of attempts until 12:01:00 UTC",
        "requests    4 ok, 5 fail_closed",
        "refused     5 breaker_open",
        "upstream    connect: 3 connections busy, 4 idle; retry budget 12 at hand, 20% of requests",
        "https://one.example.com  ejected until 12:00:35 UTC  3 under way",
        "https://two.example.com  in  0 under way",
        "12:00:01 UTC  breaker of toggles: closed to open for 5.0 s",
    ):
        assert said in text, said


def test_a_breaker_held_by_hand_says_so() -> None:
    """In the table and in the details, with the end of it."""
    breaker = {"state": "open", "forced": {"state": "open", "until": "2026-11-22T12:05:00Z"}, "retry_after": 9.0}
    lines = frame(a_document(a_route("r", breaker=breaker)), View(details=True), lines=40)
    assert lines[4].startswith("> r            held open")
    assert any("by hand until 12:05:00 UTC" in line for line in lines)


def test_a_port_that_does_not_answer_is_told_with_the_last_that_is_known() -> None:
    """Since when, why, and that it goes on; the numbers stay."""
    polled = Polled({}, NOW - 8, NOW - 7, "connection refused")
    lines = frame(OUTAGE, polled=polled, columns=100)
    assert lines[1] == f"no answer from {URL} since 11:59:58 UTC, retrying (connection refused)"
    assert any(line.startswith("> toggles") for line in lines)
    assert frame(None, polled=polled, columns=100)[1] == lines[1]
    assert frame(None, polled=polled, columns=60)[1] == "no answer since 11:59:58 UTC, retrying (connection refused)"
    assert frame(None)[1] == f"asking {URL} ..."


def test_without_utf8_nothing_but_ascii_is_sent() -> None:
    """Names included, and what stands for a part that was cut off."""
    document = a_document(a_route("caf\xe9"), an_open("x" * 40, callers_get="\u201cquoted\u201d " * 30))
    for columns in (30, 60, 200):
        lines = frame(document, View(details=True), columns=columns, ascii_only=True)
        assert all(line.isascii() for line in lines)
        assert any("~" in line for line in lines)
    assert any("\N{HORIZONTAL ELLIPSIS}" in line for line in frame(document))


def painted(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    """A frame with its escape sequences, in that environment."""
    for name in ("NO_COLOR", "COLORTERM", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert "NO_COLOR" in os.environ or "NO_COLOR" not in environment
    screen = Screen(columns=80, lines=24)
    reading = Reader().read(OUTAGE, 0.0, NOW)
    return "".join(screen.painted(draw(reading, Polled(), View(), url=URL, now=NOW, screen=screen)))


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """No colour at all, as https://no-color.org asks; bold and reverse are none."""
    assert "\x1b[1;31m" in painted(monkeypatch, TERM="xterm-256color")
    without = painted(monkeypatch, TERM="xterm-256color", NO_COLOR="1")
    assert not any(f"{code}m" in without for code in range(30, 48))
    assert "\x1b[1m" in without


def test_one_frame_of_as_many_lines_as_it_takes() -> None:
    """For `--once`: all routes, no keys, no marker."""
    document = a_document(*(a_route(f"r{number:03}") for number in range(200)))
    lines = frame(document, lines=0)
    assert sum(line.startswith("  r") and line[3].isdigit() for line in lines) == 200
    assert not any("q quit" in line or line.startswith(">") for line in lines)


def test_the_filter_and_the_pause_can_be_seen() -> None:
    """What is being typed, that nothing matches, that time stands still."""
    assert frame(OUTAGE, View(filter="sm", typing=True))[-1].startswith("filter: sm_")
    assert "  no route matches 'zzz'" in frame(OUTAGE, View(filter="zzz"))
    assert "PAUSED" in frame(OUTAGE, View(paused=True))[0]
    assert "p go on" in frame(OUTAGE, View(paused=True))[-1]


def test_a_rejected_configuration_and_a_drain_are_told() -> None:
    """What the person on call must not miss stands on top."""
    config = {"rejected": {"problems": ["x.yaml:3:1: routes: bad"]}}
    lines = frame(a_document(a_route("r"), config=config, draining=True))
    assert "draining" in lines[0]
    assert lines[1] == "configuration rejected, the old one serves: x.yaml:3:1: routes: bad"
