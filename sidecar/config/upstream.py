"""The models of whom to call: upstreams and their endpoints."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sidecar.config import address
from sidecar.config.base import Model, required, setting
from sidecar.config.fields import (
    URL,
    Count,
    CountOrOff,
    Duration,
    HeaderName,
    HostName,
    PositiveDuration,
    PositiveRatio,
    UrlPath,
    Weight,
)
from sidecar.config.files import SENSITIVE, FilePath, SetValue
from sidecar.config.scalars import format_duration
from sidecar.config.secret import Secret

FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that belong to one connection (RFC 9110 section 7.6.1): no configuration may set or remove them."""


class Endpoint(Model):
    """One address of an upstream: a URL, or a mapping with `url`."""

    short: ClassVar[str | None] = "url"

    url: URL = required("http or https, host, port if it is not the scheme's, and at most a base path.")
    weight: Weight = setting(
        1, "Share of the load, relative to the others of its priority, up to 100; 0 gets no new requests."
    )
    priority: CountOrOff = setting(
        0, "0 is preferred; a higher number is asked only where no lower one has an endpoint to offer."
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return value if isinstance(value, dict | Endpoint) else {"url": value}

    @property
    def scheme(self) -> str:
        """Either http or https."""
        return address.split_url(self.url).scheme

    @property
    def host(self) -> str:
        """Lower case, an IPv6 address without brackets."""
        return address.split_url(self.url).host

    @property
    def port(self) -> int:
        """The scheme's own if the URL has none."""
        return address.split_url(self.url).port

    @property
    def base_path(self) -> str:
        """Goes before every request's path; "" or "/v1", without a final slash."""
        return address.split_url(self.url).base_path


class Pool(Model):
    """Connections to each endpoint."""

    connections: Count = setting(100, "Open at once, busy and idle.")
    idle: CountOrOff = setting(32, "Kept open while not in use.")
    idle_timeout: PositiveDuration = setting("30s", "How long one is kept so.")
    max_age: PositiveDuration = setting("10m", "No connection is reused beyond it: addresses change.")


class Tls(Model):
    """How https endpoints are verified, and how we identify ourselves to them."""

    ca: FilePath | None = setting(None, "Authorities to trust, PEM; the system's if absent.")
    cert: FilePath | None = setting(None, "Client certificate chain, PEM.")
    key: FilePath | None = setting(None, "Its private key, PEM; required with cert.")
    server_name: HostName | None = setting(
        None, "Name that the certificate must bear, and SNI; the endpoint's host if absent."
    )
    min_version: Literal["1.2", "1.3"] = setting("1.2", "Oldest TLS version to accept; write the quotes.")

    @model_validator(mode="after")
    def _both(self) -> "Tls":
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key go together: write both or neither")
        return self


class HealthCheck(Model):
    """Requests of our own that ask whether an endpoint is well: a status from 200 to 399 says so."""

    path: UrlPath = setting("/healthz", "What to GET, after the endpoint's base path.")
    interval: PositiveDuration = setting("5s", "From one check to the next, give or take a tenth.")
    timeout: PositiveDuration = setting("1s", "Of one check, from the connection to the head of the answer.")
    unhealthy_after: Count = setting(3, "Failures in a row that take an endpoint out.")
    healthy_after: Count = setting(2, "Successes in a row that bring it back.")

    @field_validator("timeout")
    @classmethod
    def _in_time(cls, timeout: float, info: ValidationInfo) -> float:
        if timeout > info.data.get("interval", timeout):
            raise ValueError(f"{format_duration(timeout)} is longer than interval: lower it, or raise interval")
        return timeout


class Ejection(Model):
    """Leaving out an endpoint that keeps failing while others work. A lone endpoint is never ejected."""

    consecutive_failures: CountOrOff = setting(5, "Failures in a row that eject it; 0 is off.")
    for_: PositiveDuration = setting("30s", "First time out; grows with each ejection.", alias="for")
    for_max: PositiveDuration = setting("300s", "The longest time out.")
    max_share: PositiveRatio = setting("50%", "Of an upstream's endpoints, at most this share is out at once.")

    @field_validator("for_max")
    @classmethod
    def _ordered(cls, longest: float, info: ValidationInfo) -> float:
        if longest < info.data.get("for_", 0.0):
            raise ValueError(f"{format_duration(longest)} is shorter than for: raise it too")
        return longest


class SetHeaders(Model):
    """What is changed in requests on their way to the upstream."""

    set: Mapping[HeaderName, SetValue] = setting(
        {},
        "Headers to put in, in place of the caller's. Values from {file: path} or ${VAR}, and those of "
        "headers that hold credentials, are never shown.",
    )
    remove: tuple[HeaderName, ...] = setting((), "Headers of the caller's to take out.")

    @field_validator("set", "remove")
    @classmethod
    def _ours(cls, headers: Any) -> Any:
        for name in headers:
            if name.lower() in FRAMING:
                raise ValueError(f"{name} belongs to the connection and is the sidecar's own")
            if name.lower() == "host":
                raise ValueError("Host is chosen per route: use rewrite.host")
        if len({name.lower() for name in headers}) < len(headers):
            raise ValueError("names the same header twice: case does not matter in header names")
        return headers

    @field_validator("set")
    @classmethod
    def _hidden(cls, headers: Mapping[str, str | Secret]) -> Mapping[str, str | Secret]:
        return {
            name: Secret(value) if isinstance(value, str) and SENSITIVE.search(name) else value
            for name, value in headers.items()
        }


class Upstream(Model):
    """A named group of endpoints that serve the same API."""

    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1)] = required(
        "Their URLs, all of one scheme. A request goes to the less busy of two chosen at random, by weight."
    )
    connect_timeout: PositiveDuration = setting("1s", "For DNS, TCP and TLS together.")
    retries_beyond: CountOrOff = setting(
        2,
        "Attempts made behind this address already (its own proxy), beside the first: for the lint. "
        "Write 0 if nothing there retries.",
    )
    pool: Pool = setting({}, "Connections to each endpoint.")
    tls: Tls = setting({}, "Verification of https endpoints.")
    health_check: HealthCheck | None = setting(None, "Requests of our own that ask whether an endpoint is well.")
    ejection: Ejection = setting({}, "Leaving out an endpoint that keeps failing.")
    slow_start: Duration = setting(
        "10s", "In which an endpoint that comes back grows from a tenth of its weight to all of it; 0 is at once."
    )
    headers: SetHeaders = setting({}, "Headers to change in requests.")

    @field_validator("endpoints")
    @classmethod
    def _alike(cls, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        if len({endpoint.scheme for endpoint in endpoints}) > 1:
            raise ValueError("mixes http and https: use two upstreams")
        if len({address.split_url(endpoint.url) for endpoint in endpoints}) < len(endpoints):
            raise ValueError("lists the same endpoint twice")
        if endpoints and not any(endpoint.weight for endpoint in endpoints):
            raise ValueError("gives every endpoint weight 0: nobody would be asked")
        return endpoints

    @field_validator("tls")
    @classmethod
    def _used(cls, tls: Tls, info: ValidationInfo) -> Tls:
        endpoints = info.data.get("endpoints", ())
        if tls.model_fields_set and endpoints and endpoints[0].scheme == "http":
            raise ValueError("has no effect: the endpoints are http; write https:// to use TLS")
        return tls
