"""`sidecar top` on a pseudo-terminal, in front of a sidecar and of ports that are none."""

import http.client
import json
import re
import signal
from pathlib import Path

import pytest
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar, free_port, run_sidecar
from fixtures.screen import Session
from fixtures.status import a_document, a_route, an_open
from fixtures.upstream import Upstream

ALL_WELL = a_document(a_route("invited-user"), a_route("toggles"), a_route("sms"))
OUTAGE = a_document(a_route("invited-user"), an_open("toggles"), a_route("sms"))
CONFIG = """
upstreams: {{connect: {{endpoints: ["{url}"]}}}}
routes:
  - name: toggles
    match: {{prefix: /toggles/}}
    upstream: connect
    breaker: {{consecutive_failures: 2, open_for: 60s}}
  - {{name: other, match: {{prefix: /other/}}, upstream: connect}}
"""


def marked(lines: list[str]) -> str:
    """The name of the route at which the marker stands; "" if there is none."""
    return next((line.split()[1] for line in lines if line.startswith("> ")), "")


def test_an_outage_is_watched_from_its_beginning(tmp_path: Path) -> None:
    """In front of a real sidecar: closed, then open and on top, within seconds; q ends it, and the terminal is back."""
    with Upstream(otherwise=scripted.ok()) as upstream:
        sidecar = RunningSidecar(CONFIG.format(url=upstream.url), tmp_path)
        try:
            with Session("top", sidecar.admin_url) as session:
                session.until_shown(r"^. toggles +closed")
                session.type("G")
                upstream.otherwise(scripted.status(500))
                for _ in range(4):
                    run_get(sidecar.port, "/toggles/x")
                session.until_shown(r"^. toggles +open")
                assert re.match(r"2 routes: 1 open", session.lines[1])
                session.type("gkk\r")
                session.until_shown(r"breaker +open for \d+ s, next probe in")
                session.until_shown(re.escape(upstream.url))
                session.type("q")
                assert session.end() == 0
        finally:
            sidecar.kill()


