"""`sidecar run`: serve a configuration file."""

import argparse
import sys

from sidecar import config
from sidecar.app.run import run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this command's options."""
    parser.add_argument(
        "-c", "--config", default="config/sidecar.yaml", metavar="FILE", help="the YAML file (%(default)s)"
    )
    parser.add_argument(
        "--log-format", choices=("json", "text"), help="of the process's own log, in place of log.format of the file"
    )


def main(args: argparse.Namespace) -> int:
    """Serves until a signal. 0: ended as asked; 2: could not start, and standard error says why."""
    try:
        loaded = config.load(args.config)
    except config.ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 2
    if _lint(loaded):
        return 2
    return run(loaded, log_format=args.log_format)


def _lint(loaded: config.Config) -> bool:
    """Prints what the lint found; True if some of it must stop us."""
    findings = config.lint(loaded)
    for finding in findings:
        print(config.line_of(loaded.file, finding), file=sys.stderr)
    return any(finding.severity == "error" for finding in findings)
