"""`sidecar check FILE`: is this configuration valid, and is it wise?

Standard output has one line per finding, as compilers write them. Exit code 0: clean (warnings may have been
printed); 1: warnings, with --strict; 2: errors.
"""

import argparse
import json

from sidecar.config import Config, ConfigError, Finding, line_of, lint, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="the configuration")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if there are warnings")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print findings")


def main(args: argparse.Namespace) -> int:
    """Prints everything that there is to say about the file, and returns the exit code."""
    try:
        config = load(args.file)
    except ConfigError as error:
        _print_problems(error, args.format)
        return 2
    findings = lint(config)
    _print_findings(config, findings, args.format)
    if any(finding.severity == "error" for finding in findings):
        return 2
    return 1 if findings and args.strict else 0


def _print_problems(error: ConfigError, style: str) -> None:
    if style == "text":
        print(error)
        return
    found = [
        {
            "code": "invalid",
            "severity": "error",
            "file": problem.file,
            "path": problem.path,
            "line": problem.line,
            "column": problem.column,
            "message": problem.message,
        }
        for problem in error.problems
    ]
    print(json.dumps({"file": error.problems[0].file, "findings": found}, indent=2))


def _print_findings(config: Config, findings: list[Finding], style: str) -> None:
    if style == "json":
        found = [{**finding._asdict(), "file": config.file} for finding in findings]
        print(json.dumps({"file": config.file, "findings": found}, indent=2))
        return
    for finding in findings:
        print(line_of(config.file, finding))
    if not findings:
        routes, upstreams = len(config.routes), len(config.upstreams)
        print(f"{config.file}: ok: {_counted(routes, 'route')}, {_counted(upstreams, 'upstream')}")


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
