"""One message to people: what it says, and how each kind of receiver wants it spelt.

Its words are ours and its names are the configuration's. What stands in the problems of a rejected configuration is
quoted from a file of the operator's, so everything is escaped for the receiver: nothing in it can mention anybody.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

Format = Literal["json", "slack", "discord"]

LIMITS: Final[Mapping[str, int]] = {"slack": 4000, "discord": 2000}
"""Characters of a text: Slack asks for no more than 4,000, Discord refuses more than 2,000."""

_NAMES: Final = 12
"""Routes named in one sentence."""
_PARTS: Final = 5
"""Upstreams named in the first line."""
_PROBLEMS: Final = 5
_PROBLEM_LENGTH: Final = 300
_SUPPRESS_EMBEDS: Final = 4
_GIVEN: Final = {
    "last_known_good": "last known good",
    "failover": "failover",
    "static": "static",
    "fail_closed": "failed closed",
    "refused": "refused",
    "upstream_error": "upstream error",
    "ok": "answered",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One route. at: Unix time of its first sign. callers: what they were given since, by outcome."""

    route: str
    upstream: str
    kinds: tuple[str, ...]
    at: float
    seconds: float
    callers: Mapping[str, int]
    failures: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Everything there is to say at one time.

    opened: is wrong and was not told. escalated: was told, and still is. recovered: was wrong and is no more.
    rejected: what is wrong with a configuration that was not taken. accepted: one was, after that.
    """

    at: float
    opened: tuple[Line, ...] = ()
    escalated: tuple[Line, ...] = ()
    recovered: tuple[Line, ...] = ()
    rejected: tuple[str, ...] = ()
    accepted: bool = False


def payload(message: Message, form: Format, host: str) -> dict[str, Any]:
    """The JSON document to post. `host`: which sidecar speaks."""
    if form == "slack":
        # No markup, no previews: a name is a name.
        text = fitted(lines(message, host), LIMITS[form], _for_slack)
        return {"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}
    if form == "discord":
        content = fitted(lines(message, host), LIMITS[form], _for_discord)
        return {"content": content, "allowed_mentions": {"parse": []}, "flags": _SUPPRESS_EMBEDS}
    return {
        "sidecar": host,
        "at": _stamp(message.at),
        "text": "\n".join(lines(message, host)),
        **{name: [_shown(line) for line in getattr(message, name)] for name in ("opened", "escalated", "recovered")},
        "config": {"rejected": list(message.rejected), "accepted": message.accepted},
    }


def lines(message: Message, host: str) -> list[str]:
    """The text, line by line: what matters in the first, who is affected and what callers get in the others."""
    parts = [
        *(f"{name} is failing ({_routes(group)})" for name, group in _grouped(message.opened)),
        *(
            f"{name} still failing after {spoken(_longest(group))} ({_routes(group)})"
            for name, group in _grouped(message.escalated)
        ),
        *(
            f"{name} well again after {spoken(_longest(group))} ({_routes(group)})"
            for name, group in _grouped(message.recovered)
        ),
        *(["configuration rejected, the one before stays"] if message.rejected else []),
        *(["a valid configuration was taken"] if message.accepted else []),
    ]
    if len(parts) > _PARTS:
        parts[_PARTS:] = [f"and {len(parts) - _PARTS} more"]
    return [f"{'; '.join(parts)} - sidecar on {host}", *_details(message)]


def fitted(text: Sequence[str], limit: int, escape: Callable[[str], str]) -> str:
    """As many whole lines as fit, escaped; how many do not is said. The first is cut if it must be."""
    left = [escape(line) for line in text]
    rest = "… and {} more lines: see /status on the admin port"
    room = limit - len(rest) - 10
    taken = [left[0][:room]]
    size = _size(taken[0])
    for line in left[1:]:
        size += _size(line) + 1
        if size > room:
            break
        taken.append(line)
    if len(taken) < len(left):
        taken.append(rest.format(len(left) - len(taken)))
    return "\n".join(taken)


def spoken(seconds: float) -> str:
    """12 s, 9 min 48 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def given(callers: Mapping[str, int]) -> str:
    """What callers were given, in words; "" if nobody came."""
    return ", ".join(f"{callers[outcome]} {words}" for outcome, words in _GIVEN.items() if callers.get(outcome))


