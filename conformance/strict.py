"""Second opinions: what h11, and a grammar of thirty lines, make of bytes. Nothing here is the sidecar's own.

h11 is strict, complete and written by others (it is what httpx and uvicorn once chose for that). The grammar is RFC
9112's with nothing of what a recipient may forgive.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

import h11

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_FIELDS: Final = rb"(?:%b: ?[\t \x21-\x7e\x80-\xff]*\r\n)*\r\n" % _TOKEN
REQUEST_HEAD: Final = re.compile(rb"%b (?:/[\x21-\x7e]*|\*) HTTP/1\.1\r\n%b" % (_TOKEN, _FIELDS))
"""As the sidecar may send one."""
RESPONSE_HEAD: Final = re.compile(rb"HTTP/1\.1 [1-5][0-9]{2} [\t \x21-\x7e]*\r\n%b" % _FIELDS)
_MOST: Final = 1024 * 1024
CLOSED: Final = "no request after this one"
"""Said where h11 would close the connection."""


@dataclass
class Read:
    """One message as h11 read it. `line`: method and target, or the status. `fields`: names in lower case."""

    line: Any
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    whole: bool = False


@dataclass
class Opinion:
    """What h11 made of one side's bytes. `refusal`: why it read no further, "" if there was no reason to."""

    messages: list[Read] = field(default_factory=list)
    refusal: str = ""
    interims: int = 0
    rest: bytes = b""


def requests(data: bytes) -> Opinion:
    """Every request in `data`, each answered so that the next may follow."""
    found = Opinion()
    peer = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST)
    peer.receive_data(data)
    try:
        while _request(peer, found):
            status = 405 if found.messages[-1].line[0] == b"CONNECT" else 200
            peer.send(h11.Response(status_code=status, headers=[("Content-Length", "0")]))
            peer.send(h11.EndOfMessage())
            if peer.our_state is not h11.DONE or peer.their_state is not h11.DONE:
                found.refusal = CLOSED
                break
            peer.start_next_cycle()
    except h11.RemoteProtocolError as error:
        found.refusal = str(error)
    found.rest = peer.trailing_data[0]
    return found


def _request(peer: h11.Connection, found: Opinion) -> bool:
    while True:
        event = peer.next_event()
        if isinstance(event, h11.Request):
            found.messages.append(Read((event.method, origin_form(event.target)), list(event.headers)))
        elif isinstance(event, h11.Data):
            found.messages[-1].body += event.data
        elif isinstance(event, h11.EndOfMessage):
            found.messages[-1].whole = True
            return True
        else:
            return False


def origin_form(target: bytes) -> bytes:
    """The path and query of any target."""
    if target[:1] in (b"/", b"*"):
        return target
    rest = target.partition(b"://")[2]
    cut = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    return rest[cut:] if rest[cut:].startswith(b"/") else b"/" + rest[cut:]


def responses(data: bytes, methods: list[bytes], *, ended: bool) -> Opinion:
    """The answer to each request in turn. `ended`: an orderly end of the connection came after `data`."""
    found = Opinion(rest=data)
    for number, method in enumerate(methods):
        if number and not found.rest:
            break  # only whether there is an answer can be judged, by whoever knows that there must be one
        peer = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST)
        peer.send(h11.Request(method=method, target="/", headers=[("Host", "a"), ("Content-Length", "0")]))
        peer.send(h11.EndOfMessage())
        if found.rest:
            peer.receive_data(found.rest)
        if ended:
            peer.receive_data(b"")
        try:
            whole = _response(peer, found)
        except h11.RemoteProtocolError as error:
            found.refusal = str(error)
            whole = False
        if not whole:
            found.rest = b""
            break
        found.rest = peer.trailing_data[0]
    return found


def _response(peer: h11.Connection, found: Opinion) -> bool:
    while True:
        event = peer.next_event()
        if isinstance(event, h11.InformationalResponse):
            found.interims += 1
        elif isinstance(event, h11.Response):
            found.messages.append(Read(event.status_code, list(event.headers)))
        elif isinstance(event, h11.Data):
            found.messages[-1].body += event.data
        elif isinstance(event, h11.EndOfMessage):
            found.messages[-1].whole = True
            return True
        else:
            return False
