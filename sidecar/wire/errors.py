"""What can go wrong on a socket, and whose fault it is.

    WireError
    ├── BadRequest            the caller's fault: carries the status to answer with
    └── UpstreamError         the upstream's fault, or the network's between us and it
        ├── ConnectFailure    refused, unreachable
        ├── ConnectTimeout    no connection within `connect_timeout`, TLS handshake included
        ├── DnsFailure        the name does not resolve
        ├── TlsFailure        handshake or certificate
        ├── Reset             the connection ended before the message did
        └── MalformedResponse bytes that are no HTTP/1.1 response, or one we refuse to trust

`reason` is a word of the project's vocabulary (policy/reasons.py), spelt out because the wire knows no policy;
a test keeps the two together. `detail` is one sentence; it never quotes what was received.
"""


class WireError(Exception):
    """Base of everything the wire layer raises."""

    reason = "reset"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class BadRequest(WireError):
    """The caller's message cannot be served. Answer `status`, then close: its framing can't be trusted."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.to_head = False
        """Whether the message is a HEAD, to which no body may answer."""


class UpstreamError(WireError):
    """An exchange with an upstream did not come to a complete response.

    `error`: the error type of RFC 9209 section 2.3 that fits better than the one of `reason`; "" if none does.
    """

    def __init__(self, detail: str = "", *, error: str = "") -> None:
        super().__init__(detail)
        self.error = error


class ConnectFailure(UpstreamError):
    """The address refused the connection or cannot be reached."""

    reason = "connect_failure"


class ConnectTimeout(UpstreamError):
    """No usable connection in time."""

    reason = "connect_timeout"


class DnsFailure(UpstreamError):
    """The host name does not resolve."""

    reason = "dns_failure"


class TlsFailure(UpstreamError):
    """The TLS handshake failed: the detail names expiry, name mismatch or an unknown CA."""

    reason = "tls_failure"


class Reset(UpstreamError):
    """The connection ended before the response did.

    `reused`: it had carried an exchange before. `silent`: not one byte of the response had come. Both together are
    what a peer that closed an idle connection looks like (RFC 9112 section 9.3.1): safe methods may go again.
    """

    reason = "reset"

    def __init__(self, detail: str = "", *, reused: bool = False, silent: bool = False) -> None:
        super().__init__(detail)
        self.reused = reused
        self.silent = silent


class MalformedResponse(UpstreamError):
    """Not a response we can trust."""

    reason = "malformed_response"
