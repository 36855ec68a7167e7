"""An endpoint as the proxy uses it: the policy's endpoint, and how to reach it."""

from sidecar.policy.endpoints import Endpoint
from sidecar.policy.health import Health
from sidecar.wire.pool import Pool


class Target(Endpoint):
    """One address of an upstream.

    authority: what `Host` says there. base_path: put before every target, without a trailing slash. added: header
    lines of the upstream's `headers.set`, ready to send. removed: lower-case names that must not go there.
    """

    __slots__ = ("added", "authority", "base_path", "pool", "removed")

    def __init__(
        self,
        *,
        name: str,
        pool: Pool,
        authority: bytes,
        base_path: bytes = b"",
        added: bytes = b"",
        removed: frozenset[bytes] = frozenset(),
        weight: int = 1,
        priority: int = 0,
        health: Health | None = None,
    ) -> None:
        super().__init__(name=name, weight=weight, priority=priority, health=health)
        self.pool = pool
        self.authority = authority
        self.base_path = base_path
        self.added = added
        self.removed = removed


class Rewrite:
    """What a route changes in its requests.

    matched: bytes of the path that are replaced by `replacement`. keep_host: `Host` is the caller's own. looks_inside:
    answers are asked for only in encodings that `expect` can undo.
    """

    __slots__ = ("keep_host", "looks_inside", "matched", "replacement")

    def __init__(
        self,
        *,
        matched: int = 0,
        replacement: bytes = b"",
        keep_host: bool = False,
        looks_inside: bool = False,
    ) -> None:
        self.matched = matched
        self.replacement = replacement
        self.keep_host = keep_host
        self.looks_inside = looks_inside
