"""TLS settings whose files change: the context that is current, for new connections; others keep theirs.

asyncio and uvloop ask a context for the TLS half of each connection (`wrap_bio`) and know no other place where a newer
one, or a session to resume, could come in. So what they are given here asks the context that is current then.
"""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Self

from sidecar.clock import MONOTONIC, Clock
from sidecar.wire.tls import explain

VERIFIED_FOR: Final = 3600.0
"""Seconds for which sessions are resumed without a look at the peer's certificate: it may have expired since."""

_Stamp = tuple[int, int, int] | None


class Renewal:
    """One setting, its files, and the context they make.

    Raises:
        TlsSettingError: from `make`, when it is made.
    """

    __slots__ = ("_make", "_seen", "context", "files")

    def __init__(self, make: Callable[[], ssl.SSLContext], files: Sequence[str | None] = ()) -> None:
        self.files = tuple(file for file in files if file is not None)
        self._make = make
        self._seen = self._stamps()  # before they are read: what changes meanwhile is seen at the next look
        self.context = make()

    def look(self) -> bool:
        """Whether there is a new context, because a file has changed. To be asked about once a second.

        Raises:
            TlsSettingError: a file has changed and cannot be used (a pair may be half written). The context stays as it
                is, until the next change.
        """
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        self.context = self._make()
        return True

    def _stamps(self) -> list[_Stamp]:
        return [_stamp(file) for file in self.files]


def _stamp(file: str) -> _Stamp:
    try:
        found = Path(file).stat()  # follows links: Kubernetes swaps a link to a directory
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


class Resuming(ssl.SSLContext):
    """The connections of one dialer. Each resumes the session of the one before, where the peer allows it.

    A resumed handshake takes a half (TLS 1.2) to two thirds (1.3) of the CPU of a full one, and no signature of the
    peer. Sessions stay with the setting and the name they were made for: each dialer has its own.
    """

    _renewal: Renewal
    _clock: Clock
    _context: ssl.SSLContext
    _session: ssl.SSLSession | None
    _last: ssl.SSLObject | None
    _started: float
    _verified: float

    def __new__(cls, renewal: Renewal, clock: Clock = MONOTONIC) -> Self:
        """An `SSLContext` is made here, not in `__init__`."""
        made = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        made._renewal = renewal
        made._clock = clock
        made._context = renewal.context
        made._verified = made._started = clock()
        made.forget()
        return made

    def forget(self) -> None:
        """The next handshake is a full one."""
        self._session = self._last = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - ssl's own signature
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,  # noqa: ARG002 - the same
    ) -> ssl.SSLObject:
        """As `SSLContext.wrap_bio`."""
        now = self._clock()
        self._learn()
        if self._context is not self._renewal.context or now - self._verified >= VERIFIED_FOR:
            self._context = self._renewal.context
            self.forget()
        self._started = now
        self._last = self._context.wrap_bio(incoming, outgoing, server_side, server_hostname, self._session)
        return self._last

    def _learn(self) -> None:
        """Takes the session of the last connection: TLS 1.3 sends it after the handshake, with the first response."""
        last = self._last
        version = None if last is None else last.version()  # None while it shakes hands, and if that failed
        if last is None or version is None:
            return
        session = last.session
        if session is not None and (session.has_ticket or version == "TLSv1.2"):
            self._session = session
        if not last.session_reused:
            self._verified = self._started


class Presenting(ssl.SSLContext):
    """The connections of one listener.

    failures: handshakes that were refused, by either side; a caller that hangs up without a word, as a load balancer's
    probe does, is none. last_failure: why the last one was, in words.
    """

    _renewal: Renewal
    failures: int
    last_failure: str

    def __new__(cls, renewal: Renewal) -> Self:
        """An `SSLContext` is made here, not in `__init__`."""
        made = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        made._renewal = renewal
        made.failures = 0
        made.last_failure = ""
        return made

    def present(self, renewal: Renewal) -> None:
        """Another certificate, for new connections."""
        self._renewal = renewal

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """As `SSLContext.wrap_bio`."""
        context = self._renewal.context
        context.sslobject_class = _Handshake
        made = context.wrap_bio(*args, **kwargs)
        assert isinstance(made, _Handshake)
        made.listener = self
        return made


class _Handshake(ssl.SSLObject):
    """The loop tells nobody why a handshake failed."""

    listener: Presenting

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.listener.failures += 1
            self.listener.last_failure = explain(error)
            raise
