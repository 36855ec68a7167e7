"""The sidecar in a Kubernetes manifest: `inject` puts it in, `undo` takes it out, and every other byte stays.

    text ─nodes─▶ tree with places ─workloads─▶ pods ─plan─▶ edits ─splice─▶ text

A manifest is never written anew: edits are cut into its text, so that comments, quotes, indentation and the order of
keys stay as they are. Pure functions, no files.
"""

from sidecar.inject.container import Settings
from sidecar.inject.problem import ManifestError
from sidecar.inject.stream import Done, inject, undo

__all__ = ["Done", "ManifestError", "Settings", "inject", "undo"]
