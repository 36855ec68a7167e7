"""`sidecar health`: one question to the admin port, one exit code, next to no cost."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar, free_port
from fixtures.upstream import Upstream

from sidecar.cli import main
from sidecar.cli.health import Where, status

Output = pytest.CaptureFixture[str]
ROUTE = "upstreams: {u: {endpoints: ['http://127.0.0.1:9']}}\nroutes: [{name: r, match: {path: /}, upstream: u}]\n"


def test_a_sidecar_that_runs_is_alive_however_it_is_named(
    sidecar: Callable[..., RunningSidecar], capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By argument with or without scheme, by its configuration, by SIDECAR_ADMIN; and ready when asked for that."""
    running = sidecar(ROUTE)
    url = running.admin_url
    assert main(["health", url]) == 0
    assert capsys.readouterr().out == f"{url}/healthz: 200\n"
    assert main(["health", url.removeprefix("http://"), "--ready"]) == 0
    assert capsys.readouterr().out == f"{url}/readyz: 200\n"
    assert main(["health", "-c", str(running.config_path)]) == 0
    monkeypatch.setenv("SIDECAR_ADMIN", url)
    assert main(["health"]) == 0


def test_anything_but_200_is_1(upstream: Upstream, capsys: Output) -> None:
    """A server that is not ready, or is none of ours, is told by its status."""
    upstream.on("/healthz", scripted.status(503))
    assert main(["health", upstream.url]) == 1
    assert capsys.readouterr().out.endswith("/healthz: 503\n")


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (scripted.hang(), "no answer in time"),
        (scripted.drip(b" " * 1000, seconds=0.05), "/healthz: 200"),
        (scripted.garbage(), "not an HTTP server"),
        (scripted.reset(), "Connection reset by peer"),
    ],
    ids=["hangs", "drips-its-body", "garbage", "reset"],
)
def test_whatever_answers_it_ends_in_time(
    upstream: Upstream, behaviour: scripted.Behaviour, words: str, capsys: Output
) -> None:
    """The status is all that is waited for, and no longer than --timeout."""
    upstream.on("/healthz", behaviour)
    code = main(["health", upstream.url, "--timeout", "0.3"])
    output = capsys.readouterr()
    assert (output.out + output.err).count("\n") == 1
    assert words in output.out + output.err
    assert code == (0 if output.out else 1)


def test_nobody_there_is_one_line(capsys: Output) -> None:
    """No traceback when the process is gone."""
    port = free_port()
    assert main(["health", f"http://127.0.0.1:{port}"]) == 1
    assert capsys.readouterr().err == f"sidecar health: http://127.0.0.1:{port}/healthz: Connection refused\n"


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "127.0.0.1", "http://127.0.0.1:99999", "http://a b:1", ""])
def test_an_address_that_is_none_is_said(url: str, capsys: Output) -> None:
    """And not repeated: it may hold what is nobody's business."""
    assert main(["health", url]) == 1
    assert capsys.readouterr().err == "sidecar health: ADMIN_URL is not http://host:port\n"


@pytest.mark.parametrize(
    ("admin", "asked"),
    [
        ("admin: {listen: 0.0.0.0:@}", "127.0.0.1"),
        ("admin: {listen: {address: '127.0.0.1:@'}}", "127.0.0.1"),
        ("admin: {listen: '${HOST:-127.0.0.1}:${PORT}'}", "127.0.0.1"),
    ],
)
def test_the_configuration_may_say_it_in_any_of_its_ways(
    admin: str, asked: str, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short or as a mapping, with variables; all addresses are asked on loopback."""
    port = free_port()
    monkeypatch.setenv("PORT", str(port))
    file = tmp_path / "c.yaml"
    file.write_text(admin.replace("@", str(port)))
    assert main(["health", "-c", str(file)]) == 1
    assert f"http://{asked}:{port}/healthz: Connection refused" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"), [("a: [", "is not YAML"), (None, "No such file"), ("admin: 3", "is not http://host:port")]
)
def test_a_configuration_that_cannot_be_used_is_one_line(
    text: str | None, words: str, tmp_path: Path, capsys: Output
) -> None:
    """`check` says the rest."""
    file = tmp_path / "c.yaml"
    if text is not None:
        file.write_text(text)
    assert main(["health", "-c", str(file)]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words in err


def test_ipv6_stands_in_brackets() -> None:
    """In the line that is printed and in the Host header."""
    assert str(Where("::1", 9901)) == "http://[::1]:9901"
    with pytest.raises(OSError, match=r"http://\[::1\]:"):
        status(Where("::1", free_port()), "/healthz", 0.2)


def test_it_imports_nothing_heavy() -> None:
    """Run every few seconds, it must cost next to nothing: no HTTP client, no models, no event loop."""
    heavy = ("http.client", "urllib.request", "email", "ssl", "asyncio", "pydantic", "yaml", "aiohttp", "subprocess")
    program = (
        "import sys; from sidecar.cli import main; main(['health', '127.0.0.1:9']); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