def _details(message: Message) -> Iterator[str]:
    for name, group in _grouped(message.opened):
        yield f"{name}: {_wrong(group)}, since {_clock(group)}{_because(group)}. {_callers(group, 'Callers got')}"
    for name, group in _grouped(message.escalated):
        yield f"{name}: {_wrong(group)}, since {_clock(group)}. {_callers(group, 'Callers got since')}"
    for name, group in _grouped(message.recovered):
        yield f"{name}: over on {_listed(group)}, since {_clock(group)}. {_callers(group, 'Callers got meanwhile')}"
    for problem in message.rejected[:_PROBLEMS]:
        yield problem[:_PROBLEM_LENGTH]
    if len(message.rejected) > _PROBLEMS:
        yield f"and {len(message.rejected) - _PROBLEMS} more problems"


def _grouped(all_lines: Iterable[Line]) -> list[tuple[str, list[Line]]]:
    """By upstream, the one with the most routes first."""
    groups: dict[str, list[Line]] = {}
    for line in all_lines:
        groups.setdefault(line.upstream, []).append(line)
    return sorted(groups.items(), key=lambda item: -len(item[1]))


def _wrong(group: Sequence[Line]) -> str:
    words = {"breaker_open": "breaker opened on", "fail_closed": "failed closed on"}
    found = {kind: [line for line in group if kind in line.kinds] for kind in words}
    return ", ".join(f"{words[kind]} {_listed(some)}" for kind, some in found.items() if some)


def _because(group: Sequence[Line]) -> str:
    counts: dict[str, int] = {}
    for line in group:
        for failure, count in line.failures.items():
            reason = failure.removeprefix(f"{line.upstream} ")  # the sentence begins with it
            counts[reason] = counts.get(reason, 0) + count
    return f", after {', '.join(f'{count} {failure}' for failure, count in counts.items())}" if counts else ""


def _callers(group: Sequence[Line], words: str) -> str:
    counts: dict[str, int] = {}
    for line in group:
        for outcome, count in line.callers.items():
            counts[outcome] = counts.get(outcome, 0) + count
    return f"{words}: {given(counts) or 'nothing, none came'}."


def _listed(group: Sequence[Line]) -> str:
    names = [line.route for line in group]
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more


def _routes(group: Sequence[Line]) -> str:
    return group[0].route if len(group) == 1 else f"{len(group)} routes"


def _longest(group: Sequence[Line]) -> float:
    return max(line.seconds for line in group)


def _clock(group: Sequence[Line]) -> str:
    return datetime.fromtimestamp(min(line.at for line in group), UTC).strftime("%H:%M:%S UTC")


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _shown(line: Line) -> dict[str, Any]:
    return {
        "route": line.route,
        "upstream": line.upstream,
        "kinds": list(line.kinds),
        "since": _stamp(line.at),
        "seconds": round(line.seconds, 1),
        "callers": dict(line.callers),
        "failures": dict(line.failures),
    }


def _size(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2  # how both count: a character beyond the first plane is two


_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MARKUP: Final = re.compile(r"([\\*_~`|\[\]])")


def _harmless(text: str) -> str:
    # A space of no width after each "@": it reads the same and calls nobody.
    return _CONTROL.sub(" ", text).replace("@", "@\u200b")


def _for_slack(text: str) -> str:
    return _harmless(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _for_discord(text: str) -> str:
    return _MARKUP.sub(r"\\\1", _harmless(text).replace("<", "<\u200b"))
