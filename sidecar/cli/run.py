"""`sidecar run`: serve a configuration file."""

import argparse
import asyncio
import sys

import uvloop

from sidecar import config
from sidecar.app.run import serve
from sidecar.app.service import CannotStart
from sidecar.telemetry import process_log


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this command's options."""
    parser.add_argument(
        "-c", "--config", default="config/sidecar.yaml", metavar="FILE", help="the YAML file (%(default)s)"
    )
    parser.add_argument("--log-format", choices=("json", "text"), default="json", help="of the process's own log")


def main(args: argparse.Namespace) -> int:
    """Serves until a signal. 0: ended as asked; 2: could not start, the reason is on standard error."""
    try:
        loaded = config.load(args.config)
    except config.ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 2
    if _lint(loaded):
        return 2
    handler = process_log.install(format=args.log_format)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(loaded))
    except CannotStart as error:
        print(f"sidecar: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    finally:
        handler.close()
    return 0


def _lint(loaded: config.Config) -> bool:
    """Prints what the lint found; True if some of it must stop us."""
    findings = config.lint(loaded)
    for finding in findings:
        print(finding, file=sys.stderr)
    return any(finding.severity == "error" for finding in findings)
