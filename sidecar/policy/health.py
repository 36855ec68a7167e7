"""Whether an endpoint is well, as checks of our own find it.

A check asks on purpose; ejection learns from the callers' requests in passing. What a check takes out, only
checks bring back.
"""


class Health:
    """One endpoint's. Well until `unhealthy_after` checks in a row failed, then unwell until `healthy_after` passed.

    HAProxy calls these `fall` and `rise`. Well from the start: nobody waits for a first check.

    well: what the checks say now. why: the reason of the last check that failed, "" if none did.
    """

    __slots__ = ("_against", "_healthy_after", "_unhealthy_after", "well", "why")

    def __init__(self, *, unhealthy_after: int, healthy_after: int) -> None:
        self._unhealthy_after = unhealthy_after
        self._healthy_after = healthy_after
        self._against = 0  # checks in a row that contradict `well`
        self.well = True
        self.why = ""

    def __repr__(self) -> str:
        return f"<Health {'well' if self.well else 'unwell'}, {self._against} checks against>"

    def judge(self, why: str) -> bool:
        """Takes a check into account: why it failed, "" if it passed. True if that changed `well`."""
        if why:
            self.why = why
        if self.well == (not why):
            self._against = 0
            return False
        self._against += 1
        if self._against < (self._unhealthy_after if self.well else self._healthy_after):
            return False
        self._against = 0
        self.well = not self.well
        return True
