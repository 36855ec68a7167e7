"""`sidecar inject`: files and streams, the configuration that is delivered, messages, exit codes."""

import difflib
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar import __version__, config
from sidecar.cli import main

Output = pytest.CaptureFixture[str]
File = Callable[[str], str]
ROOT = Path(__file__).resolve().parents[2]
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: web:1
        env:
        - {name: API_URL, value: "https://api.example.com"}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A Deployment in a file."""
    path = tmp_path / "web.yaml"
    path.write_text(MANIFEST)
    return path


def documents(text: str) -> list[Any]:
    """What was printed."""
    return list(yaml.safe_load_all(text))


def pod(text: str) -> Any:
    """Of the first document."""
    return documents(text)[0]["spec"]["template"]["spec"]


def test_the_manifest_goes_to_standard_output(manifest: Path, minimal_file: File, capsys: Output) -> None:
    """With the configuration as it was written; the file stays; standard error says what was done."""
    assert main(["inject", "-c", minimal_file(""), str(manifest)]) == 0
    out, err = capsys.readouterr()
    deployment, config_map = documents(out)
    assert deployment["spec"]["template"]["spec"]["initContainers"][0]["image"] == f"resilience-sidecar:{__version__}"
    assert config_map["data"]["sidecar.yaml"] == Path(minimal_file("")).read_text()
    assert manifest.read_text() == MANIFEST
    assert err == f"{manifest}: beside Deployment web\n"


@pytest.mark.parametrize("example", sorted((ROOT / "config/examples").glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_delivered_whole(example: Path, manifest: Path, capsys: Output) -> None:
    """What the ConfigMap holds is what the file holds, and `sidecar check` has nothing against it."""
    assert main(["inject", "-c", str(example), str(manifest)]) == 0
    delivered = documents(capsys.readouterr().out)[1]["data"]["sidecar.yaml"]
    assert delivered == example.read_text()
    assert config.lint(config.parse(delivered.encode(), env={})) == []


def test_in_place_and_undo(manifest: Path, minimal_file: File, capsys: Output) -> None:
    """The file is replaced whole, keeps its mode, and is what it was after an undo."""
    manifest.chmod(0o640)
    assert main(["inject", "-i", "-c", minimal_file(""), str(manifest)]) == 0
    once = manifest.read_text()
    assert "restartPolicy: Always" in once
    assert main(["inject", "-i", "-c", minimal_file(""), str(manifest)]) == 0
    assert manifest.read_text() == once
    assert main(["inject", "-i", "--undo", str(manifest)]) == 0
    assert manifest.read_text() == MANIFEST
    assert manifest.stat().st_mode & 0o777 == 0o640
    assert capsys.readouterr().out == ""
    assert {path.name for path in manifest.parent.iterdir()} == {"web.yaml", "c.yaml"}, "nothing is left behind"


def test_from_standard_input(minimal_file: File, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """`kubectl get ... | sidecar inject -c FILE - | kubectl apply -f -`, line ends untouched."""
    text = MANIFEST.replace("\n", "\r\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert main(["inject", "-c", minimal_file(""), "-"]) == 0
    out, err = capsys.readouterr()
    assert out.count("\r\n") == out.count("\n")
    assert err.startswith("<stdin>: ")


def test_a_difference_changes_nothing(manifest: Path, minimal_file: File, capsys: Output) -> None:
    """--diff prints it as `diff -u` would, and applies to the original."""
    assert main(["inject", "--diff", "-c", minimal_file(""), str(manifest)]) == 0
    shown = capsys.readouterr().out
    assert main(["inject", "-c", minimal_file(""), str(manifest)]) == 0
    after = capsys.readouterr().out
    name = str(manifest)
    expected = difflib.unified_diff(MANIFEST.splitlines(keepends=True), after.splitlines(keepends=True), name, name)
    assert shown == "".join(expected)
    assert shown.startswith("--- ")
    assert manifest.read_text() == MANIFEST


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("", "http://127.0.0.1:8080/v1/"),
        ("listen: 127.0.0.1:9000\n", "http://127.0.0.1:9000/v1/"),
        ('listen: ["unix:/run/s.sock", "0.0.0.0:9000"]\n', "http://127.0.0.1:9000/v1/"),
        ('listen: "[::]:9000"\n', "http://[::1]:9000/v1/"),
        ("listen: {address: 127.0.0.1:9000, tls: {cert: /nowhere, key: /nowhere}}\n", "https://127.0.0.1:9000/v1/"),
    ],
)
def test_a_variable_leads_to_the_listener(
    listen: str, expected: str, manifest: Path, minimal_file: File, capsys: Output
) -> None:
    """As the application reaches it."""
    assert main(["inject", "-c", minimal_file(listen), "--env", "API_URL=/v1/", str(manifest)]) == 0
    assert pod(capsys.readouterr().out)["containers"][0]["env"] == [{"name": "API_URL", "value": expected}]


def test_the_configuration_decides_over_ports_and_room(manifest: Path, minimal_file: File, capsys: Output) -> None:
    """The admin port keeps its number and is reachable for the kubelet; the disk store gets a place to write."""
    more = "admin: {listen: 127.0.0.1:9999}\nstate: {last_known_good: {store: disk, path: /data}}\n"
    assert main(["inject", "-c", minimal_file(more), str(manifest)]) == 0
    spec = pod(capsys.readouterr().out)
    (sidecar,) = spec["initContainers"]
    assert sidecar["env"] == [{"name": "SIDECAR_ADMIN_LISTEN", "value": "0.0.0.0:9999"}]
    assert {"name": "sidecar-kept", "mountPath": "/data"} in sidecar["volumeMounts"]
    assert {"name": "sidecar-kept", "emptyDir": {"sizeLimit": "256Mi"}} in spec["volumes"]


def test_options_of_the_container(manifest: Path, capsys: Output) -> None:
    """Image, name, classic, Secrets, an existing ConfigMap."""
    options = ["--image", "r/s:2", "--name", "egress", "--classic", "--secret", "token", "--config-map", "routes"]
    assert main(["inject", *options, str(manifest)]) == 0
    (deployment,) = documents(capsys.readouterr().out)
    spec = deployment["spec"]["template"]["spec"]
    sidecar = spec["containers"][0]
    assert (sidecar["name"], sidecar["image"]) == ("egress", "r/s:2")
    assert "restartPolicy" not in sidecar
    assert spec["volumes"] == [
        {"name": "egress-config", "configMap": {"name": "routes"}},
        {"name": "egress-token", "secret": {"secretName": "token"}},
    ]


def test_json_schemas_are_delivered_with_the_configuration(manifest: Path, tmp_path: Path, capsys: Output) -> None:
    """Beside it, under the name by which it finds them; from another directory they cannot be."""
    rest = (
        "upstreams: {u: {endpoints: [http://u], retries_beyond: 0}}\nroutes: [{name: r, match: {path: /r}, upstream: u"
    )
    (tmp_path / "deep").mkdir()
    for place in ("s.json", "deep/s.json"):
        (tmp_path / place).write_text('{"type": "object"}')
        (tmp_path / "c.yaml").write_text(f"{rest}, expect: {{json_schema: {place}}}}}]\n")
        code = main(["inject", "-c", str(tmp_path / "c.yaml"), str(manifest)])
        out, err = capsys.readouterr()
        assert code == (0 if place == "s.json" else 2)
        if code == 0:
            assert documents(out)[1]["data"]["s.json"] == '{"type": "object"}'
        else:
            assert "must stand beside" in err


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("    timeout: {totl: 1s}\n", "routes[0].timeout.totl"),
        ("    timeout: {total: 0}\n", "error[no-deadline]"),
        ("    expect: {json_schema: none.json}\n", "none.json"),
    ],
)
def test_a_configuration_that_would_not_be_served_is_refused(
    more: str, says: str, manifest: Path, minimal_file: File, capsys: Output
) -> None:
    """With its place, as `sidecar check` says it; nothing is printed that could be applied."""
    file = minimal_file(more)
    assert main(["inject", "-c", file, str(manifest)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{file}:6:")
    assert says in err


def test_warnings_are_shown_and_stop_nothing(manifest: Path, minimal_file: File, capsys: Output) -> None:
    """As in `run`."""
    assert main(["inject", "-c", minimal_file("    breaker: {window: 1s}\n"), str(manifest)]) == 0
    assert "warning[window-too-short]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nope.yaml"], "cannot read nope.yaml: No such file"),
        (["--env", "API_URL", "web.yaml"], "--env 'API_URL': write VARIABLE=/path"),
        (["--env", "API_URL=api/", "web.yaml"], "write VARIABLE=/path"),
        (["--env", "OTHER=/", "web.yaml"], "web.yaml:1: no container has the variable OTHER"),
        (["--name", "Side Car", "web.yaml"], "--name 'Side Car': small letters"),
        (["--image", " ", "web.yaml"], "--image must be"),
        (["--secret", "a/b", "web.yaml"], "--secret 'a/b'"),
        (["-i", "-"], "-i needs a file"),
        (["bad.yaml"], "bad.yaml:4: document 2: "),
        (["latin.yaml"], "latin.yaml is not UTF-8"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    says: str,
    manifest: Path,
    minimal_file: File,
    capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit code 2, nothing on standard output, no traceback."""
    monkeypatch.chdir(manifest.parent)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MANIFEST.encode())))
    Path("bad.yaml").write_text("a: 1\n---\nb: [\n")
    Path("latin.yaml").write_bytes(b"a: \xe9\n")
    assert main(["inject", "-c", minimal_file(""), *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["-c", "a", "--config-map", "b"]])
