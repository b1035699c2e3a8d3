"""The network: httpx's one method over aiohttp's connections, with failures that tell whether a request was sent.

Imported only when a real venue is asked, because aiohttp takes 0.2 s to import.
"""

from __future__ import annotations

import sys
from functools import lru_cache

import httpx
from yarl import URL

# Names are the system's to resolve. Where some package has brought aiodns, aiohttp would take 0.05 s to load it.
sys.modules.setdefault("aiodns", None)  # type: ignore[arg-type]
import aiohttp  # noqa: E402

RESERVE = 8  # connections that bulk reads leave to orders
KEEPALIVE_S = 60.0


class NetworkTransport(httpx.AsyncBaseTransport):
    """httpx's own pool costs O(n²) at 50 concurrent requests; aiohttp's does not.

    The body has been read when a response is returned, so that its failures are met here too. Raises
    httpx's transport errors only, the connect errors only where nothing was sent.
    """

    def __init__(self, *, connections: int, encrypted: bool) -> None:
        self._connections = connections + RESERVE
        # Reading the certificates takes 25 ms that plain HTTP has no use for.
        self._ssl = httpx.create_ssl_context(trust_env=False) if encrypted else False
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send and read; headers, body and URL go out as they are."""
        session = self._session or self._open()
        times = request.extensions.get("timeout", {})
        try:
            async with session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw],
                data=await request.aread() or None,
                allow_redirects=False,
                timeout=_limits(times.get("pool"), times.get("connect"), times.get("read")),
            ) as response:
                body = await response.read()
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise _failure(error) from error
        return httpx.Response(response.status, headers=response.raw_headers, content=body, request=request)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        """The session, which must be made while a loop runs. httpx unpacks bodies; cookies are nobody's business."""
        pool = aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEEPALIVE_S, ssl=self._ssl)
        jar = aiohttp.DummyCookieJar()
        self._session = session = aiohttp.ClientSession(connector=pool, cookie_jar=jar, auto_decompress=False)
        # It would send all but POST a second time when a kept connection is lost: a cancel too, and beside the budget.
        session._retry_connection = False  # noqa: SLF001 (there is no public way)
        return session


@lru_cache(maxsize=16)
def _limits(pool: float | None, connect: float | None, read: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(connect=pool, sock_connect=connect, sock_read=read)


def _failure(error: Exception) -> httpx.TransportError:
    """In httpx's words. Of the connect errors, and of no others, an order may be sent again."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout("no connection in time")
        case TimeoutError():
            return httpx.ReadTimeout("no answer in time")
        case aiohttp.ClientConnectorError():
            return httpx.ConnectError("no connection")
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError() | ConnectionError():
            return httpx.ReadError("connection cut off")
        case _:
            return httpx.RemoteProtocolError(type(error).__name__)
