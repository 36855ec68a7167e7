"""Laws of a tunnel: bytes, back-pressure and ends of one side are those of the other."""

import asyncio
import gc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_wire_timers import SLOT, FakeLoop
from wire_fakes import READ, FakeTransport

from sidecar.wire.tunnel import CALLER_RESET, CLOSED, ENDED, IDLE, LINGER, UPSTREAM_RESET, Tunnel

HIGH = 65536


class Side:
    """A connection that hands its transport over, and its peer. `early`: what came before it did."""

    def __init__(self, early: bytes = b"", *, window: int | None = None, halves: bool = True) -> None:
        self.early = early
        self.transport = FakeTransport(asyncio.Protocol(), window, halves=halves)
        self.losses = 0

    def hand_over(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport, bytes]:
        """As a connection does."""
        self.transport.set_protocol(protocol)
        return self.transport, self.early

    def lost(self) -> None:
        """It is told."""
        self.losses += 1

    @property
    def state(self) -> str:
        """How it stands with its peer."""
        transport = self.transport
        if transport.aborted:
            return "reset" if transport.socket.resets else "aborted"
        return "closed" if transport.closed else "shut" if transport.ended else "open"


class Both:
    """A tunnel that may be quiet for 60 s, and its two sides."""

    def __init__(self, caller: Side | None = None, upstream: Side | None = None) -> None:
        self.loop = FakeLoop()
        self.caller = caller or Side()
        self.upstream = upstream or Side()
        self.ends: list[str] = []
        self.tunnel = Tunnel(
            self.caller,
            self.upstream,
            timers=self.loop.timers,
            clock=lambda: self.loop.now,
            idle=60.0,
            ended=lambda tunnel: self.ends.append(tunnel.how),
        )

    def settle(self) -> None:
        """The loop tells of every transport that has come to its end."""
        for _ in range(3):
            for side in (self.caller, self.upstream):
                transport = side.transport
                if not transport.lost and (transport.aborted or (transport.closed and not transport.unsent)):
                    transport.lose()

    def at_rest(self) -> None:
        """Nothing is left of it."""
        assert (self.caller.losses, self.upstream.losses) == (1, 1)
        assert len(self.ends) == 1
        assert self.loop.timers.pending == 0


# Bytes.


@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=50)), max_size=30), st.binary(), st.binary())
def test_bytes_pass_both_ways_as_they_are(pieces: list[tuple[bool, bytes]], early: bytes, first: bytes) -> None:
    """In order, after those that came ahead; all are counted."""
    both = Both(Side(early), Side(first))
    for from_caller, piece in pieces:
        (both.caller if from_caller else both.upstream).transport.receive(piece)
    upwards = early + b"".join(piece for from_caller, piece in pieces if from_caller)
    downwards = first + b"".join(piece for from_caller, piece in pieces if not from_caller)
    assert both.upstream.transport.taken == upwards
    assert both.caller.transport.taken == downwards
    assert (both.tunnel.bytes_in, both.tunnel.bytes_out) == (len(upwards), len(downwards))


@pytest.mark.parametrize("slow", ["caller", "upstream"])
def test_who_reads_slowly_is_waited_for(slow: str) -> None:
    """Its peer is not read while more than 64 KiB wait: what is held is that and one read, and all of it arrives."""
    both = Both(Side(window=0) if slow == "caller" else None, Side(window=0) if slow == "upstream" else None)
    reader, writer = (both.caller, both.upstream) if slow == "caller" else (both.upstream, both.caller)
    sent = b""
    for number in range(100):
        if writer.transport.paused:
            break
        piece = bytes([number]) * (READ if len(sent) > HIGH - 1000 else 1000)
        writer.transport.receive(piece)
        sent += piece
    assert writer.transport.paused
    assert len(reader.transport.unsent) <= HIGH + READ
    assert not reader.transport.paused
    reader.transport.read()
    assert not writer.transport.paused
    assert reader.transport.taken == sent


# Ends.


