"""Secrets are used and never shown."""

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sidecar.config import Config, ConfigError, Secret, lint, load

TOKEN = "hunter2-very-secret"


def _config(tmp_path: Path, text: str) -> Path:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    file = tmp_path / "c.yaml"
    file.write_text(text)
    return file


WITH_SECRETS = """\
upstreams:
  u:
    endpoints: ["http://h:1"]
    headers:
      set:
        Authorization: {file: token}
        X-From-Env: "Bearer ${TOKEN}"
        X-Api-Key: hunter2-very-secret-too
routes:
  - {name: r, match: {path: /}, upstream: u, fallback: [{last_known_good: {}}]}
"""


def test_secrets_reach_their_use_and_nothing_else(tmp_path: Path) -> None:
    """A file's content, a variable's, a credential header's literal value: in no dump, text or lint."""
    config = load(_config(tmp_path, WITH_SECRETS), env={"TOKEN": TOKEN})
    headers = config.upstreams["u"].headers.set
    revealed = {name: value.reveal() for name, value in headers.items() if isinstance(value, Secret)}
    assert revealed == {
        "Authorization": TOKEN,
        "X-From-Env": f"Bearer {TOKEN}",
        "X-Api-Key": "hunter2-very-secret-too",
    }
    shown = [
        repr(config),
        str(config),
        f"{config.upstreams['u']}",
        json.dumps(config.model_dump(mode="json")),
        repr(config.model_dump()),
        config.model_dump_json(),
        repr(lint(config)),
    ]
    assert not [text for text in shown if "hunter2" in text]
    assert json.loads(config.model_dump_json())["upstreams"]["u"]["headers"]["set"]["Authorization"] == "***"


def test_every_way_to_print_a_secret_hides_it(caplog: pytest.LogCaptureFixture) -> None:
    """repr, str, format, logging, a container, an exception: three stars."""
    secret = Secret(TOKEN)
    logging.getLogger("test").warning("%s %r", secret, [secret])
    error = "".join(traceback.format_exception(RuntimeError(secret)))
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>20}",
        f"{secret!r}",
        "{}".format(secret),  # noqa: UP032 - one of the ways
        error,
        caplog.text,
    ]
    assert not [text for text in shown if TOKEN in text]
    assert all("***" in text for text in shown)


def test_a_secret_is_not_pickled_but_can_be_copied() -> None:
    """A configuration can be copied in memory; bytes that leave the process hold no secret."""
    secret = Secret(TOKEN)
    assert copy.deepcopy({"a": secret}) == {"a": secret}
    assert copy.copy(secret) is secret
    with pytest.raises(TypeError, match="not serialised"):
        pickle.dumps(secret)


