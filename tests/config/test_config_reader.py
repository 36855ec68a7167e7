"""YAML to data: 1.2 scalars, nothing taken silently, no input that does harm."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.config import Config, ConfigError, Problem, parse
from sidecar.config.reader import MAX_BYTES, MAX_VALUES, read
from sidecar.config.scalars import FromEnvironment

Refused = Callable[..., list[str]]


def data(text: str, **env: str) -> Any:
    """The data of a document without problems."""
    document = read(text.encode(), file="c.yaml", env=env)
    assert not document.problems
    return document.data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("NO", "NO"),
        ("off", "off"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("-7", -7),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("2024-01-01", "2024-01-01"),
        ("'5'", "5"),
        ('"true"', "true"),
        pytest.param("9" * 5000, "9" * 5000, id="digits"),
        ("|\n  5\n", "5\n"),
    ],
)
def test_plain_scalars_are_yaml_1_2(text: str, value: object) -> None:
    """The core schema decides, not YAML 1.1's; quoted text stays text; nothing becomes infinite."""
    found = data(f"a: {text}")["a"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_text() -> None:
    """`on:`, `1:` and `null:` are keys of that text."""
    assert data("{on: 1, 1: 2, null: 3, true: 4}") == {"on": 1, "1": 2, "null": 3, "true": 4}


def test_variables_are_filled_in_after_parsing() -> None:
    """A variable fills a scalar, with a default when unset or empty, and cannot add structure."""
    found = data(
        "{a: '${X}', c: 'p-${X}-${Y:-q}', d: '$${X} costs $5', e: '${E:-full}', f: '${E:-}', g: '${E}'}",
        X="x: {y: 1}",
        E="",
    )
    expected = {"a": "x: {y: 1}", "c": "p-x: {y: 1}-q", "d": "${X} costs $5", "e": "full", "f": "", "g": ""}
    assert found == expected
    assert isinstance(found["a"], FromEnvironment)
    assert not isinstance(found["d"], FromEnvironment)


def test_a_variable_becomes_what_its_key_wants(accepted: Callable[..., Config]) -> None:
    """Quoted or not, digits are a number where one is wanted; in a document they are what they look like."""
    config = accepted(
        """
limits: {headers: "${N}", body: "${SIZE}", header_timeout: "${N}s"}
access_log: {sample: "${SHARE}", redact_query: "${NO}"}
upstreams:
  "u": {endpoints: ["http://h"], headers: {set: {X-Number: "${N}"}}}
routes:
  - name: "${N}"
    match: {path: /}
    upstream: u
    retry: {on: ["${STATUS}"], backoff: {factor: "${N}"}}
    unavailable:
      json: {quoted: "${N}"}
      status: ${STATUS}
  - name: plain
    match: {path: /plain}
    upstream: u
    unavailable:
      json:
        plain: ${N}
""",
        N="7",
        SIZE="1MiB",
        SHARE="20%",
        NO="false",
        STATUS="503",
    )
    assert (config.limits.headers, config.limits.body, config.limits.header_timeout) == (7, 1 << 20, 7.0)
    assert (config.access_log.sample, config.access_log.redact_query) == (0.2, False)
    quoted, plain = config.routes
    assert (quoted.name, quoted.retry.on, quoted.retry.backoff.factor) == ("7", (503,), 7.0)
    assert quoted.unavailable is not None
    assert plain.unavailable is not None
    assert (quoted.unavailable.status, quoted.unavailable.body) == (503, b'{"quoted": "7"}')
    assert plain.unavailable.body == b'{"plain": 7}'


def test_aliases_repeat_whole_values() -> None:
    """An alias stands for the value, and errors in it point to where it was written."""
    assert data("a: &x {b: [1, 2]}\nc: *x\nd: [*x, *x]")["d"] == [{"b": [1, 2]}] * 2


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"", "c.yaml:1:1: is empty"),
        (b"# nothing\n", "c.yaml:1:1: is empty"),
        (b"a: 1\nb: \xff\n", "c.yaml:2:4: is not UTF-8"),
        (b"\xef\xbb\xbfa: \xff", "c.yaml:1:4: is not UTF-8"),
        ("a: 1".encode("utf-16"), "c.yaml:1:1: is not UTF-8"),
        (b"a: 1\nb: \x00\n", "c.yaml:2:4: has a character that YAML forbids: U+0000"),
        (b"a: \x1b[31m", "c.yaml:1:4: has a character that YAML forbids: U+001B"),
        (b"a:\n\tb: 1\n", "c.yaml:2:1: a tab cannot indent: use spaces"),
        (b"a: [1, 2\nb: 3\n", "c.yaml:2:"),
        (b"a: b: c\n", "c.yaml:1:5: is not YAML: mapping values are not allowed in this context"),
        (b"a: 'x\n", "c.yaml:2:1: is not YAML: while scanning a quoted scalar"),
        (b"a: 1\n---\nb: 2\n", "c.yaml:2:1: a second document starts here"),
        (b"? [a]\n: 1\n", "c.yaml:1:3: a key must be plain text"),
        (b"%YAML 9.0\n---\na: 1\n", "c.yaml:1:1: is not YAML: found incompatible YAML document"),
        pytest.param(b"[" * 200_000, "c.yaml:1:34: is nested more than 32 levels deep", id="lists"),
        pytest.param(b"{a: " * 200_000, "is nested more than 32 levels deep", id="mappings"),
        pytest.param(b"- " * 200_000, "is nested more than 32 levels deep", id="dashes"),
        pytest.param(b"x" * (MAX_BYTES + 1), "c.yaml:1:1: is larger than 1024 KiB", id="huge"),
        pytest.param(b"[" + b"1," * MAX_VALUES + b"1]", "holds more than 50000 values", id="many"),
    ],
)
def test_what_cannot_be_read_is_one_located_error(raw: bytes, line: str, refused: Refused) -> None:
    """Broken, binary, deep and huge files end in one line with a place, never in a traceback or a crash."""
    (problem,) = refused(raw)
    assert line in problem


