"""Results that a suite prints as lines with a mark in front: one reader for all who do that."""

import re
from collections.abc import Iterator

from conformance.score import Case, Verdict

_LINE = re.compile(r"^(?P<mark>[✅❌]) (?P<text>.+)$")  # the marks are the suites' own output
_AFTER_NAME = re.compile(r" \(\d+ms\)$|: (?=Response Status Code|Server waited|Read operation)")


def marked(output: str) -> Iterator[Case]:
    """A case per marked line. What follows the name (a duration, a status) is its detail."""
    for line in output.splitlines():
        if found := _LINE.match(line.strip()):
            name, *rest = _AFTER_NAME.split(found["text"], maxsplit=1)
            verdict = Verdict.PASSED if found["mark"] == "✅" else Verdict.FAILED
            yield Case(name.strip(), verdict, "".join(rest).strip())
