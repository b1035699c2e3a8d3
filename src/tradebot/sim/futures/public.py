"""Market data of the contracts: what every client may ask."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

from tradebot.clock import DAY
from tradebot.sim import replies
from tradebot.sim.engine import Exchange
from tradebot.sim.futures.contracts import Contracts, describe
from tradebot.sim.futures.counts import WINDOWS
from tradebot.sim.futures.funding import INTEREST, PERIOD, coming_rate, funding_rate, index_price, next_funding
from tradebot.sim.params import Params
from tradebot.sim.public import Public
from tradebot.sim.refusals import Refused
from tradebot.sim.replies import amount
from tradebot.sim.slices import each, listing
from tradebot.sim.tickers import book, changes, mini

WEIGHT_LIMIT = 2_400
# Sizes of the order book with their weights.
DEPTHS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
_ZERO = amount(Decimal(0))


class ContractData:
    """The handlers of the futures market data endpoints; each takes the parameters and returns the body."""

    def __init__(self, contracts: Contracts, weight_limit: int = WEIGHT_LIMIT) -> None:
        self.contracts = contracts
        # The spot handlers ask for no more than what `Contracts` has in common with the exchange.
        self.spot = Public(cast("Exchange", contracts), weight_limit)
        self._limits = [
            {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
            for kind, interval, number, limit in (
                ("REQUEST_WEIGHT", "MINUTE", 1, weight_limit),
                *(("ORDERS", each.interval, each.number, each.limit) for each in WINDOWS),
            )
        ]  # fmt: skip

    def exchange_info(self, params: Params) -> Any:
        """Limits and all contracts with their filters; it takes no symbol."""
        coin, known = self.contracts.coin, self.contracts.instruments()
        listed = self.contracts.prices.listed
        head = {
            "timezone": "UTC", "serverTime": self.contracts.clock.now(), "futuresType": "U_MARGINED",
            "rateLimits": self._limits, "exchangeFilters": [],
            "assets": [{"asset": coin, "marginAvailable": True, "autoAssetExchange": "-10000"}],
        }  # fmt: skip
        symbols = listing(known, lambda symbol: describe(known[symbol], listed(symbol)))
        return symbols.then(lambda told: {**head, "symbols": told})

    def klines(self, params: Params) -> Any:
        """Bars, oldest first; the open one is the last. There are no seconds."""
        if params.get("interval") == "1s":
            raise Refused(-1120, "Invalid interval.")
        return self.spot.rows(params, 1500)

    def day(self, params: Params) -> Any:
        """24 hours of one contract or of all."""
        prices, now = self.contracts.prices, self.contracts.clock.now()

        def tell(symbol: str) -> dict[str, Any]:
            day = prices.day(symbol, now)
            return {"symbol": symbol, **changes(day), "lastQty": _ZERO, **mini(symbol, day, now - DAY, now)}

        return each(self.contracts, params, now, tell)

    def price(self, params: Params) -> Any:
        """Last prices."""
        return self._each(params, lambda symbol, now: {"price": amount(self.contracts.mark(symbol, now))})

    def book(self, params: Params) -> Any:
        """Best bids and asks."""
        gone = self.contracts.gone(self.contracts.clock.now())
        return self._each(params, lambda symbol, now: book(self.contracts.book(symbol, now, gone)))

    def depth(self, params: Params) -> Any:
        """The order book, best prices first; of a few sizes only."""
        symbol, limit = self.contracts.instrument(params.symbol()).symbol, params.limit(500, 1000)
        if limit not in DEPTHS:
            raise Refused(-4021, f"Invalid depth limit, known: {', '.join(map(str, DEPTHS))}.")
        now, last = self.contracts.clock.now(), self.contracts.last(symbol)
        return {
            "lastUpdateId": now,
            "E": now,
            "T": now,
            **replies.depth(self.contracts.around(symbol, last, now), limit),
        }

    def premium(self, params: Params) -> Any:
        """Mark and index price, the rate that will be paid next, and when."""
        return self._each(params, self._premium)

    def _premium(self, symbol: str, now: int) -> dict[str, Any]:
        mark = self.contracts.mark(symbol, now)
        index = index_price(symbol, mark, now)
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
                "markPrice": amount(self.contracts.mark(symbol, time)),
            }
            for time in chosen
        ]  # fmt: skip

    def _each(self, params: Params, tell: Callable[[str, int], dict[str, Any]]) -> Any:
        now = self.contracts.clock.now()
        return each(
            self.contracts, params, now, lambda symbol: {"symbol": symbol, **tell(symbol, now), "time": now}
        )  # fmt: skip
