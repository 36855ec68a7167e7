"""The configurations, and the page."""

import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench import lineup, page
from bench.child import Child, Unusable
from bench.lineup import LINEUP, Proxy
from bench.origin import Origin
from bench.place import Cores, choose_cores, free_port, render


def origin(folder: Path) -> Origin:
    """One that nobody will ask."""
    nobody = Child("nobody", ["true"], core=choose_cores().load, folder=folder)
    nobody.stop()
    return Origin(child=nobody, plain=1, tls=2, failing=3, ca=folder / "ca.pem")


@pytest.mark.parametrize("proxy", LINEUP, ids=lambda proxy: proxy.name)
def test_every_place_in_every_configuration_is_filled(proxy: Proxy, tmp_path: Path) -> None:
    """None is left for the peer to stumble over, in its files or on its command line."""
    echo = Proxy(name=proxy.name, find=lambda: "echo", arguments=proxy.arguments, version=(), package="", refusal="")
    with ExitStack() as stack:
        running = lineup.start(echo, origin=origin(tmp_path), cores=choose_cores(), folder=tmp_path, stack=stack)
        with pytest.raises(Unusable, match="ended at start"):
            running.child.wait_for_answer(running.port, "/")
    written = [path.read_text() for path in (tmp_path / f"{proxy.name}.d").iterdir()]
    for text in (*written, running.child.log.read_text()):
        assert not re.search(r"@[a-z_]+@", text)


def test_a_place_without_a_value_is_an_error(tmp_path: Path) -> None:
    """A template that asks for something unknown is found out before the peer is started."""
    with pytest.raises(KeyError):
        render("envoy", tmp_path, {})


def test_a_peer_that_is_absent_is_not_started(tmp_path: Path) -> None:
    """And the caller is told which."""
    absent = Proxy(name="envoy", find=lambda: None, arguments=(), version=(), package="", refusal="")
    with ExitStack() as stack, pytest.raises(FileNotFoundError, match="envoy"):
        lineup.start(absent, origin=origin(tmp_path), cores=Cores(0, 0), folder=tmp_path, stack=stack)
    assert lineup.version(absent) == "not installed"


def test_a_program_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    """A configuration error of a peer reaches the reader, and nothing waits for the time-out."""
    command = ["sh", "-c", "echo unknown keyword >&2; exit 1"]
    with (
        Child("peer", command, core=choose_cores().proxy, folder=tmp_path) as child,
        pytest.raises(Unusable, match="peer ended at start: unknown keyword"),
    ):
        child.wait_for_answer(free_port(), "/")


def test_the_prose_of_the_page_is_left_alone() -> None:
    """Only what stands between the markers is replaced, however often."""
    text = f"# Title\n\n{page.BEGIN}\nold\n{page.END}\n\nThe end.\n"
    once = page.replaced(text, "new")
    assert once == f"# Title\n\n{page.BEGIN}\n\nnew\n\n{page.END}\n\nThe end.\n"
    assert page.replaced(once, "new") == once


@pytest.mark.parametrize("text", ["", page.BEGIN, page.END, f"{page.END} {page.BEGIN}"])
def test_a_page_without_its_markers_is_not_overwritten(text: str) -> None:
    """Whoever removed them meant something."""
    with pytest.raises(ValueError, match="lacks"):
        page.replaced(text, "new")


def test_the_page_in_the_repository_has_its_markers() -> None:
    """So that a quarter of an hour of measuring does not end in an error."""
    assert page.replaced(page.PAGE.read_text(), "new")
