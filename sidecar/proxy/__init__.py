"""One request from its head to its last byte.

path.py      THE REQUEST PATH: what happens, in order; pure
exchange.py  does what the path asks, on sockets
attempt.py   one try at one endpoint: connection, answer, verdict
upload.py    the request's body on its way upstream
answers.py   what the caller is given
gateway.py   what all exchanges share
heads.py     what goes upstream and what comes back
respond.py   our own answers: a reason becomes bytes
replay.py    the request's body, kept so that it can be sent again
patience.py  how long the caller itself will wait
ids.py       X-Request-Id and traceparent
recording.py a request that is traced
target.py    an endpoint as the proxy uses it
"""
