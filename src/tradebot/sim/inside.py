"""A way to the exchange without a network: httpx's one method over an ASGI app in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
from starlette.types import ASGIApp, Message

CLIENT = "127.0.0.1", 123


class Inside(httpx.AsyncBaseTransport):
    """Hands requests to `app`; what it raises comes out here.

    Half of the latency is the way there: who has more to send does so before the first is worked on.
    httpx's own ASGITransport looks for an event loop of another kind with each request, which takes as long
    as half an order.
    """

    def __init__(self, app: ASGIApp, latency_ms: float = 0.0) -> None:
        self._app = app
        self._latency = latency_ms / 1000

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The app's answer, once it is whole and has come all the way."""
        if not self._latency:
            return await self._answer(request)
        clock = asyncio.get_running_loop().time
        back = clock() + self._latency
        await asyncio.sleep(self._latency / 2)
        response = await self._answer(request)
        await asyncio.sleep(back - clock())
        return response

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        incoming, told = _messages(await request.aread()), list[Message]()

        async def receive() -> Message:
            return next(incoming)

        async def send(message: Message) -> None:
            told.append(message)

        await self._app(_scope(request), receive, send)
        start, *parts = told
        body = b"".join(part.get("body", b"") for part in parts)
        return httpx.Response(start["status"], headers=start["headers"], content=body, request=request)


def _messages(body: bytes) -> Iterator[Message]:
    yield {"type": "http.request", "body": body, "more_body": False}
    while True:
        yield {"type": "http.disconnect"}


def _scope(request: httpx.Request) -> dict[str, Any]:
    url = request.url
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw], "scheme": url.scheme,
        "path": url.path, "raw_path": url.raw_path.partition(b"?")[0], "query_string": url.query,
        "server": (url.host, url.port), "client": CLIENT, "root_path": "",
    }  # fmt: skip
