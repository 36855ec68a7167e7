"""An endpoint as the proxy uses it."""

from proxy_fakes import a_target

from sidecar.policy.endpoints import Endpoint
from sidecar.proxy.target import Rewrite, Target


def test_a_target_is_an_endpoint_and_adds_how_to_reach_it() -> None:
    """By default nothing is put before, in or out."""
    target, lines = a_target()
    assert isinstance(target, Endpoint)
    assert isinstance(target, Target)
    assert (target.name, target.pending, target.authority) == ("http://one", 0, b"one.example")
    assert (target.base_path, target.added, target.removed) == (b"", b"", frozenset())
    assert target.pool is lines  # type: ignore[comparison-overlap]


def test_a_rewrite_changes_nothing_until_told() -> None:
    """Each of its parts is there on its own."""
    rewrite = Rewrite()
    assert (rewrite.matched, rewrite.replacement, rewrite.keep_host, rewrite.looks_inside) == (0, b"", False, False)
