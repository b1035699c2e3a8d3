"""The paper account of a venue over the network: marks while somebody looks, klines for the time in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from tradebot.clock import Clock
from tradebot.errors import MarketError, VenueUnreachable
from tradebot.market.bars import INTERVALS, Klines, interval_ms, last_closed, open_of
from tradebot.market.history import History
from tradebot.market.store import KlineStore
from tradebot.market.venue import Feed
from tradebot.sim.engine import Exchange
from tradebot.sim.prices import Marked

MOST_BARS = 5_000
"""Bars of one symbol that are played; of a longer time coarser ones are."""


class PaperAccount:
    """An exchange of our own, at the prices of another.

    Orders that rest are carried out at marks as they are shown, and by the bars that have closed since:
    what went through a stop between two looks has triggered it. `intervals` are those of the settings;
    klines that do not come within `patience_s` real seconds are played the next time.
    """

    def __init__(
        self, exchange: Exchange, marked: Marked, clock: Clock, intervals: Iterable[str], *, patience_s: float
    ) -> None:
        self.exchange = exchange
        self._marked = marked
        self._clock = clock
        self._finest = min(intervals, key=interval_ms)
        self._patience_s = patience_s
        self._played = exchange.seen

    def mark(self, prices: Mapping[str, Decimal]) -> None:
        """Take these for the last prices."""
        self._marked.mark(prices)

    async def play(self, feed: Feed, store: KlineStore) -> list[str]:
        """Show orders that rest every bar that closed since the last time, oldest first.

        Bars come from the store where it holds them, else from the feed. What could not be had is played
        the next time; it is told, a line for each symbol.
        """
        now = self._clock.now()
        interval = _grain(self._finest, now - self._played)
        span = open_of(interval, self._played), last_closed(interval, now)
        symbols = self._waiting() if span[0] <= span[1] else []
        errors = await self._bring(feed, store, symbols, interval, span) if symbols else {}
        self._show({each: store.read(each, interval, *span) for each in symbols if each not in errors}, now)
        if not errors:
            self._played = now
            if symbols:
                self.exchange.pause()
        return [f"{symbol}: the paper account has not seen all prices: {why}" for symbol, why in errors.items()]

    def _waiting(self) -> list[str]:
        """Listed symbols with orders that rest."""
        listed = self.exchange.instruments()
        return sorted({each.symbol for each in self.exchange.open_orders()} & listed.keys())

    def _show(self, klines: Mapping[str, Klines], now: int) -> None:
        """Have bars carry out what waits."""
        for symbol, bars in klines.items():
            self.exchange.play(symbol, bars)

    async def _bring(
        self, feed: Feed, store: KlineStore, symbols: Sequence[str], interval: str, span: tuple[int, int]
    ) -> dict[str, MarketError]:
        """Have these bars in the store; what stood in the way, by symbol."""
        history = History(feed, self._clock, store, pauses_s=())
        try:
            async with asyncio.timeout(self._patience_s):
                await history.fetch({(symbol, interval): span for symbol in symbols})
        except TimeoutError:
            return dict.fromkeys(symbols, VenueUnreachable(f"its klines did not come within {self._patience_s:g} s"))
        except MarketError as error:
            return dict.fromkeys(symbols, error)
        return {symbol: error for (symbol, _), error in history.errors.items()}


def _grain(finest: str, length: int) -> str:
    """The finest interval, `finest` at best, of which `length` ms are not too many bars."""
    fit = (name for name, step in INTERVALS.items() if step >= interval_ms(finest) and length <= MOST_BARS * step)
    return next(fit, list(INTERVALS)[-1])
