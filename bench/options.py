"""Command-line options that several commands of the bench share."""

import argparse
import shlex
import shutil
from dataclasses import replace

from bench.lineup import SIDECAR, Proxy

AS_WRITTEN = argparse.RawDescriptionHelpFormatter


def add_command(parser: argparse.ArgumentParser) -> None:
    """What lets a command measure something else in the sidecar's place."""
    parser.add_argument("--command", help="a proxy in the sidecar's place; may hold @port@ and the like")
    parser.add_argument("--origin-port", type=int, help="for a proxy that has its upstream built in")


def parametrised(command: str) -> Proxy:
    """The sidecar, started by another command. It may hold the places that bench/peers may hold."""
    program, *rest = shlex.split(command)
    return replace(SIDECAR, find=lambda: shutil.which(program), arguments=tuple(rest))
