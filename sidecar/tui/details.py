"""Everything about one route, and what happened last."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.text import Text

from sidecar.tui import words
from sidecar.tui.reading import Reading, Row, items, members, moment, number, text
from sidecar.tui.table import state, state_style

_LOUD: Final = ("to open", "ejected", "unhealthy", "rejected")


def about(reading: Reading, row: Row) -> Iterator[Text]:
    """The selected route, from its breaker to its endpoints and last transitions."""
    yield _title(row)
    if row.callers_get:
        yield Text(f"  {row.callers_get}", style="bold")
    yield _breaker(row)
    yield from _extras(row)
    yield Text(f"  requests    {_counts(members(members(row.raw.get('totals')).get('by_outcome')))}")
    refused = members(members(row.raw.get("totals")).get("refused_by_reason"))
    if refused:
        yield Text(f"  refused     {_counts(refused)}")
    yield from _upstream(reading.upstream(row.upstream), row.upstream)
    for line in happened(reading, {row.name, row.upstream}):
        yield Text("  ") + line


def _title(row: Row) -> Text:
    line = Text(row.name, style="bold")
    line.append(f" to {row.upstream}" if row.upstream else "", style="not bold")
    line.append("  critical: fails closed" if row.critical else "", style="not bold")
    return line


def _breaker(row: Row) -> Text:
    line = Text("  breaker     ")
    line.append(state(row) if row.state else "none", style=state_style(row))
    if row.since is not None:
        line.append(f" for {words.duration(row.since)}")
    if row.state == "open" and not row.held and row.retry_after is not None:
        line.append(f", next probe in {words.duration(row.retry_after)}")
    held = members(members(row.raw.get("breaker")).get("forced"))
    if held:
        line.append(f", by hand until {words.clock(moment(held.get('until')))}", style="yellow")
    return line


def _extras(row: Row) -> Iterator[Text]:
    fault = members(row.raw.get("fault"))
    if fault:
        said = ", ".join(_done_by(fault)) or "active"
        ratio, until = words.share(number(fault.get("ratio"))), words.clock(moment(fault.get("until")))
        yield Text(f"  fault       {said} for {ratio} of attempts until {until}", style="yellow")
    bulkhead = members(row.raw.get("bulkhead"))
    if bulkhead:
        held, limit, queued = (words.count(number(bulkhead.get(name))) for name in ("in_flight", "limit", "queued"))
        yield Text(f"  bulkhead    {held} of {limit} slots, {queued} waiting")


def _done_by(fault: Mapping[str, Any]) -> Iterator[str]:
    if abort := number(fault.get("abort")):
        yield f"answers {abort:.0f}"
    if delay := number(fault.get("delay")):
        yield f"waits {words.seconds(delay)}"
    if fault.get("reset"):
        yield "resets"


def _upstream(upstream: Mapping[str, Any], name: str) -> Iterator[Text]:
    if not upstream:
        return
    connections, budget = members(upstream.get("connections")), members(upstream.get("budget"))
    active, idle = (words.count(number(connections.get(state))) for state in ("active", "idle"))
    line = f"  upstream    {name}: {active} connections busy, {idle} idle"
    if budget:
        line += f"; retry budget {words.rate(number(budget.get('available')))}"
        line += f" at hand, {words.share(number(budget.get('ratio')))} of requests"
    yield Text(line)
    for endpoint in map(members, items(upstream.get("endpoints"))):
        yield _endpoint(endpoint)


def _endpoint(endpoint: Mapping[str, Any]) -> Text:
    line = Text(f"    {text(endpoint.get('name'))}  ")
    health = members(endpoint.get("health"))
    if endpoint.get("ejected") is True:
        until = moment(endpoint.get("ejected_until"))
        line.append("ejected" if until is None else f"ejected until {words.clock(until)}", style="bold red")
    elif health.get("healthy") is False:
        line.append(f"unhealthy: {text(health.get('last_failure')) or 'no reason given'}", style="bold red")
    else:
        line.append("in", style="green")
    line.append(f"  {words.count(number(endpoint.get('pending')))} under way")
    weight, priority = number(endpoint.get("weight")), number(endpoint.get("priority"))
    if weight not in {None, 1.0} or priority:
        line.append(f"  weight {words.count(weight)}, priority {words.count(priority)}")
    return line


def _counts(counts: Mapping[str, Any]) -> str:
    said = [f"{words.count(number(value))} {text(name)}" for name, value in counts.items()]
    return ", ".join(said) or "none yet"


def happened(reading: Reading, subjects: set[str] | None = None) -> Iterator[Text]:
    """The journal, newest first; of these subjects, if some are given."""
    for entry in reversed(reading.journal):
        if subjects is None or text(entry.get("subject")) in subjects:
            said = text(entry.get("text"))
            style = "red" if any(word in said for word in _LOUD) else ""
            line = Text(f"{words.clock(moment(entry.get('at')))}  ", style="dim")
            line.append(said, style=f"not dim {style}".strip())
            yield line
