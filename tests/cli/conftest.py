"""What the tests of the commands share."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def minimal_file(tmp_path: Path) -> Callable[[str], str]:
    """`minimal_file(more)`: the name of a short configuration, with `more` after its only route."""

    def write(more: str = "") -> str:
        file = tmp_path / "c.yaml"
        file.write_text(
            'upstreams: {u: {endpoints: ["http://127.0.0.1:9000"], retries_beyond: 0}}\n'
            "routes:\n  - name: r\n    match: {path: /r}\n    upstream: u\n" + more
        )
        return str(file)

    return write
