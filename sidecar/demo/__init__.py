"""An outage that can be switched on: upstreams that misbehave on request, for `sidecar demo`.

faults.py says what can go wrong, connect.py plays the service that connect-id calls, upstream.py serves it,
story.py is what the terminal shows. The sidecar in front of them is the real one.
"""
