"""Market data: what every client may ask."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from tradebot.clock import DAY, HOUR, MINUTE
from tradebot.errors import MarketError
from tradebot.market.bars import INTERVALS, MONTH
from tradebot.sim import filters, replies, tickers
from tradebot.sim.candles import Candles, Page
from tradebot.sim.counts import WINDOWS
from tradebot.sim.depth import Depth
from tradebot.sim.engine import Exchange
from tradebot.sim.params import Params
from tradebot.sim.prices import Day
from tradebot.sim.refusals import Refused, illegal, invalid, missing, unknown_symbol
from tradebot.sim.slices import InSteps, asked, each, listing

_AVERAGED = 5  # minutes
_MOST = 100  # symbols that a ticker of a chosen window takes
_WINDOW = r"^([1-9][0-9]?)([mhd])$"
_UNITS = {"m": (MINUTE, 59), "h": (HOUR, 23), "d": (DAY, 7)}
_STATUSES = frozenset({"TRADING", "END_OF_DAY", "HALT", "BREAK", "CANCEL_ONLY"})
_PERMISSION = r"^[A-Z0-9_]{1,20}$"


class Public:
    """The handlers of the market data endpoints; each takes the parameters and returns the body."""

    def __init__(self, exchange: Exchange, weight_limit: int) -> None:
        self.exchange = exchange
        self.candles = Candles(exchange.prices)
        self._limits = [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, weight_limit),
            *(_limit("ORDERS", each.interval, each.number, each.limit) for each in WINDOWS),
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
        """Limits and symbols with their filters; with `permissions` or `symbolStatus` those that fit."""
        chosen = "permissions" in params or "symbolStatus" in params
        if chosen and ("symbol" in params or "symbols" in params):
            raise Refused(-1128, "Combination of optional parameters invalid.")
        symbols = self._chosen(params) if chosen else asked(self.exchange, params) or list(self.exchange.instruments())
        head = {
            "timezone": "UTC", "serverTime": self.exchange.clock.now(), "rateLimits": self._limits,
            "exchangeFilters": filters.describe_exchange(self.exchange.limits),
        }  # fmt: skip
        return listing(symbols, lambda symbol: self._describe(symbol, params)).then(
            lambda told: {**head, "symbols": told}
        )

    def _chosen(self, params: Params) -> list[str]:
        """The symbols with one of the permissions (all have SPOT) and the status that are asked for."""
        status = params.get("symbolStatus")
        if status is not None and status not in _STATUSES:
            raise Refused(-1122, "Invalid symbolStatus.")
        if "SPOT" not in _permissions(params):
            return []
        return [symbol for symbol, each in self.exchange.instruments().items() if status in (None, each.status)]

    def _describe(self, symbol: str, params: Params) -> Any:
        if params.get("showPermissionSets", "").lower() == "false":
            return self._rules(symbol) | {"permissionSets": []}
        known, settled = self._described.get(symbol), self.exchange.prices.settled
        if known is None or not settled:
            known = orjson.Fragment(orjson.dumps(self._rules(symbol)))
            if settled:
                self._described[symbol] = known
        return known

    def _rules(self, symbol: str) -> dict[str, Any]:
        return replies.instrument(self.exchange.instrument(symbol), self.exchange.limits)

    def klines(self, params: Params) -> Any:
        """Bars, oldest first; the open one is the last."""
        return self.rows(params, 1000)

    def rows(self, params: Params, most: int) -> InSteps:
        """A page of at most so many bars."""
        symbol = self.exchange.instrument(params.symbol()).symbol
        params.must("interval")
        if (interval := params["interval"]) not in INTERVALS and interval != MONTH:
            raise Refused(-1120, "Invalid interval.")
        if params.get("timeZone", "0") != "0":
            raise invalid("timeZone")
        page = Page(symbol, interval, params.time("startTime"), params.time("endTime"), params.limit(500, most))
        now = self.exchange.clock.now()
        return InSteps(self.candles.steps(page, now), lambda: self.candles.body(page, now))

    def day(self, params: Params) -> Any:
        """24 hours of one, several or all symbols; `type` is FULL or MINI."""
        prices, now = self.exchange.prices, self.exchange.clock.now()
        if _kind(params) == "MINI":
            return self._each(params, lambda each: tickers.mini(each, prices.day(each, now), now - DAY, now))
        books = self._books(now)
        return self._each(params, lambda each: tickers.full(each, prices.day(each, now), books(each), now))

    def window(self, params: Params) -> Any:
        """The last `windowSize` (1m to 59m, 1h to 23h, 1d to 7d; 1d if not sent) of up to 100 symbols."""
        length = _length(params)
        now = self.exchange.clock.now()
        return self._since(params, now - now % MINUTE - length)

    def trading_day(self, params: Params) -> Any:
        """The day since midnight UTC of up to 100 symbols."""
        if params.get("timeZone", "0") != "0":
            raise invalid("timeZone")
        now = self.exchange.clock.now()
        return self._since(params, now - now % DAY)

    def _since(self, params: Params, start: int) -> Any:
        """What happened since a moment, of symbols that have to be named."""
        kind, prices, names, now = _kind(params), self.exchange.prices, params.symbols(), self.exchange.clock.now()
        if names is None:
            raise missing("symbol")
        if len(names) > _MOST:
            raise invalid("symbols")
        return self._each(params, lambda symbol: tickers.window(prices, symbol, start, kind, now))

    def price(self, params: Params) -> Any:
        """Last prices."""
        prices, now = self.exchange.prices, self.exchange.clock.now()
        return self._each(params, lambda each: {"symbol": each, "price": replies.amount(prices.price(each, now))})

    def book(self, params: Params) -> Any:
        """Best bids and asks."""
        books = self._books(self.exchange.clock.now())
        return self._each(params, lambda symbol: {"symbol": symbol, **tickers.book(books(symbol))})

    def depth(self, params: Params) -> Any:
        """The order book: up to `limit` levels of either side, best first. Its number is the venue's time."""
        symbol = self.exchange.instrument(params.symbol()).symbol
        limit, now = params.limit(100, 5000), self.exchange.clock.now()
        try:
            book = self._books(now)(symbol)
        except MarketError:
            return {"lastUpdateId": now, "bids": [], "asks": []}
        return {"lastUpdateId": now, **replies.depth(book, limit)}

    def _books(self, now: int) -> Callable[[str], Depth]:
        """The order books of an instant, for which what is gone from them is looked up once."""
        gone = self.exchange.gone(now)
        return lambda symbol: self.exchange.book(symbol, now, gone)

    def _each(self, params: Params, tell: Callable[[str], Any]) -> Any:
        return each(self.exchange, params, self.exchange.clock.now(), tell)

    def average(self, params: Params) -> Any:
        """The average price of five minutes."""
        symbol = self.exchange.instrument(params.symbol()).symbol
        now = self.exchange.clock.now()
        try:
            recent = Day.since(self.exchange.prices, symbol, now - _AVERAGED * MINUTE + 1, now)
        except MarketError:
            raise unknown_symbol() from None
        price = recent.quote_volume / recent.volume if recent.volume else recent.last
        return {"mins": _AVERAGED, "price": replies.amount(price), "closeTime": now}


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


def _kind(params: Params) -> str:
    kind = params.get("type", "FULL")
    if kind not in {"FULL", "MINI"}:
        raise Refused(-1139, "Invalid ticker type.")
    return kind


def _length(params: Params) -> int:
    """`windowSize` in ms."""
    found = re.fullmatch(_WINDOW, params.get("windowSize", "1d"))
    unit, most = _UNITS[found[2]] if found else (0, 0)
    if found is None or int(found[1]) > most:
        raise illegal("windowSize", "1m,2m,...,59m,1h,2h,...,23h,1d,2d,...,7d")
    return int(found[1]) * unit


def _permissions(params: Params) -> list[str]:
    """One permission or a JSON array of them; SPOT if not sent."""
    value = params.get("permissions", "SPOT")
    names = [value]
    if value.startswith("["):
        try:
            names = orjson.loads(value)
        except orjson.JSONDecodeError:
            names = []
    if not names or not all(isinstance(name, str) and re.fullmatch(_PERMISSION, name) for name in names):
        raise illegal("permissions", _PERMISSION)
    return names
