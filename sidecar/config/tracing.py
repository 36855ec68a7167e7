"""The model of `tracing`."""

from collections.abc import Mapping

from pydantic import field_validator

from sidecar.config.base import Model, setting
from sidecar.config.fields import URL, HeaderName, Ratio
from sidecar.config.files import SENSITIVE, SetValue
from sidecar.config.secret import Secret


class Tracing(Model):
    """Spans of requests and attempts, sent to a collector. Needs the extra `otel`."""

    otlp: URL = setting(
        "http://collector:4318", "Where the collector takes OTLP over HTTP; /v1/traces is added unless it ends so."
    )
    sample: Ratio = setting(
        "10%", "Share of the traces beginning here that is recorded. A caller's `traceparent` decides for itself."
    )
    headers: Mapping[HeaderName, SetValue] = setting(
        {}, "Headers of each message to the collector, e.g. Authorization from {file: path}; secrets are never shown."
    )

    @field_validator("headers")
    @classmethod
    def _hidden(cls, headers: Mapping[str, str | Secret]) -> Mapping[str, str | Secret]:
        return {
            name: Secret(value) if isinstance(value, str) and SENSITIVE.search(name) else value
            for name, value in headers.items()
        }
