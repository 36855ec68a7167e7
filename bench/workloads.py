"""What is asked of every proxy. Each workload is one kind of request, repeated."""

import http.client
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from bench.child import Unusable, ask
from bench.origin import LARGE_BYTES, SMALL
from sidecar.clock import MONOTONIC

HEADERS: Mapping[str, str] = {
    "User-Agent": "python-requests/2.32.5",
    "Accept-Encoding": "gzip, deflate",
    "Accept": "*/*",
    "Connection": "keep-alive",
}
"""What an application that calls through the sidecar with `requests` sends beside Host."""
_TRIP_LIMIT = 5.0


@dataclass(frozen=True, slots=True)
class Workload:
    """`status` 0: any 5xx but the origin's own 500. `answer_bytes` -1: any length."""

    name: str
    title: str
    path: str
    method: str = "GET"
    body_bytes: int = 0
    status: int = 200
    answer_bytes: int = -1
    connections: int = 32
    traced: bool = False
    """Whether each request carries a `traceparent` of its own."""


PLAIN = Workload("plain", "GET, small JSON", "/small", answer_bytes=len(SMALL))
FRESH = Workload("fresh", "the same, no two heads alike", "/fresh", answer_bytes=len(SMALL), traced=True)
GUARDED = Workload("guarded", "the same, every policy on", "/guarded", answer_bytes=len(SMALL))
"""The others serve it as they serve `PLAIN`: few of them have as much as half of these policies."""
TLS = Workload("tls", "small JSON, TLS upstream", "/tls/small", answer_bytes=len(SMALL))
POST = Workload("post", "64 KiB POST", "/sink", method="POST", body_bytes=64 * 1024)
DOWNLOAD = Workload("download", "10 MiB download", "/large", answer_bytes=LARGE_BYTES, connections=8)
REFUSED = Workload("refused", "refusal, breaker open", "/refused/", status=0)
WORKLOADS = (PLAIN, FRESH, GUARDED, TLS, POST, DOWNLOAD, REFUSED)
BY_NAME = {workload.name: workload for workload in WORKLOADS}


def prepare(workload: Workload, port: int) -> None:
    """Makes sure that what is about to be measured is what was meant: the right answer, or a real refusal.

    Raises:
        Unusable: it is not.
    """
    try:
        if workload is REFUSED:
            _trip(port)
        else:
            _check(workload, port)
    except (OSError, http.client.HTTPException) as error:
        raise Unusable(f"{workload.path}: {error!r}") from error


def _check(workload: Workload, port: int) -> None:
    body = b"x" * workload.body_bytes if workload.body_bytes else None
    answer = ask(port, workload.path, method=workload.method, body=body)
    if answer.status != workload.status:
        raise Unusable(f"{workload.path}: {answer.status}, expected {workload.status}: {answer.body[:100]!r}")
    if workload.answer_bytes not in (-1, len(answer.body)):
        raise Unusable(f"{workload.path}: {len(answer.body)} bytes, expected {workload.answer_bytes}")


def _trip(port: int) -> None:
    """Asks for failures until the proxy stops passing them on."""
    began = MONOTONIC()
    while MONOTONIC() - began < _TRIP_LIMIT:
        if ask(port, REFUSED.path).status != HTTPStatus.INTERNAL_SERVER_ERROR:
            return
        time.sleep(0.005)
    raise Unusable("its breaker never opened")
