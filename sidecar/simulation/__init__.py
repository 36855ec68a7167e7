"""What a configuration does in an outage, in virtual time: the real policies and the real request path, no sockets.

`proxy/path.py` says what it wants done; here that is done by an event loop whose clock jumps from one event to the
next, in front of upstreams that are models. An hour of traffic takes seconds, and the same seed gives the same history,
to the last decision. `exchange.py`, `attempt.py` and `gateway.py` each stand for the module of that name in `proxy`.

Pure: no asyncio, no real clock, no chance but the seed's. It is handed policy objects and does not ask where they come
from.
"""
