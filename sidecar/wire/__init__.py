"""HTTP/1.1 on sockets. Knows no policy and no configuration.

    listener.py  a bound socket          pool.py    connections to one endpoint
    server.py    one from a caller       client.py  one to an upstream
    parse.py     heads                   dial.py    names, TCP, TLS
    framing.py   where bodies end        tls.py     contexts
    chunked.py   bodies in chunks        timers.py  timers that many share
    known.py     heads seen before       encode.py  bytes that are always the same

`message.py` and `errors.py` are its vocabulary.
"""
