"""What the sidecar tells about itself: metrics, one log line per request, events."""
