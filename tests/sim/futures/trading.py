"""A client of the futures API that signs, over the exchange's app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import numpy as np
from exchanging import Client, exchange, instrument

from tradebot.clock import MINUTE, SteppedClock
from tradebot.market.bars import Klines
from tradebot.market.venue import Instrument
from tradebot.sim.app import PAPER_KEY, PAPER_SECRET, create_app
from tradebot.sim.engine import Exchange
from tradebot.sim.exact import Exact, Scale, price_within
from tradebot.sim.keys import sign
from tradebot.sim.prices import Prices

START = 1_700_006_400_000 - 4 * 3_600_000  # 2023-11-14 20:00 UTC, four hours before funding is due


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
        query = urlencode({"timestamp": self.clock.now(), **params})
        url = f"/fapi/{path}?{query}&signature={sign(PAPER_SECRET, query.encode())}"
        return await self.http.request(method, url, headers={"X-MBX-APIKEY": PAPER_KEY})

    async def order(self, buys: str, quantity: str, **params: Any) -> httpx.Response:
        """A new order for BTCUSDT, at the market unless a price is given."""
        kind = {"type": "LIMIT", "timeInForce": "GTC"} if "price" in params else {"type": "MARKET"}
        asked = {"symbol": "BTCUSDT", "side": buys, "quantity": quantity, "newOrderRespType": "RESULT", **kind}
        return await self.call("POST", "v1/order", **{**asked, **params})

    async def algo(self, side: str, kind: str, **params: Any) -> httpx.Response:
        """A new conditional order for BTCUSDT."""
        asked = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": side, "type": kind, **params}
        return await self.call("POST", "v1/algoOrder", **asked)

    async def asked(self, path: str, **params: Any) -> Any:
        """The body of a signed GET that succeeds."""
        return await self.done("GET", path, **params)

    async def held(self, symbol: str = "BTCUSDT") -> Decimal:
        """The amount of the position."""
        rows = await self.asked("v3/positionRisk", symbol=symbol)
        return Decimal(rows[0]["positionAmt"]) if rows else Decimal(0)

    async def income(self, kind: str | None = None) -> list[tuple[str, Decimal]]:
        """All income as (type, amount), oldest first."""
        rows = await self.asked("v1/income", limit=1000, **({"incomeType": kind} if kind else {}))
        return [(row["incomeType"], Decimal(row["income"])) for row in rows]

    async def wallet(self) -> Decimal:
        """What the account holds without open profits."""
        (row,) = await self.asked("v3/balance")
        return Decimal(row["balance"])

    def wait(self, ms: int) -> None:
        """Let the venue's time go on."""
        self.clock.advance(self.clock.now() + ms)

    async def done(self, method: str, path: str, **params: Any) -> Any:
        """The body of a signed request that succeeds."""
        reply = await self.call(method, path, **params)
        assert reply.status_code == 200, reply.text
        return reply.json()


Leg = tuple[int, int, int, int]


class Script(Prices):
    """Minutes as they are written down: (open, high, low, close) in whole dollars; after them the last price."""

    def __init__(self, bars: Mapping[str, Sequence[Leg]], start: int = START) -> None:
        self._bars = {}
        for symbol, legs in bars.items():
            data = np.ones((10, len(legs)), np.int64) * 10**12
            data[0] = start + MINUTE * np.arange(len(legs))
            data[1:5] = np.array(legs, np.int64).T * 100
            self._bars[symbol] = Exact(data, Scale(2, 3, 5))

    def trade(self, symbol: str, volume: str) -> None:
        """In each minute so much is traded of a symbol."""
        self._bars[symbol].data[5] = int(Decimal(volume) * 1000)

    def instruments(self) -> Mapping[str, Instrument]:
        return {symbol: instrument(symbol.removesuffix("USDT")) for symbol in self._bars}

    def listed(self, symbol: str) -> int:
        return int(self._bars[symbol].data[0, 0])

    def klines(self, symbol: str, interval: str, start: int, end: int, now: int) -> Klines:
        return self.exact(symbol, interval, start, end, now).klines()

    def exact(self, symbol: str, interval: str, start: int, end: int, now: int) -> Exact:
        whole = self._bars[symbol].between(0, now)
        if interval == "1s":
            return Exact.empty(whole.scale)
        return (whole if interval == "1m" else whole.aggregate(interval)).between(start, end)

    def price(self, symbol: str, now: int) -> Decimal:
        seen = self._bars[symbol].between(0, now).data
        return Decimal(price_within(seen[:, -1], MINUTE, now - int(seen[0, -1]))).scaleb(-2)


def scripted(*legs: Leg, account: Path | None = None, spread: str = "0", **others: Sequence[Leg]) -> Exchange:
    """An exchange whose BTCUSDT goes the way of `legs`; its clock stands within the first minute's begin."""
    source = Script({"BTCUSDT": legs, **others})
    return exchange(source, SteppedClock(START), account, spread=spread)


def flat(price: int, minutes: int) -> list[Leg]:
    """Minutes in which nothing happens."""
    return [(price, price, price, price)] * minutes
