"""What the path may know of a request."""

from typing import Protocol

from sidecar.policy.fallback import LastKnownGood
from sidecar.policy.route import Route


class Call(Protocol):
    """What the path may know of a request, and where it notes what became of it."""

    method: bytes
    host: bytes
    path: bytes
    headers: list[tuple[bytes, bytes, bytes]]
    started: float
    """When its head was read, on the path's clock."""
    patience: float
    """Seconds the caller itself gave; infinite if it did not say."""
    already_retrying: bool
    """The caller retries on its own: ours on top would multiply."""
    has_key: bool
    """It carries an Idempotency-Key."""
    body_to_come: bool
    """Its body is small enough to keep and not here yet."""
    ends_here: str
    """Why it must go no further: `loop_detected`, HOPS where it may make no more, or empty."""
    route: Route | None

    def question(self, rung: LastKnownGood) -> bytes | None:
        """What stands for all who ask the same; None where its answer would be for nobody else."""
        ...

    @property
    def may_go_twice(self) -> bool:
        """Whether two attempts at once can send it: all of it is here, and it asks for no other protocol."""
        ...

    @property
    def replayable(self) -> bool:
        """Whether the request can be sent again: it has no body, or all of it was kept."""
        ...
