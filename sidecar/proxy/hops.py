"""What a request says about its way: through whom it came, how far it may go, what it expects of the next hop."""

from typing import Final

from sidecar.policy.reasons import LOOP_DETECTED

ANY: Final = b"*"
"""The target that is no path: the server as a whole (RFC 9112 section 3.2.4)."""
HOPS: Final = "hops"
"""`Max-Forwards` is used up (RFC 9110 section 7.6.2)."""
_COUNTED: Final = frozenset({b"OPTIONS", b"TRACE"})
"""Methods that `Max-Forwards` is defined for; with others it may be ignored (RFC 9110 section 7.6.2)."""
_LONGEST: Final = 9
"""Digits of a number of hops that is taken for one."""


def _members(value: bytes) -> list[bytes]:
    return [member.strip(b" \t") for member in value.split(b",")]


def ends_here(method: bytes, via: bytes | None, max_forwards: bytes | None, pseudonym: bytes) -> str:
    """Why a request must not be sent on: it has been here before, or has no hop left. Empty if it may be."""
    if via is not None and _names(via, pseudonym):
        return LOOP_DETECTED
    if max_forwards is not None and method in _COUNTED and _is_count(max_forwards) and not int(max_forwards):
        return HOPS
    return ""


def _names(via: bytes, pseudonym: bytes) -> bool:
    """Whether one of the hops in `Via` is called so (RFC 9110 section 7.6.3)."""
    return any(member.lower().split()[1:2] == [pseudonym] for member in _members(via))


def _is_count(value: bytes) -> bool:
    return value.isdigit() and len(value) <= _LONGEST


def one_hop_less(method: bytes, max_forwards: bytes) -> bytes:
    """`Max-Forwards` for the next hop. What is no number, or not ours to count, goes on as it is."""
    if method not in _COUNTED or not _is_count(max_forwards):
        return max_forwards
    return b"%d" % max(0, int(max_forwards) - 1)


def takes_trailers(te: bytes) -> bool:
    """Whether `TE` says that trailer fields will be read (RFC 9110 section 10.1.4)."""
    return b"trailers" in _members(te.lower())


def expectation(value: bytes) -> bytes:
    """What `Expect` says to the next hop: all but the 100-continue, which we have met (RFC 9110 section 10.1.1)."""
    return b", ".join([member for member in _members(value) if member and member.lower() != b"100-continue"])
