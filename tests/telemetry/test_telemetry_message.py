"""Laws of a message's spelling: it says it all in words of ours, fits its receiver, and calls nobody."""

import json
from typing import Any

import pytest

from sidecar.telemetry.message import LIMITS, Format, Line, Message, fitted, given, payload, spoken

AT = 1_790_000_000.0


def line(route: str, upstream: str = "connect", **changed: Any) -> Line:
    """One route that had failed for ten minutes."""
    usual: dict[str, Any] = {
        "kinds": ("breaker_open",),
        "at": AT - 588.0,
        "seconds": 588.0,
        "callers": {"last_known_good": 120, "refused": 3},
        "failures": {f"{upstream} attempt_timeout": 5},
    }
    return Line(route=route, upstream=upstream, **(usual | changed))


def text_of(message: Message, form: Format = "json") -> str:
    """What people read."""
    document = payload(message, form, "web-1")
    return str(document["content" if form == "discord" else "text"])


def test_an_opening_names_the_upstream_first_then_who_is_affected_and_what_callers_get() -> None:
    """The first line is all that a phone shows."""
    opened = tuple(line(f"r{number}", kinds=("breaker_open", "fail_closed")) for number in range(2))
    assert text_of(Message(at=AT, opened=opened)).splitlines() == [
        "connect is failing (2 routes) - sidecar on web-1",
        (
            "connect: breaker opened on r0, r1, failed closed on r0, r1, since 14:03:32 UTC, after 10 attempt_timeout."
            " Callers got: 240 last known good, 6 refused."
        ),
    ]


def test_what_lasts_and_what_is_over_say_how_long() -> None:
    """In minutes, with what callers were given meanwhile."""
    message = Message(at=AT, escalated=(line("a"),), recovered=(line("b", "sms", callers={}),))
    assert text_of(message).splitlines() == [
        "connect still failing after 9 min 48 s (a); sms well again after 9 min 48 s (b) - sidecar on web-1",
        "connect: breaker opened on a, since 14:03:32 UTC. Callers got since: 120 last known good, 3 refused.",
        "sms: over on b, since 14:03:32 UTC. Callers got meanwhile: nothing, none came.",
    ]


def test_a_rejected_configuration_says_where() -> None:
    """Its problems are located; beyond a few they are counted."""
    problems = tuple(f"sidecar.yaml:{number}:1: routes: nonsense" for number in range(9))
    shown = text_of(Message(at=AT, rejected=problems)).splitlines()
    assert shown[0] == "configuration rejected, the one before stays - sidecar on web-1"
    assert shown[1:] == [*problems[:5], "and 4 more problems"]
    assert text_of(Message(at=AT, accepted=True)) == "a valid configuration was taken - sidecar on web-1"


def test_the_generic_document_has_everything_for_programs() -> None:
    """Every line with its numbers; JSON as it stands."""
    message = Message(at=AT, opened=(line("a"),), rejected=("p",))
    document = json.loads(json.dumps(payload(message, "json", "web-1")))
    assert list(document) == ["sidecar", "at", "text", "opened", "escalated", "recovered", "config"]
    assert document["config"] == {"rejected": ["p"], "accepted": False}
    assert document["opened"] == [
        {
            "route": "a",
            "upstream": "connect",
            "kinds": ["breaker_open"],
            "since": "2026-09-21T14:03:32.000Z",
            "seconds": 588.0,
            "callers": {"last_known_good": 120, "refused": 3},
            "failures": {"connect attempt_timeout": 5},
        }
    ]


NASTY = "f:1:1: <!channel> <@U123> @everyone @here *bold* [a](http://x) `\n\u2028 & \U0001f600"


def test_slack_is_given_plain_text() -> None:
    """Its three characters are escaped (api.slack.com: formatting text), its markup is off."""
    document = payload(Message(at=AT, rejected=(NASTY,)), "slack", "web-1")
    assert (document["mrkdwn"], document["unfurl_links"]) == (False, False)
    assert "&lt;!channel&gt; &lt;@\u200bU123&gt; @\u200beveryone @\u200bhere" in document["text"]
    assert "<" not in document["text"]
    assert document["text"].count("\n") == 1


def test_discord_may_mention_nobody() -> None:
    """By its own key and by what stands there; markup is escaped."""
    document = payload(Message(at=AT, rejected=(NASTY,)), "discord", "web-1")
    assert document["allowed_mentions"] == {"parse": []}
    for word in ("@everyone", "@here", "<@", "<!", "*bold*[a]"):
        assert word not in document["content"].replace("\\*", "")
    assert payload(Message(at=AT, opened=(line("a_b_c"),)), "discord", "h")["content"].startswith("connect is failing")
    assert r"a\_b\_c" in text_of(Message(at=AT, opened=(line("a_b_c"),)), "discord")


@pytest.mark.parametrize("form", ["slack", "discord"])
def test_however_much_there_is_it_fits(form: Format) -> None:
    """200 upstreams with long names, and problems of characters that count twice: whole lines, the rest counted."""
    for opened, rejected in (
        (tuple(line("r" * 63, f"u{number:_<62}") for number in range(200)), ()),
        ((), ("\U0001f600" * 300,) * 9),
    ):
        text = text_of(Message(at=AT, opened=opened, rejected=rejected), form)
        assert len(text.encode("utf-16-le")) // 2 <= LIMITS[form]
        assert "more" in text.splitlines()[-1]


def test_a_line_is_never_cut_but_the_first() -> None:
    """What fits exactly is whole."""
    assert fitted(["a", "b"], 200, str) == "a\nb"
    assert fitted(["a", "b" * 300, "c"], 200, str) == "a\n… and 2 more lines: see /status on the admin port"
    assert len(fitted(["a" * 300], 200, str)) < 200


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (588, "9 min 48 s"), (3600, "1 h"), (7500, "2 h 5 min")],
)
def test_times_are_spoken(seconds: float, words: str) -> None:
    """As people say them."""
    assert spoken(seconds) == words


def test_what_callers_got_is_in_words() -> None:
    """In this order, and only what there was; those who left are nobody's to count."""
    assert given({"ok": 2, "static": 1, "client_gone": 9, "fail_closed": 0}) == "1 static, 2 answered"
