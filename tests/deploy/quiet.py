"""Run in a network namespace of its own, where only loopback is: what does a sidecar try to reach?

Prints, as JSON, how many packets had no way out and how many datagrams were sent, before a sidecar was started, after
it has served, and after a call that must be seen.
"""

import fcntl
import json
import socket
import struct
import sys
import tempfile
import urllib.request
from contextlib import suppress
from pathlib import Path

from fixtures import upstream as scripted
from fixtures.process import RunningSidecar
from fixtures.upstream import Upstream

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
CONFIG = """
upstreams: {{u: {{endpoints: ["{url}"], health_check: {{path: /r, interval: 100ms, timeout: 50ms}}}}}}
routes: [{{name: r, match: {{path: /r}}, upstream: u, retry: {{attempts: 2}}}}]
"""


def counted() -> dict[str, int]:
    """`OutNoRoutes`: what had nowhere to go; `OutDatagrams`: DNS, statistics, anything over UDP."""
    found: dict[str, int] = {}
    lines = Path("/proc/self/net/snmp").read_text().splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        found |= {name: int(value) for name, value in zip(names.split()[1:], values.split()[1:], strict=True)}
    return {name: found[name] for name in ("OutNoRoutes", "OutDatagrams")}


def main() -> None:
    """Counts."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    before = counted()
    with tempfile.TemporaryDirectory() as directory, Upstream() as upstream:
        upstream.on("/r", scripted.ok())
        sidecar = RunningSidecar(CONFIG.format(url=upstream.url), Path(directory))
        for _ in range(3):
            urllib.request.urlopen(sidecar.url + "/r", timeout=5).close()
        for page in ("/", "/status", "/metrics", "/config"):
            sidecar.admin(page)
        sidecar.until(lambda: upstream.count("/r") > 6, what="health checks")
        code = sidecar.stop()
    after = counted()
    with suppress(OSError), socket.create_connection(("192.0.2.1", 80), 1):
        pass
    json.dump({"exit": code, "before": before, "after": after, "seen": counted()}, sys.stdout)


if __name__ == "__main__":
    main()
