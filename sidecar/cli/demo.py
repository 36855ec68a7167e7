"""`sidecar demo`: an upstream that misbehaves on request, and the sidecar in front of it."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument(
        "-c",
        "--config",
        default="config/sidecar.yaml",
        metavar="FILE",
        help="configuration of the sidecar; the demo plays its upstream (default: %(default)s)",
    )


def main(args: argparse.Namespace) -> int:
    """Serves until the process is told to end. Returns the exit code."""
    from sidecar.demo.play import play  # noqa: PLC0415 - brings aiohttp, which no other command waits for

    return play(args.config)
