"""A small exchange for tests, and a client that signs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import numpy as np
from starlette.applications import Starlette

from tradebot.clock import MINUTE, Clock, SteppedClock
from tradebot.errors import MarketError
from tradebot.market.bars import FIELDS
from tradebot.market.venue import Instrument
from tradebot.sim.app import PAPER_KEY, PAPER_SECRET
from tradebot.sim.engine import Exchange
from tradebot.sim.exact import Exact, Scale, price_within
from tradebot.sim.keys import sign
from tradebot.sim.prices import Marked, Prices, Synthetic

NOW = 1_700_000_123_456  # 2023-11-14 22:15:23.456 UTC
D = Decimal


def instrument(base: str = "ETH", quote: str = "USDT", **changes: Any) -> Instrument:
    rules: dict[str, Any] = {
        "tick": D("0.01"), "step": D("0.001"), "min_quantity": D("0.001"), "max_quantity": D(9000),
        "max_market_quantity": D(500), "min_notional": D(5),
    }  # fmt: skip
    return Instrument(symbol=base + quote, base=base, quote=quote, **{**rules, **changes})


def marked(prices: Mapping[str, str] | None = None, **changes: Any) -> Marked:
    """ETHUSDT and BTCUSDT at the given prices."""
    source = Marked({each.symbol: each for each in (instrument(**changes), instrument("BTC", **changes))})
    source.mark({symbol: D(price) for symbol, price in (prices or {"ETHUSDT": "2000", "BTCUSDT": "40000"}).items()})
    return source


def exchange(
    prices: Prices | None = None, clock: Clock | None = None, account: Path | None = None, *,
    fee: str = "0.001", spread: str = "0", start: Mapping[str, Decimal] | None = None,
) -> Exchange:  # fmt: skip
    prices = marked() if prices is None else prices
    clock = SteppedClock(NOW) if clock is None else clock
    return Exchange(prices, clock, account, fee=D(fee), spread=D(spread), start=start)


class Tape(Marked):
    """ETHUSDT by the minute from `NOW`'s on: (open, high, low, close) of each; None leaves a hole.

    In each minute so much of the base coin is traded as `volume` says.
    """

    def __init__(
        self, *rows: Sequence[float] | None, interval: str = "1m", length: int = MINUTE, volume: int = 1_000_000
    ) -> None:
        super().__init__({"ETHUSDT": instrument()})
        self.interval, self.length = interval, length
        bars = [(place, row) for place, row in enumerate(rows) if row is not None]
        self.data = np.zeros((len(FIELDS), len(bars)), np.int64)
        self.data[0] = [self.opened(place) for place, _ in bars]
        self.data[1:5] = np.rint(np.array([row for _, row in bars]).T * 100)
        self.data[5] = volume * 1000

    def opened(self, place: int) -> int:
        """When a row opens."""
        return NOW - NOW % self.length + place * self.length

    def listed(self, symbol: str) -> int:
        return int(self.data[0, 0])

    def exact(self, symbol: str, interval: str, start: int, end: int, now: int) -> Exact:
        found = Exact(self.data, Scale(2, 3, 5))
        return found.between(start, min(end, now)) if interval == self.interval else Exact.empty(found.scale)

    def price(self, symbol: str, now: int) -> Decimal:
        place = int(np.searchsorted(self.data[0], now, side="right")) - 1
        if place < 0:
            raise MarketError("not yet")
        bar = self.data[:, place]
        return Decimal(price_within(bar, self.length, now - int(bar[0]))).scaleb(-2)


def synthetic(symbols: int = 3, now: int = NOW) -> Exchange:
    return exchange(Synthetic(1, symbols), SteppedClock(now))


class Client:
    """A plain httpx client over the app, with signing by hand."""

    def __init__(self, app: Starlette, clock: Clock, address: str = "127.0.0.1") -> None:
        self.clock = clock
        transport = httpx.ASGITransport(app, client=(address, 1))
        self.http = httpx.AsyncClient(transport=transport, base_url="http://sim")

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.http.get(path, params=params)

    async def json(self, path: str, **params: Any) -> Any:
        """The body of a GET that succeeds."""
        reply = await self.get(path, **params)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def signed(
        self, method: str, path: str, *, key: str | None = PAPER_KEY, secret: str = PAPER_SECRET, **params: Any
    ) -> httpx.Response:
        query = urlencode({"timestamp": self.clock.now(), **params})
        headers = {} if key is None else {"X-MBX-APIKEY": key}
        return await self.http.request(
            method, f"/api/v3/{path}?{query}&signature={sign(secret, query.encode())}", headers=headers
        )

    async def buy(self, symbol: str = "ETHUSDT", **params: Any) -> httpx.Response:
        return await self.signed("POST", "order", **{"symbol": symbol, "side": "BUY", "type": "MARKET", **params})

    async def sell(self, symbol: str = "ETHUSDT", **params: Any) -> httpx.Response:
        return await self.buy(symbol, **{"side": "SELL", **params})


def refusal(reply: httpx.Response) -> tuple[int, int]:
    """HTTP status and the venue's code."""
    return reply.status_code, reply.json()["code"]
