"""Laws about messages that are put together rather than mutated: orders of fields, chunkings, pipelines."""

from itertools import accumulate, pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import strict
from conformance.corpus import requests
from conformance.memory import World
from conformance.mutate import segments
from conformance.targets.proxy import Origin, tag
from conformance.targets.requests import Understood, read

LINES = [
    b"Host: a.example",
    b"Content-Length: 5",
    b"Content-Length: 05",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip",
    b"Transfer-Encoding:\tchunked",
    b"Connection: close",
    b"Connection: keep-alive, X-B",
    b"Upgrade: websocket",
    b"Connection: upgrade",
    b"Expect: 100-continue",
    b"X-A: 1",
    b"X-B: 2",
    b"TE: trailers",
    b"Content-Length : 5",
    b"Host: b.example",
]
BODY = b"5;x=y\r\nhello\r\n0\r\nX-T: u\r\n\r\n"


def name_of(line: bytes) -> bytes:
    """The field's name, as a sloppy parser would read it."""
    return line.partition(b":")[0].strip().lower()


def told(understood: Understood) -> list[object]:
    """What was made of a request, the order of its fields apart."""
    asked = [(one.method, one.target, one.host, one.body, one.whole, sorted(one.fields)) for one in understood.asked]
    return [asked, understood.refusal, understood.open]


@given(st.lists(st.sampled_from(LINES), max_size=7), st.randoms(use_true_random=False))
def test_the_order_of_fields_decides_nothing(lines: list[bytes], rng: Random) -> None:
    """Fields of different names mean the same in any order (RFC 9110 section 5.3), and are refused alike."""
    groups: dict[bytes, list[bytes]] = {}
    for line in lines:
        groups.setdefault(name_of(line), []).append(line)
    other = list(groups.values())
    rng.shuffle(other)
    verdicts = []
    for order in (list(groups.values()), other):
        head = [b"POST /p HTTP/1.1", *(line for group in order for line in group), b"", b""]
        verdicts.append(told(read([b"\r\n".join(head) + BODY])))
    assert verdicts[0] == verdicts[1]


def passed_on(wire: bytes, rng: Random) -> tuple[list[strict.Read], bytes]:
    """What an honest upstream got, and what its caller got."""
    world = World()
    caller, origin = world.caller(), Origin(world)
    caller.send(segments(wire, rng))
    while origin.look() | caller.settle():
        pass
    return origin.got, bytes(caller.transport.sent)


def chunked(body: bytes, places: list[int], extension: bytes) -> bytes:
    """The body in chunks that end at these places."""
    marks = sorted({0, len(body), *(place % (len(body) + 1) for place in places)})
    chunks = [body[one:other] for one, other in pairwise(marks)]
    return b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks) + b"0\r\n\r\n"


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=300) | st.integers(65_000, 66_000).map(bytes),
    st.lists(st.integers(0, 2**20), max_size=8),
    st.sampled_from([b"", b";a", b' ; a="b\\"c;"', b";a=b;c"]),
    st.randoms(use_true_random=False),
)
def test_a_chunking_is_nobody_s_business(body: bytes, places: list[int], extension: bytes, rng: Random) -> None:
    """However a body is cut into chunks, and those into segments, the upstream gets the body."""
    head = b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    got, _ = passed_on(head + chunked(body, places, extension), rng)
    assert [(one.line, one.body) for one in got] == [((b"PUT", b"/x"), body)]


GOOD = [seed for seed in requests.SEEDS if not seed.verdict.endswith("...") and "4" not in seed.verdict[:1]]
PERSISTENT = [
    seed.wire
    for seed in GOOD
    if (understood := read([seed.wire])).open and understood.refusal is None and "upgrade" not in seed.name.lower()
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PERSISTENT), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_a_pipeline_is_its_requests(wires: list[bytes], rng: Random) -> None:
    """Requests sent ahead reach the upstream one by one as they were framed, and are answered each its own."""
    apart = [read([wire]) for wire in wires]
    got, sent = passed_on(b"".join(wires), rng)
    asked = [one for understood in apart for one in understood.asked]
    reached = [(one.line, one.body) for one in got]
    # The sidecar answers some by itself (OPTIONS *, say, where no route takes it); the rest is all there, in order.
    left = iter([((one.method, one.target), one.body) for one in asked])
    assert all(one in left for one in reached)
    opinion = strict.responses(sent, [one.method for one in asked], ended=False)
    bodies = [answer.body for answer in opinion.messages if answer.line == 200 and answer.body]
    assert bodies == [tag(number, one) for number, one in enumerate(got, 1) if one.line[0] != b"HEAD"]
    last = opinion.messages[-1]
    assert len(opinion.messages) == len(asked) or (b"connection", b"close") in last.fields


def test_pipelines_are_made_of_something() -> None:
    """Enough of the corpus keeps its connection: else the law before this one says little."""
    counts = list(accumulate(len(read([wire]).asked) for wire in PERSISTENT))
    assert len(PERSISTENT) > 40
    assert counts[-1] >= len(PERSISTENT)
