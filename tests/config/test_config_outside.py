"""Where the process listens, as its environment has it."""

from pathlib import Path

import pytest

from sidecar.config import Config, ConfigError, parse

REST = "upstreams: {u: {endpoints: [http://u:80]}}\nroutes: [{name: r, match: {prefix: /}, upstream: u}]\n"


def parsed(head: str = "", **env: str) -> Config:
    """A configuration with these first lines, in this environment."""
    return parse((head + REST).encode(), file="c.yaml", env=env)


@pytest.mark.parametrize("head", ["", "listen: 127.0.0.1:1\n", "listen: [127.0.0.1:1]\n", "listen: unix:/run/s.sock\n"])
def test_a_variable_replaces_the_listener(head: str) -> None:
    """Whether the file names none, one, or a list of one."""
    (listen,) = parsed(head, SIDECAR_LISTEN="0.0.0.0:8080").listen
    assert listen.address == "0.0.0.0:8080"
    assert listen.path is None


def test_what_else_a_listener_has_stays(tmp_path: Path) -> None:
    """Its certificate above all: a variable must not make it plain."""
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).touch()
    tls = f"{{cert: {tmp_path}/c.pem, key: {tmp_path}/k.pem}}"
    (listen,) = parsed(f"listen: {{address: 127.0.0.1:1, tls: {tls}}}\n", SIDECAR_LISTEN="[::]:2").listen
    assert listen.address == "[::]:2"
    assert listen.tls is not None


def test_a_variable_replaces_where_the_admin_port_listens() -> None:
    """And nothing else of it."""
    assert parsed(SIDECAR_ADMIN_LISTEN="0.0.0.0:9902").admin.listen.address == "0.0.0.0:9902"
    admin = parsed("admin: {listen: 127.0.0.1:1, token: t0123456789}\n", SIDECAR_ADMIN_LISTEN="0.0.0.0:2").admin
    assert admin.listen.port == 2
    assert admin.token is not None


def test_empty_variables_are_none() -> None:
    """As a shell leaves them."""
    assert parsed(SIDECAR_LISTEN="", SIDECAR_ADMIN_LISTEN="").listen[0].address == "127.0.0.1:8080"


@pytest.mark.parametrize(
    ("head", "env", "says"),
    [
        ("", {"SIDECAR_LISTEN": "nowhere"}, "the variable SIDECAR_LISTEN "),
        ("", {"SIDECAR_ADMIN_LISTEN": "0.0.0.0:99999"}, "the variable SIDECAR_ADMIN_LISTEN "),
        ("listen: [127.0.0.1:1, 127.0.0.1:2]\n", {"SIDECAR_LISTEN": "0.0.0.0:1"}, "the file has 2"),
    ],
)
def test_a_wrong_variable_is_named(head: str, env: dict[str, str], says: str) -> None:
    """Nobody looks for it in the file."""
    with pytest.raises(ConfigError, match=says) as caught:
        parsed(head, **env)
    assert str(caught.value).startswith("c.yaml:1:1: ")


@pytest.mark.parametrize("text", ["- a\n", "admin: 5\n" + REST, "listen: 5\n" + REST])
def test_files_of_the_wrong_shape_are_the_models_to_refuse(text: str) -> None:
    """A variable neither hides their mistakes nor adds one."""
    env = {"SIDECAR_ADMIN_LISTEN": "0.0.0.0:1"}
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), env=env)
    assert "SIDECAR" not in str(caught.value)


def test_elsewhere_secrets_may_be_missing() -> None:
    """They are where the configuration will be used; JSON Schemas are delivered with it, and must be here."""
    secret = "upstreams: {u: {endpoints: [http://u:80], headers: {set: {Authorization: {file: /nowhere/t}}}}}\n"
    secret += (
        "admin: {token: {file: /nowhere/t}}\nlisten: {address: 127.0.0.1:1, tls: {cert: /nowhere/c, key: /nowhere/k}}\n"
    )
    route = "routes: [{name: r, match: {prefix: /}, upstream: u%s}]\n"
    assert parse((secret + route % "").encode(), elsewhere=True).admin.token is not None
    with pytest.raises(ConfigError, match="/nowhere/t"):
        parse((secret + route % "").encode())
    with pytest.raises(ConfigError, match=r"cannot read 'none\.json': No such file"):
        parse((secret + route % ", expect: {json_schema: none.json}").encode(), elsewhere=True)
