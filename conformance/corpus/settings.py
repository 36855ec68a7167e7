"""Configuration files, from the plain to the hostile; and single field values that are read apart."""

from pathlib import Path
from typing import Final

_PLAIN: Final = b"""\
listen: 127.0.0.1:8080
admin: {listen: 127.0.0.1:9901}
upstreams:
  one: {endpoints: [http://127.0.0.1:1, "https://b.example:443/base"]}
defaults:
  timeout: {total: 3s, attempt: 1500ms}
routes:
  - name: a
    match: {prefix: /a, methods: [GET, POST]}
    upstream: one
    retry: {attempts: 3, on: [reset, 503]}
    breaker: {consecutive_failures: 5, open_for: 10s}
"""

_BOMB: Final = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (after, after, *[before] * 9)
    for before, after in zip(b"abcdefghi", b"bcdefghij", strict=True)
)

_EXAMPLE: Final = Path(__file__).resolve().parents[2] / "config" / "sidecar.yaml"

FILES: Final = [
    _PLAIN,
    _EXAMPLE.read_bytes(),
    _BOMB,
    b"",
    b"[" * 2000,
    b"{a: " * 2000,
    b"- " * 2000,
    b"? " * 2000,
    b"a: &a\n  b: *a\n",
    b"${" * 5000,
    b"listen: ${X:-" * 500,
    b"listen: 1\nlisten: 2\n",
    b"%YAML 1.2\n---\nlisten: x\n...\n---\nlisten: y\n",
    b"routes: " + b"9" * 5000,
    b"\xff\xfea\x00",
]

VALUES: Final = [
    b"120",
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"Sunday, 06-Nov-94 08:49:37 GMT",
    b"Sun Nov  6 08:49:37 1994",
    b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    b"100m",
    b"1.5s",
    b"gzip;q=0.8, br, *;q=0",
    b"application/openmetrics-text;version=1.0.0;q=0.5, text/plain",
    b"close, X-A , upgrade",
    b"[::1]:8080",
    b"http://b.example/x?y",
    b'{"a": {"b": [1, 2]}}',
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    b"3;a=b\r\nabc\r\n0\r\nX-A: b\r\n\r\n",
]
