"""What every test of this folder does."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """A fuzzing process listens to the sidecar's log alone; others in this process read it after us."""
    log = logging.getLogger("sidecar")
    propagates, handlers = log.propagate, log.handlers.copy()
    yield
    log.propagate = propagates
    log.handlers[:] = handlers
