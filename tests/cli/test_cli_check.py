"""`sidecar check`: exit codes, one line per finding, JSON for machines."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.cli import main

Output = pytest.CaptureFixture[str]
File = Callable[[str], str]
EXAMPLES = sorted((Path(__file__).parents[2] / "config").rglob("*.yaml"))
WARNING = "    breaker: {window: 1s}\n"
ERROR = "    timeout: {total: 0}\n"
INVALID = "    timeout: {totl: 1s}\n    critical: maybe\n"


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_examples_are_clean(file: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every configuration that is shipped passes the strictest check."""
    monkeypatch.chdir(file.parent)
    assert main(["check", "--strict", file.name]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "arguments", "code"),
    [
        ("", [], 0),
        ("", ["--strict"], 0),
        (WARNING, [], 0),
        (WARNING, ["--strict"], 1),
        (ERROR, [], 2),
        (ERROR, ["--strict"], 2),
        (INVALID, [], 2),
        (INVALID, ["--strict", "--format", "json"], 2),
    ],
)
def test_exit_codes(more: str, arguments: list[str], code: int, minimal_file: File) -> None:
    """0 clean, 1 warnings under --strict, 2 errors."""
    assert main(["check", minimal_file(more), *arguments]) == code


def test_a_good_file_gets_one_line(minimal_file: File, capsys: Output) -> None:
    """It says that the file is fine, and what is in it."""
    file = minimal_file("")
    main(["check", file])
    assert capsys.readouterr().out == f"{file}: ok: 1 route, 1 upstream\n"


def test_findings_are_lines_as_compilers_write_them(minimal_file: File, capsys: Output) -> None:
    """`file:line:col: severity[code]: path: message`."""
    file = minimal_file(f"{WARNING}    retry: {{attempts: 4}}\n    critical: true\n")
    main(["check", file])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [f"{file}:6:23", f"{file}:7:5", *[f"{file}:7:23"] * 2]
    assert lines[0].startswith(f"{file}:6:23: warning[window-too-short]: routes[0].breaker.window: breaker.window 1s")


def test_problems_are_lines_too(minimal_file: File, capsys: Output) -> None:
    """`file:line:col: path: message`, all of them."""
    file = minimal_file(INVALID)
    main(["check", file])
    assert capsys.readouterr().out.splitlines() == [
        f"{file}:6:15: routes[0].timeout.totl: unknown key; did you mean 'total'?",
        f"{file}:7:15: routes[0].critical: must be true or false",
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", []),
        (ERROR, [("no-deadline", "error", "routes[0].timeout.total", 6, 22)]),
        (WARNING, [("window-too-short", "warning", "routes[0].breaker.window", 6, 23)]),
        (
            INVALID,
            [
                ("invalid", "error", "routes[0].timeout.totl", 6, 15),
                ("invalid", "error", "routes[0].critical", 7, 15),
            ],
        ),
    ],
)
def test_json_has_the_same(
    more: str, expected: list[tuple[str, str, str, int, int]], minimal_file: File, capsys: Output
) -> None:
    """One document in one shape, whether the file could be loaded or not."""
    file = minimal_file(more)
    main(["check", "--format", "json", file])
    document = json.loads(capsys.readouterr().out)
    keys = ("code", "severity", "path", "line", "column")
    assert [tuple(finding[key] for key in keys) for finding in document["findings"]] == expected
    assert {document["file"], *(finding["file"] for finding in document["findings"])} == {file}
    assert all(finding["message"] for finding in document["findings"])


def test_secrets_are_not_printed(minimal_file: File, tmp_path: Path, capsys: Output) -> None:
    """Neither in findings nor in problems."""
    (tmp_path / "token").write_text("hunter2\nhunter2")
    file = Path(minimal_file(ERROR))
    text = file.read_text().replace("retries_beyond: 0", "headers: {set: {Authorization: {file: token}}}")
    file.write_text(text)
    for style in ("text", "json"):
        assert main(["check", "--format", style, str(file)]) == 2
    (tmp_path / "token").write_text("hunter2")
    assert main(["explain", str(file), "GET", "/r"]) == 0
    assert "hunter2" not in "".join(capsys.readouterr())
