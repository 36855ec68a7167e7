"""The command `sidecar`. Each subcommand is a module that is imported only when it is chosen.

A subcommand's module has `add_arguments(parser)` and `main(args) -> int`, the exit code. What is wrong with
the command line is one line on standard error and exit code 2.
"""

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

COMMANDS: Final[dict[str, str]] = {
    "run": "serve",
    "check": "validate and lint a configuration",
    "explain": "say what happens to one request, and how long it can take",
    "schema": "print the JSON Schema of the configuration, for editors",
    "simulate": "say what happens in an outage, in virtual time",
    "top": "show what is happening, live in a terminal",
    "inject": "add the sidecar to a Kubernetes manifest",
    "health": "ask a running sidecar whether it is alive",
    "demo": "serve in front of an upstream that misbehaves on request",
}
"""Each is a module of this package."""
_DESCRIPTION: Final = (
    "A resilience sidecar: every outgoing HTTP call ends in time, with an answer the application can parse."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 for success, 2 for what could not be done."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _print_anything()
    try:
        return _run(arguments)
    except SystemExit as stop:  # argparse's way to say that it has printed all there is to say
        return stop.code if isinstance(stop.code, int) else 0
    except BrokenPipeError:
        # Whoever read our output has left. The interpreter would complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(arguments: list[str]) -> int:
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    parser = _Parser(prog="sidecar", description=_DESCRIPTION)
    parser.add_argument("--version", action=_Version, help="show the version and the commit, and exit")
    commands = parser.add_subparsers(metavar="command", dest="command")
    for name, meaning in COMMANDS.items():
        subparser = commands.add_parser(name, help=meaning, description=f"{meaning[0].upper()}{meaning[1:]}.")
        if name == chosen:
            module = importlib.import_module(f"sidecar.cli.{name}")
            module.add_arguments(subparser)
            subparser.set_defaults(main=module.main)
    args = parser.parse_args(arguments)
    if args.command is None:
        parser.error(f"a command is required: {', '.join(COMMANDS)}")
    code: int = args.main(args)
    sys.stdout.flush()  # here, where a reader that has left is expected
    return code


class _Version(argparse.Action):
    """Like argparse's own, but finds the commit only when asked."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:  # noqa: A002 - argparse's name
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from sidecar.revision import described  # noqa: PLC0415 - reads files

        print(f"sidecar {described()}")
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """Complains in one line."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(2)


def _print_anything() -> None:
    """A file name or value that the terminal's encoding lacks must not end the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
