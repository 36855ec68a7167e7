"""The proxy of an afternoon: aiohttp on both sides, retries, a deadline, a JSON access log."""

import asyncio
import logging
import ssl
import sys
import uuid
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

UPSTREAMS = {"tls": "https://127.0.0.1:@tls_port@", "": "http://127.0.0.1:@origin_port@"}
HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host"}
LINE = '{"time": "%t", "request": "%r", "status": %s, "bytes_out": %b, "seconds": %Tf, "id": "%{X-Request-Id}o"}'
SESSION = web.AppKey("session", aiohttp.ClientSession)


async def forward(request: web.Request) -> web.StreamResponse:
    """One request: to the upstream its path asks for, again on a broken connection."""
    request_id = request.headers.get("X-Request-Id") or uuid.uuid4().hex
    if request.path.startswith("/refused/"):
        return web.json_response({"reason": "refused"}, status=503, headers={"X-Request-Id": request_id})
    url = UPSTREAMS["tls" if request.path.startswith("/tls/") else ""] + request.raw_path
    headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
    headers += [("X-Request-Id", request_id), ("Via", "1.1 aiohttp")]
    body = await request.read() if request.body_exists else None
    async with asyncio.timeout(15):
        for attempt in range(3):
            try:
                async with request.app[SESSION].request(request.method, url, headers=headers, data=body) as answer:
                    return await relay(request, answer, request_id)
            except aiohttp.ClientConnectionError:
                if attempt == 2:
                    return web.json_response({"reason": "connect"}, status=502)
                await asyncio.sleep(0.025 * 2**attempt)
    raise AssertionError


async def relay(request: web.Request, answer: aiohttp.ClientResponse, request_id: str) -> web.StreamResponse:
    """Passes the answer on as it comes."""
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
    response = web.StreamResponse(status=answer.status, headers={**headers, "X-Request-Id": request_id})
    await response.prepare(request)
    async for chunk in answer.content.iter_chunked(64 * 1024):
        await response.write(chunk)
    await response.write_eof()
    return response


async def session(app: web.Application) -> AsyncIterator[None]:
    """Opens the client with the application, and closes it with it."""
    trust = ssl.create_default_context(cafile="@ca@")
    connector = aiohttp.TCPConnector(ssl=trust, limit=100, keepalive_timeout=30)
    timeout = aiohttp.ClientTimeout(sock_connect=1, sock_read=4)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as client:
        app[SESSION] = client
        yield


logging.getLogger("aiohttp.access").addHandler(logging.FileHandler("@access_log@"))
logging.getLogger("aiohttp.access").setLevel(logging.INFO)
application = web.Application(client_max_size=10 * 1024 * 1024)
application.cleanup_ctx.append(session)
application.router.add_route("*", "/{path:.*}", forward)
web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log_format=LINE, backlog=4096)
