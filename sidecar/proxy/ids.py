"""Names for requests: `X-Request-Id` and `traceparent`, kept when the caller sent good ones, made otherwise.

And the name of this process in `Via`: no other sidecar on the way has it, so a request that brings it went round.
"""

import re
from collections.abc import Callable
from random import Random
from typing import Final

# What may go into logs and headers as it is. Longer or stranger ids are replaced, not escaped.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}").fullmatch
# https://www.w3.org/TR/trace-context/#traceparent-header : all-zero ids are invalid, version ff too, and only versions
# that are still to come may be longer.
_TRACE: Final = rb"-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_TRACEPARENT = re.compile(rb"00%b|(?!00|ff)[0-9a-f]{2}%b(?:-[\x21-\x7e]*)?" % (_TRACE, _TRACE)).fullmatch
_HEX: Final = b"0123456789abcdef"
_NO_TRACE: Final = b"0" * 32


def request_id_of(given: bytes | None) -> bytes | None:
    """The caller's own id, if it is fit to be printed."""
    return given if given is not None and _REQUEST_ID(given) else None


def traceparent_of(given: bytes | None) -> bytes | None:
    """The caller's trace, if it is one."""
    return given if given is not None and _TRACEPARENT(given) else None


class Ids:
    """Makes ids from the given source of chance."""

    __slots__ = ("_bits", "pseudonym")

    def __init__(self, rng: Random) -> None:
        self._bits: Callable[[int], int] = rng.getrandbits
        self.pseudonym = b"sidecar-%08x" % self._bits(32)
        """What the process calls itself to others (RFC 9110 section 7.6.3)."""

    def request_id(self) -> bytes:
        """32 hexadecimal digits."""
        return b"%032x" % self._bits(128)

    def traceparent(self, request_id: bytes) -> bytes:
        """A new trace, whose flags say that nobody records it. Its id is the request's own where that can be one."""
        fits = len(request_id) == 32 and not request_id.translate(None, _HEX) and request_id != _NO_TRACE
        trace = request_id if fits else self.request_id()
        return b"00-%b-%016x-00" % (trace, self._bits(64) | 1)
