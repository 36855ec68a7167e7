"""Which routes can never be chosen.

By the router's own order: exact path before prefix before regex, the longer prefix, more conditions, file
order.

Sound, not complete: what it names is dead; a regex that is dead by its meaning alone is not found.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from sidecar.config.route import Match

_LITERAL: Final = re.compile(r"\^?((?:[A-Za-z0-9/_~%&=:;,@!<>\x27\x22 -]|\\[^A-Za-z0-9])*)")
_QUANTIFIER: Final = frozenset("?*{")


def shadowed(matches: Sequence[Match]) -> Iterator[tuple[int, list[int]]]:
    """Every index that never wins, with the indexes of those that take its requests."""
    same: defaultdict[tuple[str | None, ...], list[int]] = defaultdict(list)
    prefixes: list[int] = []
    for index in sorted(range(len(matches)), key=lambda index: _precedence(matches[index], index)):
        match = matches[index]
        alike = same[match.path, match.prefix, match.regex]
        # Besides the same path only a prefix before a regex covers: a longer prefix takes only some of a shorter's.
        earlier = alike if match.regex is None else [*_covering(matches, prefixes, match.regex), *alike]
        if winners := _winners(matches, index, earlier):
            yield index, winners
        alike.append(index)
        if match.prefix is not None:
            prefixes.append(index)


def _covering(matches: Sequence[Match], prefixes: Sequence[int], regex: str) -> Iterator[int]:
    beginning = literal_prefix(regex)
    for index in prefixes:
        prefix = matches[index].prefix
        assert prefix is not None
        if beginning.startswith(prefix) or (prefix == "/" and not beginning):
            yield index


def _winners(matches: Sequence[Match], index: int, earlier: Sequence[int]) -> list[int]:
    """One route may take all its requests, or several may take them method by method."""
    loser = matches[index]
    winners: list[int] = []
    for method in loser.methods or (None,):
        winner = next((other for other in earlier if _covers_conditions(matches[other], loser, method)), None)
        if winner is None:
            return []
        if winner not in winners:
            winners.append(winner)
    return winners


def _precedence(match: Match, index: int) -> tuple[int, int, int, int]:
    conditions = (match.host is not None) + bool(match.methods) + len(match.headers)
    if match.path is not None:
        return 0, 0, -conditions, index
    if match.prefix is not None:
        return 1, -len(match.prefix), -conditions, index
    return 2, 0, -conditions, index


def _covers_conditions(winner: Match, loser: Match, method: str | None) -> bool:
    return (
        (not winner.methods or method in winner.methods)
        and winner.host in (None, loser.host)
        and _folded(winner).items() <= _folded(loser).items()
    )


def _folded(match: Match) -> dict[str, str]:
    return {name.lower(): value for name, value in match.headers.items()}


def literal_prefix(pattern: str) -> str:
    """Text with which every match of the regular expression begins; "" if that is not plain to see."""
    if "|" in pattern:
        return ""
    found = _LITERAL.match(pattern)
    assert found is not None  # it matches nothing, if nothing else
    text = found[1]
    if pattern[found.end() : found.end() + 1] in _QUANTIFIER:  # its last character is optional
        text = text[:-2] if text[-2:-1] == "\\" else text[:-1]
    return re.sub(r"\\(.)", r"\1", text)
