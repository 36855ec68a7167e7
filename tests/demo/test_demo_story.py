"""Laws of the demo's stage: what its curl lines could not reach is refused, in words."""

from pathlib import Path

import pytest

from sidecar import config
from sidecar.demo.story import Stage, StageError

SHIPPED = (Path(__file__).parents[2] / "config" / "sidecar.yaml").read_text()
OWN = next(line for line in SHIPPED.splitlines() if line.startswith("listen:"))


def test_the_shipped_configuration_can_be_played() -> None:
    """Its picture names the address to call."""
    assert Stage.of(config.parse(SHIPPED.encode())).sidecar in OWN


def test_a_unix_socket_cannot_be_played() -> None:
    """A curl line needs a host and a port."""
    changed = SHIPPED.replace(OWN, "listen: unix:/run/sidecar.sock")
    with pytest.raises(StageError, match=r"unix:/run/sidecar\.sock: the demo's curl lines need"):
        Stage.of(config.parse(changed.encode()))
