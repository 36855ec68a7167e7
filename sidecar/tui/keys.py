"""Bytes that a terminal sends, as names of keys."""

import re
from typing import Final

# ECMA-48 section 5.4: a control sequence is ESC [, parameters, intermediates and a final byte. Terminals in application
# mode send ESC O and one byte for the arrows.
_WHOLE: Final = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1bO[ -~]|\x1b(?=[^\[O])|[^\x1b]", re.DOTALL)
_NAMES: Final = {
    b"\x1b": "escape",
    b"\x1b[A": "up",
    b"\x1bOA": "up",
    b"\x1b[B": "down",
    b"\x1bOB": "down",
    b"\x1b[5~": "page_up",
    b"\x1b[6~": "page_down",
    b"\x1b[H": "home",
    b"\x1bOH": "home",
    b"\x1b[F": "end",
    b"\x1bOF": "end",
    b"\r": "enter",
    b"\n": "enter",
    b"\x7f": "backspace",
    b"\b": "backspace",
}


class Keys:
    """Takes bytes as they come, however they are cut, and gives keys: a name, or the character typed.

    Sequences that mean nothing here, the mouse's among them, are swallowed whole.
    """

    def __init__(self) -> None:
        self._rest = b""

    @property
    def waiting(self) -> bool:
        """An escape came that may be a key of its own, or the beginning of another."""
        return self._rest.startswith(b"\x1b")

    def feed(self, data: bytes) -> list[str]:
        """The keys that are complete."""
        rest, keys = self._rest + data, []
        while (found := _WHOLE.match(rest)) is not None:
            piece = found[0]
            if piece >= b"\x80":
                character = self._character(rest)
                if character is None:
                    break
                piece = character
            rest = rest[len(piece) :]
            if key := _name(piece):
                keys.append(key)
        self._rest = rest[:64]
        return keys

    def settle(self) -> list[str]:
        """Nothing followed: an escape was the key of that name."""
        rest, self._rest = self._rest, b""
        return ["escape"] if rest == b"\x1b" else []

    @staticmethod
    def _character(rest: bytes) -> bytes | None:
        """The first character's bytes; None while some are missing. A byte that begins none is one of its own."""
        first = rest[0]
        more = 3 if 0xF0 <= first <= 0xF4 else 2 if 0xE0 <= first < 0xF0 else 1 if 0xC2 <= first < 0xE0 else 0
        following = rest[1 : 1 + more]
        if not all(0x80 <= byte < 0xC0 for byte in following):
            return rest[:1]
        return rest[: 1 + more] if len(following) == more else None


def _name(piece: bytes) -> str:
    if piece in _NAMES:
        return _NAMES[piece]
    try:
        typed = piece.decode()
    except UnicodeDecodeError:
        return ""
    return typed if len(typed) == 1 and typed.isprintable() else ""
