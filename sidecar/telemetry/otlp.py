"""Facts to spans, and spans to a collector: the only module that knows OpenTelemetry.

Its import takes 0.1 s and 9 MB, so it is imported by the thread that exports, and only if tracing is configured.

Names and attributes are those of OpenTelemetry's HTTP conventions, where they hold no more than what the operator
wrote: `url.full`, `url.path` and `client.address`, which the conventions ask for, are left out. Personal data travels
there.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from sidecar import __version__
from sidecar.policy.reasons import CLIENT_GONE, OK, OVERTAKEN, UPSTREAM_ERROR
from sidecar.telemetry.route import METHODS
from sidecar.telemetry.tracing import AttemptFacts, RequestFacts

PATH: Final = "/v1/traces"
"""Where a collector takes spans (OTLP 1.x, section "OTLP/HTTP Request")."""
_FAILED: Final = frozenset({"upstream_error", "fail_closed"})
_NOBODYS_FAULT: Final = frozenset({OK, OVERTAKEN, CLIENT_GONE})
_PORTS: Final = {"https": 443, "http": 80}
_LOGGERS: Final = ("opentelemetry", "urllib3", "requests")


class _Scope(InstrumentationScope):
    """Hashed once, as `_Who`."""

    def __hash__(self) -> int:
        return id(self)


class _Who(Resource):
    """Hashed once: the exporter asks for each span, and the SDK writes a JSON document each time."""

    def __hash__(self) -> int:
        return id(self)


_SCOPE: Final = _Scope("sidecar", __version__)


class Collector:
    """Sends spans to one address, a message at a time. Used by one thread.

    headers: sent with each message. timeout: seconds for one message, its retries included.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str], timeout: float) -> None:
        _silence()
        self._session = _Session()
        self._exporter = OTLPSpanExporter(
            endpoint=endpoint(url), headers=headers, timeout=timeout, session=self._session
        )
        self._resource = resource()

    def send(self, facts: Iterable[RequestFacts]) -> str:
        """Sends all spans of these requests: "" if the collector took them, otherwise why it did not."""
        self._session.failure = "it did not answer in time"
        batch = [span for request in facts for span in spans(request, self._resource)]
        taken = self._exporter.export(batch) is SpanExportResult.SUCCESS
        return "" if taken else self._session.failure

    def close(self) -> None:
        """Ends what is under way, as far as that can be: a wait between two tries, not a read. From any thread."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


class _Session(requests.Session):
    """Remembers why a message was not taken: the exporter only tells its own log."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False  # HTTP_PROXY is the application's, and may well be ourselves
        self.failure = ""

    def request(self, *args: Any, **more: Any) -> requests.Response:
        """See `requests.Session`."""
        try:
            answer = super().request(*args, **more)
        except requests.Timeout:
            self.failure = "it did not answer in time"
            raise
        except requests.RequestException as error:
            self.failure = f"it can't be reached ({type(error).__name__})"
            raise
        self.failure = f"it answered with {answer.status_code}"
        return answer


def _silence() -> None:
    # They say a line per message and per try, and quote what the collector answered. We say one per interval.
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())


def endpoint(url: str) -> str:
    """Where a collector's address takes spans; one that says so already is left as it is."""
    bare = url.rstrip("/")
    return bare if bare.endswith(PATH) else bare + PATH


def resource() -> Resource:
    """Who exports. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word."""
    own = Resource.create({"service.name": "sidecar", "service.version": __version__})
    return _Who(own.merge(OTELResourceDetector().detect()).attributes)


