"""A floor under the speed at which a caller sends its body: who is slower holds a place that others need.

Judged by looks at what has come, a few per second, not by what comes: a body costs nothing more while it flows.
"""

from typing import Final

from sidecar.wire.body import Body

LONGEST_STEP: Final = 1.0
"""Seconds that count between two looks at most: when our own loop stalled, the caller may have sent all the while."""


class Pace:
    """How fast the bodies of one connection come.

    `floor`: bytes of payload per second, 0 for none. `over`: seconds of which each judgement speaks; time in which the
    caller could not send is not among them. Apache's `MinRate` is the precedent, with 500 bytes over 20 seconds.
    """

    __slots__ = ("_body", "_floor", "_looked", "_over", "_seen", "_sent", "_spent")

    def __init__(self, *, floor: float, over: float) -> None:
        self._floor = floor
        self._over = over
        self._body: Body | None = None
        self._seen = 0  # of the body, when the time that is being judged began
        self._spent = 0.0
        self._looked = 0.0
        self._sent = False

    def is_too_slow(self, body: Body, now: float, *, may_send: bool) -> bool:
        """Looks at a body that is under way.

        `may_send`: whether the caller is neither held back by us nor waiting to be asked for it (RFC 9110 section
        10.1.1). Time counts from one look to the next if it may at both.
        """
        if body is not self._body:
            self._body = body
            self._begin(body)
        elif may_send and self._sent:
            self._spent += min(now - self._looked, LONGEST_STEP)
        self._looked = now
        self._sent = may_send
        if self._spent < self._over:
            return False
        slow = body.size - self._seen < self._floor * self._spent
        self._begin(body)
        return slow

    def _begin(self, body: Body) -> None:
        self._seen = body.size
        self._spent = 0.0
