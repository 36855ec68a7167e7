"""An answer of our own: bytes that were fixed when the configuration was loaded."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """Sent as it stands. `headers`: (name, value), without framing: the wire adds `Content-Length`."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
