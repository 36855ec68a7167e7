"""Laws of which metrics format is sent."""

import pytest

from sidecar.admin.negotiation import wants_openmetrics

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ([], False),
        (["*/*"], False),
        (["text/plain"], False),
        (["application/openmetrics-text"], True),
        (["Application/OpenMetrics-Text; Version=1.0.0"], True),
        ([PROMETHEUS_2], True),
        ([PROMETHEUS_3], True),
        (["text/plain;version=0.0.4;q=1,*/*;q=0.1"], False),
        (["application/openmetrics-text;q=0"], False),
        (["application/openmetrics-text;q=0.3, text/plain;q=0.9"], False),
        (["text/plain;q=0.3", "application/openmetrics-text"], True),
        (["application/openmetrics-text;q=high"], False),
        (["text/html,application/xhtml+xml,*/*;q=0.8"], False),
        (["", ";;,=,q="], False),
    ],
)
def test_openmetrics_only_when_it_is_preferred(accept: list[str], openmetrics: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Prometheus of any version gets what it likes best; browsers and curl get plain text."""
    assert wants_openmetrics(accept) is openmetrics
