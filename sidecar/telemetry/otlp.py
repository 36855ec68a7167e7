"""Facts to spans, and spans to a collector: the only module that knows OpenTelemetry.

Its import takes 0.1 s and some megabytes, so it is imported by the thread that exports, and only if tracing is
configured.

OpenTelemetry's own messages are filled in directly, and what spans have in common is encoded once: by way of the SDK's
span objects and its exporter a span took seven times as long (10 µs against 72), and a recorded request has two.

Names and attributes are those of OpenTelemetry's HTTP conventions, where they hold no more than what the operator
wrote: `url.full`, `url.path` and `client.address`, which the conventions ask for, are left out. Personal data travels
there.
"""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags, Status
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from sidecar import __version__
from sidecar.policy.reasons import CLIENT_GONE, OK, OVERTAKEN, UPSTREAM_ERROR
from sidecar.telemetry.route import METHODS
from sidecar.telemetry.tracing import AttemptFacts, RequestFacts

PATH: Final = "/v1/traces"
"""Where a collector takes spans (OTLP 1.x, section "OTLP/HTTP Request")."""
_AGAIN: Final = (429, 502, 503, 504)
"""Worth a second try (the same, section "Failures"); what is not taken then is lost, and counted."""
_FAILED: Final = frozenset({"upstream_error", "fail_closed"})
_NOBODYS_FAULT: Final = frozenset({OK, OVERTAKEN, CLIENT_GONE})
_PORTS: Final = {"https": 443, "http": 80}
_LOGGERS: Final = ("opentelemetry", "urllib3", "requests")
_LOCAL: Final = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE: Final = _LOCAL | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_KNOWN: Final = 4096

Attributes = Mapping[str, str | int | float | bool]


class Collector:
    """Sends spans to one address, a message at a time. Used by one thread.

    headers: sent with each message. timeout: seconds without a byte after which one is given up.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str], timeout: float) -> None:
        _silence()
        self._url = endpoint(url)
        self._timeout = timeout
        self._resource = resource()
        self._session = _session({**headers, "Content-Type": "application/x-protobuf"})

    def send(self, facts: Iterable[RequestFacts]) -> str:
        """Sends all spans of these requests: "" if the collector took them, otherwise why it did not."""
        data = message(facts, self._resource)
        try:
            answer = self._session.post(self._url, data=data, timeout=self._timeout, allow_redirects=False)
        except requests.Timeout:
            return "it did not answer in time"
        except requests.RequestException as error:
            return f"it can't be reached ({type(error).__name__})"
        return "" if 200 <= answer.status_code < 300 else f"it answered with {answer.status_code}"

    def close(self) -> None:
        """No more messages. From any thread."""
        self._session.close()


def _session(headers: Mapping[str, str]) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # HTTP_PROXY is the application's, and may well be ourselves
    session.verify = os.environ.get("OTEL_EXPORTER_OTLP_CERTIFICATE") or True
    session.headers.update(headers)
    again = Retry(
        total=1,
        read=False,  # it may have taken them
        status_forcelist=_AGAIN,
        allowed_methods=None,
        backoff_factor=0.5,
        respect_retry_after_header=False,  # it may name an hour, and sleeps through our end
        raise_on_status=False,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=again))
    return session


def _silence() -> None:
    # They say a line per message and per try. We say one per interval.
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())


def endpoint(url: str) -> str:
    """Where a collector's address takes spans; one that says so already is left as it is."""
    bare = url.rstrip("/")
    return bare if bare.endswith(PATH) else bare + PATH


def resource() -> Attributes:
    """Who exports. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word."""
    own = Resource.create({"service.name": "sidecar", "service.version": __version__})
    whole = own.merge(OTELResourceDetector().detect()).attributes
    return {name: value for name, value in whole.items() if isinstance(value, str | int | float)}


def message(facts: Iterable[RequestFacts], of: Attributes) -> bytes:
    """An ExportTraceServiceRequest with all spans of these requests."""
    whole = ExportTraceServiceRequest()
    ours = whole.resource_spans.add()
    _put(ours.resource.attributes.add, of)
    scope = ours.scope_spans.add()
    scope.scope.name, scope.scope.version = "sidecar", __version__
    for request in facts:
        trace = bytes.fromhex(request.trace.decode())
        own = bytes.fromhex(request.span.decode())
        flags = int(request.flags, 16)
        _fill_request(scope.spans.add(), request, trace, own, flags)
        for attempt in request.attempts:
            _fill_attempt(scope.spans.add(), request, attempt, trace, own, flags)
    data: bytes = whole.SerializeToString()
    return data


