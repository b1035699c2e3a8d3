"""Market data of the contracts: what every client may ask."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

from tradebot.errors import MarketError
from tradebot.market.bars import INTERVALS, MONTH
from tradebot.market.venue import Side
from tradebot.sim.candles import Candles, Page
from tradebot.sim.engine import Exchange
from tradebot.sim.futures.contracts import Contracts, describe
from tradebot.sim.futures.counts import WINDOWS
from tradebot.sim.futures.funding import INTEREST, PERIOD, coming_rate, funding_rate, next_funding
from tradebot.sim.params import Params
from tradebot.sim.public import Public
from tradebot.sim.refusals import Refused, missing
from tradebot.sim.replies import amount

WEIGHT_LIMIT = 2_400
# Sizes of the order book with their weights.
DEPTHS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
_SPOT_ONLY = ("bidPrice", "bidQty", "askPrice", "askQty", "prevClosePrice")


class ContractData:
    """The handlers of the futures market data endpoints; each takes the parameters and returns the body."""

    def __init__(self, contracts: Contracts, weight_limit: int = WEIGHT_LIMIT) -> None:
        self.contracts = contracts
        # The spot handlers ask for no more than what `Contracts` has in common with the exchange.
        self.spot = Public(cast("Exchange", contracts), weight_limit)
        self.candles = Candles(contracts.prices)
        self._limits = [
            {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
            for kind, interval, number, limit in (
                ("REQUEST_WEIGHT", "MINUTE", 1, weight_limit),
                *(("ORDERS", each.interval, each.number, each.limit) for each in WINDOWS),
            )
        ]  # fmt: skip

    def exchange_info(self, params: Params) -> Any:
        """Limits and all contracts with their filters; it takes no symbol."""
        coin = self.contracts.coin
        listed = self.contracts.prices.listed
        return {
            "timezone": "UTC", "serverTime": self.contracts.clock.now(), "futuresType": "U_MARGINED",
            "rateLimits": self._limits, "exchangeFilters": [],
            "assets": [{"asset": coin, "marginAvailable": True, "autoAssetExchange": "-10000"}],
            "symbols": [describe(each, listed(symbol)) for symbol, each in self.contracts.instruments().items()],
        }  # fmt: skip

    def klines(self, params: Params) -> Any:
        """Bars, oldest first; the open one is the last. There are no seconds."""
        symbol = self.contracts.instrument(params.symbol()).symbol
        params.must("interval")
        interval = params["interval"]
        if interval == "1s" or (interval not in INTERVALS and interval != MONTH):
            raise Refused(-1120, "Invalid interval.")
        page = Page(symbol, interval, params.time("startTime"), params.time("endTime"), params.limit(500, 1500))
        return self.candles.body(page, self.contracts.clock.now())

    def day(self, params: Params) -> Any:
        """24 hours of one contract or of all."""
        told = self.spot.day(params)
        for each in [told] if "symbol" in params else told:
            for name in _SPOT_ONLY:
                each.pop(name, None)
        return told

    def price(self, params: Params) -> Any:
        """Last prices."""
        return self._each(params, lambda symbol: {"price": amount(self.contracts.last(symbol))})

    def book(self, params: Params) -> Any:
        """Best bids and asks."""
        told = self.spot.book(params)
        now = self.contracts.clock.now()
        return told | {"time": now} if "symbol" in params else [each | {"time": now} for each in told]

    def depth(self, params: Params) -> Any:
        """The order book, best prices first; of a few sizes only."""
        symbol, limit = self.contracts.instrument(params.symbol()).symbol, params.limit(500, 1000)
        if limit not in DEPTHS:
            raise Refused(-4021, f"Invalid depth limit, known: {', '.join(map(str, DEPTHS))}.")
        now, last = self.contracts.clock.now(), self.contracts.last(symbol)
        book = self.contracts.depth(symbol, last, now)
        bids, asks = (
            [[amount(price), amount(size)] for price, size in book.levels(side, limit)]
            for side in (Side.BUY, Side.SELL)
        )
        return {"lastUpdateId": now, "E": now, "T": now, "bids": bids, "asks": asks}

    def premium(self, params: Params) -> Any:
        """Mark and index price, the rate that will be paid next, and when."""
        return self._each(params, self._premium)

    def _premium(self, symbol: str) -> dict[str, Any]:
        now, mark, index = self.contracts.clock.now(), self.contracts.last(symbol), self.contracts.index(symbol)
        return {
            "markPrice": amount(mark), "indexPrice": amount(index), "estimatedSettlePrice": amount(index),
            "lastFundingRate": amount(coming_rate(symbol, now)), "interestRate": amount(INTEREST),
            "nextFundingTime": next_funding(now),
        }  # fmt: skip

    def funding_rates(self, params: Params) -> Any:
        """Rates that were paid, oldest first; of one contract."""
        symbol = self.contracts.instrument(params.symbol()).symbol
        now, limit = self.contracts.clock.now(), params.limit(100, 1000)
        first = -(-max(params.time("startTime") or 0, self.contracts.prices.listed(symbol)) // PERIOD) * PERIOD
        last = min(params.time("endTime") or now, now)
        times = range(first, last + 1, PERIOD)
        chosen = times[:limit] if "startTime" in params else times[-limit:]
        return [
            {
                "symbol": symbol, "fundingTime": time, "fundingRate": amount(funding_rate(symbol, time)),
                "markPrice": amount(self._price_at(symbol, time)),
            }
            for time in chosen
        ]  # fmt: skip

    def _price_at(self, symbol: str, time: int) -> Decimal:
        return self.contracts.prices.price(symbol, time)

    def _each(self, params: Params, tell: Callable[[str], dict[str, Any]]) -> Any:
        """An object for `symbol`, else an array of all; contracts without a price are left out."""
        now = self.contracts.clock.now()
        asked = [self.contracts.instrument(params.symbol()).symbol] if "symbol" in params else None
        found = []
        for symbol in asked or self.contracts.instruments():
            try:
                found.append({"symbol": symbol, **tell(symbol), "time": now})
            except MarketError:
                continue
        if asked is None:
            return found
        if not found:
            raise missing("symbol")
        return found[0]
