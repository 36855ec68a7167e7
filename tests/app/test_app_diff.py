"""What a new configuration changes, in words, and what of it needs a restart."""

from pathlib import Path

import pytest

from sidecar import config
from sidecar.app.diff import Changes, compare

BASE = """listen: [127.0.0.1:8080]
admin: {listen: 127.0.0.1:9901, token: secret-one}
limits: {body: 1MiB}
access_log: {path: "-"}
upstreams:
  a: {endpoints: ["http://a.test"], headers: {set: {Authorization: {file: token}}}}
  b: {endpoints: ["http://b.test"]}
defaults: {timeout: {total: 9s}}
routes:
  - {name: one, match: {path: /one}, upstream: a}
  - {name: two, match: {path: /two}, upstream: b}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a secret and a certificate in it."""
    (tmp_path / "token").write_text("s3cret")
    for name in ("cert", "key", "other"):
        (tmp_path / name).write_text("nobody looks into it here")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parsed(text: str) -> config.Config:
    """As the file of that text."""
    return config.parse(text.encode(), file="sidecar.yaml")


def between(old: str, new: str) -> Changes:
    """From the base to the base with `new` for `old`."""
    assert BASE.count(old) == 1
    return compare(parsed(BASE), parsed(BASE.replace(old, new)))


def test_the_same_is_no_change() -> None:
    """Nor is another way to write it."""
    assert compare(parsed(BASE), parsed(BASE)).sentences() == []
    assert between("body: 1MiB", "body: 1024KiB").sentences() == []
    assert between("{total: 9s}", "{total: 9000ms}").sentences() == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("body: 1MiB", "body: 2MiB, headers: 9", ["limits.headers: changed", "limits.body: changed"]),
        ('access_log: {path: "-"}', "access_log: {sample: 50%}", ["access_log.sample: changed"]),
        ("limits:", "drain: {quiet: 2s}\nlimits:", ["drain.quiet: changed"]),
        ("limits:", "caller: {timeout: 20s}\nlimits:", ["caller: changed"]),
        ("secret-one", "secret-two", ["admin.token: changed"]),
        ("[127.0.0.1:8080]", "[127.0.0.1:8081]", ["listen 127.0.0.1:8081: added", "listen 127.0.0.1:8080: removed"]),
        ("[127.0.0.1:8080]", "[127.0.0.1:8080, 127.0.0.1:0]", ["listen 127.0.0.1:0: added"]),
        ("{total: 9s}", "{total: 8s}", ["route one: timeout changed", "route two: timeout changed"]),
        ("path: /one}", "path: /1}, critical: true", ["route one: critical, match changed"]),
        ("name: two", "name: three", ["route three: added", "route two: removed"]),
        (
            '  b: {endpoints: ["http://b.test"]}',
            '  b: {endpoints: ["http://b.test"], ejection: {for: 1s}}\n  c: {endpoints: ["http://c.test"]}',
            ["upstream c: added", "upstream b: ejection changed"],
        ),
    ],
)
def test_each_change_is_one_sentence(old: str, new: str, said: list[str]) -> None:
    """It names the thing and its keys."""
    changes = between(old, new)
    assert (changes.sentences(), changes.impossible) == (said, ())


def test_a_secret_that_changed_is_named_and_not_shown(here: Path) -> None:
    """Its key says enough."""
    old = parsed(BASE)
    (here / "token").write_text("n3w")
    assert compare(old, parsed(BASE)).sentences() == ["upstream a: headers changed"]


def test_the_order_of_routes_counts() -> None:
    """Between equally specific ones it decides."""
    lines = BASE.splitlines(keepends=True)
    swapped = "".join([*lines[:-2], lines[-1], lines[-2]])
    assert compare(parsed(BASE), parsed(swapped)).sentences() == ["routes: order changed"]


TLS = 'listen: [{address: "127.0.0.1:8080", tls: {cert: cert, key: key}}]'


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("127.0.0.1:9901", "127.0.0.1:9902", "2:17: admin.listen"),
        ("limits:", "state: {last_known_good: {max_bytes: 1MiB}}\nlimits:", "3:1: state"),
        ("listen: [127.0.0.1:8080]", TLS, "1:10: listen[0]"),
    ],
)
def test_what_needs_a_restart_is_located(old: str, new: str, place: str) -> None:
    """With its place in the new file, as any other problem."""
    (problem,) = between(old, new).impossible
    assert problem.startswith(f"sidecar.yaml:{place}: ")
    assert "needs a restart" in problem


def test_a_listener_takes_another_certificate() -> None:
    """It stays bound; only what it shows is new."""
    old = BASE.replace("listen: [127.0.0.1:8080]", TLS)
    changes = compare(parsed(old), parsed(old.replace("cert: cert", "cert: other")))
    assert (changes.sentences(), changes.impossible) == (["listen 127.0.0.1:8080: tls changed"], ())
