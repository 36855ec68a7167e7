"""The page at `/`: links, until there is a dashboard."""

from typing import Final

PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>sidecar</title>
<style>
body { font: 16px/1.6 system-ui, sans-serif; max-width: 40em; margin: 3em auto; padding: 0 1em }
dt { float: left; clear: left; width: 7em }
</style>
<h1>sidecar</h1>
<dl>
<dt><a href="/status">/status</a></dt><dd>routes, breakers and endpoints as they are now (JSON)</dd>
<dt><a href="/metrics">/metrics</a></dt><dd>for Prometheus: text or OpenMetrics</dd>
<dt><a href="/config">/config</a></dt><dd>the effective configuration, secrets hidden (JSON)</dd>
<dt><a href="/healthz">/healthz</a></dt><dd>alive</dd>
<dt><a href="/readyz">/readyz</a></dt><dd>ready for requests</dd>
</dl>
</html>
"""
