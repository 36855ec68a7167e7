"""The command line itself: one line for what is wrong, nothing imported that is not needed."""

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

import sidecar
from sidecar.cli import COMMANDS, main

Output = pytest.CaptureFixture[str]


def test_version(capsys: Output) -> None:
    """`--version` prints the package's version, where it is known the commit, and succeeds."""
    assert main(["--version"]) == 0
    found = re.fullmatch(r"sidecar (\S+)( \(commit [0-9a-f]{12}(-dirty)?\))?\n", capsys.readouterr().out)
    assert found is not None
    assert found[1] == sidecar.__version__


def test_help_lists_every_command(capsys: Output) -> None:
    """`--help` succeeds and names each command."""
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert not [name for name in COMMANDS if f"\n    {name}" not in text]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: Output) -> None:
    """`sidecar COMMAND --help` imports the command, prints its arguments and succeeds."""
    assert main([command, "--help"]) == 0
    assert f"usage: sidecar {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "a command is required"),
        (["chekc", "x.yaml"], "'chekc'"),
        (["check"], "FILE"),
        (["check", "--frobnicate", "x.yaml"], "--frobnicate"),
        (["explain", "x.yaml"], "METHOD"),
        (["check", "--format", "xml", "x.yaml"], "xml"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_2(arguments: list[str], word: str, capsys: Output) -> None:
    """No usage text, no traceback: one line on standard error."""
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert word in output.err


@pytest.mark.parametrize("command", ["check", "explain"])
def test_a_missing_file_is_one_line_and_exit_2(command: str, capsys: Output) -> None:
    """The same for a file that is not there."""
    more = ["GET", "/"] if command == "explain" else []
    assert main([command, "/no/such.yaml", *more]) == 2
    output = capsys.readouterr()
    assert (output.out + output.err) == "/no/such.yaml:1:1: cannot be read: No such file or directory\n"


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["nonsense"]])
def test_nothing_heavy_is_imported_for_nothing(arguments: list[str]) -> None:
    """The models, aiohttp, even asyncio are imported by the commands that need them, when they are chosen."""
    program = (
        f"import sys; from sidecar.cli import main; main({arguments!r}); "
        "print([name for name in ('pydantic', 'yaml', 'aiohttp', 'asyncio', 'uvloop') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_checking_imports_no_event_loop() -> None:
    """`sidecar check` needs no asyncio, no aiohttp, no policies."""
    heavy = ("aiohttp", "asyncio", "uvloop", "httptools", "sidecar.policy")
    program = (
        "import sys; from sidecar.cli import main; main(['check', '/no/such.yaml']); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_leaves_is_no_error_of_ours() -> None:
    """`sidecar schema | head -1` writes no traceback."""
    command = f"{sys.executable} -m sidecar schema | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("{", "")


def test_output_survives_a_poor_terminal(minimal_file: Callable[[str], str]) -> None:
    """What the terminal's encoding lacks is printed as an escape, not as a traceback."""
    file = minimal_file("    unavailable: {json: 1, headers: {}}\n")
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "check", f"{file}.ü.yaml"],
        capture_output=True,
        check=False,
        env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"},
    )
    assert done.returncode == 2
    assert b"\\xfc.yaml:1:1: cannot be read" in done.stdout
    assert done.stderr == b""
