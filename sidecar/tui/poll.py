"""Asks a sidecar for `/status`, again and again, in a thread: a port that hangs must not freeze the keys."""

import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from sidecar.clock import WALL, Clock

EVERY: Final = 1.0
"""Seconds between two questions."""
PATIENCE: Final = 3.0
"""Seconds without a byte after which an answer is given up."""
MOST: Final = 16 * 1024 * 1024
"""Bytes of an answer that are read."""

# Straight to the address: a proxy of the environment is the application's, and does not know our loopback.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NoAnswer(Exception):
    """Nothing that could be read came. The message says what was wrong, and quotes nothing of it."""


def checked(url: str) -> str:
    """An admin port's address, without a slash at its end.

    Raises:
        ValueError: it is none; the message can be shown.
    """
    written = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(written)
        good = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        good = False
    if not good or not written.isascii() or not written.isprintable() or " " in written:
        raise ValueError("ADMIN_URL must be a URL such as http://127.0.0.1:9901")
    return written.rstrip("/")


def fetch(url: str, timeout: float = PATIENCE) -> Any:
    """The document of `/status`.

    Raises:
        NoAnswer: there is none.
    """
    try:
        with _opener.open(f"{url}/status", timeout=timeout) as answer:
            return json.loads(answer.read(MOST))
    except urllib.error.HTTPError as error:
        with error:
            raise NoAnswer(f"it answered with {error.code}") from None
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(_why(error)) from None
    except (ValueError, RecursionError):
        raise NoAnswer("its answer is no status document") from None


def _why(error: Exception) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return "it did not answer in time"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror.lower()
    return "it broke off"


@dataclass(frozen=True, slots=True)
class Polled:
    """The newest document, and since when there is none that is newer. Times are Unix times."""

    document: Any = None
    at: float = 0.0
    failing_since: float | None = None
    why: str = ""


class Poller:
    """Keeps `latest` up to date until it is closed; calls `changed`, from its thread, when it is new."""

    def __init__(
        self,
        url: str,
        changed: Callable[[], None],
        *,
        every: float = EVERY,
        ask: Callable[[str], Any] = fetch,
        wall: Clock = WALL,
    ) -> None:
        self._url = url
        self._changed = changed
        self._every = every
        self._ask = ask
        self._wall = wall
        self._ended = threading.Event()
        self.latest = Polled()

    def start(self) -> None:
        """Asks from now on. The thread is left behind at the end: it may be waiting for an answer."""
        threading.Thread(target=self._run, name="status", daemon=True).start()

    def close(self) -> None:
        """No more questions."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            self.latest = self._next(self.latest)
            if not self._ended.is_set():
                self._changed()
            self._ended.wait(self._every)

    def _next(self, last: Polled) -> Polled:
        try:
            return Polled(self._ask(self._url), self._wall())
        except NoAnswer as error:
            since = self._wall() if last.failing_since is None else last.failing_since
            return Polled(last.document, last.at, since, str(error))
