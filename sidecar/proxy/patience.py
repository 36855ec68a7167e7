"""How long the caller itself is willing to wait, in the forms it may say so.

`X-Envoy-Expected-Rq-Timeout-Ms` is what a proxy tells the next one, and so what a sidecar before us has left: along a
chain the time only shrinks.

A caller can only shorten its time, never stretch the route's. What can't be read is ignored: a caller's typing error
must not make its request fail.
"""

import re
from collections.abc import Mapping
from typing import Final

UNLIMITED: Final = float("inf")
_IN_MILLISECONDS: Final = (b"x-envoy-upstream-rq-timeout-ms", b"x-envoy-expected-rq-timeout-ms")
HEADERS: Final = frozenset({b"x-sidecar-timeout", *_IN_MILLISECONDS, b"grpc-timeout"})

_DURATION = re.compile(rb"([0-9]{1,9}(?:\.[0-9]{1,9})?)(us|ms|s|m|h)").fullmatch
_UNITS: Final = {b"us": 1e-6, b"ms": 1e-3, b"s": 1.0, b"m": 60.0, b"h": 3600.0}
# At most 8 digits and one unit letter (gRPC over HTTP/2, "Timeout").
_GRPC = re.compile(rb"([0-9]{1,8})([HMSmun])").fullmatch
_GRPC_UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_MILLISECONDS = re.compile(rb"[0-9]{1,12}").fullmatch


def patience(noted: Mapping[bytes, bytes]) -> float:
    """Seconds from the request's head; UNLIMITED if the caller did not say. The shortest of what it said."""
    seconds = UNLIMITED
    if (value := noted.get(b"x-sidecar-timeout")) and (found := _DURATION(value)):
        seconds = float(found[1]) * _UNITS[found[2]]
    for name in _IN_MILLISECONDS:
        # Zero means "no timeout" to Envoy, so it can't shorten anything.
        if (value := noted.get(name)) and _MILLISECONDS(value) and int(value):
            seconds = min(seconds, int(value) / 1000)
    if (value := noted.get(b"grpc-timeout")) and (found := _GRPC(value)):
        seconds = min(seconds, int(found[1]) * _GRPC_UNITS[found[2]])
    return seconds