@pytest.mark.parametrize("first", ["caller", "upstream"])
def test_an_end_is_passed_on_and_the_other_way_stays_open(first: str) -> None:
    """FIN for FIN, at once; then the other side may say what it has to say."""
    both = Both()
    one, other = (both.caller, both.upstream) if first == "caller" else (both.upstream, both.caller)
    one.transport.receive(b"last words")
    one.transport.end()
    assert (other.state, one.state) == ("shut", "open")
    assert other.transport.taken == b"last words"
    other.transport.receive(b"answer")
    other.transport.end()
    assert one.transport.taken == b"answer"
    assert (one.state, other.state) == ("closed", "closed")
    both.settle()
    both.at_rest()
    assert both.ends == [ENDED]


@pytest.mark.parametrize(("who", "how"), [("caller", CALLER_RESET), ("upstream", UPSTREAM_RESET)])
@pytest.mark.parametrize("error", [ConnectionResetError(), None])
def test_a_reset_is_passed_on_as_one(who: str, how: str, error: Exception | None) -> None:
    """What ended without saying so must not look complete to anybody. TLS that is cut off comes without an error."""
    both = Both()
    one, other = (both.caller, both.upstream) if who == "caller" else (both.upstream, both.caller)
    one.transport.lose(error)
    assert other.state == "reset"
    both.settle()
    both.at_rest()
    assert both.ends == [how]


def test_a_reset_after_an_end_takes_nothing_back() -> None:
    """A server that said goodbye and closed resets what still comes: its caller has yet to read the goodbye."""
    both = Both(Side(window=0))
    both.upstream.transport.receive(b"goodbye")
    both.upstream.transport.end()
    both.caller.transport.receive(b"one more")
    both.upstream.transport.lose(ConnectionResetError())
    assert both.caller.state == "shut"
    both.caller.transport.receive(b"nobody hears this")
    both.caller.transport.read()
    assert both.caller.transport.taken == b"goodbye"
    both.caller.transport.end()
    both.settle()
    both.at_rest()
    assert both.ends == [ENDED]


def test_a_reset_after_our_end_is_passed_on() -> None:
    """The caller ended its half; that the upstream then breaks off is no end of its answer."""
    both = Both()
    both.caller.transport.end()
    both.upstream.transport.lose(ConnectionResetError())
    assert both.caller.state == "reset"
    both.settle()
    both.at_rest()
    assert both.ends == [UPSTREAM_RESET]


def test_who_has_nobody_to_talk_to_has_a_moment_to_end() -> None:
    """Two seconds, however much it says; what it says goes nowhere."""
    both = Both()
    both.upstream.transport.end()
    both.upstream.transport.lose(ConnectionResetError())
    for _ in range(4):
        both.loop.run(both.loop.now + LINGER / 5)
        both.caller.transport.receive(b"hello?")
    assert not both.ends
    both.loop.run(both.loop.now + LINGER)
    both.settle()
    both.at_rest()
    assert both.ends == [ENDED]


def test_tls_has_no_half_to_end() -> None:
    """The end of one side closes the other, once the last byte is out; and its own end is of both ways."""
    upstream = Side(window=0, halves=False)
    both = Both(upstream=upstream)
    both.caller.transport.receive(b"x" * 1000)
    both.caller.transport.end()
    assert upstream.state == "open"
    upstream.transport.read()
    assert (upstream.state, upstream.transport.taken) == ("closed", b"x" * 1000)
    both.settle()
    assert both.caller.state == "closed"
    both.settle()
    both.at_rest()

    again = Both(upstream=Side(halves=False))
    again.upstream.transport.receive(b"bye")
    again.upstream.transport.end()
    assert (again.caller.state, again.upstream.state) == ("shut", "closed")
    again.caller.transport.receive(b"too late")
    assert not again.upstream.transport.sent
    again.settle()
    again.caller.transport.end()
    again.settle()
    again.at_rest()
    assert again.ends == [ENDED]


# Time.


def test_silence_ends_both_sides() -> None:
    """60 s without a byte in either direction; a byte in one of them is enough to live on."""
    both = Both()
    for side in (both.caller, both.upstream, both.caller):
        both.loop.run(both.loop.now + 59.0)
        side.transport.receive(b".")
    both.loop.run(both.loop.now + 59.0)
    assert not both.ends
    both.loop.run(both.loop.now + 1.0 + SLOT)
    assert both.ends == [IDLE]
    assert (both.caller.state, both.upstream.state) == ("closed", "closed")
    both.settle()
    both.at_rest()


