"""Every metric the sidecar itself counts, in the order of a scrape. docs/metrics.md explains each."""

from typing import Final

from sidecar.telemetry.exposition import Family

REQUESTS: Final = Family(
    "sidecar_requests_total",
    "counter",
    ("route", "method", "code", "outcome"),
    "Requests answered, by the status the caller saw and how it came about.",
)
REQUEST_DURATION: Final = Family(
    "sidecar_request_duration_seconds",
    "histogram",
    ("route",),
    "From a request's head to the last byte of its answer, every attempt, wait and backoff included.",
)
ATTEMPTS: Final = Family(
    "sidecar_attempts_total",
    "counter",
    ("route", "upstream", "result"),
    "Attempts made at upstreams; result is ok or the reason why it was not.",
)
UPSTREAM_DURATION: Final = Family(
    "sidecar_upstream_duration_seconds",
    "histogram",
    ("route", "upstream", "phase"),
    "The upstream's own time, per attempt: to connect, to the first byte of its answer, in all.",
)
RETRIES: Final = Family(
    "sidecar_retries_total",
    "counter",
    ("route", "reason"),
    "Attempts that followed another, by the result of the one before.",
)
RETRIES_DENIED: Final = Family(
    "sidecar_retries_denied_total",
    "counter",
    ("route", "reason"),
    "Attempts that failed in a retryable way and were the last, by what forbade another.",
)
HEDGES: Final = Family(
    "sidecar_hedges_total",
    "counter",
    ("route", "result"),
    "Second attempts beside one under way: won, lost, failed, client_gone, or denied before they began.",
)
COALESCED: Final = Family(
    "sidecar_coalesced_total",
    "counter",
    ("route",),
    "Requests that were not sent, since one that asked the same was under way: its answer, or failure, was theirs.",
)
TRANSITIONS: Final = Family(
    "sidecar_breaker_transitions_total",
    "counter",
    ("route", "from", "to"),
    "Changes of the breaker's state.",
)
REFUSED: Final = Family(
    "sidecar_refused_total",
    "counter",
    ("route", "reason"),
    "Requests and attempts a policy refused before anything was sent.",
)
WOULD_REFUSE: Final = Family(
    "sidecar_would_refuse_total",
    "counter",
    ("route", "reason"),
    "Requests and attempts a policy in dry run would have refused.",
)
FALLBACKS: Final = Family(
    "sidecar_fallbacks_total",
    "counter",
    ("route", "kind", "reason"),
    "Answers given by a rung of the fallback ladder, by the reason that made one necessary.",
)
FAULTS: Final = Family(
    "sidecar_faults_injected_total",
    "counter",
    ("route", "kind"),
    "Attempts that an operator's fault hit: abort, delay, reset.",
)
KEPT_AGE: Final = Family(
    "sidecar_last_known_good_age_seconds",
    "gauge",
    ("route",),
    "Age of the newest answer kept for the route; absent until there is one.",
)
IN_FLIGHT: Final = Family(
    "sidecar_in_flight",
    "gauge",
    ("route",),
    "Requests matched to the route and not answered yet.",
)
TUNNELS: Final = Family(
    "sidecar_tunnels",
    "gauge",
    ("route",),
    "Connections that switched to another protocol and have not ended.",
)
CONFIG_RELOADS: Final = Family(
    "sidecar_config_reloads_total",
    "counter",
    ("result",),
    "Configurations that were taken while serving (ok), or were not fit to be (rejected).",
)
CONFIG_TAKEN: Final = Family(
    "sidecar_config_last_reload_successful",
    "gauge",
    (),
    "1 while what runs is the newest configuration, 0 since a newer one was rejected.",
)

COUNTED: Final = (
    REQUESTS,
    REQUEST_DURATION,
    ATTEMPTS,
    UPSTREAM_DURATION,
    RETRIES,
    RETRIES_DENIED,
    HEDGES,
    COALESCED,
    TRANSITIONS,
    REFUSED,
    WOULD_REFUSE,
    FALLBACKS,
    FAULTS,
    KEPT_AGE,
    IN_FLIGHT,
    TUNNELS,
    CONFIG_RELOADS,
    CONFIG_TAKEN,
)
