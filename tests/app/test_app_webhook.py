"""Laws of one POST: what came of it is a word of ours, whatever the receiver does, and the URL is in none of them."""

import json
import socket
import ssl
from collections.abc import Iterator

import aiohttp
import pytest
import trustme
from fixtures import upstream as scripted
from fixtures.process import free_port
from fixtures.upstream import Behaviour, Exchange, Upstream

from sidecar.app.webhook import post
from sidecar.telemetry.delivery import Reply

BODY = b'{"text":"connect is failing"}'


@pytest.fixture
def receiver() -> Iterator[Upstream]:
    """A webhook."""
    with Upstream(otherwise=scripted.answer(204, b"")) as upstream:
        yield upstream


async def test_it_is_one_json_post(receiver: Upstream) -> None:
    """To the URL as it is, without cookies or what a library would add."""
    assert await post(f"{receiver.url}/hook/a%2Fb?c=d", BODY) == Reply("", 204)
    (request,) = receiver.requests()
    assert (request.method, request.target, request.body) == ("POST", "/hook/a%2Fb?c=d", BODY)
    assert request.get("content-type") == "application/json"
    assert str(request.get("user-agent")).startswith("sidecar/")
    assert json.loads(request.body)["text"] == "connect is failing"


@pytest.mark.parametrize(
    ("behaviour", "reply"),
    [
        (scripted.status(500), Reply("status 500", 500)),
        (scripted.status(404), Reply("status 404", 404)),
        (scripted.status(302, headers=[("Location", "/elsewhere")]), Reply("status 302", 302)),
        (scripted.status(429, headers=[("Retry-After", "7")]), Reply("status 429", 429, 7.0)),
        (scripted.status(429, headers=[("Retry-After", "0.3")]), Reply("status 429", 429, 1.0)),
        (scripted.status(503, headers=[("Retry-After", "soon")]), Reply("status 503", 503)),
        (scripted.hang(), Reply("attempt_timeout")),
    ],
)
async def test_answers(receiver: Upstream, behaviour: Behaviour, reply: Reply) -> None:
    """Statuses as they are, redirects not followed, waits as they are asked for."""
    receiver.otherwise(behaviour)
    assert await post(f"{receiver.url}/s3cret", BODY, aiohttp.ClientTimeout(total=0.3)) == reply
    assert receiver.count() == 1


async def test_connections_that_fail() -> None:
    """Refused; no such name; nothing that is HTTP; cut off."""
    assert await post(f"http://127.0.0.1:{free_port()}/s3cret", BODY) == Reply("connect_failure")
    assert await post("http://nowhere.invalid/s3cret", BODY) == Reply("dns_failure")

    async def nonsense(exchange: Exchange) -> None:
        await exchange.write(b"220 mail.test ESMTP\r\n\r\n")
        exchange.close()

    async def gone(exchange: Exchange) -> None:
        exchange.close()

    with Upstream(otherwise=nonsense) as receiver:
        assert await post(f"{receiver.url}/s3cret", BODY) == Reply("malformed_response")
        receiver.otherwise(gone)
        assert await post(f"{receiver.url}/s3cret", BODY) == Reply("reset")


async def test_a_certificate_that_nobody_knows_is_refused() -> None:
    """The URL is a secret: it goes to nobody who cannot prove a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with Upstream(tls=context) as receiver:
        assert await post(f"https://localhost:{receiver.port}/s3cret", BODY) == Reply("tls_failure")
        assert receiver.requests() == []


async def test_proxies_of_the_environment_are_not_used(receiver: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them may be this very process."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        assert await post(receiver.url, BODY) == Reply("", 204)
