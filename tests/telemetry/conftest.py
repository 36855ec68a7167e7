"""What rules and dashboards may speak of."""

import re

import pytest
from fixtures.policies import KEPT, World

from sidecar.policy.reasons import REASONS
from sidecar.telemetry import gauges
from sidecar.telemetry.gauges import STATES
from sidecar.telemetry.prometheus import Prometheus

OUTCOMES = {
    *("ok", "upstream_error", "last_known_good", "failover", "static"),
    *("fail_closed", "refused", "bad_request", "client_gone"),
}


class _NoLoss:
    dropped = 0


@pytest.fixture(scope="session")
def vocabulary() -> dict[str, set[str]]:
    """Names of series as a scrape has them, and the words of labels that have a closed list."""
    prometheus, world = Prometheus(), World()
    gauges.show(
        prometheus,
        routes=world.routes,
        upstreams=[world.upstream],
        pools={"connect": []},
        access_log=_NoLoss(),
        kept=KEPT,
        disk=KEPT,
    )
    series = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", prometheus.render(openmetrics=False).decode(), re.MULTILINE):
        series |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return {
        "series": series,
        "outcome": OUTCOMES,
        "reason": set(REASONS),
        "result": {*REASONS, "ok", "rejected", "sent", "failed", "dropped"},
        "kind": {"last_known_good", "failover", "static"},
        "state": {*STATES, "idle", "active", "disk", "memory"},
    }
