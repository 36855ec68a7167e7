"""One sidecar with many routes, for the end-to-end tests: each test has a route, and so policies, of its own."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass

from app_caller import PATIENCE, Answer, Caller, ask
from fixtures.process import RunningSidecar
from fixtures.upstream import Upstream

SECRET = "Bearer s3cret-of-the-upstream"

UPSTREAMS = """
limits: {{body: 6MiB, header_bytes: 16KiB}}
upstreams:
  main: {{endpoints: ["{main}"]}}
  backup: {{endpoints: ["{backup}"]}}
  raw: {{endpoints: ["{raw}"]}}
  dead: {{endpoints: ["{dead}"]}}
  half-dead: {{endpoints: ["{dead}", "{backup}"], ejection: {{consecutive_failures: 0}}}}
  nowhere: {{endpoints: ["http://nowhere.invalid"], connect_timeout: 5s}}
  secure: {{endpoints: ["{secure}"], tls: {{ca: "{ca}", server_name: upstream.test}}}}
  misnamed: {{endpoints: ["{secure}"], tls: {{ca: "{ca}", server_name: other.test}}}}
  distrusted: {{endpoints: ["{secure}"], tls: {{ca: "{other_ca}", server_name: upstream.test}}}}
  keyed:
    endpoints: ["{main}/base"]
    headers: {{set: {{Authorization: {{file: "{secret}"}}, X-Team: app}}, remove: [Cookie]}}
defaults:
  upstream: main
  timeout: {{total: 8s}}
  retry: {{budget: {{ratio: 100%, per_second: 1000}}, backoff: {{base: 1ms, max: 1ms}}}}
routes:
"""

ROUTES = """
  - {name: plain, match: {prefix: /plain/}}
  - {name: counted, match: {prefix: /counted/}, retry: {attempts: 2}}
  - {name: logged, match: {prefix: /logged/}}
  - {name: quick, match: {prefix: /quick/}, timeout: {total: 400ms}}
  - {name: hasty, match: {prefix: /hasty/}, timeout: {attempt: 300ms, total: 8s}}
  - {name: dead, match: {prefix: /dead/}, upstream: dead}
  - {name: nowhere, match: {prefix: /nowhere/}, upstream: nowhere}
  - {name: secure, match: {prefix: /secure/}, upstream: secure}
  - {name: misnamed, match: {prefix: /misnamed/}, upstream: misnamed}
  - {name: distrusted, match: {prefix: /distrusted/}, upstream: distrusted}
  - {name: broken, match: {prefix: /broken/}, breaker: {enabled: false}}
  - {name: again, match: {prefix: /again/}, retry: {attempts: 3}, breaker: {enabled: false}}
  - name: patient
    match: {prefix: /patient/}
    retry: {attempts: 2, backoff: {base: 300ms, max: 300ms, jitter: none}}
    breaker: {enabled: false}
  - {name: half-dead, match: {prefix: /half-dead/}, upstream: half-dead, retry: {attempts: 2}}
  - {name: keyed-retry, match: {prefix: /keyed-retry/}, retry: {attempts: 2, idempotency_key: true}}
  - name: picky
    match: {prefix: /picky/}
    breaker: {enabled: false}
    expect: {status: [200], content_type: application/json, json_equals: {/code: 0}, max_body: 1KiB}
  - name: kept
    match: {prefix: /kept/}
    breaker: {enabled: false}
    fallback: [{last_known_good: {max_age: 1h, identity: [Authorization]}}]
  - name: briefly
    match: {prefix: /briefly/}
    breaker: {enabled: false}
    fallback: [{last_known_good: {max_age: 500ms}}]
  - name: fixed
    match: {prefix: /fixed/}
    breaker: {enabled: false}
    fallback: [{static: {status: 200, json: {items: []}, headers: {X-Made: here}}}]
  - name: failover
    match: {prefix: /failover/}
    breaker: {enabled: false}
    fallback: [{upstream: backup}]
  - {name: dead-failover, match: {prefix: /dead-failover/}, upstream: dead, fallback: [{upstream: backup}]}
  - name: critical
    match: {prefix: /critical/}
    critical: true
    breaker: {enabled: false}
    unavailable: {status: 503, json: {error_code: CONFIGURATION_TEMPORARILY_UNAVAILABLE}}
  - {name: critical-plain, match: {prefix: /critical-plain/}, critical: true, breaker: {enabled: false}}
  - name: unavailable
    match: {prefix: /unavailable/}
    upstream: dead
    unavailable: {status: 599, json: {"sorry": ["ü", 1.5]}, headers: {X-Why: gone}}
  - name: fragile
    match: {prefix: /fragile/}
    breaker: {consecutive_failures: 2, open_for: 700ms, jitter: 0%, successes_to_close: 1}
  - name: narrow
    match: {prefix: /narrow/}
    bulkhead: {in_flight: 1}
  - {name: raw, match: {prefix: /raw/}, upstream: raw, breaker: {consecutive_failures: 1, open_for: 60s}}
  - {name: rewritten, match: {prefix: /rewritten/}, rewrite: {prefix: /v1/}}
  - {name: same-host, match: {prefix: /same-host/}, rewrite: {host: keep}}
  - {name: keyed, match: {prefix: /keyed/}, upstream: keyed}
"""


@dataclass
class World:
    """The sidecar between a caller and its upstreams."""

    sidecar: RunningSidecar
    upstream: Upstream
    backup: Upstream
    secure: Upstream
    raw: socket.socket
    """A listening socket: the upstream of the route `raw` is whatever a test does with its connections."""

    def ask(self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        """One request on a connection of its own."""
        return ask(self.sidecar.port, method, target, dict(headers or {}), body)

    def get(self, target: str, headers: Mapping[str, str] | None = None) -> Answer:
        """A GET on a connection of its own."""
        return self.ask("GET", target, headers)

    def caller(self) -> Caller:
        """A connection to the sidecar."""
        return Caller(self.sidecar.port)

    def lines(self, path: str, count: int = 1) -> list[dict[str, object]]:
        """The access log's lines about a path, whatever its query, as soon as there are `count`."""

        def here() -> list[dict[str, object]]:
            return [line for line in self.sidecar.access_log() if str(line["path"]).partition("?")[0] == path]

        self.sidecar.until(lambda: len(here()) >= count, what=f"{count} lines about {path}")
        return here()

    def accept(self) -> socket.socket:
        """The next connection that the sidecar opens to `raw`."""
        connection, _ = self.raw.accept()
        connection.settimeout(PATIENCE)
        return connection
