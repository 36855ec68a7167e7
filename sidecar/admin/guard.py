"""Who may change state through the admin port.

A token, where one is configured; else whoever reaches a port on loopback. A browser reaches that too, on behalf of any
page its user looks at. So nothing a form can send is taken, nor what comes from a foreign page: pages say so (`Origin`,
RFC 6454 section 7), and with no token to know them by, the host they asked must be an address, for a name may have been
made to lead here (DNS rebinding).
"""

import hmac
import ipaddress
from typing import Final, NamedTuple

from sidecar.config.secret import Secret

_SCHEME: Final = "bearer "


class Refusal(NamedTuple):
    """Why not, as a status and one sentence."""

    status: int
    sentence: str


class Guard:
    """One port's. `host`: where it listens. `token`: None if there is none."""

    __slots__ = ("_on_loopback", "_token")

    def __init__(self, host: str, token: Secret | None) -> None:
        self._on_loopback = is_loopback(host)
        self._token = token

    def refuses(self, *, host: str, origin: str | None, authorization: str) -> Refusal | None:
        """What is wrong with a request by its fields of these names; None if it may go on."""
        if origin is not None and not self._is_own(origin, host):
            return Refusal(403, "a page of another origin must not change anything here")
        if self._token is None:
            if self._on_loopback:
                return None
            return Refusal(403, "this port is reachable beyond loopback and admin.token is not set: it changes nothing")
        if not self._knows(authorization, self._token):
            return Refusal(401, "show admin.token: Authorization: Bearer ...")
        return None

    def _is_own(self, origin: str, host: str) -> bool:
        if origin.lower() not in {f"http://{host}".lower(), f"https://{host}".lower()}:
            return False
        return self._token is not None or _is_address(host)

    @staticmethod
    def _knows(authorization: str, token: Secret) -> bool:
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            return False
        shown = authorization[len(_SCHEME) :].strip()
        # In a time that does not tell how much of it was right.
        return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), token.reveal().encode())


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a port that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_address(authority: str) -> bool:
    host = authority.partition("]")[0].removeprefix("[") if authority.startswith("[") else authority.partition(":")[0]
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return True
