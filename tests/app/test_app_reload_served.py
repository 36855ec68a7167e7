"""A configuration that changes under a sidecar that runs as its own process: what its callers see of it."""

import json
import signal
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from app_caller import PATIENCE, Caller, ask, request
from app_reloading import reload, rewritten, taken
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar, free_port
from fixtures.upstream import Upstream

Start = Callable[..., RunningSidecar]

TEXT = """
upstreams:
  a: {{endpoints: ["{a}"], headers: {{set: {{Authorization: {{file: token}}}}}}}}
  b: {{endpoints: ["{b}"]}}
routes:
  - {{name: a, match: {{prefix: /a/}}, upstream: a, timeout: {{total: 10s}}, breaker: {{consecutive_failures: 2}}}}
  - {{name: b, match: {{prefix: /b/}}, upstream: b, timeout: {{total: 10s}}}}
"""


class Place:
    """A sidecar before two upstreams, and the directory of its configuration."""

    def __init__(self, directory: Path, first: Upstream, second: Upstream) -> None:
        self.directory = directory
        self.first, self.second = first, second
        (directory / "token").write_text("Bearer one\n")
        self.running = RunningSidecar(TEXT.format(a=first.url, b=second.url), directory)

    def get(self, path: str, port: int = 0) -> int:
        """The status of a GET on a connection of its own."""
        return ask(port or self.running.port, "GET", path, {}, b"").status

    def change(self, old: str, new: str) -> list[str]:
        """Puts another configuration in place and has it taken: what changed."""
        rewritten(self.running, old, new)
        code, told = reload(self.running)
        assert code == 200, told
        return taken(self.running)

    def act(self, path: str, document: object) -> None:
        """An action on the admin port."""
        data = json.dumps(document).encode()
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(self.running.admin_url + path, data=data, headers=headers)
        with urllib.request.urlopen(asked, timeout=5) as answer:
            assert answer.status == 200

    def shown(self, route: str) -> dict[str, object]:
        """A route in `/status`."""
        found: dict[str, object] = next(one for one in self.running.status()["routes"] if one["name"] == route)
        return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """It, and a proof that nothing was logged that must not be."""
    with ExitStack() as stack:
        place = Place(tmp_path, stack.enter_context(Upstream()), stack.enter_context(Upstream()))
        stack.callback(place.running.kill)
        place.first.otherwise(scripted.ok())
        place.second.otherwise(scripted.ok())
        yield place
        log = place.running.log_text()
        assert "Traceback" not in log, log
        assert "Bearer" not in log, log


def test_an_open_breaker_stays_open_and_counts_go_on(place: Place) -> None:
    """Over a change of its own route, and of the upstream's pool: whoever is ill is not asked for being reloaded."""
    place.first.otherwise(scripted.status(500))
    assert [place.get("/a/x") for _ in range(4)] == [500, 500, 503, 503]
    place.change("consecutive_failures: 2}", "consecutive_failures: 2}, critical: true")
    place.change(f'["{place.first.url}"]', f'["{place.first.url}"], pool: {{idle: 2}}')
    assert place.get("/a/x") == 503
    assert place.first.count("/a/x") == 2
    assert place.running.metric('sidecar_requests_total{route="a",method="GET",code="503",outcome="refused"}') == 2
    assert place.running.metric('sidecar_breaker_state{route="a",state="open"}') == 1
    assert place.running.metric('sidecar_breaker_transitions_total{route="a",from="closed",to="open"}') == 1


def test_what_an_operator_holds_stays_held(place: Place) -> None:
    """A breaker and a fault, by the name of the route, through whatever changes of it."""
    place.act("/routes/a/breaker", {"state": "open", "for": "1h"})
    place.act("/routes/b/fault", {"abort": 418, "for": "1h"})
    place.change("consecutive_failures: 2", "consecutive_failures: 3")
    place.change("prefix: /b/}", "prefix: /b/}, critical: true")
    assert place.get("/a/x") == 503
    assert place.get("/b/x") == 418
    place.act("/routes/a/breaker", {"state": "auto"})
    assert place.get("/a/x") == 200


