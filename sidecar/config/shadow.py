"""Which routes can never be chosen.

By the router's own order: exact path before prefix before regex, the longer prefix, more conditions, file
order.

Sound, not complete: what it names is dead; a regex that is dead by its meaning alone is not found.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from sidecar.config.route import Match

_LITERAL: Final = re.compile(r"\^?((?:[A-Za-z0-9/_~%&=:;,@!<>\x27\x22 -]|\\[^A-Za-z0-9])*)")
_QUANTIFIER: Final = frozenset("?*{")


def shadowed(matches: Sequence[Match]) -> Iterator[tuple[int, list[int]]]:
    """Every index that never wins, with the indexes of those that take its requests."""
    order = sorted(range(len(matches)), key=lambda index: _precedence(matches[index], index))
    for position, index in enumerate(order):
        earlier = [other for other in order[:position] if _covers_path(matches[other], matches[index])]
        if winners := _winners(matches, index, earlier):
            yield index, winners


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


def _covers_path(winner: Match, loser: Match) -> bool:
    if (winner.path, winner.prefix, winner.regex) == (loser.path, loser.prefix, loser.regex):
        return True
    # Of the rest only a prefix can: a longer one that takes a shorter's paths takes only some of them.
    if winner.prefix is None or loser.regex is None:
        return False
    beginning = literal_prefix(loser.regex)
    return beginning.startswith(winner.prefix) or (winner.prefix == "/" and not beginning)


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
