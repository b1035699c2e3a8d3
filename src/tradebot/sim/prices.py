"""Where the simulated exchange's prices come from."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

import numpy as np

from tradebot.clock import DAY, MINUTE
from tradebot.errors import MarketError
from tradebot.market.bars import INTERVALS, SUMMED, Klines, Times, next_open, open_of
from tradebot.market.venue import Instrument
from tradebot.sim import path
from tradebot.sim.cache import Cache
from tradebot.sim.coins import Coin, coins
from tradebot.sim.exact import Exact, Scale, join, partial, price_within

_CHUNK = 16  # days computed in one go: bounds the memory that a long range takes


class Prices(Protocol):
    """A source of klines and last prices; `now` is always the venue's time, UTC ms."""

    def instruments(self) -> Mapping[str, Instrument]:
        """The symbols with their rules, in listing order."""

    def listed(self, symbol: str) -> int:
        """When its first bar opens, UTC ms; before that it is not on offer."""

    def exact(self, symbol: str, interval: str, start: int, end: int, now: int) -> Exact:
        """Bars with `start <= open time <= end` and open time `<= now`; the one that holds `now` is partial.

        An interval finer than the source has none. `KeyError` for an unknown symbol.
        """

    def klines(self, symbol: str, interval: str, start: int, end: int, now: int) -> Klines:
        """`exact` as floats, correctly rounded."""

    def price(self, symbol: str, now: int) -> Decimal:
        """Last traded price at this instant, on the tick; `MarketError` before the first trade."""


