"""Laws of routing: the most specific match wins, however it is found."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.policy.router import Header, Match, Router, bare_host, shadowed

GET = b"GET"
HEADERS: list[Header] = []


def route(*matches: Match, path: bytes, method: bytes = GET, host: bytes = b"h", **headers: str) -> int | None:
    """The index of the match that wins."""
    found = [(name.encode(), name.encode(), value.encode()) for name, value in headers.items()]
    return Router([(match, index) for index, match in enumerate(matches)]).match(method, host, path, found)


def naive(matches: Sequence[Match], method: bytes, host: bytes, path: bytes, headers: Sequence[Header]) -> int | None:
    """The rules as the documentation says them: all that match, sorted by how specific they are."""
    able = []
    for index, match in enumerate(matches):
        if match.path is not None:
            place = (0, 0) if path == match.path else None
        elif match.prefix is not None:
            place = (1, -len(match.prefix)) if path.startswith(match.prefix) else None  # type: ignore[arg-type]
        else:
            assert isinstance(match.regex, bytes)
            place = (2, 0) if re.fullmatch(match.regex, path) else None
        own_host = host.lower().removesuffix(b":80")
        conditions = [
            *([method in match.methods] if match.methods else []),
            *([own_host == match.host] if match.host is not None else []),
            *(any(low == name and got == value for low, _, got in headers) for name, value in match.headers.items()),
        ]
        if place is not None and all(conditions):
            able.append((*place, -len(conditions), index))
    return min(able)[-1] if able else None


paths = st.lists(st.sampled_from([b"a", b"b", b"ab", b"/"]), max_size=5).map(lambda parts: b"/" + b"".join(parts))
regexes = st.sampled_from([b"/a.*", b"/(a|b)+", b".*b", b"/", b"/[^/]*/b?"])
headers = st.dictionaries(st.sampled_from([b"x-a", b"x-b"]), st.sampled_from([b"1", b"2"]), max_size=2)


@st.composite
def tables(draw: st.DrawFn) -> list[Match]:
    """Up to a dozen matches over few paths, so that they compete."""
    made = []
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["path", "prefix", "prefix", "regex"]))
        given = {kind: draw(regexes if kind == "regex" else paths)}
        plain = draw(st.booleans())
        made.append(
            Match(
                **given,
                methods=frozenset() if plain else draw(st.frozensets(st.sampled_from([b"GET", b"POST"]))),
                host=None if plain else draw(st.sampled_from([None, b"one", b"two"])),
                headers={} if plain else draw(headers),
            )
        )
    return made


calls = st.tuples(
    st.sampled_from([b"GET", b"POST", b"PUT"]),
    st.sampled_from([b"one", b"ONE:80", b"two", b"three"]),
    paths,
    st.lists(
        st.tuples(st.sampled_from([b"x-a", b"x-b"]), st.sampled_from([b"1", b"2"])).map(
            lambda pair: (pair[0], pair[0].title(), pair[1])
        ),
        max_size=3,
    ),
)


@given(matches=tables(), asked=st.lists(calls, min_size=1, max_size=8))
def test_it_agrees_with_the_rules_read_one_by_one(
    matches: list[Match], asked: list[tuple[bytes, bytes, bytes, list[Header]]]
) -> None:
    """Whatever table, whatever request: the tables of the router are a matter of speed alone."""
    router = Router([(match, index) for index, match in enumerate(matches)])
    for method, host, path, found in asked:
        assert router.match(method, host, path, found) == naive(matches, method, host, path, found)


@given(matches=tables(), asked=st.lists(calls, min_size=1, max_size=8))
def test_what_is_shadowed_never_wins(
    matches: list[Match], asked: list[tuple[bytes, bytes, bytes, list[Header]]]
) -> None:
    """A match reported as dead is dead, and the one that is blamed is the reason."""
    dead = dict(shadowed(matches))
    for call in asked:
        assert naive(matches, *call) not in dead
    for loser, winner in dead.items():
        for call in asked:
            if naive([matches[loser]], *call) is not None:
                assert naive([matches[winner]], *call) is not None


def test_exact_before_prefix_before_regex() -> None:
    """Whatever their order in the file."""
    matches = [Match(regex="/a/.*"), Match(prefix="/a/"), Match(path="/a/b")]
    assert route(*matches, path=b"/a/b") == 2
    assert route(*matches, path=b"/a/c") == 1
    assert route(matches[0], path=b"/a/c") == 0
    assert route(*matches, path=b"/c") is None


def test_the_longer_prefix_wins() -> None:
    """And a prefix is a beginning of the text, not of the segments, as in nginx and Envoy."""
    matches = [Match(prefix="/"), Match(prefix="/api"), Match(prefix="/api/v1/")]
    assert route(*matches, path=b"/api/v1/x") == 2
    assert route(*matches, path=b"/apis") == 1
    assert route(*matches, path=b"/api/v1") == 1
    assert route(*matches, path=b"/x") == 0


def test_more_conditions_win_then_file_order() -> None:
    """Each header counts as one, host and methods as one each."""
    matches = [
        Match(path="/a"),
        Match(path="/a", methods=frozenset({GET, b"POST"})),
        Match(path="/a", host=b"h", methods=frozenset({GET})),
        Match(path="/a", host=b"h", methods=frozenset({GET, b"PUT"})),
    ]
    assert route(*matches, path=b"/a") == 2
    assert route(*matches, path=b"/a", method=b"PUT") == 3
    assert route(*matches, path=b"/a", method=b"POST") == 1
    assert route(*matches, path=b"/a", method=b"DELETE") == 0


def test_a_longer_prefix_whose_conditions_fail_leaves_the_request_to_a_shorter_one() -> None:
    """Nobody is turned away by a route that does not want them."""
    matches = [
        Match(prefix="/a/", methods=frozenset({b"POST"})),
        Match(prefix="/"),
        Match(path="/a/b", host=b"x"),
    ]
    assert route(*matches, path=b"/a/b") == 1


@pytest.mark.parametrize(
    ("sent", "compared"),
    [
        (b"API.Example.com", b"api.example.com"),
        (b"api.example.com:8080", b"api.example.com"),
        (b"api.example.com:", b"api.example.com"),
        (b"[::1]", b"[::1]"),
        (b"[::1]:80", b"[::1]"),
        (b"10.0.0.1:80", b"10.0.0.1"),
        (b"", b""),
    ],
)
def test_hosts_are_compared_without_case_and_port(sent: bytes, compared: bytes) -> None:
    """On both sides of the comparison."""
    assert bare_host(sent) == compared
    assert route(Match(path="/", host=sent), path=b"/", host=compared) == 0
    assert route(Match(path="/", host=compared), path=b"/", host=sent) == 0


def test_a_header_must_be_exactly_so_in_one_of_its_lines() -> None:
    """Its value is compared byte for byte, each line for itself."""
    match = Match(path="/", headers={b"x-team": b"blue"})
    router = Router([(match, "found")])
    for values, found in [
        ([b"blue"], "found"),
        ([b"red", b"blue"], "found"),
        ([b"blue, red"], None),
        ([], None),
    ]:
        sent = [(b"x-team", b"X-Team", value) for value in values]
        assert router.match(GET, b"h", b"/", sent) == found


def test_paths_are_taken_as_they_come() -> None:
    """No decoding and no tidying: what a route does not match it does not see."""
    matches = [Match(path="/a/b"), Match(prefix="/a/")]
    assert route(*matches, path=b"/a/%62") == 1
    assert route(*matches, path=b"/a/c/../b") == 1
    assert route(*matches, path=b"/a//b") == 1
    assert route(*matches, path=b"//a/b") is None
    assert route(*matches, path=b"*") is None
    assert route(Match(path="/caf\u00e9"), path="/caf\u00e9".encode()) == 0


def test_a_target_may_be_anything() -> None:
    """Also what Python takes for nothing."""
    router = Router([(Match(path="/a"), 0), (Match(prefix="/b"), "")])
    assert router.match(GET, b"h", b"/a", HEADERS) == 0
    assert router.match(GET, b"h", b"/bb", HEADERS) == ""


@pytest.mark.parametrize("given", [{}, {"path": "/", "prefix": "/"}, {"path": "/", "regex": "/"}])
def test_a_match_is_of_one_kind(given: dict[str, str]) -> None:
    """Exactly one of path, prefix and regex."""
    with pytest.raises(ValueError, match="exactly one"):
        Match(**given)  # type: ignore[arg-type]


def test_a_broken_regex_is_refused() -> None:
    """When the table is built."""
    with pytest.raises(re.error):
        Router([(Match(regex="/(a"), 0)])


def test_what_is_shadowed_and_by_whom() -> None:
    """The same text twice, methods that are a part of others', and a regex under an open root."""
    get, both = frozenset({GET}), frozenset({GET, b"POST"})
    matches = [
        Match(path="/a", methods=both),
        Match(path="/a", methods=get),
        Match(path="/b"),
        Match(path="/b"),
        Match(regex="/x.*"),
        Match(prefix="/"),
        Match(prefix="/c"),
        Match(path="/d", methods=get),
        Match(path="/d", methods=both),
        Match(path="/e", host=b"h"),
        Match(path="/e"),
    ]
    assert shadowed(matches) == [(1, 0), (3, 2), (4, 5)]


def test_an_ipv6_host_is_written_with_or_without_brackets() -> None:
    """In a URI it has them, in the configuration it has none; a port is no part of either."""
    for written in (b"::1", b"[::1]", b"[::1]:80"):
        match = Match(path="/", host=written)
        assert route(match, path=b"/", host=b"[::1]:8080") == 0
        assert route(match, path=b"/", host=b"[::1]") == 0
        assert route(match, path=b"/", host=b"[::2]") is None
