"""Where to listen and whom to call: `host:port` and `http(s)://host[:port][/base]`, checked to the letter."""

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sidecar.config.scalars import FromEnvironment, shown

_LABEL: Final = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\.?")
_AUTHORITY: Final = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>.*))?", re.DOTALL)
_URL: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_PATH: Final = re.compile(r"(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*")
_PORTS: Final = {"http": 80, "https": 443}
_LAST_PORT: Final = 65535
_UNIX: Final = "unix:"
_LONGEST_PATH: Final = 107
"""Bytes that Linux has room for (`sun_path`, its final NUL apart)."""


class Address(NamedTuple):
    """Host without brackets, and port."""

    host: str
    port: int


class Url(NamedTuple):
    """An endpoint's parts.

    `host` has no brackets; `base_path` is "" or starts, and does not end, with a slash.
    """

    scheme: str
    host: str
    port: int
    base_path: str


def checked_host(host: str) -> str:
    """The host in lower case.

    Raises:
        ValueError: neither an IP address nor a name of letters, digits, hyphens and underscores (RFC 1123).
    """
    if ":" in host or re.fullmatch(r"[0-9.]+", host):
        return _ip(host)
    if not host.isascii():
        raise ValueError("host names are ASCII: write an international name in its xn-- form")
    if not _HOST.fullmatch(host):
        raise ValueError(f"{shown(host)} is not a host name or address" if host else "has no host")
    return host.lower()


def _ip(host: str) -> str:
    try:
        if "%" not in host:  # a zone is the name of an interface on one machine
            return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    raise ValueError(f"{shown(host)} is not an IP address")


def _authority(text: str, default_port: int | None, lowest: int) -> Address:
    found = _AUTHORITY.fullmatch(text)
    if found is None or ":" in (found["port"] or ""):
        raise ValueError(f"{shown(text)} is not host:port; an IPv6 address stands in brackets: [::1]:8080")
    if found["v6"] is not None and ":" not in found["v6"]:
        raise ValueError("brackets are for IPv6 addresses")
    host = checked_host(found["v6"] if found["v6"] is not None else found["name"])
    if (port := found["port"]) is None:
        if default_port is None:
            raise ValueError("has no port: write host:port")
        return Address(host, default_port)
    if not re.fullmatch(r"[0-9]{1,5}", port) or not lowest <= int(port) <= _LAST_PORT:
        raise ValueError(f"{shown(port)} is not a port from {lowest} to {_LAST_PORT}")
    return Address(host, int(port))


@lru_cache(maxsize=64)
def split_address(text: str) -> Address:
    """The parts of `host:port`. Port 0 lets the system choose one.

    Raises:
        ValueError: not of that form.
    """
    return _authority(text, None, 0)


@lru_cache(maxsize=256)
def split_url(text: str) -> Url:
    """The parts of an endpoint's URL.

    Raises:
        ValueError: another scheme than http or https, credentials, a query or fragment, a bad host, port or
            path.
    """
    found = _URL.fullmatch(text)
    if found is None:
        raise ValueError("is not a URL: write e.g. https://api.example.com or http://10.0.0.7:8080")
    scheme = found["scheme"].lower()
    if scheme not in _PORTS:
        raise ValueError("the scheme must be http or https")
    if "@" in found["authority"]:
        raise ValueError("holds credentials: set an Authorization header under headers.set from {file: ...} instead")
    if "?" in found["rest"] or "#" in found["rest"]:
        raise ValueError("has a query or fragment: an endpoint is scheme, host, port and at most a base path")
    if not _PATH.fullmatch(found["rest"]):
        raise ValueError("the path holds a character that must be percent-encoded")
    host, port = _authority(found["authority"], _PORTS[scheme], 1)
    return Url(scheme, host, port, found["rest"].rstrip("/"))


def _quietly(split: Callable[[str], object], value: str, wanted: str) -> None:
    """Splits, but says nothing about the parts of what came from the environment."""
    try:
        split(str(value))
    except ValueError:
        if isinstance(value, FromEnvironment):
            message = f"{shown(value)} is not {wanted}"
            raise ValueError(message) from None  # noqa: TRY004 - it is the text that is wrong
        raise


def checked_address(value: Any) -> str:
    """`value` if it is `host:port`.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, str):
        raise ValueError("must be text: host:port")  # noqa: TRY004 - the models collect ValueErrors
    if value.startswith(_UNIX):
        raise ValueError("must be host:port: a unix socket does not serve here")
    _quietly(split_address, value, "host:port")
    return str(value)


def unix_path(text: str) -> str | None:
    """The path of a `unix:/path`; None for another address."""
    return text.removeprefix(_UNIX) if text.startswith(_UNIX) else None


def checked_listen_address(value: Any) -> str:
    """`value` if it is `host:port` or `unix:/path`.

    Raises:
        ValueError: it is neither, or the path is longer than the system allows.
    """
    path = unix_path(value) if isinstance(value, str) else None
    if path is None:
        return checked_address(value)
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError("a unix socket needs an absolute path: unix:/run/sidecar.sock")
    if len(path.encode("utf-8", "surrogateescape")) > _LONGEST_PATH:
        raise ValueError(f"the path of a unix socket has at most {_LONGEST_PATH} bytes")
    return str(value)


def checked_url(value: Any) -> str:
    """`value` if it is an endpoint's URL.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, str):
        raise ValueError("must be text: a URL")  # noqa: TRY004 - the same
    _quietly(split_url, value, "a URL of scheme, host, port and at most a base path")
    return str(value)


def checked_name(value: Any) -> str:
    """A host without port, in lower case.

    Raises:
        ValueError: `value` is none.
    """
    if not isinstance(value, str):
        raise ValueError("must be text: a host name")  # noqa: TRY004 - the models collect ValueErrors
    _quietly(checked_host, value, "a host name or address")
    return checked_host(str(value))
