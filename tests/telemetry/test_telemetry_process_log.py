"""Laws of the process's own log."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sidecar.telemetry.process_log import JsonFormatter, SinkHandler, TextFormatter, install
from sidecar.telemetry.sink import Sink


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log goes."""
    return tmp_path / "log"


@pytest.fixture
def installed(path: Path) -> Iterator[Callable[..., SinkHandler]]:
    """`installed(format=…)`: the log, installed, and taken back after the test."""
    handlers: list[SinkHandler] = []
    level = logging.getLogger().level

    def run(**options: object) -> SinkHandler:
        handlers.append(install(target=str(path), **options))  # type: ignore[arg-type]
        return handlers[-1]

    yield run
    for handler in handlers:
        handler.close()
    logging.getLogger().setLevel(level)


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    """A record as the logging module makes it."""
    made = logging.getLogger("sidecar.part").makeRecord(
        "sidecar.part", logging.WARNING, "file.py", 1, message, arguments, None, extra=extra or None
    )
    made.created = 1_800_000_000.5
    return made


def test_every_logger_s_records_are_lines_at_once(path: Path, installed: Callable[..., SinkHandler]) -> None:
    """Whatever library speaks, it is one JSON object per line, written without waiting for a flush."""
    installed()
    logging.getLogger("sidecar").info("one %s", "word")
    logging.getLogger("some.library").warning("two")
    logging.getLogger("sidecar").debug("not this")
    said = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["level"], line["logger"], line["message"]) for line in said] == [
        ("info", "sidecar", "one word"),
        ("warning", "some.library", "two"),
    ]


def test_what_is_closed_says_no_more(path: Path, installed: Callable[..., SinkHandler]) -> None:
    """Closing takes the handler off the root logger."""
    handler = installed()
    handler.close()
    logging.getLogger("sidecar").warning("late")
    assert handler not in logging.getLogger().handlers
    assert path.read_text() == ""


def test_fields_join_the_object() -> None:
    """A record's own fields are members, after those that every record has."""
    line = JsonFormatter().format(record("moved", fields={"event": "breaker", "route": "toggles"}))
    assert list(json.loads(line).items()) == [
        ("time", "2027-01-15T08:00:00.500Z"),
        ("level", "warning"),
        ("logger", "sidecar.part"),
        ("message", "moved"),
        ("event", "breaker"),
        ("route", "toggles"),
    ]


@pytest.mark.parametrize("words", ['"quoted"\nand more', "lone \udc80 surrogate", "\x00\x1b[31m", "κόσμος"])
def test_any_message_is_one_json_line(words: str) -> None:
    """Nothing that is logged can break the line."""
    line = JsonFormatter().format(record("%s", words))
    assert "\n" not in line
    assert json.loads(line)["message"] == words


def test_what_json_has_no_word_for_is_shown_as_python_shows_it() -> None:
    """An odd field never costs the line."""
    line = JsonFormatter().format(record("x", fields={"odd": {1j}}))
    assert json.loads(line)["odd"] == "{1j}"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_an_exception_is_told_with_its_traceback(formatter: logging.Formatter) -> None:
    """In the log, for whoever mends it: type, message and place."""
    made = record("task failed")
    try:
        int("seven")
    except ValueError:
        made.exc_info = sys.exc_info()
    text = formatter.format(made)
    assert "ValueError: invalid literal" in text
    assert "test_telemetry_process_log.py" in text


def test_text_is_for_people() -> None:
    """Time, level, logger, message."""
    line = TextFormatter().format(record("breaker of %s", "toggles"))
    assert line == "2027-01-15T08:00:00.500Z warning sidecar.part: breaker of toggles"


def test_a_record_that_cannot_be_formatted_stops_nothing(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake in a log call is reported the logging module's way, and the next record comes through."""
    handler = SinkHandler(Sink(str(path)))
    handler.setFormatter(TextFormatter())
    handler.handle(record("%d", "no number"))
    handler.handle(record("next"))
    handler.close()
    assert "Logging error" in capsys.readouterr().err
    assert path.read_text().endswith("next\n")


def test_text_that_is_no_unicode_is_written_all_the_same(path: Path) -> None:
    """A lone surrogate, from a name that was no UTF-8, is shown as an escape."""
    handler = SinkHandler(Sink(str(path)))
    handler.setFormatter(TextFormatter())
    handler.handle(record("file %s", "\udcff"))
    handler.close()
    assert path.read_text().endswith("file \\udcff\n")


def test_a_reader_that_stalls_stops_nothing() -> None:
    """Standard error is a pipe too: thousands of records that nobody reads block nobody."""
    reader, writer = os.pipe()
    handler = SinkHandler(Sink(writer, limit=10_000))
    handler.setFormatter(TextFormatter())
    for _ in range(3000):
        handler.handle(record("words"))
    handler.close()
    os.close(reader)
    os.close(writer)
