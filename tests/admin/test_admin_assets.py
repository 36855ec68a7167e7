"""Laws of the dashboard's files: what is vendored is what was published, and nothing comes from elsewhere."""

import re
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest
from aiohttp import ClientSession

from sidecar.admin.assets import PAGE, load
from sidecar.admin.front import start
from sidecar.admin.views import Views

FILES = Path(__file__).resolve().parents[2] / "sidecar/admin/assets"
SCRIPTS = sorted(FILES.glob("*.js"))


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    """A client of the port."""
    views = Views(ready=str, metrics=lambda _: b"", metrics_type=lambda _: "text/plain", status=dict, config=dict)
    server = await start(views, "127.0.0.1", 0)
    async with ClientSession(f"http://127.0.0.1:{server.port}") as opened:
        yield opened
    await server.close()


def test_what_others_wrote_is_as_they_published_it() -> None:
    """Every vendored file has its checksum, every checksum its file, and the licence is there."""
    lines = (FILES / "uplot/SHA256SUMS").read_text().splitlines()
    sums = dict(reversed(line.split("  ")) for line in lines)
    assert {path.name for path in (FILES / "uplot").iterdir()} == {*sums, "SHA256SUMS"}
    assert {name: sha256((FILES / "uplot" / name).read_bytes()).hexdigest() for name in sums} == sums
    assert "MIT License" in (FILES / "uplot/LICENSE").read_text()


def test_the_version_is_told() -> None:
    """Whoever looks for what is vendored finds which it is."""
    (version,) = re.findall(r"uPlot.*?\(v([\d.]+)\)", (FILES / "uplot/uPlot.iife.min.js").read_text()[:300])
    page = (FILES.parents[2] / "docs/dashboard.md").read_text()
    assert f"uPlot {version}" in page


@pytest.mark.parametrize("path", [*SCRIPTS, FILES / PAGE], ids=lambda path: path.name)
def test_no_text_becomes_markup_and_nothing_comes_from_elsewhere(path: Path) -> None:
    """Names of routes and endpoints are text; no script or style stands in the page; no address but ours."""
    text = path.read_text()
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|https?://|\son\w+=\"|style="
    )
    assert re.findall(forbidden, text) == []
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>|<style", text) == []


def test_everything_a_file_asks_for_is_there() -> None:
    """Imports, links and scripts lead to files that exist; no file is left over."""
    files = load()
    page = files[PAGE].body.decode()
    asked = set(re.findall(r'"/assets/([^"]+)"', page))
    for script in SCRIPTS:
        asked |= set(re.findall(r'from "\./([^"]+)"', script.read_text()))
    assert asked <= files.keys()
    assert files.keys() - asked == {PAGE, "uplot/LICENSE", "uplot/SHA256SUMS"}


async def test_each_is_served_under_its_type(session: ClientSession) -> None:
    """Modules run only as JavaScript, and `nosniff` is on."""
    for path, asset in load().items():
        async with session.get(f"/assets/{path}") as response:
            assert (response.status, response.headers["Content-Type"]) == (200, asset.kind)
            assert await response.read() == asset.body
            assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_what_a_browser_has_is_not_sent_again(session: ClientSession) -> None:
    """304 to the same ETag, the file to another; a browser asks each time, so an upgrade shows at once."""
    async with session.get("/assets/style.css") as first:
        etag = first.headers["ETag"]
        assert first.headers["Cache-Control"] == "no-cache"
    async with session.get("/assets/style.css", headers={"If-None-Match": etag}) as again:
        assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", etag)
    async with session.get("/assets/style.css", headers={"If-None-Match": '"other"'}) as other:
        assert (other.status, len(await other.read())) == (200, len(load()["style.css"].body))


@pytest.mark.parametrize("path", ["nothing.js", "../server.py", "%2e%2e/server.py", "uplot/", "..%2fserver.py", ""])
async def test_nothing_else_is_served(session: ClientSession, path: str) -> None:
    """A path is looked up among the files there are, never opened."""
    async with session.get(f"/assets/{path}") as response:
        assert response.status == 404


async def test_the_policy_is_strict(session: ClientSession) -> None:
    """Nothing inline, nothing from elsewhere, nobody may frame it, no form leaves it."""
    async with session.get("/") as page:
        policy = dict(part.strip().partition(" ")[::2] for part in page.headers["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "frame-ancestors": "'none'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "",
    }