def test_what_is_under_way_ends_on_what_it_began_with(place: Place) -> None:
    """Its upstream is gone from the file: it gets its answer all the same, then the connection to there is closed."""
    place.second.otherwise(scripted.held(scripted.ok({"late": True})))
    with Caller(place.running.port) as caller:
        caller.send(request("GET", "/b/slow"))
        place.second.wait_for(1)
        text = place.running.config_path.read_text()
        kept = [line for line in text.splitlines(keepends=True) if not line.lstrip().startswith(("b:", "- {name: b"))]
        place.running.config_path.write_text("".join(kept))
        assert reload(place.running)[0] == 200
        assert taken(place.running) == ["route b: removed", "upstream b: removed"]
        assert place.get("/b/x") == 404
        place.second.release()
        answer = caller.answer()
        assert (answer.status, answer.json) == (200, {"late": True})
    assert [one["name"] for one in place.running.status()["routes"]] == ["a", "-"]
    place.running.until(lambda: _open_to(place.running, place.second) == 0, what="its connection is closed")


def _open_to(running: RunningSidecar, upstream: Upstream) -> int:
    """Connections of the process to there, by the kernel."""
    port = f":{upstream.port:04X}"
    lines = Path(f"/proc/{running.pid}/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[2].endswith(port) and line.split()[3] == "01" for line in lines)


def test_a_secret_that_is_rotated_is_taken(place: Place) -> None:
    """By its file alone, which nobody has to announce."""
    assert place.get("/a/1") == 200
    (place.directory / "token").write_text("Bearer two\n")
    place.running.until(lambda: place.get("/a/2") and _tokens(place) == {"Bearer two"}, what="the new token")


def _tokens(place: Place) -> set[str | None]:
    return {place.first.requests()[-1].get("authorization")}


def test_a_swapped_link_is_a_change(tmp_path: Path, upstream: Upstream, sidecar: Start) -> None:
    """As Kubernetes changes a mounted ConfigMap: the file is a link through a link to a directory, which is swapped."""
    upstream.otherwise(scripted.ok())
    running = sidecar(TEXT.format(a=upstream.url, b=upstream.url).replace("{file: token}", "none"))
    text = running.config_path.read_text()
    own = running.config_path.parent
    for name, found in (("..1", text), ("..2", text.replace("/b/", "/c/"))):
        (own / name).mkdir()
        (own / name / "sidecar.yaml").write_text(found)
    (own / "..data").symlink_to("..1")
    running.config_path.unlink()
    running.config_path.symlink_to("..data/sidecar.yaml")
    assert ask(running.port, "GET", "/b/x").status == 200
    (own / "..tmp").symlink_to("..2")
    (own / "..tmp").rename(own / "..data")
    running.until(lambda: ask(running.port, "GET", "/c/x").status == 200, what="the new route")
    assert ask(running.port, "GET", "/b/x").status == 404
    assert running.status()["config"]["reloads"]["rejected"] == 0


def test_half_a_file_is_rejected_once_and_the_whole_is_taken(place: Place) -> None:
    """However often the half is written again; SIGHUP reads at once."""
    path = place.running.config_path
    text = path.read_text().replace("/b/", "/c/")
    for _ in range(3):
        path.write_text(text[: len(text) // 2])
        rejected = place.running.until(lambda: place.running.status()["config"]["rejected"], what="it is rejected")
    assert rejected["problems"][0].startswith(f"{path}:")
    assert place.get("/b/x") == 200
    path.write_text(text)
    place.running.send_signal(signal.SIGHUP)
    place.running.until(lambda: place.get("/c/x") == 200, what="the whole file")
    config = place.running.status()["config"]
    assert (config["reloads"]["rejected"], config["rejected"]) == (1, None)
    assert place.running.stderr().count("configuration rejected") == 1
    assert place.running.metric('sidecar_config_reloads_total{result="rejected"}') == 1


def test_listeners_come_and_go(place: Place) -> None:
    """What is unchanged is not touched; what is gone gives its callers one more answer, said to be the last."""
    first, second = place.running.port, free_port()
    with Caller(first) as kept:
        kept.send(request("GET", "/a/x"))
        assert kept.answer().get("connection") is None
        change = place.change(f"listen: 127.0.0.1:{first}", f"listen: [127.0.0.1:{first}, 127.0.0.1:{second}]")
        assert change == [f"listen 127.0.0.1:{second}: added"]
        with Caller(second) as leaving:
            leaving.send(request("GET", "/a/x"))
            assert leaving.answer().get("connection") is None
            place.change(f"[127.0.0.1:{first}, 127.0.0.1:{second}]", f"127.0.0.1:{first}")
            with pytest.raises(ConnectionRefusedError):
                Caller(second)
            leaving.send(request("GET", "/a/x"))
            answer = leaving.answer()
            assert (answer.status, answer.get("connection")) == (200, "close")
        kept.send(request("GET", "/a/x"))
        assert kept.answer().get("connection") is None


def test_an_address_that_is_taken_rejects_everything(place: Place) -> None:
    """The other address that came with it is not bound either, nor is the route there."""
    first, second = place.running.port, free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        new = f"listen: [127.0.0.1:{first}, 127.0.0.1:{second}, 127.0.0.1:{number}]"
        rewritten(place.running, f"listen: 127.0.0.1:{first}", new)
        rewritten(place.running, "prefix: /b/", "prefix: /c/")
        code, told = reload(place.running)
    assert (code, told["problems"]) == (
        422,
        [f"listen: cannot listen on 127.0.0.1:{number}: Address already in use"],
    )
    assert (place.get("/b/x"), place.get("/c/x")) == (200, 404)
    with pytest.raises(ConnectionRefusedError):
        Caller(second)


def test_what_the_process_may_and_logs_changes(place: Place) -> None:
    """Limits for new requests, the file of the access log, the admin port's token."""
    log = place.directory / "access.log"
    place.change("upstreams:", f"limits: {{body: 1KiB}}\naccess_log: {{path: {log}}}\nupstreams:")
    assert ask(place.running.port, "POST", "/b/big", {}, b"x" * 2000).status == 413
    assert place.get("/b/logged") == 200
    place.running.until(lambda: log.read_text().count("\n") == 2, what="two lines in the new log")
    assert "/b/logged" not in place.running.stdout()
    admin = f"{{listen: 127.0.0.1:{place.running.admin_port}"
    place.change(f"{admin}}}", f"{admin}, token: s3cret-token}}")
    assert reload(place.running)[0] == 401
    assert reload(place.running, "s3cret-token")[0] == 200
    log.rename(log.with_name("rotated"))
    place.running.send_signal(signal.SIGHUP)
    place.running.until(log.exists, what="the log opened anew")


def test_a_listener_shows_another_certificate(tmp_path: Path, upstream: Upstream, sidecar: Start, port: int) -> None:
    """Other files, the same address: new connections see the new one, and none is refused meanwhile."""
    upstream.otherwise(scripted.ok())
    authority = trustme.CA()
    files = []
    for name in ("old.test", "new.test"):
        made = authority.issue_cert(name)
        made.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.pem"))
        made.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
        files.append(f'cert: "{tmp_path}/{name}.pem", key: "{tmp_path}/{name}.key"')
    listen = f'listen: {{address: "127.0.0.1:{port}", tls: {{{files[0]}}}}}\n'
    running = sidecar(listen + TEXT.format(a=upstream.url, b=upstream.url).replace("{file: token}", "none"))
    context = ssl.create_default_context()
    authority.configure_trust(context)

    def reachable(name: str) -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain:
            try:
                context.wrap_socket(plain, server_hostname=name).close()
            except ssl.SSLCertVerificationError:
                return False
            return True

    assert reachable("old.test")
    rewritten(running, files[0], files[1])
    assert reload(running)[0] == 200
    assert taken(running) == [f"listen 127.0.0.1:{port}: tls changed"]
    assert reachable("new.test")
    assert not reachable("old.test")
