"""What happened in the last while, counted in time buckets (Hystrix's rolling window)."""

from collections import deque
from operator import add, sub


class Window:
    """So many `counters`, over so many `buckets` of `width` seconds: the oldest bucket leaves as a whole.

    Whoever counts does it by hand: it happens for every request, and a method would double its price.

        if now >= window.ends:
            window.roll(now)
        window.bucket[FAILED] += 1
    """

    __slots__ = ("_buckets", "_counters", "_number", "_past", "_width", "bucket", "ends")

    bucket: list[int]
    """The present one."""
    ends: float
    """When it is full, on the clock of `roll`."""

    def __init__(self, *, width: float, buckets: int, counters: int) -> None:
        self._width = width
        self._counters = counters
        self._buckets: deque[list[int]] = deque(maxlen=buckets)
        self.clear()

    def clear(self) -> None:
        """Forgets everything."""
        self._buckets.clear()
        self._number = 0
        self.ends = float("-inf")
        self._begin()
        self._past = [0] * self._counters

    def roll(self, now: float) -> None:
        """Begins the bucket that `now` falls in; `now` is not before `ends`."""
        number = int(now // self._width)
        assert self._buckets.maxlen is not None
        for _ in range(min(number - self._number, self._buckets.maxlen)):
            self._begin()
        self._number = number
        self.ends = (self._number + 1) * self._width
        # Here, once per bucket, and not whenever somebody asks for the sums.
        totals = [sum(column) for column in zip(*self._buckets, strict=True)]
        self._past = list(map(sub, totals, self.bucket))

    def _begin(self) -> None:
        self.bucket = [0] * self._counters
        self._buckets.append(self.bucket)

    def take_back(self, counter: int, at: float) -> None:
        """Undoes one count of `counter` made at `at`; nothing if that is forgotten already."""
        age = self._number - int(at // self._width)
        if age <= 0:
            self.bucket[counter] -= 1
        elif age < len(self._buckets):
            self._buckets[-1 - age][counter] -= 1
            self._past[counter] -= 1

    def sums(self) -> list[int]:
        """Each counter over all buckets. Does not roll."""
        return list(map(add, self._past, self.bucket))
