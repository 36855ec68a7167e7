"""Laws of last known good: what is kept, under which key, and that nobody gets somebody else's."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.policy.last_known_good import (
    CREDENTIALS,
    NEGOTIATED,
    Header,
    Stored,
    cleaned,
    confirms,
    identity,
    key,
    question,
    storable,
    undeclared,
)
from sidecar.wire.framing import HOP_BY_HOP


def lines(*pairs: tuple[str, str]) -> list[Header]:
    """Header lines as the wire gives them."""
    return [(name.lower().encode(), name.encode(), value.encode()) for name, value in pairs]


# Letters that the key's own framing is made of: lengths, colons and the sign for nothing.
part = st.text("12:-a", max_size=6).map(str.encode)
identities = st.lists(st.tuples(part, st.none() | part), max_size=3).map(tuple)
Asked = tuple[str, bytes, bytes, bytes, bytes, tuple[tuple[bytes, bytes | None], ...]]
questions = st.tuples(part.map(bytes.decode), part, part, part, part, identities)


@given(st.lists(questions, min_size=2, max_size=6))
def test_different_questions_have_different_keys(asked: list[Asked]) -> None:
    """By construction: no part can be moved into its neighbour, and nothing is not the same as empty."""
    for one, other in pairwise(asked):
        assert (key(*one) == key(*other)) == (one == other)


@pytest.mark.parametrize("between", [b"", b":", b"1:", b"-", b"2:a", b"\0", b"\n"])
def test_nothing_moves_into_its_neighbour(between: bytes) -> None:
    """Whatever stands between two parts may be a part of either: the keys differ all the same."""
    longer, shorter = b"a" + between + b"b", b"b" + between + b"c"
    for place in range(3):
        one: list[Any] = ["r", b"GET", b"h", b"/", b"q", ()]
        other = [*one]
        one[place + 1 : place + 3] = [longer, b"c"]
        other[place + 1 : place + 3] = [b"a", shorter]
        assert key(*one) != key(*other)
    pairs: list[list[tuple[bytes, bytes | None]]] = [
        [(longer, b"c")],
        [(b"a", shorter)],
        [(b"a", b"b"), (b"b", b"c")],
        [(b"a", b"b" + between + shorter)],
        [(b"a", None), (b"b", None), (b"c", None)],
        [(longer, None), (b"c", None)],
        [(b"a", None), (shorter, None)],
    ]
    assert len({key("r", b"", b"", b"", b"", pair) for pair in pairs}) == len(pairs)


def test_every_part_is_in_the_key() -> None:
    """Route, method, host, path and query: a change of any of them asks something else."""
    asked: Asked = ("toggles", b"GET", b"api.example.com", b"/v1", b"phone_number=1", ())
    changed: list[Asked] = [
        ("toggle", *asked[1:]),
        (*asked[:1], b"HEAD", *asked[2:]),
        (*asked[:2], b"other.example.com", *asked[3:]),
        (*asked[:3], b"/v2", *asked[4:]),
        (*asked[:4], b"phone_number=2", ()),
    ]
    assert len({key(*each) for each in [asked, *changed]}) == 6


def test_a_missing_header_is_not_an_empty_one() -> None:
    """Who sends no credential is not who sends an empty one."""
    missing, empty = (key("r", b"GET", b"h", b"/", b"", [(b"a", value)]) for value in (None, b""))
    assert missing != empty


def test_no_credential_can_be_read_from_a_key() -> None:
    """It is a digest of fixed length."""
    made = key("r", b"GET", b"h", b"/", b"", [(b"authorization", b"Basic c2VjcmV0" * 100)])
    assert len(made) == 32
    assert b"c2VjcmV0" not in made


names = st.sampled_from(["Authorization", "Cookie", "X-User", "Accept", "Accept-Encoding", "User-Agent"])
requests = st.lists(st.tuples(names, st.sampled_from(["", "a", "b"])), max_size=6).map(lambda pairs: lines(*pairs))
declarations = st.sets(st.sampled_from([b"authorization", b"cookie", b"x-user"])).map(
    lambda found: tuple(sorted(found))
)


def asks(request: list[Header], declared: tuple[bytes, ...]) -> bytes | None:
    """The question of a request, all else being equal."""
    return question("r", b"GET", b"h", b"/", b"", request, declared)


@given(one=requests, other=requests, declared=declarations)
def test_who_asks_with_other_credentials_never_asks_the_same(
    one: list[Header], other: list[Header], declared: tuple[bytes, ...]
) -> None:
    """If two requests share a key, all that is declared, negotiated or a credential is the same in both."""
    first, second = asks(one, declared), asks(other, declared)
    if first is None or first != second:
        return
    for name in (*declared, *NEGOTIATED, *CREDENTIALS):
        values = [[value for low, _, value in request if low == name] for request in (one, other)]
        assert values[0] == values[1]


@given(request=requests, declared=declarations, seed=st.randoms(use_true_random=False))
def test_the_same_asker_asks_the_same(request: list[Header], declared: tuple[bytes, ...], seed: object) -> None:
    """Neither other headers nor the order of different ones make another question."""
    relevant = [line for line in request if line[0] != b"user-agent"]
    reordered = sorted(relevant, key=lambda line: line[0], reverse=True)
    assert asks(request, declared) == asks(reordered, declared)


@given(request=requests, declared=declarations)
def test_an_undeclared_credential_asks_nothing(request: list[Header], declared: tuple[bytes, ...]) -> None:
    """It can neither be kept for others nor served from them."""
    carries = {low for low, _, _ in request} & CREDENTIALS
    unknown = carries - set(declared)
    assert (asks(request, declared) is None) == bool(unknown)
    assert bool(undeclared(request, declared)) == bool(unknown)
    if unknown:
        assert storable(request, [], declared_identity=declared)


def test_other_declarations_ask_other_questions() -> None:
    """After a reload that changes `identity`, nothing is served that was kept under the old one."""
    request = lines(("Accept", "*/*"))
    assert len({asks(request, declared) for declared in [(), (b"x-user",), (b"x-user", b"x-team")]}) == 3


def test_lines_of_one_header_have_an_order() -> None:
    """Which of two credentials an upstream takes may depend on it."""
    one, other = lines(("Cookie", "a"), ("Cookie", "b")), lines(("Cookie", "b"), ("Cookie", "a"))
    assert asks(one, (b"cookie",)) != asks(other, (b"cookie",))


def test_a_header_sent_twice_counts_twice() -> None:
    """The second line of a Cookie identifies as much as the first."""
    once, twice = lines(("Cookie", "a=1")), lines(("Cookie", "a=1"), ("Cookie", "b=2"))
    assert asks(once, (b"cookie",)) != asks(twice, (b"cookie",))
    assert identity(twice, (b"cookie",)) == [(b"cookie", None), (b"cookie", b"a=1"), (b"cookie", b"b=2")]


def refused(response: list[tuple[str, str]], request: list[tuple[str, str]] | None = None, *declared: bytes) -> str:
    """Why it may not be kept."""
    return storable(lines(*request or []), lines(*response), declared_identity=declared)


def test_an_ordinary_answer_may_be_kept() -> None:
    """Freshness has no say: the route's own `max_age` has."""
    assert not refused([])
    assert not refused([("Cache-Control", "max-age=0, no-cache, must-revalidate"), ("Set-Cookie", "a=1")])


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "Proxy-Authorization", "COOKIE"])
def test_credentials_need_a_declared_identity(name: str) -> None:
    """The reason names the header, never its value."""
    said = refused([], [(name, "hunter2")])
    assert name.lower() in said
    assert "hunter2" not in said
    assert not refused([], [(name, "hunter2")], name.lower().encode())
    assert refused([], [(name, "hunter2")], b"x-user")


