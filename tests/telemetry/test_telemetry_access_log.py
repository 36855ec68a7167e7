"""Laws of the access log: one line per request, and never a byte of a query that is to be hidden."""

import inspect
import json
import os
import random
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.observer import RequestLog
from sidecar.telemetry import redaction
from sidecar.telemetry.access_log import AccessLog
from sidecar.telemetry.line import FORMATS, Format

NOW = 1_800_000_000.123456  # 2027-01-15T08:00:00.123456Z

USUAL: dict[str, Any] = {
    "route": "toggles",
    "method": b"GET",
    "path": b"/api/toggles/",
    "query": b"phone_number=%2B15550100",
    "status": 200,
    "outcome": "ok",
    "reason": "",
    "duration": 0.0123456,
    "upstream": 0.0111,
    "attempts": 1,
    "bytes_in": 0,
    "bytes_out": 321,
    "request_id": b"5f0c2a0e-9d1c",
}

anything = st.binary(max_size=40)


def write(log: AccessLog, **changed: Any) -> None:
    """One line about the usual request with something changed. The signature is positional."""
    log.write(*{**USUAL, **changed}.values())


def lines(path: Path) -> list[bytes]:
    """What is in the file."""
    return path.read_bytes().splitlines(keepends=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a log goes."""
    return tmp_path / "access.log"


@pytest.fixture
def made(path: Path) -> Callable[..., list[bytes]]:
    """`made(log options)(changed)`: the lines that a log with those options writes of one request."""

    def run(*, changed: dict[str, Any] | None = None, **options: Any) -> list[bytes]:
        path.unlink(missing_ok=True)
        log = AccessLog(str(path), wall=lambda: NOW, **options)
        write(log, **(changed or {}))
        log.close()
        return lines(path)

    return run


def test_it_has_the_signature_of_its_protocol() -> None:
    """The data plane passes its values by position: their order is the protocol's."""
    assert inspect.signature(AccessLog.write) == inspect.signature(RequestLog.write)


def test_one_json_object_with_these_members_in_this_order(made: Callable[..., list[bytes]]) -> None:
    """The line is a contract with whoever collects it."""
    (line,) = made()
    assert list(json.loads(line).items()) == [
        ("time", "2027-01-15T08:00:00.123Z"),
        ("route", "toggles"),
        ("method", "GET"),
        ("path", "/api/toggles/?[redacted]"),
        ("status", 200),
        ("outcome", "ok"),
        ("reason", ""),
        ("duration_ms", 12.346),
        ("upstream_ms", 11.1),
        ("attempts", 1),
        ("bytes_in", 0),
        ("bytes_out", 321),
        ("request_id", "5f0c2a0e-9d1c"),
    ]


def test_one_line_for_people(made: Callable[..., list[bytes]]) -> None:
    """The text format says the same in a row of columns."""
    expected = (
        b"2027-01-15T08:00:00.123Z toggles GET /api/toggles/?[redacted] 200 ok "
        b"duration=12.346ms upstream=11.100ms attempts=1 in=0 out=321 id=5f0c2a0e-9d1c\n"
    )
    assert made(format="text") == [expected]
    changed = {"outcome": "refused", "reason": "breaker_open", "upstream": -1.0, "attempts": 0, "status": 503}
    (line,) = made(format="text", changed=changed)
    assert b" 503 refused(breaker_open) duration=12.346ms upstream=- attempts=0 " in line


def test_a_detail_stands_after_its_reason(made: Callable[..., list[bytes]]) -> None:
    """Only where there is one; it repeats, and so is part of the template, whatever signs it holds."""
    changed = {"outcome": "upstream_error", "reason": "tls_failure", "detail": 'not valid for "50%"'}
    (line,) = made(changed=changed)
    said = json.loads(line)
    assert said["detail"] == 'not valid for "50%"'
    assert list(said).index("detail") == list(said).index("reason") + 1
    (line,) = made(changed=changed, format="text")
    assert line.endswith(b' id=5f0c2a0e-9d1c detail="not valid for \\"50%\\""\n')


def test_no_upstream_time_is_null(made: Callable[..., list[bytes]]) -> None:
    """Where no attempt was made there is no time, not a negative one; an attempt of no time is 0."""
    assert json.loads(made(changed={"upstream": -1.0, "attempts": 0})[0])["upstream_ms"] is None
    assert json.loads(made(changed={"upstream": 0.0})[0])["upstream_ms"] == 0


@given(method=anything, path=anything, query=anything, request_id=anything, route=st.text(max_size=10))
def test_any_bytes_make_one_readable_json_line(tmp_path_factory: pytest.TempPathFactory, **sent: Any) -> None:
    """No caller can break the line, or write a second one; what it sent can be read back."""
    file = tmp_path_factory.mktemp("log") / "log"
    log = AccessLog(str(file), redact_query=False)
    write(log, **sent)
    log.close()
    (line,) = lines(file)
    said = json.loads(line)
    target = sent["path"] + (b"?" + sent["query"] if sent["query"] else b"")
    assert said["path"] == target.decode("utf-8", "backslashreplace")
    assert said["request_id"] == sent["request_id"].decode("utf-8", "backslashreplace")
    assert said["method"] == sent["method"].decode("utf-8", "backslashreplace")
    assert said["route"] == sent["route"]


@given(method=anything, path=anything, request_id=anything)
def test_any_bytes_make_one_text_line(tmp_path_factory: pytest.TempPathFactory, **sent: bytes) -> None:
    """Columns stay columns, and the line stays one."""
    file = tmp_path_factory.mktemp("log") / "log"
    log = AccessLog(str(file), format="text")
    write(log, **sent)
    log.close()
    (line,) = lines(file)
    assert all(0x20 <= byte < 0x7F for byte in line[:-1])


SECRET = b"5550100"


@pytest.mark.parametrize("format", sorted(FORMATS))
@pytest.mark.parametrize(
    "sent",
    [
        {"query": b"phone_number=%2B1" + SECRET},
        {"query": SECRET, "path": b'/"quoted"'},
        {"query": b"?" + SECRET},
        {"path": b"/nobody/could/parse/this?" + SECRET, "query": b""},
        {"path": b'/"nor?this' + SECRET, "query": SECRET},
        {"path": b"?" + SECRET, "query": b""},
    ],
)
def test_a_redacted_query_leaves_no_byte(
    made: Callable[..., list[bytes]],
    format: Format,  # noqa: A002 - as in the code
    sent: dict[str, bytes],
) -> None:
    """Only that there was one is shown, even where the request could not be parsed."""
    (line,) = made(format=format, changed=sent)
    assert SECRET not in line
    assert b"?[redacted]" in line


def test_without_a_query_nothing_is_redacted(made: Callable[..., list[bytes]]) -> None:
    """The marker means that there was a query."""
    assert json.loads(made(changed={"query": b""})[0])["path"] == "/api/toggles/"


def test_a_sample_keeps_everything_that_was_not_ok(path: Path) -> None:
    """Successes are thinned out, by the given share; what somebody will look for is all there."""
    log = AccessLog(str(path), sample=0.25, rng=random.Random(1))
    for _ in range(2000):
        write(log)
        write(log, outcome="refused", reason="breaker_open", status=503)
    log.close()
    said = [json.loads(line)["outcome"] for line in lines(path)]
    assert said.count("refused") == 2000
    assert 400 < said.count("ok") < 600


def test_a_sample_of_zero_writes_no_success(made: Callable[..., list[bytes]]) -> None:
    """0 is a share like any other."""
    assert made(sample=0.0) == []


@given(st.lists(st.floats(0, 4e9), min_size=1, max_size=8))
def test_every_line_has_its_own_time(tmp_path_factory: pytest.TempPathFactory, times: list[float]) -> None:
    """The stamp is the clock's, cut to the millisecond, also after the clock stepped back."""
    file = tmp_path_factory.mktemp("log") / "log"
    clock = iter(times)
    log = AccessLog(str(file), wall=lambda: next(clock))
    for _ in times:
        write(log)
    log.close()
    for time, line in zip(times, lines(file), strict=True):
        stamp = datetime.fromisoformat(json.loads(line)["time"])
        assert round(stamp.timestamp() * 1000) == int(time * 1000)


def test_a_percent_sign_stays_one(made: Callable[..., list[bytes]]) -> None:
    """Lines are filled in by `%`: names from the configuration must not be taken for places."""
    (line,) = made(changed={"route": "50%d", "method": b"%s", "reason": "%", "path": b"/%20%s"})
    said = json.loads(line)
    assert (said["route"], said["method"], said["reason"]) == ("50%d", "%s", "%")
    assert said["path"] == "/%20%s?[redacted]"


def test_invented_methods_do_not_fill_the_memory(path: Path) -> None:
    """What is kept to write lines faster is bounded, whatever callers send."""
    log = AccessLog(str(path))
    for number in range(10_000):
        write(log, method=b"M%d" % number)
    assert len(log._templates) <= 4096
    log.close()
    assert json.loads(lines(path)[-1])["method"] == "M9999"


def test_lines_wait_for_the_flush(path: Path) -> None:
    """One system call for many lines."""
    log = AccessLog(str(path))
    write(log)
    write(log)
    assert lines(path) == []
    log.flush()
    assert len(lines(path)) == 2
    log.close()


def test_what_nobody_reads_is_counted() -> None:
    """A pipe that is not read costs lines, not time and not memory."""
    reader, writer = os.pipe()
    log = AccessLog(f"/proc/self/fd/{writer}")
    for _ in range(10_000):
        write(log)
    log.flush()
    assert log.dropped > 0
    assert log.failure
    assert len(log._buffer) <= 1024 * 1024
    log.close()
    os.close(reader)
    os.close(writer)


def test_a_rotated_log_goes_on_in_a_new_file(path: Path, tmp_path: Path) -> None:
    """`reopen` after the file was moved away."""
    log = AccessLog(str(path))
    write(log)
    path.rename(tmp_path / "old")
    log.reopen()
    write(log)
    log.close()
    assert (len(lines(tmp_path / "old")), len(lines(path))) == (1, 1)


def test_another_file_in_another_format(path: Path, tmp_path: Path) -> None:
    """What was written stays where it was; what was lost stays counted."""
    log = AccessLog(str(path))
    write(log)
    log.change(str(tmp_path / "text"), format="text", sample=1.0, redact_query=True)
    write(log)
    log.change(str(tmp_path / "text"), format="json", sample=1.0, redact_query=True)
    write(log)
    log.close()
    assert len(lines(path)) == 1
    first, second = (tmp_path / "text").read_text().splitlines()
    assert not first.startswith("{")
    assert json.loads(second)["route"] == "toggles"


def test_a_file_that_cannot_be_opened_changes_nothing(path: Path, tmp_path: Path) -> None:
    """Neither the file nor the format."""
    log = AccessLog(str(path))
    with pytest.raises(OSError, match="directory"):
        log.change(str(tmp_path / "none" / "log"), format="text", sample=0.0, redact_query=False)
    write(log)
    log.close()
    assert json.loads(path.read_text())["route"] == "toggles"


def test_standard_output_is_a_dash(capfd: pytest.CaptureFixture[str]) -> None:
    """The default goes where containers collect it."""
    log = AccessLog()
    write(log)
    log.close()
    assert json.loads(capfd.readouterr().out)["route"] == "toggles"


TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FIELDS = [
    (b"x-tenant", b"X-Tenant", b'a"\xff\n'),
    (b"authorization", b"Authorization", b"Bearer s3cret"),
    (b"cookie", b"Cookie", b"session=s3cret"),
]


def test_a_trace_is_in_its_line(made: Callable[..., list[bytes]]) -> None:
    """Whoever has a line finds the trace, and the other way round; left out where it says nothing new."""
    (line,) = made(format="json", changed={"detail": "", "traceparent": TRACE})
    assert json.loads(line)["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    own = {"detail": "", "traceparent": TRACE, "request_id": TRACE[3:35]}
    assert "trace_id" not in json.loads(made(format="json", changed=own)[0]), "it is the request's id"
    (line,) = made(format="text", changed={"detail": "", "traceparent": TRACE})
    assert line.endswith(b" id=5f0c2a0e-9d1c trace=4bf92f3577b34da6a3ce929d0e0e4736\n")


def test_headers_are_written_if_they_are_asked_for(made: Callable[..., list[bytes]]) -> None:
    """No other, and nothing in one can end the line or the string."""
    changed = {"detail": "", "traceparent": TRACE, "headers": FIELDS}
    (line,) = made(format="json", headers=["X-Tenant", "X-None"], changed=changed)
    assert json.loads(line)["headers"] == {"X-Tenant": 'a"\\xff\n'}
    (line,) = made(format="text", headers=["X-Tenant"], changed=changed | {"traceparent": None})
    assert line.endswith(rb" X-Tenant=a\x22\xff\x0a" + b"\n")
    (line,) = made(format="json", changed=changed)
    assert b"s3cret" not in line
    assert b"headers" not in line


@pytest.mark.parametrize(
    "changed", [{"query": b"TOKEN=s3cret&page=2"}, {"path": b"/a?TOKEN=s3cret&page=2", "query": b""}]
)
def test_a_query_that_is_shown_hides_what_is_listed(
    made: Callable[..., list[bytes]], changed: dict[str, bytes]
) -> None:
    """`redact_query: false` with `redact`: names stay, values go, also where the parser never saw a query."""
    (line,) = made(redact_query=False, redact=["token"], changed=changed)
    assert json.loads(line)["path"].endswith("?TOKEN=***&page=2")


def test_the_usual_names_are_hidden_where_nobody_said_which(made: Callable[..., list[bytes]]) -> None:
    """An empty list says that none is."""
    changed = {"query": b"phone_number=1&page=2"}
    (line,) = made(redact_query=False, changed=changed)
    assert json.loads(line)["path"].endswith("?phone_number=***&page=2")
    (line,) = made(redact_query=False, redact=[], changed=changed)
    assert json.loads(line)["path"].endswith("?phone_number=1&page=2")


def test_the_page_lists_the_usual_names() -> None:
    """docs/logs.md and the code say the same."""
    text = (Path(__file__).parents[2] / "docs" / "logs.md").read_text()
    listed = text.split("Without a\n  list of yours these are ")[1].split(".")[0]
    assert tuple(re.findall(r"`(\w+)`", listed)) == redaction.USUAL
