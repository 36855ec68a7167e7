"""Dead routes: what is reported is never chosen by the router itself, and what people write by mistake is reported."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config import Match
from sidecar.config.shadow import literal_prefix, shadowed
from sidecar.policy import router


def _matches(*written: dict[str, Any]) -> list[Match]:
    return [Match.model_validate(match) for match in written]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ([{"path": "/a"}, {"path": "/a"}], [(1, [0])]),
        ([{"path": "/a"}, {"path": "/b"}], []),
        ([{"path": "/a"}, {"prefix": "/a"}], []),
        ([{"prefix": "/"}, {"prefix": "/a"}, {"path": "/a"}], []),
        ([{"prefix": "/"}, {"regex": "/a/[0-9]+"}], [(1, [0])]),
        ([{"prefix": "/a"}, {"regex": "/a/[0-9]+"}], [(1, [0])]),
        ([{"prefix": "/a"}, {"regex": "^/a\\.b/.*$"}], [(1, [0])]),
        ([{"prefix": "/a"}, {"regex": "/a?/b"}], []),
        ([{"prefix": "/a"}, {"regex": "/a|/b"}], []),
        ([{"prefix": "/a"}, {"regex": "(?i)/a"}], []),
        ([{"prefix": "/b"}, {"regex": "/a"}], []),
        ([{"regex": "/a.*"}, {"regex": "/a.*"}], [(1, [0])]),
        ([{"path": "/a", "methods": ["GET"]}, {"path": "/a"}], []),
        ([{"path": "/a"}, {"path": "/a", "methods": ["GET"]}], []),
        ([{"path": "/a", "methods": ["GET", "POST"]}, {"path": "/a", "methods": ["POST"]}], [(1, [0])]),
        ([{"path": "/a", "methods": ["POST"]}, {"path": "/a", "methods": ["GET", "POST"]}], []),
        (
            [
                {"path": "/a", "methods": ["POST"]},
                {"path": "/a", "methods": ["GET"]},
                {"path": "/a", "methods": ["GET", "POST"]},
            ],
            [(2, [1, 0])],
        ),
        ([{"path": "/a", "host": "A.example"}, {"path": "/a", "host": "a.example"}], [(1, [0])]),
        ([{"path": "/a", "host": "a"}, {"path": "/a", "host": "b"}], []),
        ([{"path": "/a", "headers": {"X": "1"}}, {"path": "/a", "headers": {"x": "1"}}], [(1, [0])]),
        ([{"path": "/a", "headers": {"X": "1"}}, {"path": "/a", "headers": {"X": "2"}}], []),
        ([{"prefix": "/", "methods": ["GET"]}, {"regex": "/a"}], []),
        ([{"prefix": "/", "methods": ["GET"]}, {"regex": "/a", "methods": ["GET"]}], [(1, [0])]),
    ],
)
def test_dead_routes(written: list[dict[str, Any]], found: list[tuple[int, list[int]]]) -> None:
    """Identical matches, wider conditions that come first, and a prefix in front of a regex."""
    assert list(shadowed(_matches(*written))) == found


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("/a/b", "/a/b"),
        ("^/a", "/a"),
        ("/a.b", "/a"),
        ("/a\\.b", "/a.b"),
        ("/ab*", "/a"),
        ("/ab+", "/ab"),
        ("/a\\d", "/a"),
        ("/a{2}", "/"),
        ("/a\\.?x", "/a"),
        ("[a]", ""),
        ("a|b", ""),
        ("", ""),
        ("/a$", "/a"),
        ("(/a)", ""),
    ],
)
def test_how_a_pattern_begins(pattern: str, text: str) -> None:
    """The literal beginning of a regular expression, or less of it, never more."""
    assert literal_prefix(pattern) == text


_PATHS = ["/", "/a", "/a/b", "/b", "/ab"]
_MATCH = st.builds(
    lambda kind, methods, host, headers: Match.model_validate(
        {kind[0]: kind[1], "methods": methods, "headers": headers, **({"host": host} if host else {})}
    ),
    st.tuples(st.sampled_from(["path", "prefix"]), st.sampled_from(_PATHS))
    | st.tuples(st.just("regex"), st.sampled_from(["/a", "/a.*", "/(a|b)", "/a?b", ".*", "/ab*", "[/]a", "/a/b|/b"])),
    st.sets(st.sampled_from(["GET", "POST"])).map(sorted),
    st.sampled_from(["", "a", "b"]),
    st.dictionaries(st.sampled_from(["X", "Y"]), st.sampled_from(["1", "2"])),
)


@settings(max_examples=300)
@given(st.lists(_MATCH, min_size=2, max_size=6))
def test_what_is_reported_is_never_chosen(matches: list[Match]) -> None:
    """Against the router that serves: over every request, a route that is reported dead gets none."""
    dead = {index for index, _ in shadowed(matches)}
    serving = router.Router([(_as_served(match), index) for index, match in enumerate(matches)])
    for method in (b"GET", b"POST", b"PUT"):
        for host in (b"a", b"b:80", b"c"):
            for path in (*(path.encode() for path in _PATHS), b"/abb", b"/a/b/c"):
                for values in ({}, {b"x": b"1"}, {b"x": b"1", b"y": b"2"}, {b"x": b"2", b"y": b"1"}):
                    headers = [(name, name, value) for name, value in values.items()]
                    assert serving.match(method, host, path, headers) not in dead


def _as_served(match: Match) -> router.Match:
    return router.Match(
        path=match.path,
        prefix=match.prefix,
        regex=match.regex,
        methods=frozenset(method.encode() for method in match.methods),
        host=None if match.host is None else match.host.encode(),
        headers={name.lower().encode(): value.encode() for name, value in match.headers.items()},
    )
