"""The bulkhead: how many requests of a route may be under way at once."""


class Bulkhead:
    """A counted number of slots. Whoever entered must leave, whatever happens in between."""

    __slots__ = ("_limit", "in_flight")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.in_flight = 0

    def enter(self) -> bool:
        """Takes a slot; False if there is none."""
        if self.in_flight >= self._limit:
            return False
        self.in_flight += 1
        return True

    def leave(self) -> None:
        """Gives the slot back."""
        assert self.in_flight > 0, "left more often than entered"
        self.in_flight -= 1

    def __repr__(self) -> str:
        return f"<Bulkhead {self.in_flight}/{self._limit}>"
