"""Market data: what every client may ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import orjson

from tradebot.clock import DAY
from tradebot.errors import MarketError
from tradebot.market.bars import INTERVALS, MONTH
from tradebot.sim import replies
from tradebot.sim.candles import Candles, Page
from tradebot.sim.engine import Exchange
from tradebot.sim.exact import Exact
from tradebot.sim.matching import EXACT
from tradebot.sim.params import Params
from tradebot.sim.refusals import Refused, invalid, missing

# Finest first: a day is told from the finest bars that the source has.
_GRAINS = ("5m", "1h", "1d")
_ZERO = replies.amount(Decimal(0))


class Public:
    """The handlers of the market data endpoints; each takes the parameters and returns the body."""

    def __init__(self, exchange: Exchange, weight_limit: int) -> None:
        self.exchange = exchange
        self.candles = Candles(exchange.prices)
        self._limits = [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, weight_limit),
            _limit("ORDERS", "SECOND", 10, 100),
            _limit("ORDERS", "DAY", 1, 200_000),
            _limit("RAW_REQUESTS", "MINUTE", 5, 300_000),
        ]
        self._described: dict[str, orjson.Fragment] = {}

    def ping(self, params: Params) -> Any:
        """Nothing."""
        return {}

    def time(self, params: Params) -> Any:
        """The venue's time."""
        return {"serverTime": self.exchange.clock.now()}

    def exchange_info(self, params: Params) -> Any:
        """Limits and symbols with their filters."""
        return {
            "timezone": "UTC", "serverTime": self.exchange.clock.now(), "rateLimits": self._limits,
            "exchangeFilters": [], "symbols": [self._describe(symbol) for symbol in self._asked(params) or self._all()],
        }  # fmt: skip

    def _describe(self, symbol: str) -> orjson.Fragment:
        if symbol not in self._described or not self.exchange.prices.settled:
            each = replies.instrument(self.exchange.instrument(symbol), self.exchange.limits)
            self._described[symbol] = orjson.Fragment(orjson.dumps(each))
        return self._described[symbol]

    def klines(self, params: Params) -> Any:
        """Bars, oldest first; the open one is the last."""
        symbol = self.exchange.instrument(params.symbol()).symbol
        params.must("interval")
        if (interval := params["interval"]) not in INTERVALS and interval != MONTH:
            raise Refused(-1120, "Invalid interval.")
        if params.get("timeZone", "0") != "0":
            raise invalid("timeZone")
        page = Page(symbol, interval, params.time("startTime"), params.time("endTime"), params.limit(500, 1000))
        return self.candles.body(page, self.exchange.clock.now())

    def day(self, params: Params) -> Any:
        """24 hours of one, several or all symbols; `type` is FULL or MINI."""
        kind = params.get("type", "FULL")
        if kind not in {"FULL", "MINI"}:
            raise invalid("type")
        return self._each(params, _mini if kind == "MINI" else _full)

    def price(self, params: Params) -> Any:
        """Last prices."""
        return self._each(params, lambda exchange, symbol: {"price": replies.amount(exchange.last(symbol))})

    def book(self, params: Params) -> Any:
        """Best bids and asks."""
        return self._each(params, _book)

    def _all(self) -> Iterable[str]:
        return self.exchange.instruments()

    def _asked(self, params: Params) -> list[str] | None:
        """The symbols that are named, all of them known; None if none is."""
        names = params.symbols()
        return names and [self.exchange.instrument(name).symbol for name in names]

    def _each(self, params: Params, tell: Callable[[Exchange, str], dict[str, Any]]) -> Any:
        """An object for `symbol`, an array for `symbols` or all; symbols without a price are left out."""
        found = []
        for symbol in self._asked(params) or self._all():
            try:
                found.append({"symbol": symbol} | tell(self.exchange, symbol))
            except MarketError:
                continue
        if "symbol" not in params:
            return found
        if not found:
            raise missing("symbol")
        return found[0]


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


def _book(exchange: Exchange, symbol: str) -> dict[str, Any]:
    quote = exchange.quote(symbol)
    size = replies.amount(exchange.prices.instruments()[symbol].max_market_quantity)
    return {
        "bidPrice": replies.amount(quote.bid),
        "bidQty": size,
        "askPrice": replies.amount(quote.ask),
        "askQty": size,
    }


def _bars_of_day(exchange: Exchange, symbol: str, now: int) -> Exact:
    """The finest bars that opened within the last 24 hours."""
    for grain in _GRAINS:
        bars = exchange.prices.exact(symbol, grain, now - DAY + 1, now, now)
        if len(bars):
            break
    return bars


def _number(scaled: int, places: int) -> Decimal:
    return Decimal(scaled).scaleb(-places, EXACT)


def _mini(exchange: Exchange, symbol: str) -> dict[str, Any]:
    """Open, extremes, last and amounts of 24 hours; a symbol that did not trade repeats its last price."""
    now = exchange.clock.now()
    last = exchange.prices.price(symbol, now)
    bars = _bars_of_day(exchange, symbol, now)
    known = dict.fromkeys(("openPrice", "highPrice", "lowPrice"), replies.amount(last))
    volume = quote_volume = Decimal(0)
    trades = 0
    if len(bars):
        data, scale = bars.data, bars.scale
        ends = (int(data[1, 0]), int(data[2].max()), int(data[3].min()))
        known = {name: replies.amount(_number(end, scale.price)) for name, end in zip(known, ends, strict=True)}
        volume, quote_volume = _number(int(data[5].sum()), scale.amount), _number(int(data[6].sum()), scale.quote)
        trades = int(data[7].sum())
    return {
        **known, "lastPrice": replies.amount(last), "volume": replies.amount(volume),
        "quoteVolume": replies.amount(quote_volume),
        "openTime": now - DAY, "closeTime": now, "firstId": 0, "lastId": max(trades - 1, 0), "count": trades,
    }  # fmt: skip


def _full(exchange: Exchange, symbol: str) -> dict[str, Any]:
    """`_mini` with changes, averages and the book."""
    mini = _mini(exchange, symbol)
    opened, last = Decimal(mini["openPrice"]), Decimal(mini["lastPrice"])
    volume, quote_volume = Decimal(mini["volume"]), Decimal(mini["quoteVolume"])
    return {
        "priceChange": replies.amount(last - opened), "priceChangePercent": f"{(last / opened - 1) * 100:.3f}",
        "weightedAvgPrice": replies.amount(quote_volume / volume) if volume else _ZERO,
        "prevClosePrice": mini["openPrice"], "lastQty": _ZERO, **_book(exchange, symbol), **mini,
    }  # fmt: skip