def test_who_takes_nothing_any_more_is_cut_off() -> None:
    """Bytes that are taken, however slowly, are no silence; those that are not could be missed: a reset."""
    both = Both(Side(window=0))
    both.upstream.transport.receive(b"x" * 100_000)
    for _ in range(5):
        both.loop.run(both.loop.now + 59.0)
        both.caller.transport.read(1)
    assert not both.ends
    both.loop.run(both.loop.now + 121.0)
    assert both.ends == [IDLE]
    assert (both.caller.state, both.upstream.state) == ("reset", "closed")
    both.settle()
    both.at_rest()


def test_it_can_be_closed() -> None:
    """At the end of the process: told at once, and once."""
    both = Both()
    both.tunnel.close()
    assert both.ends == [CLOSED]
    assert (both.caller.state, both.upstream.state) == ("closed", "closed")
    both.caller.transport.receive(b"late")
    both.settle()
    both.at_rest()


# All together.


class Story(Both):
    """What happens to a tunnel, in any order; remembers what each side said."""

    def __init__(self, window: int | None, halves: tuple[bool, bool]) -> None:
        super().__init__(Side(window=window, halves=halves[0]), Side(window=window, halves=halves[1]))
        self.said = {self.caller: b"", self.upstream: b""}
        self.ended: set[Side] = set()
        self.orderly = True

    def may_speak(self, side: Side) -> bool:
        """Whether anything that it sends is read."""
        transport = side.transport
        return not (transport.lost or transport.is_closing() or transport.paused or side in self.ended)

    def speak(self, side: Side) -> None:
        """It says something."""
        if self.may_speak(side):
            piece = bytes([len(self.said[side]) % 251]) * 40_000
            self.said[side] += piece
            side.transport.receive(piece)

    def end(self, side: Side) -> None:
        """It says no more."""
        if self.may_speak(side):
            self.ended.add(side)
            side.transport.end()

    def reset(self, side: Side) -> None:
        """It breaks off."""
        if not side.transport.lost and not side.transport.closed:
            self.orderly = False
            side.transport.lose(ConnectionResetError())

    def read(self, side: Side) -> None:
        """It takes more."""
        if not side.transport.lost:
            side.transport.read(30_000)

    def wait(self, _: Side) -> None:
        """Time passes."""
        self.loop.run(self.loop.now + 25.0)

    def wait_long(self) -> None:
        """So much of it that nothing can be left."""
        self.loop.run(self.loop.now + 130.0)
        self.settle()

    def turn(self, _: Side) -> None:
        """The loop tells what it has to tell."""
        self.settle()

    def close(self, _: Side) -> None:
        """The process ends."""
        self.orderly = False
        self.tunnel.close()


EVENTS = st.sampled_from([Story.speak, Story.end, Story.reset, Story.read, Story.wait, Story.turn, Story.close])


@given(
    st.lists(st.tuples(st.booleans(), EVENTS), max_size=40),
    st.sampled_from([None, 0, 70_000]),
    st.tuples(st.booleans(), st.booleans()),
)
def test_whatever_happens_it_ends_once_and_invents_nothing(
    events: list[tuple[bool, Callable[[Story, Side], None]]], window: int | None, halves: tuple[bool, bool]
) -> None:
    """What a side gets is the beginning of what the other said; an end that looks orderly comes after all of it."""
    story = Story(window, halves)
    caller, upstream = story.caller, story.upstream
    for by_caller, event in events:
        event(story, caller if by_caller else upstream)
    for side, other in ((caller, upstream), (upstream, caller)):
        assert story.said[other].startswith(side.transport.taken)
        if side.state == "shut" and story.orderly:
            assert side.transport.sent == story.said[other]
    for _ in range(4):
        story.wait_long()
    story.at_rest()


def test_it_leaves_no_circles_behind() -> None:
    """What has ended is freed at once, not when the collector comes by."""
    gc.collect()
    gc.disable()
    try:
        both = Both()
        both.caller.transport.end()
        both.upstream.transport.end()
        both.settle()
        both.at_rest()
        for side in (both.caller, both.upstream):
            side.transport.set_protocol(asyncio.Protocol())  # as a loop's transport forgets its own
        del both.tunnel
        assert not [found for found in gc.get_objects() if isinstance(found, Tunnel)]
    finally:
        gc.enable()
