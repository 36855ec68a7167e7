"""Where the sidecar takes what a reference refuses, each with its reason. A deviation that is not named is a defect.

A deviation is recognised by what stands in the bytes and by what the reference says about them; so a name excuses
nothing else. A response's bytes have the method of their request in front.
"""

import re
from typing import Final, NamedTuple

from conformance.strict import CLOSED


class Deviation(NamedTuple):
    """One thing that is taken although the reference refuses it. `says`: a pattern of what it says then."""

    name: str
    reason: str
    says: str
    wire: re.Pattern[bytes]


REQUESTS: Final = [
    Deviation(
        "empty lines before a request",
        "RFC 9112 section 2.2: a server SHOULD ignore at least one; a line feed alone may end it, and can hide nothing",
        "no request line received",
        re.compile(rb"(?:^|[\r\n])[\r\n]+[A-Z-]+ "),
    ),
    Deviation(
        "HTTP/1.0 with keep-alive",
        "RFC 9112 section 9.3: what HTTP/1.0 calls keep-alive may be honoured; ApacheBench and old clients ask for it",
        CLOSED,
        re.compile(rb" HTTP/1\.0\r\n(?:.+\r\n)*connection:.*keep-alive", re.IGNORECASE),
    ),
    Deviation(
        "white space in a chunk extension",
        "RFC 9112 section 7.1.1 has BWS there, which a recipient MUST parse; extensions are removed",
        "illegal chunk header",
        re.compile(rb"[0-9A-Fa-f][\t ]*;|[\t ]*="),
    ),
]

RESPONSES: Final = [
    Deviation(
        "an unknown coding of no body",
        "RFC 9112 section 6.3, rule 1: HEAD, 1xx, 204 and 304 end with their head, whatever it says; "
        "the coding is not passed on",
        "Transfer-Encoding",
        re.compile(rb"^HEAD |HTTP/1\.[01] (?:1[0-9][0-9]|204|304)[ \r]"),
    ),
    Deviation(
        "framing fields among the trailers of a response",
        "RFC 9110 section 6.5.1: they are dropped, as whoever merges trailers must; the body has ended by then",
        "Content-Length|Transfer-Encoding",
        re.compile(rb"\n0+(?:[ \t]*;.*)?\r\n(?:.+\r\n)*(?:content-length|transfer-encoding):", re.IGNORECASE),
    ),
]

REFERENCES: Final = {
    "nginx": [
        Deviation(
            "OPTIONS *",
            "RFC 9112 section 3.2.4: a proxy must pass it on; nginx takes the target for a path and refuses it",
            "",
            re.compile(rb"OPTIONS (?:\*|https?://[^/? ]+) "),
        ),
        Deviation(
            "paths that leave the root, or hold %00",
            "they are the upstream's to judge: nginx maps paths to files, the sidecar passes them byte for byte",
            "",
            re.compile(rb"/\.\.|%2e|%00", re.IGNORECASE),
        ),
        Deviation(
            "TRACE",
            "RFC 9110 section 9.3.8: it is the final recipient's to answer or refuse; nginx refuses it for everybody",
            "",
            re.compile(rb"^TRACE ", re.MULTILINE),
        ),
        Deviation(
            "Expect in two lines",
            "RFC 9110 section 10.1.1: it is a list, and a list may come in several lines",
            "",
            re.compile(rb"\nexpect:[^\n]*\n(?:[^\n]+\n)*expect:", re.IGNORECASE),
        ),
    ],
    "haproxy": [
        Deviation(
            "absolute-form with another host",
            "RFC 9112 section 3.2.2: a proxy MUST ignore the Host then and make it anew, which is done; HAProxy 2.6 "
            "refuses the difference",
            "",
            re.compile(rb" https?://", re.IGNORECASE),
        ),
        Deviation(
            "a WebSocket handshake that is none",
            "RFC 6455 section 4.2.1: whether method and key are right is the upstream's to say: it does not answer 101",
            "",
            re.compile(rb"\nupgrade:[^\n]*websocket", re.IGNORECASE),
        ),
    ],
}
"""By intermediary. What it says is not asked: a status says little."""


def _named(table: list[Deviation], data: bytes, refusal: str) -> str:
    for deviation in table:
        if re.search(deviation.says, refusal) and deviation.wire.search(data):
            return deviation.name
    return ""


def of_request(data: bytes, refusal: str) -> str:
    """The deviation that explains why h11 refused what we accept; "" if none does."""
    return _named(REQUESTS, data, refusal)


def of_reference(name: str, data: bytes) -> str:
    """The deviation that explains why an intermediary refused what we pass on; "" if none does."""
    return _named(REFERENCES[name], data, "")


def of_response(data: bytes, method: bytes, refusal: str) -> str:
    """The same for what an upstream answers to `method`."""
    return _named(RESPONSES, method + b" " + data, refusal)