@pytest.mark.parametrize(
    ("control", "reason"),
    [
        ("no-store", "the answer says no-store"),
        ("max-age=60, No-Store", "the answer says no-store"),
        ("private", "the answer says private"),
        ('private="Set-Cookie"', "the answer says private"),
        ('foo="a, no-store"', "the answer says no-store"),
        ("no-storex", ""),
        ("x-no-store", ""),
        ("", ""),
        (",, ,", ""),
    ],
)
def test_cache_control_is_honoured(control: str, reason: str) -> None:
    """In any case, in any place of the list; in doubt nothing is kept."""
    assert refused([("Cache-Control", control)]) == reason
    assert refused([("Cache-Control", "public"), ("cache-control", control)]) == reason


def test_a_request_can_forbid_it_too() -> None:
    """RFC 9111 section 5.2.1.5."""
    assert refused([], [("Cache-Control", "no-store")]) == "the request says no-store"


@pytest.mark.parametrize(
    ("vary", "declared", "kept"),
    [
        ("Accept, accept-encoding", (), True),
        ("Accept-Language", (), True),
        ("Origin", (), True),
        ("Cookie", (), True),  # of a request without one: one with a Cookie is not served from it
        ("Authorization", (b"authorization",), True),
        ("X-User", (b"x-user",), True),
        ("X-User", (), False),
        ("Accept, X-User", (b"authorization",), False),
        ("User-Agent", (), False),
        ("*", (b"x-user",), False),
        ("Accept, *", (), False),
        ("", (), True),
    ],
)
def test_what_varies_by_more_than_the_key_is_not_kept(
    vary: str, declared: tuple[bytes, ...], kept: bool  # noqa: FBT001 - a table
) -> None:  # fmt: skip
    """An answer in French is not the answer to the same question in German."""
    assert (not refused([("Vary", vary)], [], *declared)) == kept