def run_get(port: int, path: str) -> None:
    """One GET whose answer does not matter."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    connection.getresponse().read()
    connection.close()


def test_every_key_does_what_the_last_line_says() -> None:
    """Select, details and back, sort, filter, pause and go on, quit."""
    with Upstream(otherwise=scripted.ok(OUTAGE)) as port, Session("top", port.url) as session:
        session.until(lambda lines: marked(lines) == "toggles")
        session.type("j")
        session.until(lambda lines: marked(lines) == "invited-user")
        session.type("\x1b[B")
        session.until(lambda lines: marked(lines) == "sms")
        session.type("\x1b[A\x1bOA")
        session.until(lambda lines: marked(lines) == "toggles")
        session.type("\r")
        session.until_shown("retry budget 12 at hand")
        session.type("\x1b")
        session.until(lambda lines: not any("retry budget" in line for line in lines))
        session.type("s")
        session.until_shown("s sort: rate")
        session.type("/SM")
        session.until_shown("^filter: SM_")
        session.until(lambda lines: not any("invited-user" in line for line in lines))
        session.type("\r")
        session.until(lambda lines: marked(lines) == "sms")
        session.type("\x1b")
        session.until_shown("invited-user")
        session.type("p")
        session.until_shown("PAUSED")
        seen = port.count()
        port.otherwise(scripted.ok(a_document(a_route("renamed"))))
        port.wait_for(seen + 2)
        assert not any("renamed" in line for line in session.lines)
        session.type("p")
        session.until_shown("renamed")
        session.type("q")
        assert session.end() == 0


def test_it_follows_the_size_of_the_terminal() -> None:
    """80 columns, then 60, then 132: no line is broken, and each frame fills the screen."""
    with Upstream(otherwise=scripted.ok(OUTAGE)) as port, Session("top", port.url) as session:
        session.until_shown(r"^> toggles +open +2 min +512 +25% +75% +- +1\.0 ms +1\.5 s +1$")
        session.resize(60, 20)
        session.until_shown(r"^> toggles +open +2 min +512 +25% +75% +1\.5 s$")
        session.until(lambda lines: lines[-1].startswith("q quit"))
        assert len(session.lines) == 20
        assert [line[:2] for line in session.lines[4:7]] == ["> ", "  ", "  "]
        session.resize(132, 30)
        session.until_shown(r"^> toggles .*Callers get yesterday's answer, up to 1 h old$")
        session.type("q")
        assert session.end() == 0


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGHUP, 128 + signal.SIGHUP)],
)
def test_a_signal_ends_it_and_the_terminal_is_back(number: signal.Signals, code: int) -> None:
    """Cursor, echo and screen are as they were; `end` compares."""
    with Upstream(otherwise=scripted.ok(ALL_WELL)) as port, Session("top", port.url) as session:
        session.until_shown("toggles")
        assert session.attributes() != session.before
        session.kill(number)
        assert session.end() == code


def test_ctrl_c_ends_it_even_while_the_port_hangs() -> None:
    """Keys never wait for an answer."""
    with Upstream(otherwise=scripted.hang()) as port, Session("top", port.url) as session:
        session.until_shown(f"^asking {re.escape(port.url)}")
        session.type("\x03")
        assert session.end() == 0


def test_ctrl_z_gives_the_terminal_back_for_a_while() -> None:
    """Suspended, the shell has its terminal; continued, the frame is drawn anew."""
    with Upstream(otherwise=scripted.ok(ALL_WELL)) as port, Session("top", port.url) as session:
        session.until_shown("toggles")
        session.kill(signal.SIGTSTP)
        session.until(lambda _: session.stopped())
        assert session.attributes() == session.before
        before = len(session.raw)
        session.kill(signal.SIGCONT)
        session.until(lambda _: b"toggles" in session.raw[before:])
        session.type("q")
        assert session.end() == 0


def test_a_port_that_is_gone_is_told_and_asked_again() -> None:
    """Since when, while the last numbers stay; once it is back, so are its numbers."""
    port = free_port()
    with Session("top", f"127.0.0.1:{port}") as session:
        session.until_shown(rf"^no answer from http://127\.0\.0\.1:{port} since \d\d:\d\d:\d\d UTC, retrying")
        with Upstream(port=port, otherwise=scripted.ok(OUTAGE)):
            session.until_shown(r"^> toggles +open")
            assert not any("no answer" in line for line in session.lines)
        session.until_shown("^no answer from")
        session.until_shown(r"^> toggles +open")
        session.type("q")
        assert session.end() == 0


def test_without_utf8_and_without_colour() -> None:
    """An ASCII locale gets ASCII, NO_COLOR no colour; neither loses a word."""
    document = a_document(an_open("caf\xe9-with-a-name-that-is-far-too-long-for-its-column"))
    env = {"PYTHONIOENCODING": "ascii", "NO_COLOR": "1"}
    with Upstream(otherwise=scripted.ok(document)) as port, Session("top", port.url, env=env) as session:
        session.until_shown(r"^> caf\?-with-.*~ +open")
        session.type("q")
        assert session.end() == 0
        assert session.raw.isascii()
        assert not re.search(rb"\x1b\[(\d+;)*(3|4|9)\d[;m]", session.raw)


def test_once_prints_a_frame_for_scripts() -> None:
    """Plain text on a pipe: every route on a line, no escape sequence."""
    with Upstream(otherwise=scripted.ok(OUTAGE)) as port:
        code, out, err = run_sidecar("top", port.url, "--once", env={"COLUMNS": "120"})
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert re.search(r"^  toggles +open +2 min +512 ", out, re.MULTILINE)
    assert re.search(r"^  sms +closed", out, re.MULTILINE)


def test_once_asks_twice_where_rates_are_missing() -> None:
    """An older sidecar only counts: the rate is what came between two answers."""
    routes = [a_route("r", totals={"requests": count, "by_outcome": {"ok": count}}) for count in (10, 40)]
    for route in routes:
        del route["rates"]
    answers = [scripted.answer(200, json.dumps(a_document(route)).encode()) for route in routes]
    with Upstream(otherwise=scripted.in_turn(*answers)) as port:
        code, out, _ = run_sidecar("top", port.url, "--once")
    assert code == 0
    found = re.search(r"^  r +closed +1 min +(\d+) ", out, re.MULTILINE)
    assert found is not None
    assert 15 <= int(found[1]) <= 30


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--once", "127.0.0.1:1"], 1, "sidecar top: no answer from http://127.0.0.1:1: connection refused\n"),
        (["ftp://h"], 2, "sidecar top: ADMIN_URL must be a URL such as http://127.0.0.1:9901\n"),
        ([], 2, "sidecar top: needs a terminal that can place text: --once prints one frame anywhere\n"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: list[str], code: int, said: str) -> None:
    """No answer is 1, no way to begin is 2."""
    assert run_sidecar("top", *arguments) == (code, "", said)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """One line and exit code 2."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nreal = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'rich' else real(name, package)\n"
    )
    wanted = "sidecar top: needs an extra that is not installed: pip install 'resilience-sidecar[tui]'\n"
    assert run_sidecar("top", "--once", env={"PYTHONPATH": str(tmp_path)}) == (2, "", wanted)
