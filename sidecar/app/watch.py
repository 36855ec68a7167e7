"""Whether the files of a configuration have changed: asked of the file system, not waited for.

A watch on a file loses it when an editor, or Kubernetes, puts another in its place. A look at what the path leads to
now costs some 3 µs, and follows every link. A file that changes is given until the next look to settle: half a file is
not worth an error. What counts then is what is in it.
"""

from sidecar.config import Sources

LOOK_EVERY = 0.5
"""Seconds between two looks. A change is taken after one to two of them."""


class Watch:
    """Of the files that were read last."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._stamps = sources.stamps()
        self._settling = True  # they may have changed between being read and now

    def follow(self, sources: Sources) -> None:
        """These were read just now, in place of those before."""
        self._sources = sources
        self._stamps = sources.stamps()
        self._settling = True

    def look(self) -> bool:
        """Whether they may hold something else: they changed, and did not since the last look."""
        stamps = self._sources.stamps()
        if stamps != self._stamps:
            self._stamps = stamps
            self._settling = True
            return False
        settled, self._settling = self._settling, False
        return settled
