"""What is added to a pod: the container, its volumes, the ConfigMap. The chart's `sidecar.container` is the same.

Numbers come from docs/performance.md: 46 MB resident when idle, 53 to 60 with 1,000 connections, 100 us of CPU per
request; up to 64 MiB of last known good answers on top (`state.last_known_good.max_bytes`). No CPU limit: the kernel's
throttling would be latency of every call.
"""

from dataclasses import dataclass
from typing import Any, Final

Object = dict[str, Any]

CONFIG_DIRECTORY: Final = "/etc/sidecar"
CONFIG_FILE: Final = "sidecar.yaml"
SECRETS_DIRECTORY: Final = "/run/secrets"
ADMIN_PORT: Final = "sidecar-admin"
"""Name of the port. Prometheus finds it by this."""
MANAGED: Final = {"app.kubernetes.io/managed-by": "sidecar-inject"}
"""Labels of the ConfigMap, by which `undo` knows it."""

_NOBODY: Final = 65532


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the sidecar is to be added.

    `config_map`: the name of one that exists already; None: one is made of `files`. `kept`: the directory in which the
    configuration keeps answers; "" for none. `checksum`: of the configuration, so that a change rolls the pods.
    `env`: the application's variables and their new values. `containers`: names of those that get these variables,
    whether they have them or not; empty: those that have them.
    """

    image: str
    name: str = "sidecar"
    native: bool = True
    admin_port: int = 9901
    config_map: str | None = None
    files: tuple[tuple[str, str], ...] = ()
    checksum: str = ""
    kept: str = ""
    secrets: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    containers: frozenset[str] = frozenset()


def container(settings: Settings) -> Object:
    """The container, native or classic."""
    native = {"restartPolicy": "Always"} if settings.native else {}
    return {
        "name": settings.name,
        "image": settings.image,
        "imagePullPolicy": "IfNotPresent",
        **native,
        "args": ["run", "-c", f"{CONFIG_DIRECTORY}/{CONFIG_FILE}"],
        "env": [{"name": "SIDECAR_ADMIN_LISTEN", "value": f"0.0.0.0:{settings.admin_port}"}],
        "ports": [{"name": ADMIN_PORT, "containerPort": settings.admin_port, "protocol": "TCP"}],
        **_probes(),
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "192Mi"}},
        "securityContext": _restricted(),
        "volumeMounts": _mounts(settings),
    }


def volumes(settings: Settings, config_map: str) -> list[Object]:
    """What it mounts."""
    kept = [{"name": f"{settings.name}-kept", "emptyDir": {"sizeLimit": "256Mi"}}] if settings.kept else []
    secrets = [{"name": f"{settings.name}-{name}", "secret": {"secretName": name}} for name in settings.secrets]
    return [{"name": f"{settings.name}-config", "configMap": {"name": config_map}}, *kept, *secrets]


def config_map(settings: Settings, name: str, namespace: str | None) -> Object:
    """The ConfigMap with the configuration and what it refers to."""
    place = {"namespace": namespace} if namespace else {}
    metadata = {"name": name, **place, "labels": dict(MANAGED)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(settings.files)}


def _probes() -> Object:
    """The app starts once the sidecar listens. It is restarted when its loop hangs, and never for an upstream."""
    return {
        "startupProbe": {**_asking("/readyz"), "periodSeconds": 1, "failureThreshold": 60},
        "livenessProbe": {**_asking("/healthz"), "periodSeconds": 10, "timeoutSeconds": 3},
        "readinessProbe": {**_asking("/readyz"), "periodSeconds": 5, "timeoutSeconds": 3},
    }


def _asking(path: str) -> Object:
    return {"httpGet": {"path": path, "port": ADMIN_PORT}}


def _restricted() -> Object:
    return {
        "runAsNonRoot": True,
        "runAsUser": _NOBODY,
        "runAsGroup": _NOBODY,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _mounts(settings: Settings) -> list[Object]:
    kept = [{"name": f"{settings.name}-kept", "mountPath": settings.kept}] if settings.kept else []
    secrets = [
        {"name": f"{settings.name}-{name}", "mountPath": f"{SECRETS_DIRECTORY}/{name}", "readOnly": True}
        for name in settings.secrets
    ]
    config = {"name": f"{settings.name}-config", "mountPath": CONFIG_DIRECTORY, "readOnly": True}
    return [config, *kept, *secrets]
