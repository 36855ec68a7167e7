"""What the tests of the configuration share."""

from collections.abc import Callable

import pytest

from sidecar.config import Config, ConfigError, parse

MINIMAL = """\
upstreams: {u: {endpoints: ["http://127.0.0.1:9000"]}}
routes:
  - name: r
    match: {path: /r}
    upstream: u
"""


@pytest.fixture
def minimal() -> str:
    """The shortest configuration. More may follow on line 6: of the route in column 5; of the file, in 1."""
    return MINIMAL


@pytest.fixture
def accepted() -> Callable[..., Config]:
    """`accepted(text, **env)`: the configuration."""

    def load(text: str, **env: str) -> Config:
        return parse(text.encode(), file="c.yaml", env=env)

    return load


@pytest.fixture
def refused() -> Callable[..., list[str]]:
    """`refused(text, **env)`: the problems as lines; the test fails if there are none."""

    def load(text: str | bytes, **env: str) -> list[str]:
        raw = text if isinstance(text, bytes) else text.encode()
        with pytest.raises(ConfigError) as caught:
            parse(raw, file="c.yaml", env=env)
        assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
        return [str(problem) for problem in caught.value.problems]

    return load
