"""Text messages through providers that fail: a real `requests` client, all times a tenth of production's.

The provider writes down every message that reached it: none may do so twice. The sidecar runs
config/examples/govuk-notify.yaml itself.
"""

import json
import socket
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Self

import pytest
import requests
from examples import SCALE, example
from fixtures import upstream as scripted
from fixtures.process import RunningSidecar
from fixtures.upstream import Behaviour, Exchange, Upstream

from sidecar.clock import MONOTONIC

PATH = "/api/sendsms/json"
CLIENT_TIMEOUT = 60 / SCALE
"""Of the sender's own client."""
ATTEMPT, CONNECT = 10 / SCALE, 2 / SCALE
MARGIN = 1.5
"""Seconds that a busy machine may add."""
SENDERS, MESSAGES = 4, 20

Figures = Callable[[str, str], None]

sent = scripted.ok({"code": 0, "description": "SMS successfully queued"})
declined = scripted.ok({"code": 1, "description": "Authentication failed"})


def message_of(body: bytes) -> str:
    """The message id in a form."""
    return urllib.parse.parse_qs(body.decode())["reference"][0]


@dataclass
class Provider:
    """One API at two addresses."""

    a: Upstream
    b: Upstream

    @property
    def env(self) -> dict[str, str]:
        """Where the sidecar finds them; the other provider is nobody's concern here."""
        return {"FIRETEXT_URL": self.a.url, "FIRETEXT_URL_2": self.b.url, "MMG_URL": "http://127.0.0.1:9"}

    def both(self, behaviour: Behaviour) -> None:
        """The same at both addresses."""
        self.a.otherwise(behaviour)
        self.b.otherwise(behaviour)

    def received(self) -> Counter[str]:
        """How often each message reached it."""
        return Counter(message_of(request.body) for end in (self.a, self.b) for request in end.requests())


@pytest.fixture
def provider() -> Iterator[Provider]:
    """In order, until told otherwise."""
    with Upstream() as a, Upstream() as b:
        made = Provider(a, b)
        made.both(sent)
        yield made


@dataclass
class Sender:
    """Notify's client: a form, an answer in JSON, and what it would write to its error log."""

    base: str
    session: requests.Session = field(default_factory=requests.Session)
    errors: list[str] = field(default_factory=list)
    count: int = 0

    def send(self, *, timeout: float = CLIENT_TIMEOUT, times: int = 1) -> requests.Response | None:
        """One message under an id of its own; `times`: what a client that retries by itself would do."""
        self.count += 1
        form = {"apiKey": "k", "to": "447700900001", "message": "hi", "reference": f"{id(self)}-{self.count}"}
        for _ in range(times):
            try:
                answer = self.session.post(self.base + PATH, data=form, timeout=timeout)
                if answer.status_code == 200 and answer.json()["code"] == 0:
                    return answer
                self.errors.append(str(answer.status_code))
            except (requests.RequestException, ValueError) as error:
                self.errors.append(type(error).__name__)
                answer = None
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()


@pytest.fixture
def sender() -> Iterator[Callable[[str], Sender]]:
    """`sender(url)`: its connections are closed with the test."""
    with ExitStack() as stack:
        yield lambda base: stack.enter_context(Sender(base))


@pytest.fixture
def notify(provider: Provider, sidecar: Callable[..., RunningSidecar]) -> RunningSidecar:
    """The example before the provider."""
    return sidecar(example("govuk-notify"), env=provider.env)


def through(proxy: RunningSidecar) -> str:
    """The only thing Notify changes: the provider's address."""
    return f"{proxy.url}/firetext"


def errors_told(proxy: RunningSidecar) -> int:
    """What would page somebody: lines of the process log at level error."""
    return sum(json.loads(line)["level"] in ("error", "critical") for line in proxy.stderr().splitlines())


def test_without_the_sidecar_a_bad_address_loses_or_doubles_every_message(
    provider: Provider, sender: Callable[[str], Sender], record_property: Figures
) -> None:
    """One address fails: each message is an error and a line; a client that retries after a timeout sends twice."""
    provider.a.otherwise(scripted.status(503))
    plain = sender(provider.a.url)
    for _ in range(40):
        plain.send()
    assert len(plain.errors) == 40
    assert provider.b.count() == 0, "the other address was there all the time"

    provider.a.otherwise(scripted.hang())
    eager = sender(provider.a.url)
    started = MONOTONIC()
    eager.send(timeout=0.3, times=2)
    took = MONOTONIC() - started
    doubled = [message for message, times in provider.received().items() if times > 1]
    assert len(doubled) == 1
    record_property(
        "figure", f"without the sidecar: 40 of 40 messages lost, 40 error lines; 1 text twice in {took:.1f} s"
    )


