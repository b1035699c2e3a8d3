"""A client of the futures API that signs, over the exchange's app."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import httpx
from exchanging import Client

from tradebot.sim.app import PAPER_KEY, PAPER_SECRET, create_app
from tradebot.sim.engine import Exchange
from tradebot.sim.keys import sign


class Trader(Client):
    """Knows the futures paths; everything else is the plain client's."""

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(create_app(exchange, **options), exchange.clock)
        self.exchange = exchange

    async def told(self, path: str, **params: Any) -> Any:
        """The body of a futures GET that needs no signature and succeeds."""
        return await self.json(f"/fapi/{path}", **params)

    async def call(self, method: str, path: str, **params: Any) -> httpx.Response:
        """A signed futures request; the path without `/fapi/`."""
        query = urlencode({**params, "timestamp": self.clock.now()})
        url = f"/fapi/{path}?{query}&signature={sign(PAPER_SECRET, query.encode())}"
        return await self.http.request(method, url, headers={"X-MBX-APIKEY": PAPER_KEY})

    async def done(self, method: str, path: str, **params: Any) -> Any:
        """The body of a signed request that succeeds."""
        reply = await self.call(method, path, **params)
        assert reply.status_code == 200, reply.text
        return reply.json()
