"""What the performer of a command returns whose end is yet to come."""

from typing import Final


class Later:
    """The path is resumed when it has come."""


LATER: Final = Later()
