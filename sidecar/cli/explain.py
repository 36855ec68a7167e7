"""`sidecar explain FILE METHOD URL`: what happens to one request, and how long it can take at worst.

Exit code 0: a route matches; 1: none does; 2: the file or the request cannot be read.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from typing import NoReturn
from urllib.parse import urlsplit

from sidecar.cli import story
from sidecar.config import Config, ConfigError, Route, load
from sidecar.config.fields import TOKEN
from sidecar.policy.router import Match, Router

_Header = tuple[bytes, bytes, bytes]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="the configuration")
    parser.add_argument("method", metavar="METHOD", help="e.g. GET")
    parser.add_argument("url", metavar="URL", help="a path, or a URL, as the application would call it")
    parser.add_argument(
        "-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="a header of the request"
    )


def main(args: argparse.Namespace) -> int:
    """Prints the route, its policies and the worst case, and returns the exit code."""
    try:
        config = load(args.file)
        request = _Request(args.method, args.url, args.header)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"sidecar explain: {error}", file=sys.stderr)
        return 2
    route = _router(config).match(request.method, request.host, request.path, request.headers)
    if route is None:
        print(f"{request.title} matches no route: the caller gets 404 no_route.")
        _print_matches(config)
        return 1
    for line in story.tell(config, route, request.method.decode(), request.title):
        print(line)
    return 0


class _Request:
    """The request as the router sees it. Its query is not shown again: it may hold personal data."""

    def __init__(self, method: str, url: str, headers: list[str]) -> None:
        parts = urlsplit(url)
        if not parts.path.startswith("/") and parts.netloc == "":
            raise ValueError("URL must be a path that starts with '/', or a whole URL")
        if not re.fullmatch(TOKEN, method):
            raise ValueError("METHOD must be a method's name, e.g. GET")
        self.method = method.upper().encode()
        self.path = _ascii(parts.path or "/", "URL")
        self.headers = tuple(_headers(headers))
        hosts = [value for name, _, value in self.headers if name == b"host"]
        self.host = hosts[0] if hosts else _ascii(parts.netloc.rpartition("@")[2], "URL")
        self.title = f"{self.method.decode()} {self.path.decode()}"


def _headers(written: list[str]) -> Iterator[_Header]:
    for line in written:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise ValueError(f"-H takes 'Name: value', not {line!a}")
        bare = _ascii(name.strip(), "-H")
        yield bare.lower(), bare, value.strip().encode(errors="surrogateescape")


def _ascii(text: str, what: str) -> bytes:
    if not text.isascii() or not text.isprintable():
        _refuse(f"{what} must be printable ASCII: percent-encode the rest")
    return text.encode()


def _refuse(message: str) -> NoReturn:
    raise ValueError(message)


def _router(config: Config) -> Router[Route]:
    return Router([(_match(route), route) for route in config.routes])


def _match(route: Route) -> Match:
    asked = route.match
    return Match(
        path=asked.path,
        prefix=asked.prefix,
        regex=asked.regex,
        methods=frozenset(method.encode() for method in asked.methods),
        host=None if asked.host is None else asked.host.encode(),
        headers={name.lower().encode(): value.encode() for name, value in asked.headers.items()},
    )


def _print_matches(config: Config) -> None:
    print("\nRoutes of this configuration:")
    width = max(len(route.name) for route in config.routes)
    for route in config.routes:
        print(f"  {route.name:<{width}}  {story.match_text(route.match)}")
