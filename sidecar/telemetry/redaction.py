"""What of a query and of headers a log may show. Whoever asks for the query to be shown names what stays hidden."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

Header = tuple[bytes, bytes, bytes]
"""Lower-case name, name, value."""

USUAL: Final = (
    *("access_token", "api_key", "apikey", "code", "key", "password", "phone", "phone_number", "secret"),
    *("sig", "signature", "token"),
)
"""Parameters that are hidden where nobody said which. docs/logs.md lists them."""
HIDDEN: Final = b"***"
LONGEST: Final = 256
"""Bytes of a header's value that are shown."""

_WORDS: Final = re.compile(rb"[\[\]=&;?\s]")


class Redaction:
    """Hides the values of parameters by name, however their names are spelt.

    As receivers read them: upper and lower case alike, percent-encoded or not, `+` for a space, and also where the name
    is one part of several (`user[token]`, `token[]`). Some take `;` for a separator as `&` is, others for a part of the
    value: from a name that hides on, all is hidden up to the next `&`. A word without `=` is a name, and is shown.
    """

    __slots__ = ("_names",)

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower().encode() for name in names)

    def __call__(self, query: bytes) -> bytes:
        """The query, with `***` for those values."""
        if not self._names:
            return query
        return b"&".join(self._shown(part) for part in query.split(b"&"))

    def _shown(self, part: bytes) -> bytes:
        shown = b""
        for piece in re.split(rb"([;?])", part):
            name, equals, _ = piece.partition(b"=")
            plain = unquote_to_bytes(name.replace(b"+", b" ")).lower()
            if (equals or b"=" in plain) and self._hides(plain):
                return shown + (name + equals if equals else b"") + HIDDEN
            shown += piece
        return shown

    def _hides(self, name: bytes) -> bool:
        return not self._names.isdisjoint(_WORDS.split(name))


def shown_headers(wanted: Mapping[bytes, str], headers: Sequence[Header]) -> dict[str, bytes]:
    """Those of a request that may be shown, by their configured names, repeated ones joined (RFC 9110 section 5.3)."""
    found: dict[str, bytes] = {}
    for low, _, value in headers:
        name = wanted.get(low)
        if name is not None:
            found[name] = found[name] + b", " + value if name in found else value
    return {name: value[:LONGEST] for name, value in found.items()}
