"""One POST to a webhook. Imports aiohttp, so it is imported itself only when there is something to send."""

from typing import Final

import aiohttp

from sidecar import __version__
from sidecar.clock import WALL
from sidecar.policy import reasons, retry_after
from sidecar.telemetry.delivery import Reply

TIMEOUT: Final = aiohttp.ClientTimeout(total=10.0, sock_connect=3.0)
_HEADERS: Final = {"Content-Type": "application/json", "User-Agent": f"sidecar/{__version__}"}
_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (TimeoutError, reasons.ATTEMPT_TIMEOUT),
    (aiohttp.ClientConnectorDNSError, reasons.DNS_FAILURE),
    (aiohttp.ClientSSLError, reasons.TLS_FAILURE),
    (aiohttp.ServerDisconnectedError, reasons.RESET),
    (aiohttp.ClientResponseError, reasons.MALFORMED_RESPONSE),
    (aiohttp.ClientPayloadError, reasons.MALFORMED_RESPONSE),
    (Exception, reasons.CONNECT_FAILURE),
)
"""The first that fits. What an exception itself says may hold the URL, and goes nowhere."""
_GOOD: Final = range(200, 300)


async def post(url: str, body: bytes, limit: aiohttp.ClientTimeout = TIMEOUT) -> Reply:
    """Sends it once. Never raises for what a network or a receiver does, and never says the URL: it is a secret.

    Redirects are not followed: a webhook that moved has a new secret. Proxies of the environment are not used: one of
    them may be this very process.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.post(url, data=body, headers=_HEADERS, allow_redirects=False) as response,
        ):
            return _judged(response)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Reply(next(reason for kind, reason in _REASONS if isinstance(error, kind)))


def _judged(response: aiohttp.ClientResponse) -> Reply:
    if response.status in _GOOD:
        return Reply("", response.status)
    asked = response.headers.get("Retry-After", "")
    return Reply(f"status {response.status}", response.status, _seconds(asked))


def _seconds(asked: str) -> float | None:
    """What `Retry-After` says; Discord's may be a decimal fraction."""
    whole, _, _ = asked.partition(".") if asked.replace(".", "", 1).isdigit() else (asked, "", "")
    seconds = retry_after.parse(whole.encode("latin-1", "replace"), WALL())
    return seconds if seconds is None or whole == asked else seconds + 1.0
