"""The models of the process as a whole: where it listens, who calls, limits, logs, state, signals."""

import re
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sidecar.config import address
from sidecar.config.base import NOT_YET, Model, NotYet, required, setting
from sidecar.config.fields import (
    ONE_OR_MANY,
    Count,
    Duration,
    Flag,
    HeaderName,
    HostPort,
    ListenAddress,
    Mode,
    Name,
    PositiveDuration,
    Ratio,
    Size,
    Text,
)
from sidecar.config.files import SENSITIVE, FilePath, SecretText
from sidecar.config.scalars import format_duration, format_size
from sidecar.config.secret import Secret


class ListenTls(Model):
    """Certificate and key with which a listener answers in TLS."""

    cert: FilePath = required("Certificate chain, PEM.")
    key: FilePath = required("Its private key, PEM.")


class Address(Model):
    """One address: `host:port`, or a mapping with `address`."""

    short: ClassVar[str | None] = "address"

    address: HostPort = required("Host and port; an IPv6 address in brackets. Port 0 lets the system choose.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return value if isinstance(value, dict | Address) else {"address": value}

    @property
    def host(self) -> str:
        """Without brackets."""
        return address.split_address(self.address).host

    @property
    def port(self) -> int:
        """0: the system chooses."""
        return address.split_address(self.address).port


class Listen(Address):
    """One address that takes requests: `host:port` or `unix:/path`, or a mapping with `address`."""

    address: ListenAddress = required(
        "Host and port, an IPv6 address in brackets; port 0 lets the system choose. Or unix: and an absolute path."
    )
    tls: ListenTls | None = setting(None, "Certificate and key of this listener.")
    mode: Mode | None = setting(
        None, "Who may connect to a unix socket: the mode of its file, in quotes; '0660' if absent."
    )

    reuse_port: Flag = setting(
        default=False,
        description="Another process may listen here too, if it says the same: at its end this one hands over to it.",
    )

    @model_validator(mode="after")
    def _of_a_file(self) -> "Listen":
        if self.mode is not None and self.path is None:
            raise ValueError("mode is for unix sockets: leave it out")
        if self.reuse_port and self.path is not None:
            raise ValueError("reuse_port is for host:port: leave it out")
        return self

    @property
    def path(self) -> str | None:
        """Of a unix socket; it has no host and no port, and the others have no path."""
        return address.unix_path(self.address)


def _each_once(listens: tuple[Listen, ...]) -> tuple[Listen, ...]:
    taken = [listen.path or (listen.host, listen.port) for listen in listens if listen.path or listen.port]
    if len(set(taken)) < len(taken):
        raise ValueError("the same address is listed twice")
    return listens


Listens = Annotated[tuple[Listen, ...], ONE_OR_MANY, AfterValidator(_each_once)]


def _sendable(token: Secret | None) -> Secret | None:
    if token is not None and not re.fullmatch(r"[\x21-\x7e]{8,4096}", token.reveal()):
        raise ValueError("must be 8 to 4096 printable ASCII characters without spaces: it is sent in a header")
    return token


class Admin(Model):
    """The port for people and their tools: health, metrics, status."""

    listen: Address = setting("127.0.0.1:9901", "Where the admin port listens.")
    token: Annotated[SecretText | None, AfterValidator(_sendable)] = setting(
        None,
        "What a caller must show to change state, as a bearer token. Without one nothing can be changed if the port "
        "is reachable beyond loopback.",
    )


class Caller(Model):
    """Who waits for the answers: the application's own limits, against which deadlines are checked."""

    timeout: PositiveDuration = setting("30s", "The caller's own hard limit, e.g. gunicorn's worker timeout.")
    reserve: Duration = setting("5s", "What the caller needs of it for its other work.")
    in_sequence: tuple[Annotated[tuple[Name, ...], Field(min_length=1)], ...] = setting(
        (),
        "Lists of routes that the caller uses one after another in one request: their totals add up.",
    )

    @field_validator("reserve")
    @classmethod
    def _within(cls, reserve: float, info: ValidationInfo) -> float:
        if reserve >= info.data.get("timeout", float("inf")):
            raise ValueError(f"{format_duration(reserve)} leaves nothing of caller.timeout: lower it")
        return reserve


def _at_least(lowest: int) -> AfterValidator:
    def check(size: int) -> int:
        if size < lowest:
            raise ValueError(f"must be at least {format_size(lowest)}")
        return size

    return AfterValidator(check)


class Limits(Model):
    """What one caller may ask of the process."""

    header_bytes: Annotated[Size, _at_least(1024)] = setting(
        "32KiB", "A request's line and headers together; more is 431."
    )
    headers: Count = setting(100, "Header fields of a request; more is 431.")
    body: Size = setting("10MiB", "A request's body; more is 413.")
    connections: Count = setting(1000, "Connections that callers may hold open at once; one more is told 503.")
    header_timeout: PositiveDuration = setting(
        "10s", "From the first byte of a request to the end of its headers; longer is 408."
    )
    idle_timeout: PositiveDuration = setting("75s", "How long a connection may rest between requests.")
    body_rate: Size = setting(
        "128B",
        "What must come of a body per second, averaged over `header_timeout`; less is 408. Time in which the caller"
        " is held back, or waits to be asked for the body, does not count. 0 = any pace will do.",
    )


class Log(Model):
    """The process's own log, on standard error."""

    format: Literal["json", "text"] = setting(
        "json", "One JSON object per line, or one line of text. The command line's --log-format has the last word."
    )
    level: Literal["info", "warning", "error"] = setting("info", "The least that is written.")
    escalate_after: PositiveDuration = setting(
        "10m", "How long a breaker must have been open to be an error, once; until then it is a warning."
    )


def _no_credentials(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if SENSITIVE.search(name):
            raise ValueError(f"{name} holds credentials by its name: it is never logged")
    return names


class AccessLog(Model):
    """One line per request."""

    path: Annotated[Text, Field(min_length=1)] = setting(
        "-", 'File to append to, as seen from the working directory; "-" is standard output.'
    )
    format: Literal["json", "text"] = setting("json", "One JSON object per line, or one line of text.")
    sample: Ratio = setting(1.0, "Share of answered requests that are written; failures always are.")
    redact_query: Flag = setting(default=True, description="Leave the query out: it may hold personal data.")
    redact: tuple[Annotated[Text, Field(min_length=1)], ...] | None = setting(
        None,
        "Parameters whose values are left out where `redact_query: false` shows the query, in upper or lower case. If"
        " absent, those that usually hold secrets or personal numbers.",
    )
    headers: Annotated[tuple[HeaderName, ...], AfterValidator(_no_credentials)] = setting(
        (), "Headers of the request to write down. Those that hold credentials by their name are refused."
    )


class Drain(Model):
    """The end of the process after SIGTERM."""

    timeout: Duration = setting(
        "30s",
        "How long requests are still served before the process ends; it ends sooner when idle.",
    )
    quiet: Duration = setting("1s", "How long nothing must have come for it to count as idle.")


def _directory(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise ValueError("must be a directory's whole path, from / on")
    return path


class LastKnownGoodStore(Model):
    """Where good answers are kept for `fallback.last_known_good`."""

    store: Annotated[Literal["memory", "disk", "redis"], NotYet("redis", allowed=("memory", "disk"))] = setting(
        "memory", "memory is lost with the process; disk is memory with a file behind it."
    )
    path: Annotated[Text, AfterValidator(_directory)] = setting(
        "/var/lib/sidecar",
        "Directory of the disk store, made if it is missing.",
    )
    max_bytes: Size = setting(
        "64MiB",
        "All kept answers together, in memory and again on disk; the least recently used go first.",
    )


class Shared(Model):
    """Breakers of replicas inform one another."""

    redis: SecretText = required("URL of the Redis through which they do.")
    quorum: Ratio = setting("50%", "Share of replicas whose breaker must be open to open the others'.")


class State(Model):
    """What outlives one request."""

    last_known_good: LastKnownGoodStore = setting({}, "The store of kept answers.")
    shared: Annotated[Shared | None, NOT_YET] = setting(None, "Sharing of breaker states.")


def _webhook(url: Secret) -> Secret:
    try:
        parts = urlsplit(url.reveal())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not re.fullmatch(r"[\x21-\x7e]+", url.reveal()):
        raise ValueError("is not a URL of http or https (what it is is not shown: it may hold a secret)")
    return url


class Notify(Model):
    """One receiver of notifications."""

    name: Name | None = setting(
        None, "What metrics and logs call it; its place in the list, counted from 0, if absent."
    )
    webhook: Annotated[SecretText, AfterValidator(_webhook)] = required(
        "URL that is POSTed to; it usually holds a secret."
    )
    format: Literal["json", "slack", "discord"] = setting("slack", "Shape of the message.")
    window: PositiveDuration = setting("30s", "Everything within it becomes one message.")
    on: tuple[Literal["breaker_open", "fail_closed", "config_rejected"], ...] = setting(
        ("breaker_open", "fail_closed", "config_rejected"), "Events to tell, and their end."
    )
    after: PositiveDuration = setting("10m", "How long something must last to be told once more.")