class Synthetic(Prices):
    """Seeded prices of any number of symbols: a pure function of seed, symbol and time."""

    def __init__(self, seed: int, symbols: int, *, memory: int = 96 << 20) -> None:
        self.seed = seed
        self._coins = {coin.instrument.symbol: coin for coin in coins(symbols)}
        self._instruments = {symbol: coin.instrument for symbol, coin in self._coins.items()}
        self._days: Cache[Times] = Cache(memory)
        self._markets: Cache[path.Walk] = Cache(16 << 20)

    def instruments(self) -> Mapping[str, Instrument]:
        """The coins, the most traded ones first."""
        return self._instruments

    def listed(self, symbol: str) -> int:
        """The coin's listing time; the clock may stand before it."""
        return self._coins[symbol].listed

    def klines(self, symbol: str, interval: str, start: int, end: int, now: int) -> Klines:
        """Any range at once, without gaps."""
        return self.exact(symbol, interval, start, end, now).klines()

    def exact(self, symbol: str, interval: str, start: int, end: int, now: int) -> Exact:
        """Any range at once, without gaps; there are no seconds."""
        coin = self._coins[symbol]
        scale = Scale(coin.price_places, coin.amount_places, coin.price_places + coin.amount_places)
        first = _first_at_or_after(interval, max(start, coin.listed))
        last = open_of(interval, min(end, now))
        if interval == "1s" or last < first:
            return Exact.empty(scale)
        grown = next_open(interval, last) > now
        parts = []
        if (closed := last - 1 if grown else next_open(interval, last) - 1) >= first:
            parts.append(self._closed(coin, interval, first, closed, scale))
        if grown:
            parts.append(self._open(coin, interval, last, now, scale))
        return join(parts, scale)

    def price(self, symbol: str, now: int) -> Decimal:
        """The price on the path of the running minute; `MarketError` before the listing."""
        coin = self._coins[symbol]
        if now < coin.listed:
            raise MarketError(f"{symbol} is not traded before its listing")
        minute = self._bars(coin, now // DAY, now // DAY, 1)[:, now % DAY // MINUTE]
        return Decimal(price_within(minute, MINUTE, now % MINUTE)).scaleb(-coin.price_places)

    def _closed(self, coin: Coin, interval: str, first: int, until: int, scale: Scale) -> Exact:
        """Whole bars from open time `first` up to the moment `until`."""
        minutes = INTERVALS.get(interval, 28 * DAY) // MINUTE
        base = 1440 if minutes >= 1440 else 5 if minutes % 5 == 0 else 1
        bars = Exact(self._bars(coin, first // DAY, until // DAY, base), scale).between(first, until)
        return bars if minutes == base else bars.aggregate(interval)

    def _open(self, coin: Coin, interval: str, opened: int, now: int, scale: Scale) -> Exact:
        """The bar that holds `now`, from the minutes that have passed and the one that runs."""
        parts = []
        today = now - now % DAY
        if opened < today:
            parts.append(self._bars(coin, opened // DAY, today // DAY - 1, 1440))
        minutes = self._bars(coin, now // DAY, now // DAY, 1)
        done = now % DAY // MINUTE
        parts.append(minutes[:, max(opened - today, 0) // MINUTE : done])
        parts.append(partial(minutes[:, done], MINUTE, now % MINUTE)[:, None])
        fine = Exact(np.concatenate(parts, axis=1), scale)
        return fine if interval == "1m" else fine.aggregate(interval)

    def _bars(self, coin: Coin, first: int, last: int, minutes: int) -> Times:
        """Whole days of bars of 1, 5 or 1440 minutes, from the cache where they are there."""
        symbol = coin.instrument.symbol
        found = [self._days.get((symbol, day, minutes)) for day in range(first, last + 1)]
        missing = [first + place for place, data in enumerate(found) if data is None]
        for at in range(0, len(missing), _CHUNK):
            chunk = missing[at : at + _CHUNK]
            fresh = self._compute(coin, chunk[0], chunk[-1], minutes)
            for day in chunk:
                data = np.ascontiguousarray(fresh[:, day - chunk[0]])
                found[day - first] = self._days.put((symbol, day, minutes), data, data.nbytes)
        return np.concatenate([data for data in found if data is not None], axis=1)

    def _compute(self, coin: Coin, first: int, last: int, minutes: int) -> Times:
        """`(10, days, bars of a day)`; from cached finer bars where that spares the walk."""
        symbol, days = coin.instrument.symbol, last - first + 1
        finer = {1: (), 5: (1,), 1440: (5, 1)}[minutes]
        for fine in finer:
            cached = [self._days.get((symbol, day, fine)) for day in range(first, last + 1)]
            if all(data is not None for data in cached):
                whole = np.stack([data for data in cached if data is not None], axis=1)
                return _grouped(whole, minutes // fine)
        whole = path.minutes(self.seed, coin, first, days, self._market(first, days)).reshape(-1, days, path.MINUTES)
        return _grouped(whole, minutes)

    def _market(self, first: int, days: int) -> path.Walk:
        known = self._markets.get((first, days))
        if known is None:
            known = path.walk(self.seed, "market", first, days, volatility=path.MARKET_VOLATILITY)
            size = days * path.MINUTES * 8 * 3
            self._markets.put((first, days), known, size)
        return known


def _first_at_or_after(interval: str, moment: int) -> int:
    opened = open_of(interval, moment)
    return opened if opened == moment else next_open(interval, moment)


def _grouped(days: Times, size: int) -> Times:
    """Each `size` neighbouring bars of `(10, days, bars)` made one."""
    if size == 1:
        return days
    groups = days.reshape(days.shape[0], days.shape[1], -1, size)
    out = np.empty(groups.shape[:3], np.int64)
    out[0], out[1], out[4] = groups[0, ..., 0], groups[1, ..., 0], groups[4, ..., -1]
    out[2], out[3] = groups[2].max(axis=-1), groups[3].min(axis=-1)
    out[SUMMED] = groups[SUMMED].sum(axis=-1)
    return out


class Marked(Prices):
    """Prices that are set from outside: the paper account of a real venue. It has no klines."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = dict(instruments)
        self._marks: dict[str, Decimal] = {}

    def mark(self, prices: Mapping[str, Decimal]) -> None:
        """Take these for the last prices; symbols that are not named keep theirs."""
        self._marks.update(prices)

    def instruments(self) -> Mapping[str, Instrument]:
        """The symbols as given."""
        return self._instruments

    def listed(self, symbol: str) -> int:
        """Always: what is not traded has no price."""
        return 0

    def klines(self, symbol: str, interval: str, start: int, end: int, now: int) -> Klines:
        """None."""
        return Klines.empty()

    def exact(self, symbol: str, interval: str, start: int, end: int, now: int) -> Exact:
        """None."""
        return Exact.empty(Scale(8, 8, 8))

    def price(self, symbol: str, now: int) -> Decimal:
        """The last mark; `MarketError` where none was set."""
        try:
            return self._marks[symbol]
        except KeyError:
            raise MarketError(f"no price of {symbol} yet") from None