def test_one_source_of_the_configuration(arguments: list[str], capsys: Output) -> None:
    """A file or a ConfigMap, one of them."""
    assert main(["inject", *arguments, "web.yaml"]) == 2
    assert "sidecar inject: " in capsys.readouterr().err


def test_nothing_to_do_is_said(tmp_path: Path, minimal_file: File, capsys: Output) -> None:
    """Without pods a stream passes as it is; without our sidecar there is nothing to undo."""
    path = tmp_path / "service.yaml"
    path.write_text("kind: Service\napiVersion: v1\n")
    assert main(["inject", "-c", minimal_file(""), str(path)]) == 0
    assert capsys.readouterr() == (path.read_text(), f"{path}: nothing here has pods: left as it is\n")
    assert main(["inject", "--undo", str(path)]) == 0
    assert capsys.readouterr() == (path.read_text(), f"{path}: nothing here has our sidecar: left as it is\n")


def test_a_file_that_cannot_be_written_is_said(
    manifest: Path, minimal_file: File, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And stays whole."""
    link = manifest.with_name("link.yaml")
    link.symlink_to(manifest)
    assert main(["inject", "-i", "-c", minimal_file(""), str(link)]) == 0
    assert link.is_symlink(), "a link is followed, not replaced"
    assert "sidecar" in manifest.read_text()
    capsys.readouterr()
    assert main(["inject", "-i", "-c", minimal_file(""), str(manifest / "below")]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_the_page_of_the_command_has_every_option(capsys: Output) -> None:
    """And no other."""
    assert main(["inject", "--help"]) == 0
    known = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out)) - {"--help"}
    page = (ROOT / "docs/deploy/inject.md").read_text()
    told = set(re.findall(r"--[a-z][a-z-]*", page))
    assert known - {"--config", "--in-place"} == told, "the two have a short form, which the page uses"
