"""The clients of Python applications."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

import aiohttp
import httpx
import requests
import urllib3
import yarl

from conformance.clients.answer import LIMIT, Answer, Make, Question


def _lower(fields: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in fields]


def _pieces(question: Question) -> bytes | Iterator[bytes] | None:
    return iter(question.pieces) if question.pieces is not None else question.body


class Requests:
    """requests, with a session."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.trust_env = False

    def ask(self, question: Question) -> Answer:
        """One exchange."""
        response = self._session.request(
            question.method,
            question.url,
            headers=dict(question.headers),
            data=_pieces(question),
            allow_redirects=question.follow,
            timeout=LIMIT,
        )
        return Answer(response.status_code, _lower(response.raw.headers.items()), response.content)

    def close(self) -> None:
        """Lets go of its connections."""
        self._session.close()


class Urllib3:
    """urllib3, below requests: without retries of its own."""

    def __init__(self) -> None:
        self._pool = urllib3.PoolManager(timeout=LIMIT)

    def ask(self, question: Question) -> Answer:
        """One exchange."""
        response = self._pool.request(
            question.method,
            question.url,
            headers=dict(question.headers),
            body=_pieces(question),
            redirect=question.follow,
            retries=urllib3.Retry(total=5, connect=0, read=0, status=0, other=0) if question.follow else False,
        )
        return Answer(response.status, _lower(response.headers.items()), response.data)

    def close(self) -> None:
        """Lets go of its connections."""
        self._pool.clear()


class Httpx:
    """httpx, whose reading of HTTP is h11's."""

    def __init__(self) -> None:
        self._client = httpx.Client(timeout=LIMIT, trust_env=False)

    def ask(self, question: Question) -> Answer:
        """One exchange."""
        response = self._client.request(
            question.method,
            question.url,
            headers=dict(question.headers),
            content=_pieces(question),
            follow_redirects=question.follow,
        )
        return Answer(response.status_code, _lower(response.headers.multi_items()), response.content)

    def close(self) -> None:
        """Lets go of its connections."""
        self._client.close()


class Aiohttp:
    """aiohttp, whose reading of HTTP is llhttp's, as Node's; on a loop of its own."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._session = self._runner.run(_session())

    def ask(self, question: Question) -> Answer:
        """One exchange."""
        return self._runner.run(self._ask(question))

    def close(self) -> None:
        """Lets go of its connections."""
        self._runner.run(self._session.close())
        self._runner.close()

    async def _ask(self, question: Question) -> Answer:
        async with self._session.request(
            question.method,
            yarl.URL(question.url, encoded=True),
            headers=question.headers,
            data=question.body if question.pieces is None else _sent(question.pieces),
            allow_redirects=question.follow,
        ) as response:
            return Answer(response.status, _lower(response.headers.items()), await response.read())


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT))


async def _sent(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


LIBRARIES: dict[str, Make] = {"requests": Requests, "urllib3": Urllib3, "httpx": Httpx, "aiohttp": Aiohttp}
"""By name."""
