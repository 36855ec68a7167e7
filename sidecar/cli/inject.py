"""`sidecar inject -c FILE DEPLOYMENT.yaml`: the sidecar in a Kubernetes manifest, on standard output.

Exit code 0: done, or nothing in it has pods; 2: the manifest or the configuration cannot be used, and standard error
says why.
"""

import argparse
import difflib
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sidecar import __version__, config
from sidecar.config import line_of
from sidecar.config.schemas import Schema
from sidecar.inject import Done, ManifestError, Settings, inject, undo
from sidecar.inject.container import CONFIG_FILE

_IMAGE: Final = f"resilience-sidecar:{__version__}"
_BASE: Final = "http://127.0.0.1:8080"
_ADMIN_PORT: Final = 9901
_MOST: Final = 1024 * 1024
"""Bytes that a ConfigMap may hold."""
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?")
_OBJECT: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_KEY: Final = re.compile(r"[A-Za-z0-9._-]+")
_ENV: Final = re.compile(r"([A-Za-z_.-][A-Za-z0-9_.-]*)=((?:/|https?://)[!-~]*)")


class _Unusable(Exception):
    """The message for standard error."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("file", metavar="DEPLOYMENT.yaml", help="the manifest; - is standard input")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("-c", "--config", metavar="FILE", help="the configuration: it becomes a ConfigMap")
    source.add_argument("--config-map", metavar="NAME", help=f"a ConfigMap that exists, with the key {CONFIG_FILE}")
    parser.add_argument("--undo", action="store_true", help="take the sidecar out again; needs no configuration")
    parser.add_argument("--image", default=_IMAGE, help="of the sidecar (%(default)s)")
    parser.add_argument("--name", default="sidecar", help="of the container (%(default)s)")
    parser.add_argument(
        "--classic", action="store_true", help="an ordinary container, for clusters before Kubernetes 1.29"
    )
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="VARIABLE=/PATH",
        help="make the app's variable lead to this path of the sidecar",
    )
    parser.add_argument(
        "--container", action="append", default=[], metavar="NAME", help="only here, and added where it is missing"
    )
    parser.add_argument(
        "--secret", action="append", default=[], metavar="NAME", help="a Secret to mount as /run/secrets/NAME"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("-i", "--in-place", action="store_true", help="write the file instead of standard output")
    output.add_argument("--diff", "--dry-run", action="store_true", help="print what would change, and change nothing")


def main(args: argparse.Namespace) -> int:
    """Edits the manifest, and returns the exit code."""
    file = "<stdin>" if args.file == "-" else args.file
    try:
        settings = None if args.undo else _settings(args)
        before = _read(args.file)
        done = undo(before) if settings is None else inject(before, settings)
        _write(args, before, done.text)
    except _Unusable as error:
        print(f"sidecar inject: {error}", file=sys.stderr)
        return 2
    except config.ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except ManifestError as error:
        print(error.at(file), file=sys.stderr)
        return 2
    _tell(file, done, undone=args.undo)
    return 0


def _settings(args: argparse.Namespace) -> Settings:
    secrets = tuple(_checked(name, _OBJECT, "--secret") for name in args.secret)
    name = _checked(args.name, _NAME, "--name")
    if not args.image.strip() or args.image != args.image.strip():
        raise _Unusable("--image must be an image's name")
    if args.config_map:
        return Settings(
            image=args.image,
            name=name,
            native=not args.classic,
            config_map=_checked(args.config_map, _OBJECT, "--config-map"),
            secrets=secrets,
            env=_env(args.env, _BASE),
            containers=frozenset(args.container),
        )
    if not args.config:
        raise _Unusable("give a configuration, -c FILE, or --config-map NAME, or say --undo")
    raw, loaded = _loaded(args.config)
    files = _files(raw, loaded)
    kept = loaded.state.last_known_good
    return Settings(
        image=args.image,
        name=name,
        native=not args.classic,
        admin_port=loaded.admin.listen.port or _ADMIN_PORT,
        files=files,
        checksum=hashlib.sha256(repr(files).encode()).hexdigest()[:16],
        kept=kept.path if kept.store == "disk" else "",
        secrets=secrets,
        env=_env(args.env, _base(loaded) if args.env else ""),
        containers=frozenset(args.container),
    )


def _checked(name: str, form: re.Pattern[str], option: str) -> str:
    if not form.fullmatch(name):
        raise _Unusable(f"{option} {name!a}: small letters, digits and hyphens, as Kubernetes has it")
    return name


def _loaded(file: str) -> tuple[bytes, config.Config]:
    """The configuration, loaded as `sidecar check` does; only its secrets may be missing here."""
    try:
        raw = Path(file).read_bytes()
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "not a usable name"
        raise _Unusable(f"cannot read {file}: {why}") from None
    loaded = config.parse(raw, file=file, elsewhere=True)
    findings = config.lint(loaded)
    for finding in findings:
        print(line_of(file, finding), file=sys.stderr)
    if any(finding.severity == "error" for finding in findings):
        raise _Unusable(f"{file} would not be served: see above")
    return raw, loaded


def _files(raw: bytes, loaded: config.Config) -> tuple[tuple[str, str], ...]:
    """The configuration and the JSON Schemas beside it, by the names under which it finds them."""
    beside = Path(loaded.file).parent
    found = {CONFIG_FILE: raw.decode("utf-8-sig")}
    for schema in _schemas(loaded):
        if Path(schema.path).parent == beside:
            found[Path(schema.path).name] = schema.content.decode()
        elif Path(schema.path).is_relative_to(beside):
            raise _Unusable(f"{schema.path} must stand beside {loaded.file}: a ConfigMap has no directories")
    if bad := next((name for name in found if not _KEY.fullmatch(name)), None):
        raise _Unusable(f"{bad!a} cannot be a ConfigMap's key: letters, digits, '-', '_' and '.'")
    if sum(len(content.encode()) for content in found.values()) > _MOST:
        raise _Unusable("the configuration is larger than a ConfigMap may be: 1 MiB")
    return tuple(found.items())


def _schemas(loaded: config.Config) -> Iterable[Schema]:
    expected = (route.expect for route in loaded.routes)
    return [expect.json_schema for expect in expected if expect is not None and expect.json_schema is not None]


def _env(written: list[str], base: str) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for each in written:
        parts = _ENV.fullmatch(each)
        if parts is None:
            raise _Unusable(f"--env {each!a}: write VARIABLE=/path/of/the/sidecar/")
        found.append((parts[1], base + parts[2] if parts[2].startswith("/") else parts[2]))
    return tuple(found)


def _base(loaded: config.Config) -> str:
    """The address of the first listener that has one, as the app reaches it."""
    for listen in loaded.listen:
        if listen.path is None and listen.port:
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)  # noqa: S104 - compared
            scheme = "http" if listen.tls is None else "https"
            return f"{scheme}://{f'[{host}]' if ':' in host else host}:{listen.port}"
    raise _Unusable("--env needs a listener with a port in the configuration")


def _read(file: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return raw.decode()
    except UnicodeDecodeError:
        raise _Unusable(f"{file} is not UTF-8") from None
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "not a usable name"
        raise _Unusable(f"cannot read {file}: {why}") from None


def _write(args: argparse.Namespace, before: str, after: str) -> None:
    if args.diff:
        old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
        sys.stdout.writelines(difflib.unified_diff(old, new, args.file, args.file))
    elif not args.in_place:
        print(after, end="")
    elif args.file == "-":
        raise _Unusable("-i needs a file: standard input cannot be written")
    elif after != before:
        _replace(Path(args.file), after)


def _replace(path: Path, text: str) -> None:
    """Whole or not at all."""
    try:
        target = path.resolve()
        handle, made = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
            Path(made).chmod(target.stat().st_mode & 0o7777)
            Path(made).replace(target)
        except BaseException:
            Path(made).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _Unusable(f"cannot write {path}: {error.strerror}") from None


def _tell(file: str, done: Done, *, undone: bool) -> None:
    """On standard error: standard output is the manifest."""
    if done.workloads:
        print(f"{file}: {'out of' if undone else 'beside'} {', '.join(done.workloads)}", file=sys.stderr)
    else:
        print(f"{file}: nothing here has {'our sidecar' if undone else 'pods'}: left as it is", file=sys.stderr)
