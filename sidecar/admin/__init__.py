"""The sidecar's own port."""
