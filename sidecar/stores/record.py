"""A kept answer as a row of the file, with a checksum over all of it.

SQLite finds torn pages of its own structure, not a bit that fell over inside of a value. What does not fit its
checksum never becomes an answer.
"""

from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from sidecar.policy.last_known_good import Stored

_DIGEST: Final = 16

_Head = tuple[int, float, float, float | None, tuple[tuple[bytes, bytes], ...]]
"""status, stored_at, fresh_for, usable_for (None: unbounded), headers."""

_encode: Final = msgspec.msgpack.encode
_decode: Final = msgspec.msgpack.Decoder(_Head).decode


class Row(NamedTuple):
    """What of an answer goes into columns of their own. `head`: all but its body."""

    key: bytes
    head: bytes
    body: bytes
    checksum: bytes


def to_row(key: bytes, stored: Stored) -> Row:
    """The row that `from_row` reads as the same answer."""
    bound = None if stored.usable_for == float("inf") else stored.usable_for
    head = _encode((stored.status, stored.stored_at, stored.fresh_for, bound, stored.headers))
    return Row(key, head, stored.body, _checksum(key, head, stored.body))


def from_row(row: Row) -> Stored | None:
    """The answer of a row; None if it is not exactly what was written."""
    key, head, body, checksum = row
    if not all(type(part) is bytes for part in row) or _checksum(key, head, body) != checksum:
        return None
    try:
        status, stored_at, fresh_for, bound, headers = _decode(head)
    except msgspec.MsgspecError:
        return None
    return Stored(status, headers, body, stored_at, fresh_for, float("inf") if bound is None else bound)


def _checksum(key: bytes, head: bytes, body: bytes) -> bytes:
    digest = blake2b(b"%d:%d:" % (len(key), len(head)), digest_size=_DIGEST)  # nothing moves into its neighbour
    digest.update(key)
    digest.update(head)
    digest.update(body)
    return digest.digest()
