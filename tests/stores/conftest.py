"""Nothing that a test of the stores opened stays open."""

from collections.abc import Iterator

import pytest
from stores_fakes import World


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """The files of all worlds, as their tests left them."""
    yield
    while World.made:
        World.made.pop().writer._let_go()