def spans(facts: RequestFacts, of: Resource) -> Iterator[ReadableSpan]:
    """The request's span, and one for each of its attempts."""
    trace, flags = int(facts.trace, 16), TraceFlags(int(facts.flags, 16))
    context = SpanContext(trace, int(facts.span, 16), is_remote=False, trace_flags=flags)
    parent = SpanContext(trace, int(facts.parent, 16), is_remote=True, trace_flags=flags) if facts.parent else None
    yield _span(
        facts,
        of,
        context,
        parent,
        SpanKind.SERVER,
        _of_request(facts),
        times=(facts.began, facts.ended),
        failed=facts.code >= 500 or facts.outcome in _FAILED,
    )
    for attempt in facts.attempts:
        yield _span(
            facts,
            of,
            SpanContext(trace, int(attempt.span, 16), is_remote=False, trace_flags=flags),
            context,
            SpanKind.CLIENT,
            _of_attempt(facts, attempt),
            times=(attempt.began, attempt.began + max(0.0, attempt.total)),
            failed=attempt.result not in _NOBODYS_FAULT or attempt.status >= 400,
        )


def _span(
    facts: RequestFacts,
    of: Resource,
    context: SpanContext,
    parent: SpanContext | None,
    kind: SpanKind,
    attributes: dict[str, str | int | float | bool],
    *,
    times: tuple[float, float],
    failed: bool,
) -> ReadableSpan:
    if failed:
        attributes["error.type"] = _error(attributes)
    began, ended = times
    return ReadableSpan(
        name=_name(facts),
        context=context,
        parent=parent,
        resource=of,
        attributes=attributes,
        kind=kind,
        instrumentation_scope=_SCOPE,
        status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
        start_time=round((began + facts.skew) * 1e9),
        end_time=round((ended + facts.skew) * 1e9),
    )


def _name(facts: RequestFacts) -> str:
    """Of few values: a method and a route of ours."""
    method = facts.method.decode() if facts.method in METHODS else "HTTP"
    return method if facts.route == "-" else f"{method} {facts.route}"


def _error(attributes: Mapping[str, str | int | float | bool]) -> str:
    """A reason of ours; the status where the answer itself is what was wrong, as the conventions have it."""
    reason, status = attributes.get("sidecar.reason"), attributes.get("http.response.status_code")
    return str(status if status is not None and reason in {None, UPSTREAM_ERROR} else reason or "_OTHER")


def _of_request(facts: RequestFacts) -> dict[str, str | int | float | bool]:
    attributes: dict[str, str | int | float | bool] = {
        "http.request.method": _method(facts),
        "sidecar.route": facts.route,
        "sidecar.outcome": facts.outcome,
        "sidecar.attempts": max((attempt.number for attempt in facts.attempts), default=0),
    }
    if facts.attempts:
        attributes["sidecar.upstream"] = facts.attempts[-1].upstream
    if facts.reason:
        attributes["sidecar.reason"] = facts.reason
    if facts.code and not (facts.outcome == "client_gone" and facts.code == 499):  # that one was never sent
        attributes["http.response.status_code"] = facts.code
    return attributes


def _of_attempt(facts: RequestFacts, attempt: AttemptFacts) -> dict[str, str | int | float | bool]:
    address, port = _address(attempt.endpoint)
    attributes: dict[str, str | int | float | bool] = {
        "http.request.method": _method(facts),
        "server.address": address,
        "server.port": port,
        "sidecar.route": facts.route,
        "sidecar.upstream": attempt.upstream,
        "sidecar.attempt": attempt.number,
    }
    if attempt.number > 1:
        attributes["http.request.resend_count"] = attempt.number - 1
    if attempt.status:
        attributes["http.response.status_code"] = attempt.status
    if attempt.result != OK:
        attributes["sidecar.reason"] = attempt.result
    if attempt.is_hedge:
        attributes["sidecar.hedge"] = True
    if attempt.connect >= 0.0:
        attributes["sidecar.connect_seconds"] = round(attempt.connect, 6)
    if attempt.first_byte >= 0.0:
        attributes["sidecar.first_byte_seconds"] = round(attempt.first_byte, 6)
    return attributes


def _method(facts: RequestFacts) -> str:
    return facts.method.decode() if facts.method in METHODS else "_OTHER"


@lru_cache(maxsize=1024)
def _address(endpoint_url: str) -> tuple[str, int]:
    """Host and port as the configuration has them."""
    parts = urlsplit(endpoint_url)
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
