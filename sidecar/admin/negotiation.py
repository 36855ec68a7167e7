"""Which metrics format a scraper asked for."""

from collections.abc import Iterable

_OPENMETRICS = "application/openmetrics-text"
_TEXT = "text/plain"


def wants_openmetrics(accept: Iterable[str]) -> bool:
    """Whether the `Accept` fields prefer OpenMetrics over plain text (RFC 9110 section 12.5.1).

    Plain text is what is sent unless OpenMetrics is named, so `*/*` and no field at all mean plain text.
    """
    weights = {_OPENMETRICS: 0.0, _TEXT: 0.0}
    for entry in ",".join(accept).split(","):
        media, *parameters = (part.strip().lower() for part in entry.split(";"))
        if media in weights:
            weights[media] = max(weights[media], _weight(parameters))
    return weights[_OPENMETRICS] > 0.0 and weights[_OPENMETRICS] >= weights[_TEXT]


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
