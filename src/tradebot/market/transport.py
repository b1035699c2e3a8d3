"""The network: httpx over aiohttp's connections, with failures that tell whether a request was sent.

Imported only when a real venue is asked, because aiohttp takes 0.2 s to import.
"""

from __future__ import annotations

import ssl

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

RESERVE = 8  # connections that bulk reads leave to orders
KEEPALIVE_S = 60.0


class NetworkTransport(AiohttpTransport):
    """httpx-aiohttp's transport, since httpx's own pool costs O(n²) at 50 concurrent requests.

    Raises httpx's transport errors only, the connect errors only where nothing was sent.
    """

    def __init__(self, *, connections: int, encrypted: bool) -> None:
        # Reading the system's certificates takes 25 ms that plain HTTP has no use for.
        verify = True if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        limits = httpx.Limits(max_connections=connections + RESERVE, keepalive_expiry=KEEPALIVE_S)
        super().__init__(verify=verify, limits=limits, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response with its body read, so that a failure of the body is met here too."""
        try:
            response: httpx.Response = await super().handle_async_request(request)
            try:
                await response.aread()
            finally:
                await response.aclose()
        except httpx.ConnectTimeout as error:
            # httpx-aiohttp gives this name to every connection that is lost, also to one that was cut
            # off after an order had gone out. Taken at its word, the order would be sent again.
            if isinstance(error.__cause__, aiohttp.ConnectionTimeoutError):
                raise
            refused = isinstance(error.__cause__, aiohttp.ClientConnectorError)
            kind = httpx.ConnectError if refused else httpx.ReadError
            raise kind("no connection" if refused else "connection cut off") from error.__cause__
        except (aiohttp.ClientError, OSError) as error:
            raise httpx.RemoteProtocolError(type(error).__name__) from error
        return response