def test_an_alias_bomb_is_refused_before_it_goes_off(refused: Refused) -> None:
    """Ten lines that stand for a billion values cost no more than ten lines."""
    bomb = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))
    (problem,) = refused(bomb)  # takes milliseconds; unchecked, hours
    assert "each alias counted in full" in problem


@pytest.mark.parametrize(
    "value",
    [
        "'" + "${" * 100_000 + "'",
        "'" + "${X:-" * 100_000 + "'",
        "'" + "${X}" * 100_000 + "'",
        '"' + "\\n" * 300_000 + '"',
    ],
    ids=["open", "open defaults", "variables", "escapes"],
)
def test_no_value_takes_quadratic_time(value: str, refused: Refused) -> None:
    """A megabyte of one thing is read in about a second; what is quadratic would run into the test's time limit."""
    assert refused(f"listen: {value}", X="y")[-1].startswith("c.yaml:1:")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", "c.yaml:3:1: a: duplicate key: 'a' is already on line 1"),
        ("a: {b: 1, b: {c: [1]}}", "c.yaml:1:11: a.b: duplicate key: 'b' is already on line 1"),
        ("a: &x [*x]", "c.yaml:1:8: a[0]: no complete value is anchored as 'x' before this alias"),
        ("a: *nowhere", "c.yaml:1:4: a: no complete value is anchored"),
        ("a: !!python/object:os.system {}", "c.yaml:1:4: a: tags (!) are not supported"),
        ("a: !!str 5", "c.yaml:1:4: a: tags (!) are not supported"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "c.yaml:3:3: c.<<"),
        ("a: '${NO_SUCH}'", "c.yaml:1:4: a: environment variable NO_SUCH is not set"),
        ("a: ${", "c.yaml:1:4: a: a variable is ${NAME}"),
        ("a: ${1X}", "c.yaml:1:4: a: a variable is ${NAME}"),
    ],
)
def test_nothing_is_taken_silently(text: str, line: str, refused: Refused) -> None:
    """Duplicate keys, tags, merge keys, wild aliases and unset variables are errors where they stand."""
    problems = [problem.replace("['<<']", ".<<") for problem in refused(text)]
    assert any(problem.startswith(line) for problem in problems), problems


_YAML = st.recursive(
    st.sampled_from(["1", "on", "~", "x", "'5'", "1s", "20%", "${X}", "$$", "*a", "&a 1", "!t 1", "http://h:1", "/p"]),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(
            st.sampled_from(
                [
                    *Config.model_fields,
                    *(
                        "u",
                        "name",
                        "match",
                        "path",
                        "prefix",
                        "upstream",
                        "endpoints",
                        "timeout",
                        "total",
                        "retry",
                        "on",
                    ),
                    *(
                        "fallback",
                        "static",
                        "json",
                        "headers",
                        "set",
                        "file",
                        "expect",
                        "json_equals",
                        "<<",
                        "unavailable",
                    ),
                ]
            ),
            inner,
            max_size=6,
        ).map(lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}")
    ),
    max_leaves=40,
)


@given(_YAML)
@example("{defaults: {timeout: 1}, routes: [{timeout: {}}, 1, {name: {}}]}")
@example("{upstreams: [], routes: {}, caller: {in_sequence: [[{}]]}}")
@example("{upstreams: {u: {endpoints: [{}]}}, routes: [{fallback: {}, upstream: []}]}")
def test_any_yaml_is_a_configuration_or_a_config_error(text: str) -> None:
    """Keys of the contract with values of any shape raise ConfigError alone; every problem has a place."""
    _load(text.encode())


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")))
def test_any_bytes_are_a_configuration_or_a_config_error(raw: bytes) -> None:
    """Arbitrary bytes raise ConfigError alone."""
    _load(raw)


@given(st.text("[]{}&*!|>'\"%@`:,-?# \n\tab1$", max_size=80))
def test_any_punctuation_is_a_configuration_or_a_config_error(text: str) -> None:
    """YAML's own punctuation, in any order, raises ConfigError alone."""
    _load(text.encode())


def _load(raw: bytes) -> None:
    for problem in _problems(raw):
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.message
        assert str(problem).isprintable()


def _problems(raw: bytes) -> list[Problem]:
    try:
        parse(raw, file="c.yaml", env={"X": "y"})
    except ConfigError as error:
        return error.problems
    return []
