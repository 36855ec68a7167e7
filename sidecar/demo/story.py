"""What `sidecar demo` shows: a picture of what runs, and curl lines that play an outage through."""

from dataclasses import dataclass
from urllib.parse import quote

from sidecar.config import Address, Config, Route
from sidecar.demo.faults import FAULTS

TOGGLES = "/api/toggles/"
INVITED = "/api/users/invited/"

_KNOWN, _UNKNOWN = "+15550100", "+15550199"  # numbers that belong to nobody


class StageError(Exception):
    """The configuration does not lead to an upstream that can be played here. Its text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Who listens where. Addresses are `host:port`."""

    sidecar: str
    admin: str
    upstream: str
    upstream_host: str
    upstream_port: int
    route: Route

    @classmethod
    def of(cls, config: Config) -> "Stage":
        """Reads the stage off a configuration.

        Raises:
            StageError: it does not route connect's two paths to an upstream over plain HTTP on loopback.
        """
        toggles, _ = _routed(config, TOGGLES), _routed(config, INVITED)
        if config.listen[0].path is not None or config.listen[0].tls is not None:
            raise StageError(f"{config.listen[0].address}: the demo's curl lines need a plain host:port to come first")
        endpoint = config.upstreams[toggles.upstream].endpoints[0]
        if endpoint.scheme != "http" or endpoint.host not in ("127.0.0.1", "localhost", "::1"):
            raise StageError(f"{endpoint.url} is not http:// on this machine: the demo plays the upstream itself")
        return cls(
            sidecar=_shown(config.listen[0]),
            admin=_shown(config.admin.listen),
            upstream=_address(endpoint.host, endpoint.port),
            upstream_host=endpoint.host,
            upstream_port=endpoint.port,
            route=toggles,
        )


def _routed(config: Config, path: str) -> Route:
    for route in config.routes:
        if route.match.path == path:
            return route
    raise StageError(f"no route matches the path {path}, which the demo calls")


def _shown(listen: Address) -> str:
    return _address(listen.host, listen.port)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def told(stage: Stage) -> str:
    """The picture and the lines to try, in the order in which an outage goes."""
    breaker = stage.route.breaker
    return _TEXT.format(
        sidecar=stage.sidecar,
        admin=stage.admin,
        upstream=stage.upstream,
        faults=" ".join(word for word in FAULTS if word != "off"),
        known=_ask(stage, "connect-id", _KNOWN),
        unknown=_ask(stage, "connect-id", _UNKNOWN),
        stranger=_ask(stage, "somebody-else", _KNOWN),
        total=f"{stage.route.timeout.total:g} s",
        failures=breaker.consecutive_failures,
        open_for=f"{breaker.open_for:g} s",
    )


def _ask(stage: Stage, user: str, phone_number: str) -> str:
    url = f"http://{stage.sidecar}{TOGGLES}?phone_number={quote(phone_number)}"
    return f"curl -i -u {user}:secret '{url}'"


_TEXT = """\
An outage that you can switch on. Nothing leaves this machine.

    you ──curl──▶ sidecar {sidecar} ──▶ upstream {upstream}
                  metrics {admin}       plays connect: toggles, invited users
                                               faults: {faults}

Watch it in a browser: http://{admin}/          In another terminal:

1  All is well. The upstream answers; the sidecar keeps a copy.
     {known}

2  The upstream hangs.
     curl -X POST http://{upstream}/fault/hang

3  The same question: after {total} the last known good answer. See Age and Cache-Status.
     {known}

4  A number that was never seen: nothing is invented. Exactly the 503 that the app can parse.
     {unknown}

5  {failures} failures in a row have opened the breaker: the same 503 at once, with Retry-After.
     {unknown}

6  Other credentials never get what was kept for the first.
     {stranger}

7  The upstream is well again. Once the breaker has been open for {open_for}, a probe finds out.
     curl -X POST http://{upstream}/fault/off
     {unknown}

What it counted:  curl http://{admin}/metrics      what it knows:  curl http://{admin}/status
Ctrl-C ends it. Below, one line per request: its query, and so the phone number, is left out.
"""
