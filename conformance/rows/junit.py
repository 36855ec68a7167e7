"""Results in the XML that pytest writes."""

import xml.etree.ElementTree as ET  # the file was written by a pytest that we started
from collections.abc import Iterator
from pathlib import Path

from conformance.score import Case, Verdict


def junit(report: Path) -> Iterator[Case]:
    """A case per test; one that was skipped was not run. Nothing where no report was written."""
    if not report.is_file():
        return
    for test in ET.parse(report).getroot().iter("testcase"):
        name = f"{test.get('classname', '').rpartition('.')[2]}.{test.get('name', '')}"
        failure = next((found for kind in ("failure", "error") if (found := test.find(kind)) is not None), None)
        if failure is not None:
            yield Case(name, Verdict.FAILED, _one_line(failure.get("message", "")))
        elif test.find("skipped") is not None:
            yield Case(name, Verdict.NOT_RUN)
        else:
            yield Case(name, Verdict.PASSED)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
