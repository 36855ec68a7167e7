"""For pytest in the tree of requests: the fixture `httpbin` is the server behind the proxy."""

import os
from types import SimpleNamespace

import pytest

from conformance.rows.httpbin import BEHIND


class Behind:
    """Registered last, so that its fixture stands in front of the one that starts a server of its own."""

    @pytest.fixture
    def httpbin(self) -> SimpleNamespace:
        """What the tests ask of a server."""
        return SimpleNamespace(url=os.environ[BEHIND])


def pytest_configure(config: pytest.Config) -> None:
    """Plugins that pip installed are registered by now."""
    config.pluginmanager.register(Behind(), "behind")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps the tests whose requests go to httpbin, and go there without TLS."""
    kept = [item for item in items if _goes_through(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _goes_through(item: pytest.Item) -> bool:
    names = getattr(item, "fixturenames", ())
    return "httpbin" in names and "httpbin_secure" not in names