def test_what_is_kept_of_the_headers() -> None:
    """No session, nothing of the connection, nothing that is said anew; the rest as it was written."""
    kept = cleaned(
        lines(
            ("Content-Type", "application/json"),
            ("Set-Cookie", "session=1"),
            ("Connection", "close, X-Hop"),
            ("X-Hop", "1"),
            ("Transfer-Encoding", "chunked"),
            ("Age", "3"),
            ("ETag", '"a"'),
            ("Content-Length", "2"),
            ("X-Request-Id", "r"),
            ("X-Custom", "1"),
            ("x-custom", "2"),
        )
    )
    assert kept == (
        (b"Content-Type", b"application/json"),
        (b"ETag", b'"a"'),
        (b"X-Custom", b"1"),
        (b"x-custom", b"2"),
    )


def test_nothing_that_ends_at_this_hop_is_kept() -> None:
    """The same fields as the wire's, which policies may not import."""
    assert cleaned([(name, name, b"1") for name in HOP_BY_HOP]) == ()


def test_storing_and_serving_agree_on_what_is_negotiated() -> None:
    """`storable` accepts a Vary by these because `question` asks by these."""
    for name in NEGOTIATED:
        vary = [(b"vary", b"Vary", name)]
        assert not storable([], vary, declared_identity=())
        assert asks([(name, name, b"1")], ()) != asks([], ())


@pytest.mark.parametrize(
    ("new", "old", "same"),
    [
        ([("ETag", '"1"')], [("ETag", '"1"')], True),
        ([("ETag", 'W/"1"')], [("etag", '"1"')], True),
        ([("ETag", '"2"')], [("ETag", '"1"')], False),
        ([("ETag", '"1"')], [], False),
        ([("ETag", '"2"'), ("Last-Modified", "x")], [("ETag", '"1"'), ("Last-Modified", "x")], False),
        ([("Last-Modified", "x")], [("Last-Modified", "x")], True),
        ([("Last-Modified", "x")], [("Last-Modified", "y")], False),
        ([], [], False),
        ([], [("ETag", '"1"')], False),
    ],
)
def test_a_304_speaks_of_the_kept_answer_or_of_another(
    new: list[tuple[str, str]], old: list[tuple[str, str]], same: bool  # noqa: FBT001 - a table
) -> None:  # fmt: skip
    """By its validator; without one it speaks of nothing that we know."""
    kept = Stored(200, tuple((name.encode(), value.encode()) for name, value in old), b"", 0.0)
    assert confirms(lines(*new), kept) == same


def test_private_may_be_overruled_and_no_store_not() -> None:
    """By the operator of a route whose key says who asks."""
    response = lines(("Cache-Control", "private"))
    assert not storable([], response, declared_identity=(), overruled={"private"})
    response += lines(("Cache-Control", "no-store"))
    assert storable([], response, declared_identity=(), overruled={"private", "no-store"})