def test_secrets_are_compared_by_their_text() -> None:
    """A reload sees that a secret has changed, or has not."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


@pytest.mark.parametrize(
    ("content", "text"), [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", None), ("a", "a"), ("a b", "a b")]
)
def test_one_final_line_break_is_not_part_of_it(content: str, text: str | None, tmp_path: Path) -> None:
    """`echo token > file` works; what is left must be good for a header."""
    file = _config(tmp_path, WITH_SECRETS)
    (tmp_path / "token").write_bytes(content.encode())
    if text is None:
        with pytest.raises(ConfigError, match="must not hold line breaks"):
            load(file, env={"TOKEN": "t"})
        return
    assert load(file, env={"TOKEN": "t"}).upstreams["u"].headers.set["Authorization"] == Secret(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"hunter2\xff", "is not UTF-8"),
        (b"x" * 65537, "is larger than 64 KiB"),
    ],
)
def test_a_file_that_is_no_secret(content: bytes, message: str, tmp_path: Path) -> None:
    """An empty, binary or huge file is a located error that quotes nothing of it."""
    file = _config(tmp_path, WITH_SECRETS)
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load(file, env={"TOKEN": "t"})
    assert str(caught.value).startswith(f"{file}:6:9: upstreams.u.headers.set.Authorization: ")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        'upstreams: {v: {endpoints: ["https://h"], tls: {server_name: "${TOKEN}?", ca: "${TOKEN}"}}}',
        'listen: "${TOKEN}"',
        'limits: {body: "${TOKEN}", headers: "${TOKEN}"}',
        'access_log: {format: "${TOKEN}", sample: "${TOKEN}", redact_query: "${TOKEN}"}',
        'caller: {timeout: "${TOKEN}", in_sequence: [["${TOKEN}"]]}',
        'defaults: {upstream: "${TOKEN}", retry: {on: ["${TOKEN}"], methods: ["${TOKEN} x"]}}',
        'defaults: {rewrite: {prefix: "${TOKEN}"}, breaker: {share: "${TOKEN}"}}',
        'defaults: {expect: {content_type: "${TOKEN}", json_present: ["${TOKEN}"]}}',
        'defaults: {unavailable: {json: 1, headers: {X: "${TOKEN}\\n"}}, fallback: [{upstream: "${TOKEN}"}]}',
    ],
)
def test_messages_do_not_quote_the_environment(text: str, minimal: str, refused: Callable[..., list[str]]) -> None:
    """Wherever a variable ends up in the wrong place, the message does not print what it holds."""
    assert not [problem for problem in refused(f"{minimal}{text}\n", TOKEN=TOKEN) if "hunter2" in problem]


@pytest.mark.parametrize(
    "url",
    ["http://user:${TOKEN}@h", "http://h?${TOKEN}", "${TOKEN}", "http://${TOKEN}:x", "http://a_${TOKEN}~"],
)
def test_nor_do_urls(url: str, refused: Callable[..., list[str]]) -> None:
    """A URL with credentials is refused without printing them."""
    text = f'upstreams: {{u: {{endpoints: ["{url}"]}}}}\nroutes: [{{name: r, match: {{path: /}}}}]\n'
    assert not [problem for problem in refused(text, TOKEN=TOKEN) if "hunter2" in problem]


def test_a_secret_in_the_file_itself_is_not_quoted(refused: Callable[..., list[str]]) -> None:
    """Not even when it is written as plain text, in a place where it is wrong."""
    upstream = '{endpoints: ["http://user:hunter2@h"], headers: {set: {Authorization: "hunter2\\n"}}}'
    text = f"upstreams: {{u: {upstream}}}\nroutes: []\n"
    assert not [problem for problem in refused(text) if "hunter2" in problem]


def test_config_type_is_what_load_returns(tmp_path: Path) -> None:
    """`load` takes a path object and gives a Config that knows its file."""
    file = _config(tmp_path, WITH_SECRETS)
    config = load(file, env={"TOKEN": "t"})
    assert isinstance(config, Config)
    assert config.file == str(file)


def test_what_the_environment_filled_in_is_plain_text(accepted: Callable[..., Config]) -> None:
    """Past the models nothing carries the reader's marks: encoders and comparisons see a str."""
    text = """\
listen: "${L}"
access_log: {path: "${X}", format: "${F}"}
upstreams: {u: {endpoints: ["https://${X}"], tls: {server_name: "${X}"}, headers: {remove: ["${X}"]}}}
routes:
  - name: "${X}"
    match: {path: "/${X}", host: "${X}", methods: ["${X}"], headers: {A: "${X}"}}
    upstream: "${U}"
    rewrite: {prefix: "/${X}"}
    expect: {content_type: "${X}/${X}", json_equals: {/a: "${X}"}, json_present: ["/${X}"]}
    fallback: [{last_known_good: {identity: ["${X}"]}}, {static: {json: ["${X}"]}}]
    unavailable: {json: {a: "${X}"}, headers: {A: "${X}"}}
  - {name: b, match: {regex: "${X}"}, upstream: u}
"""
    dumped = accepted(text, L="h:1", X="x", F="text", U="u").model_dump()
    assert {type(value) for value in _leaves(dumped) if isinstance(value, str)} == {str}


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from (leaf for inner in value.values() for leaf in _leaves(inner))
    elif isinstance(value, list | tuple):
        yield from (leaf for inner in value for leaf in _leaves(inner))
    else:
        yield value
