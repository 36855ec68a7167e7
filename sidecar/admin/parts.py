"""The pieces of `/status`, each of one living object: `status` says what they mean."""

from typing import Any

from sidecar.admin.entries import date
from sidecar.figures import Disk, Kept
from sidecar.policy.breaker import Breaker
from sidecar.policy.bulkhead import Bulkhead
from sidecar.policy.endpoints import Endpoint
from sidecar.policy.fault import Fault
from sidecar.policy.machine import CLOSED


def breaker_now(breaker: Breaker, now: float, wall: float) -> dict[str, Any]:
    """A breaker at `now`, on its clock; `wall`: Unix time."""
    forced = breaker.forced()
    return {
        "state": breaker.state,
        "since_seconds": rounded(now - breaker.since),
        "open_since": None if breaker.state == CLOSED else date(breaker.left_closed + wall - now),
        "retry_after": rounded(breaker.retry_after()),
        "dry_run": breaker.dry_run,
        "forced": None if forced is None else {"state": forced[0], "until": date(wall + forced[1])},
    }


def fault_now(fault: Fault | None, wall: float) -> dict[str, Any] | None:
    """What is injected; None if nothing is, or not any more. `wall`: Unix time."""
    if fault is None or not fault.left:
        return None
    return {
        "abort": fault.abort or None,
        "delay": fault.delay,
        "reset": fault.reset,
        "ratio": fault.ratio,
        "until": date(wall + fault.left),
    }


def kept_now(kept: Kept, disk: Disk | None) -> dict[str, Any]:
    """The store of last known good answers."""
    held = {"entries": len(kept), "bytes": kept.bytes_used, "state": "memory" if disk is None else disk.state}
    if disk is None:
        return held
    return {**held, "written": disk.written, "failed": disk.failed, "dropped": disk.dropped}


def endpoint_now(endpoint: Endpoint, now: float, offset: float) -> dict[str, Any]:
    """An endpoint at `now`, on its clock; `offset`: what Unix time is ahead of that."""
    health = endpoint.health
    until = endpoint.standing.until
    return {
        "name": endpoint.name,
        "weight": endpoint.weight,
        "priority": endpoint.priority,
        "pending": endpoint.pending,
        "ejected": now < until,
        "ejected_until": date(until + offset) if now < until else None,
        "health": None if health is None else {"healthy": health.well, "last_failure": health.why},
    }


def bulkhead_now(bulkhead: Bulkhead) -> dict[str, Any]:
    """Who is in, and who waits."""
    return {"limit": bulkhead.limit, "in_flight": bulkhead.in_flight, "queued": bulkhead.queued}


def rounded(seconds: float | None) -> float | None:
    """To the millisecond."""
    return None if seconds is None else round(seconds, 3)