def test_with_the_sidecar_the_other_address_takes_over_and_gives_back(
    provider: Provider,
    sidecar: Callable[..., RunningSidecar],
    sender: Callable[[str], Sender],
    record_property: Figures,
) -> None:
    """Three messages are lost to a bad address, within seconds; healthy again, it is used again."""
    notify = sidecar(example("govuk-notify", {"for": "15s"}), env=provider.env)  # so that the burst fits in
    ours = sender(through(notify))
    provider.a.otherwise(scripted.status(503))
    away = f'sidecar_endpoint_ejected{{upstream="firetext",endpoint="{provider.a.url}"}}'
    started = MONOTONIC()
    notify.until(lambda: ours.send() is not None and notify.metric(away), what="the bad address is left")
    failover = MONOTONIC() - started
    lost = len(ours.errors)
    assert lost == provider.a.count() == 3, "more went to the bad address than it takes to know"

    burst = [ours.send() for _ in range(30)]
    assert [answer.status_code for answer in burst if answer is not None] == [200] * 30
    assert (provider.a.count(), errors_told(notify)) == (lost, 0)

    provider.a.otherwise(sent)
    before, healed = provider.a.count(), MONOTONIC()
    notify.until(lambda: ours.send() is not None and provider.a.count() > before, what="the healthy address is used")
    back, before = MONOTONIC() - healed, provider.b.count()
    assert [ours.send() is not None for _ in range(10)] == [True] * 10
    assert provider.b.count() == before, "the second address is for when the first is away"
    assert len(ours.errors) == lost
    assert set(provider.received().values()) == {1}
    record_property(
        "figure",
        f"with the sidecar: {lost} messages lost, failover in {failover:.2f} s, return in {back:.2f} s, 0 error lines",
    )


def test_an_address_that_nobody_answers_at_loses_no_message(
    provider: Provider, notify: RunningSidecar, sender: Callable[[str], Sender], record_property: Figures
) -> None:
    """Nothing was sent, so the other address gets it: the caller sees success alone, and nothing arrives twice."""
    provider.a.close()
    ours = sender(through(notify))
    answers = [ours.send() for _ in range(40)]
    assert [answer is not None and answer.status_code for answer in answers] == [200] * 40
    assert (ours.errors, len(provider.received()), provider.b.count()) == ([], 40, 40)
    again = notify.metric('sidecar_retries_total{route="firetext",reason="connect_failure"}')
    assert 1 <= again <= 40
    record_property("figure", f"one address refuses connections: 40 of 40 messages sent, {again:.0f} went to the other")


