"""YAML to models: `load` a file, `lint` what was loaded.

    bytes ─document─▶ data with places ─inherit─▶ defaults under routes ─model─▶ Config ─lint─▶ findings
                            └──── references: names that must exist ────┘

Everything that is wrong comes at once, as `file:line:col: path: message`; the only exception is
`ConfigError`. Knows no policy: what the numbers mean to the objects that serve is `sidecar.app`'s to
translate.
"""

import sidecar.config.lean  # noqa: F401 - before pydantic is

# isort: split
from sidecar.config.lint import Finding, line_of, lint
from sidecar.config.load import load, parse
from sidecar.config.model import Config
from sidecar.config.policies import Backoff, Breaker, Budget, Bulkhead, RateLimit, Retry, Timeout
from sidecar.config.problem import ConfigError, Problem
from sidecar.config.process import (
    AccessLog,
    Address,
    Admin,
    Caller,
    Drain,
    Limits,
    Listen,
    ListenTls,
    Log,
    Notify,
    State,
)
from sidecar.config.route import Answer, Expect, Match, Rewrite, Route, Rung, Static
from sidecar.config.secret import Secret
from sidecar.config.sources import Sources
from sidecar.config.tracing import Tracing
from sidecar.config.upstream import Ejection, Endpoint, HealthCheck, Pool, Tls, Upstream

__all__ = [
    "AccessLog",
    "Address",
    "Admin",
    "Answer",
    "Backoff",
    "Breaker",
    "Budget",
    "Bulkhead",
    "Caller",
    "Config",
    "ConfigError",
    "Drain",
    "Ejection",
    "Endpoint",
    "Expect",
    "Finding",
    "HealthCheck",
    "Limits",
    "Listen",
    "ListenTls",
    "Log",
    "Match",
    "Notify",
    "Pool",
    "Problem",
    "RateLimit",
    "Retry",
    "Rewrite",
    "Route",
    "Rung",
    "Secret",
    "Sources",
    "State",
    "Static",
    "Timeout",
    "Tls",
    "Tracing",
    "Upstream",
    "line_of",
    "lint",
    "load",
    "parse",
]
