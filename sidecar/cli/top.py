"""`sidecar top [ADMIN_URL]`: what is happening, live in a terminal.

Exit code 0: ended by a key, or `--once` showed a frame; 1: `--once` got no answer; 2: it could not begin.
"""

import argparse
import importlib.util
import os
import shutil
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument(
        "url",
        nargs="?",
        default="http://127.0.0.1:9901",
        metavar="ADMIN_URL",
        help="the admin port's address (%(default)s)",
    )
    parser.add_argument("--once", action="store_true", help="print one frame and end, for scripts")


def main(args: argparse.Namespace) -> int:
    """Shows it until a key ends it, or once, and returns the exit code."""
    if importlib.util.find_spec("rich") is None:
        return _complain("needs an extra that is not installed: pip install 'resilience-sidecar[tui]'", 2)
    from sidecar.tui import poll  # noqa: PLC0415 - an extra

    try:
        url = poll.checked(args.url)
    except ValueError as error:
        return _complain(str(error), 2)
    return _once(url) if args.once else _watch(url)


def _watch(url: str) -> int:
    from sidecar.tui import live  # noqa: PLC0415 - the same

    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") == "dumb":
        return _complain("needs a terminal that can place text: --once prints one frame anywhere", 2)
    return live.watch(url)


def _once(url: str) -> int:
    from sidecar.tui import frame, live  # noqa: PLC0415 - the same

    columns = shutil.get_terminal_size((100, 24)).columns
    screen = frame.Screen(columns=columns, ascii=live.speaks_only_ascii(), colour=sys.stdout.isatty())
    try:
        lines = live.once(url, screen)
    except live.NoAnswer as error:
        return _complain(f"no answer from {url}: {error}", 1)
    for line in lines:
        print(line.rstrip())
    return 0


def _complain(message: str, code: int) -> int:
    print(f"sidecar top: {message}", file=sys.stderr)
    return code
