"""The model of the whole file."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, PrivateAttr

from sidecar.config.base import Model, required, setting
from sidecar.config.document import Document
from sidecar.config.fields import Name
from sidecar.config.problem import Path, Place, path_text
from sidecar.config.process import AccessLog, Admin, Caller, Drain, Limits, Listens, Log, Notify, State
from sidecar.config.route import Defaults, Route
from sidecar.config.sources import Sources
from sidecar.config.tracing import Tracing
from sidecar.config.upstream import Upstream


def _each_name_once(receivers: tuple[Notify, ...]) -> tuple[Notify, ...]:
    names = [receiver.name or str(index) for index, receiver in enumerate(receivers)]
    if len(set(names)) < len(names):
        raise ValueError("two receivers have the same name")
    return receivers


class Config(Model):
    """The configuration of one sidecar.

    Attribute names are the YAML's keys; durations are seconds, sizes bytes.
    """

    listen: Listens = setting("127.0.0.1:8080", "Where requests are taken: one address or several.")
    admin: Admin = setting({}, "The port for health, metrics and status.")
    caller: Caller | None = setting(None, "Who waits for our answers.")
    limits: Limits = setting({}, "What one caller may ask of the process.")
    log: Log = setting({}, "The process's own log.")
    access_log: AccessLog = setting({}, "One line per request.")
    drain: Drain = setting({}, "The end of the process after SIGTERM.")
    upstreams: Annotated[Mapping[Name, Upstream], Field(min_length=1)] = required("Whom to call, by name.")
    defaults: Defaults | None = setting({}, "Keys of a route that hold for all routes.")
    routes: Annotated[tuple[Route, ...], Field(min_length=1)] = required(
        "Which requests go where, and how. The most specific match wins."
    )
    state: State = setting({}, "What outlives one request.")
    notify: Annotated[tuple[Notify, ...], Field(max_length=20), AfterValidator(_each_name_once)] = setting(
        (), "Who is told when something is wrong."
    )
    tracing: Tracing | None = setting(None, "Export of spans.")

    _document: Document = PrivateAttr(default_factory=lambda: Document("<config>"))
    _sources: Sources = PrivateAttr(default_factory=Sources)

    def place(self, path: Path) -> Place:
        """Where in the file the value stands; of a default, the nearest written value around it."""
        return self._document.place(path)

    def path(self, path: Path) -> str:
        """The path as it was written: `defaults.timeout` for a timeout that a route took over."""
        return path_text(self._document.origin(path))

    @property
    def file(self) -> str:
        """The name of the file it was read from."""
        return self._document.file

    @property
    def sources(self) -> Sources:
        """Every file that was read for it, and what was in it then; none if it was not read from a file."""
        return self._sources
