"""What `inject` did to a pod, in an annotation of it: all that `undo` needs besides the manifest."""

from typing import Final

import msgspec

STATE: Final = "resilience-sidecar/injected"
CHECKSUM: Final = "resilience-sidecar/config"
DEFAULT: Final = "kubectl.kubernetes.io/default-container"
"""The container whose logs kubectl shows; the app's, where the sidecar is listed before it."""


class Renamed(msgspec.Struct, array_like=True):
    """A variable of a container: its value as it was written, or None where there was no such variable."""

    container: str
    variable: str
    was: str | None


class State(msgspec.Struct, omit_defaults=True):
    """Everything that was put in.

    `made`: collections that were not there. `nulls`: those that were there as nothing, and how that was written.
    Their names: annotations, containers, env:NAME (of a container), initContainers, metadata, volumes.
    """

    name: str
    volumes: list[str]
    annotations: list[str]
    made: list[str] = []
    nulls: dict[str, str] = {}
    env: list[Renamed] = []


def written(state: State) -> str:
    """As the annotation's value."""
    return msgspec.json.encode(state).decode()


def read(text: str) -> State | None:
    """From the annotation's value; None if it is not what `written` made."""
    try:
        return msgspec.json.decode(text, type=State)
    except (msgspec.DecodeError, UnicodeError):
        return None