def deaf(stack: ExitStack) -> str:
    """An address whose backlog is full: who connects there hears nothing, neither yes nor no."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(3):
        filler = stack.enter_context(socket.socket())
        filler.settimeout(0)
        filler.connect_ex(listener.getsockname())
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def silence() -> Iterator[dict[str, str]]:
    """Where no connection comes about, as environment of the example."""
    with ExitStack() as stack:
        yield {"FIRETEXT_URL": deaf(stack), "FIRETEXT_URL_2": deaf(stack)}


def test_a_provider_that_hangs_is_a_504_in_bounded_time(
    provider: Provider,
    silence: dict[str, str],
    sidecar: Callable[..., RunningSidecar],
    sender: Callable[[str], Sender],
    record_property: Figures,
) -> None:
    """While connecting as while reading, and with the reason in the body."""
    provider.both(scripted.hang())
    slow = sidecar(example("govuk-notify"), env=provider.env)
    nowhere = sidecar(example("govuk-notify"), env={**provider.env, **silence})
    figures = []
    for proxy, reason, bound in ((slow, "attempt_timeout", ATTEMPT), (nowhere, "connect_timeout", 2 * CONNECT)):
        started = MONOTONIC()
        answer = sender(through(proxy)).send()
        took = MONOTONIC() - started
        assert answer is not None
        assert (answer.status_code, answer.json()["reason"]) == (504, reason)
        assert bound <= took < bound + MARGIN
        figures.append(f"{reason} after {took:.2f} s")
    assert set(provider.received().values()) == {1}
    figures.append(f"the client itself would wait {CLIENT_TIMEOUT:.0f} s")
    record_property("figure", f"a provider that hangs: {', '.join(figures)}")


TROUBLE = {
    "503": scripted.status(503),
    "429": scripted.status(429),
    "reset": scripted.reset(),
    "half": scripted.half_body(),
    "garbage": scripted.garbage(),
    "hang": scripted.hang(),
    "declined": declined,
    "no-json": scripted.answer(200, b"<html>", content_type="text/html"),
    "empty": scripted.empty(),
    "sent": sent,
}


def test_no_message_is_ever_sent_twice(
    provider: Provider,
    sidecar: Callable[..., RunningSidecar],
    sender: Callable[[str], Sender],
    record_property: Figures,
) -> None:
    """Whatever became of the answer, on new connections and on reused ones: a message reaches a provider once.

    With breakers that refuse nothing, so that all of the trouble is met.
    """
    text = example("govuk-notify").replace("breaker: {", "breaker: {dry_run: true, ")
    notify = sidecar(text, env=provider.env)

    async def misbehave(exchange: Exchange) -> None:
        number = int(message_of(exchange.request.body).rpartition("-")[2])
        await list(TROUBLE.values())[number % len(TROUBLE)](exchange)

    provider.both(misbehave)

    def run(_: int) -> Sender:
        one = sender(through(notify))
        for _ in range(MESSAGES):
            one.send()
        return one

    with ThreadPoolExecutor(SENDERS) as pool:
        senders = list(pool.map(run, range(SENDERS)))
    received = provider.received()
    assert len(received) == SENDERS * MESSAGES
    assert set(received.values()) == {1}
    failed = sum(len(one.errors) for one in senders)
    assert failed == SENDERS * MESSAGES * (len(TROUBLE) - 1) // len(TROUBLE)
    assert errors_told(notify) == 0
    record_property(
        "figure", f"{len(received)} messages, {len(TROUBLE) - 1} kinds of trouble: {failed} failed, 0 sent twice"
    )


def test_a_200_that_says_no_counts_as_the_failure_it_is(
    provider: Provider, notify: RunningSidecar, sender: Callable[[str], Sender]
) -> None:
    """502 with the reason; the provider's breaker counts it and opens, the other provider's stays closed."""
    provider.both(declined)
    ours = sender(through(notify))
    first = ours.send()
    assert first is not None
    assert (first.status_code, first.json()["reason"]) == (502, "unexpected_response")
    is_open = 'sidecar_breaker_state{route="firetext",state="open"}'
    notify.until(lambda: ours.send() is not None and notify.metric(is_open), what="the breaker is open")
    refused = ours.send()
    assert refused is not None
    assert (refused.status_code, refused.json()["reason"]) == (503, "breaker_open")
    assert int(refused.headers["Retry-After"]) >= 1
    assert notify.metric('sidecar_breaker_state{route="mmg",state="closed"}') == 1
    assert "Authentication" not in notify.log_text(), "quoted what the provider said"


def test_a_burst_of_errors_is_counted_and_wakes_nobody(
    provider: Provider, notify: RunningSidecar, sender: Callable[[str], Sender], record_property: Figures
) -> None:
    """Each message is in the access log and the metrics; the process log has a line when the breaker moves."""
    provider.both(scripted.status(500))
    ours = sender(through(notify))
    for _ in range(100):
        ours.send()
    notify.wait_for_access(100)
    assert len(ours.errors) == 100
    lines = [json.loads(line) for line in notify.stderr().splitlines()]
    told = [line for line in lines if line["level"] not in ("info", "debug")]
    assert errors_told(notify) == 0
    assert len(told) <= 5
    assert [line["to"] for line in told if line.get("event") == "breaker"][:1] == ["open"]
    asked = sum(provider.received().values())
    figure = f"100 messages in a burst of 500s: {asked} reached the provider, 0 error lines, {len(told)} warnings"
    record_property("figure", figure)


class SlowForm:
    """A form that its sender takes a while to hand over, of known length."""

    def __init__(self, body: bytes, seconds: float) -> None:
        self._left = [body[:10], body[10:]]
        self._seconds = seconds
        self._length = len(body)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        while self._left:
            yield self.read()

    def read(self, _size: int = -1) -> bytes:
        """The next piece, the second one late."""
        if len(self._left) == 1:
            time.sleep(self._seconds)
        return self._left.pop(0) if self._left else b""


def test_the_providers_own_time_is_measured_apart(
    provider: Provider, notify: RunningSidecar, sender: Callable[[str], Sender], record_property: Figures
) -> None:
    """What the sender itself spends is in the request's time and not in the provider's."""
    senders_own, providers_own = 0.4, 0.15
    provider.both(scripted.delayed(providers_own, sent))
    body = SlowForm(b"apiKey=k&to=447700900001&message=hi&reference=slow-1", senders_own)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = sender(through(notify)).session.post(through(notify) + PATH, data=body, headers=form, timeout=5)
    assert answer.status_code == 200
    notify.wait_for_access(1)

    whole = notify.metric('sidecar_request_duration_seconds_sum{route="firetext"}')
    phases = 'sidecar_upstream_duration_seconds_sum{route="firetext",upstream="firetext",phase="total"}'
    raw = notify.metric(phases)
    assert raw >= providers_own
    assert whole - raw >= senders_own * 0.9
    record_property("figure", f"one message: {whole:.2f} s for the sender, of which {raw:.2f} s are the provider's own")