def _fill_request(span: Span, facts: RequestFacts, trace: bytes, own: bytes, flags: int) -> None:
    attempts = facts.attempts
    last = attempts[-1].upstream if attempts else ""
    made = max([attempt.number for attempt in attempts], default=0)
    span.MergeFromString(_request(facts.method, facts.route, facts.code, facts.outcome, facts.reason, last, made))
    span.trace_id = trace
    span.span_id = own
    if facts.parent:
        span.parent_span_id = bytes.fromhex(facts.parent.decode())
    span.flags = flags | (_REMOTE if facts.parent else _LOCAL)
    _time(span, facts.began, facts.ended, facts.skew)


def _fill_attempt(
    span: Span, facts: RequestFacts, attempt: AttemptFacts, trace: bytes, parent: bytes, flags: int
) -> None:
    span.MergeFromString(
        _attempt(
            facts.method,
            facts.route,
            attempt.upstream,
            attempt.endpoint,
            attempt.number,
            attempt.result,
            attempt.status,
            attempt.is_hedge,
        )
    )
    span.trace_id = trace
    span.span_id = bytes.fromhex(attempt.span.decode())
    span.parent_span_id = parent
    span.flags = flags | _LOCAL
    times = {"sidecar.connect_seconds": attempt.connect, "sidecar.first_byte_seconds": attempt.first_byte}
    _put(span.attributes.add, {name: round(value, 6) for name, value in times.items() if value >= 0.0})
    _time(span, attempt.began, attempt.began + max(0.0, attempt.total), facts.skew)


def _time(span: Span, began: float, ended: float, skew: float) -> None:
    span.start_time_unix_nano = round((began + skew) * 1e9)
    span.end_time_unix_nano = round((ended + skew) * 1e9)


@lru_cache(maxsize=_KNOWN)
def _request(method: bytes, route: str, code: int, outcome: str, reason: str, upstream: str, attempts: int) -> bytes:
    """The part of a request's span that others have too."""
    attributes: dict[str, str | int | float | bool] = {
        "http.request.method": _method(method),
        "sidecar.route": route,
        "sidecar.outcome": outcome,
        "sidecar.attempts": attempts,
    }
    if upstream:
        attributes["sidecar.upstream"] = upstream
    if reason:
        attributes["sidecar.reason"] = reason
    if code and not (outcome == "client_gone" and code == 499):  # that one was never sent
        attributes["http.response.status_code"] = code
    failed = code >= 500 or outcome in _FAILED
    return _encoded(Span.SPAN_KIND_SERVER, method, route, attributes, failed=failed)


@lru_cache(maxsize=_KNOWN)
def _attempt(
    method: bytes,
    route: str,
    upstream: str,
    url: str,
    number: int,
    result: str,
    status: int,
    is_hedge: bool,  # noqa: FBT001 - a part of the key
) -> bytes:
    """The part of an attempt's span that others have too."""
    address, port = _address(url)
    attributes: dict[str, str | int | float | bool] = {
        "http.request.method": _method(method),
        "server.address": address,
        "server.port": port,
        "sidecar.route": route,
        "sidecar.upstream": upstream,
        "sidecar.attempt": number,
    }
    if number > 1:
        attributes["http.request.resend_count"] = number - 1
    if status:
        attributes["http.response.status_code"] = status
    if result != OK:
        attributes["sidecar.reason"] = result
    if is_hedge:
        attributes["sidecar.hedge"] = True
    failed = result not in _NOBODYS_FAULT or status >= 400
    return _encoded(Span.SPAN_KIND_CLIENT, method, route, attributes, failed=failed)


def _encoded(
    kind: Span.SpanKind.ValueType,
    method: bytes,
    route: str,
    attributes: dict[str, str | int | float | bool],
    *,
    failed: bool,
) -> bytes:
    span = Span(kind=kind, name=_name(method, route))
    if failed:
        span.status.code = Status.STATUS_CODE_ERROR
        attributes["error.type"] = _error(attributes)
    _put(span.attributes.add, attributes)
    data: bytes = span.SerializeToString()
    return data


def _put(add: Callable[[], KeyValue], attributes: Attributes) -> None:
    for name, value in attributes.items():
        pair = add()
        pair.key = name
        if isinstance(value, str):
            pair.value.string_value = value
        elif isinstance(value, bool):
            pair.value.bool_value = value
        elif isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.double_value = value


def _name(method: bytes, route: str) -> str:
    """Of few values: a method and a route of ours."""
    known = method.decode() if method in METHODS else "HTTP"
    return known if route == "-" else f"{known} {route}"


def _method(method: bytes) -> str:
    return method.decode() if method in METHODS else "_OTHER"


def _error(attributes: Attributes) -> str:
    """A reason of ours; the status where the answer itself is what was wrong, as the conventions have it."""
    reason, status = attributes.get("sidecar.reason"), attributes.get("http.response.status_code")
    return str(status if status is not None and reason in {None, UPSTREAM_ERROR} else reason or "_OTHER")


def _address(url: str) -> tuple[str, int]:
    """Host and port as the configuration has them."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
