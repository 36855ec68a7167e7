"""The process's own log: the standard logging module, to standard error, as JSON lines or for people.

It goes through a `Sink` as the access log does: a collector that stops reading must not stop the loop.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from sidecar.telemetry.sink import Sink

STDERR: Final = 2


def install(
    *,
    format: Literal["json", "text"] = "json",  # noqa: A002 - the YAML key
    level: int | str = logging.INFO,
    target: str | int = STDERR,
) -> "SinkHandler":
    """Sends every logger's records of `level` and above to `target`, a path or an inherited descriptor.

    The handler's `close` takes it back. Raises OSError if the target cannot be opened.
    """
    handler = SinkHandler(Sink(target))
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    return handler


class SinkHandler(logging.Handler):
    """Writes each record at once: they are few, and the last ones before an end matter most."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - logging's contract: a record that cannot be formatted harms nobody
            self.handleError(record)
            return
        self._sink.write(line.encode("utf-8", "backslashreplace") + b"\n")
        self._sink.flush()

    def close(self) -> None:
        """Leaves the root logger and closes the sink."""
        logging.getLogger().removeHandler(self)
        self._sink.close()
        super().close()


class JsonFormatter(logging.Formatter):
    """One object per record: time, level, logger, message, then the record's own `fields`, then error.

    A record's fields are given as `extra={"fields": {…}}`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        members: dict[str, Any] = {
            "time": _stamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            members["error"] = self.formatException(record.exc_info)
        try:
            return msgspec.json.encode(members).decode()
        except (TypeError, ValueError):  # what JSON has no word for, or a lone surrogate
            return json.dumps(members, default=repr)


class TextFormatter(logging.Formatter):
    """Time, level, logger and message on one line; a traceback on those that follow."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        head = f"{_stamp(record.created)} {record.levelname.lower()} {record.name}: {record.getMessage()}"
        return f"{head}\n{self.formatException(record.exc_info)}" if record.exc_info else head


def _stamp(created: float) -> str:
    return datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
