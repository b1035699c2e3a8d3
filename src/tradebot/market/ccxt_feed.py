"""Market data of every exchange that ccxt knows, behind the same `Feed`.

ccxt's own rate limiter stays on. What exchanges do differently with rows is evened out here: their
order, bounds that are exclusive, pages that are shorter than asked for, the open kline there or not.
ccxt takes a second to import, so this happens when such a venue is asked for.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from decimal import Decimal
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tradebot.clock import SECOND, Clock, monotonic_ms
from tradebot.errors import BadReply, ConfigError, MarketError, UnknownName, VenueBusy, suggestion
from tradebot.market import ccxt_wire
from tradebot.market.bars import Klines, last_closed, merge, next_open, open_of
from tradebot.market.failures import not_before
from tradebot.market.limits import retry_delay_ms
from tradebot.market.memo import Memo
from tradebot.market.profiles import PREFIX
from tradebot.market.venue import Feed, Instrument, Ticker
from tradebot.market.wire import MS

T = TypeVar("T")
log = logging.getLogger(__name__)
PAGE = 500  # bars, where ccxt does not know what an exchange gives at most
QUEUE_MS = 2 * SECOND  # longest that bulk requests may keep others waiting in ccxt's rate limiter


def make_exchange(name: str, base_url: str, timeout_s: float) -> Any:
    """The asynchronous ccxt client of an exchange, spot markets only; with `base_url` all its requests go there.

    `ConfigError` if ccxt is not installed, `UnknownName` for an exchange that it does not know.
    """
    try:
        import ccxt.async_support as ccxt
    except ImportError:
        raise ConfigError(f"venue {PREFIX}{name} needs the package ccxt: pip install 'tradebot[ccxt]'") from None
    if name not in ccxt.exchanges:
        raise UnknownName(f"unknown exchange '{name}' of ccxt{suggestion(name, ccxt.exchanges)}")
    exchange = getattr(ccxt, name)({"timeout": round(timeout_s * SECOND), "options": {"defaultType": "spot"}})
    kinds = exchange.options.get("fetchMarkets")
    if isinstance(kinds, dict) and "spot" in kinds.get("types", ()):
        kinds["types"] = ["spot"]
    if base_url:
        exchange.urls["api"] = _moved(exchange.urls["api"], base_url.rstrip("/"))
    return exchange


def _moved(urls: Any, base: str) -> Any:
    """All addresses of a tree with another scheme and host."""
    if isinstance(urls, dict):
        return {name: _moved(each, base) for name, each in urls.items()}
    return base + urlsplit(urls).path if isinstance(urls, str) else urls


class CcxtFeed(Feed):
    """One exchange; an async context manager, which reads the markets when it is entered.

    `exchange` is what `make_exchange` gives. Reads are tried again (`retries` times) where that can
    help. After a refusal for too many requests nothing is sent until the exchange's time is over,
    also not by later processes, which know it from `memory`. `weight` stays 0: ccxt tells none.
    Raises what `Feed` promises, and `ConfigError` for what the exchange does not offer.
    """

    def __init__(
        self, exchange: Any, *, clock: Clock, memory: Memo, connections: int = 50, retries: int = 3, seed: int = 0
    ) -> None:
        from ccxt.base.errors import BaseError

        self.where = f"{PREFIX}{exchange.id}"
        self.requests = 0
        self.weight = 0
        self.rtt_ms = 0.0
        self._exchange = exchange
        self._clock = clock
        self._memo = memory
        self._retries = retries
        self._seed = seed
        self._errors = (BaseError, ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)
        self._reload = False
        self._silent_until = 0
        self._bulk = asyncio.Semaphore(max(1, min(connections, int(QUEUE_MS // max(exchange.rateLimit, 1)))))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.where}>"

    async def __aenter__(self) -> CcxtFeed:
        if silence := self._memo.load("silence", int):
            self._silent_until = silence[1]
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.close)
            await self._ask("markets", self._exchange.load_markets)
            stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._exchange.close()

    async def time(self) -> int:
        """The exchange's clock, UTC ms, which sets the program's; that itself where the exchange tells none."""
        if not self._offers("fetchTime"):
            return self._clock.now()
        server = int(await self._ask("time", self._exchange.fetch_time))
        if server not in MS:
            raise BadReply(f"{self.where}: time: {server} is not in milliseconds")
        self._clock.sync(server, self.rtt_ms)
        return server

    async def instruments(self) -> Mapping[str, Instrument]:
        """The spot markets with their rules, as read at the start; read anew from the second call on."""
        markets = await self._ask("markets", lambda: self._exchange.load_markets(reload=self._reload))
        self._reload = True
        return ccxt_wire.instruments(markets, self._exchange.precisionMode)

    async def tickers(self) -> Mapping[str, Ticker]:
        """24 h statistics of all symbols."""
        if not self._offers("fetchTickers"):
            raise ConfigError(f"{self.where} has no statistics of all symbols; name them in universe.symbols")
        return ccxt_wire.tickers(await self._ask("tickers", self._exchange.fetch_tickers))

    async def prices(self) -> Mapping[str, Decimal]:
        """Last price of all symbols."""
        if self._offers("fetchLastPrices"):
            return ccxt_wire.prices(await self._ask("prices", self._exchange.fetch_last_prices), "price")
        if not self._offers("fetchTickers"):
            raise ConfigError(f"{self.where} has no prices of all symbols at once, so nobody can trade there")
        return ccxt_wire.prices(await self._ask("prices", self._exchange.fetch_tickers), "last")

    async def klines(self, symbol: str, interval: str, start: int | None, limit: int) -> Klines:
        """Up to `limit` bars from open time `start` on, in as many requests as that takes; see `Feed.klines`.

        The bars of the newest `limit` periods if `start` is None; from the first that one page reaches if
        it is before 2001. `ccxt_wire.klines` says what the columns hold that ccxt does not know.
        """
        if interval not in self._exchange.timeframes:
            raise ConfigError(
                f"{self.where} has no interval '{interval}'{suggestion(interval, self._exchange.timeframes)}"
            )
        async with self._bulk:
            if start is not None and start not in MS:
                return _first(await self._page(symbol, interval, None, self._most), limit)
            return await self._pages(symbol, interval, start, limit)

    async def _pages(self, symbol: str, interval: str, start: int | None, limit: int) -> Klines:
        now = self._clock.now()
        first = _periods_ago(interval, now, limit - 1) if start is None else start
        newest = last_closed(interval, now)
        found = page = await self._page(symbol, interval, first, limit)
        while len(page) and len(found) < limit:
            since = next_open(interval, int(found.data[0, -1]))
            # Where only the newest closed bar is missing it is late, unless the page was a full one.
            if since > newest or (since == newest and len(page) < self._most - 1):
                break
            page = await self._page(symbol, interval, since, limit - len(found))
            found = merge(found, page)[0]
        return _first(found, limit)

    async def _page(self, symbol: str, interval: str, since: int | None, size: int) -> Klines:
        """One request. It asks from a ms earlier and for one bar more: a bound may be exclusive or rounded down."""
        name, earlier, most = ccxt_wire.theirs(symbol), None if since is None else since - 1, min(size + 1, self._most)
        rows = await self._ask("klines", lambda: self._exchange.fetch_ohlcv(name, interval, earlier, most))
        return ccxt_wire.klines(rows).between(since or 0, MS.stop)

    @property
    def _most(self) -> int:
        """The most bars that one request brings."""
        known = ((self._exchange.features or {}).get("spot") or {}).get("fetchOHLCV") or {}
        return int(known.get("limit") or PAGE)

    def _offers(self, what: str) -> bool:
        return bool(self._exchange.has.get(what))

    async def _ask(self, what: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, and ask again where that can help."""
        seed = f"{self._seed}/{self.requests}"
        for attempt in itertools.count(1):
            try:
                return await self._once(ask)
            except MarketError as fault:
                delay = retry_delay_ms(fault, attempt, seed)
                if delay is None or attempt > self._retries or isinstance(fault, VenueBusy):
                    raise
                log.debug("try %d of %s failed: %s", attempt, what, fault)
                await asyncio.sleep(delay / 1000)
        raise AssertionError  # unreachable: the count has no end

    async def _once(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The only place that calls ccxt and that translates its errors."""
        now = self._clock.now()
        if (wait := self._silent_until - now) > 0:
            raise not_before(now, wait, self.where)
        self.requests += 1
        started = monotonic_ms()
        try:
            return await ask()
        except self._errors as error:
            fault = ccxt_wire.failure(error, self.where, getattr(self._exchange, "last_response_headers", None))
            if isinstance(fault, VenueBusy):
                self._silent_until = self._clock.now() + fault.wait_ms
                self._memo.keep("silence", self._clock.now(), self._silent_until)
            raise fault from None
        finally:
            self.rtt_ms = monotonic_ms() - started


def _first(klines: Klines, bars: int) -> Klines:
    return Klines(klines.data[:, :bars])


def _periods_ago(interval: str, now: int, periods: int) -> int:
    """Open time of the bar so many before the one that holds `now`."""
    moment = open_of(interval, now)
    for _ in range(periods):
        moment = open_of(interval, moment - 1)
    return moment
