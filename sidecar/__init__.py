"""A resilience sidecar: every outgoing call ends in time, with an answer the application can parse.

The rooms, top to bottom; each may import those below it, never its neighbours, never upwards:

    cli                                     commands: run, check, explain, schema, health, demo
    demo                                    upstreams that misbehave on request, for `sidecar demo`
    app                                     configuration to objects; start, drain, stop
    admin | proxy | telemetry | stores      its own port | one request | what it tells | what it keeps
    policy | wire | config                  decides | HTTP/1.1 on sockets | YAML to models
    tasks | clock | observer | revision     the loop's edge | time | facts | which commit this is

Start reading at `sidecar/proxy/path.py`: it is the request path, top to bottom.
"""

__version__ = "0.1.0"
