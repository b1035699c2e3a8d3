"""The last 24 hours of every synthetic coin at once, for those who ask for all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tradebot.clock import DAY, MINUTE
from tradebot.market.bars import Times
from tradebot.sim import path
from tradebot.sim.coins import Coin
from tradebot.sim.days import Days, grouped_bars
from tradebot.sim.exact import partial_bars
from tradebot.sim.path import MINUTES, Block

SLOT = 5  # minutes: the day is told from bars of five
_SLOTS = MINUTES // SLOT
_KEPT = 240  # minutes around the present one that are kept as they are
_OPEN, _HIGH, _LOW, _CLOSE = 1, 2, 3, 4
_PRICES, _AMOUNTS = [_OPEN, _HIGH, _LOW], [5, 6, 7]


class Board:
    """Per coin the 5m bars of two days and some hours of minutes; a new day, or new hours, is one pass over all coins.

    Coins that were listed after the first of the two days began are left out.
    """

    def __init__(self, days: Days, coins: Sequence[Coin]) -> None:
        self._days = days
        self._coins = coins
        self._place = {coin.instrument.symbol: place for place, coin in enumerate(coins)}
        self._listed = np.array([coin.listed for coin in coins])
        self._slots: dict[int, tuple[Block, Times]] = {}
        self._minutes: tuple[int, Block] = (-1, np.empty((len(path.BLOCK), 0, 0), np.int32))
        self._now = -1
        self._told: dict[str, list[int]] = {}

    def cover(self, now: int) -> None:
        """Be ready to answer for this instant."""
        if now == self._now:
            return
        today, minute = now // DAY, now % DAY // MINUTE
        self._slots = {day: slots for day, slots in self._slots.items() if day in (today - 1, today)}
        for day in (today - 1, today):
            if day not in self._slots or (day == today and self._minutes[0] != now // MINUTE // _KEPT):
                self._read(day, minute // _KEPT if day == today else None)
        told = self._tell(now).T.tolist()
        old = (self._listed <= (today - 1) * DAY).tolist()
        self._told = {symbol: told[place] for symbol, place in self._place.items() if old[place]}
        self._now = now

    def day(self, symbol: str, now: int) -> list[int] | None:
        """Open, high, low, last, volume, quote volume and trades; None for an instant that is not covered."""
        return self._told.get(symbol) if now == self._now else None

    def _read(self, day: int, part: int | None) -> None:
        """Slots of a day and, for the present one, the minutes of its `part`."""
        count = len(self._coins)
        prices = np.empty((len(_PRICES), count, _SLOTS), np.int32)
        amounts = np.empty((len(_AMOUNTS), count, _SLOTS), np.int64)
        minutes: list[Block] = []
        for at, block in self._days.everyone(day):
            rows = block.shape[1]
            _slots(block, prices[:, at : at + rows], amounts[:, at : at + rows])
            self._keep_days(at, day, block, prices, amounts)
            if part is not None:
                minutes.append(block[:, :, part * _KEPT : (part + 1) * _KEPT].copy())
        self._slots[day] = prices, amounts
        if part is not None:
            self._minutes = day * (MINUTES // _KEPT) + part, np.concatenate(minutes, axis=1)

    def _keep_days(self, at: int, day: int, block: Block, prices: Block, amounts: Times) -> None:
        """Let everyone have the bars of a whole day, which a book's depth goes by."""
        some = slice(at, at + block.shape[1])
        typical = block[:4].sum(axis=0, dtype=np.int64) >> 2
        bars = np.empty((10, block.shape[1], 1), np.int64)
        bars[0], bars[1], bars[4] = day * DAY, prices[0, some, :1], block[3, :, -1:]
        bars[2], bars[3] = prices[1, some].max(axis=1, keepdims=True), prices[2, some].min(axis=1, keepdims=True)
        bars[5:8] = amounts[:, some].sum(axis=2, keepdims=True)
        bars[8] = block[6].sum(axis=1, dtype=np.int64, keepdims=True)
        bars[9] = (block[6] * typical).sum(axis=1, keepdims=True)
        for place, coin in enumerate(self._coins[some]):
            self._days.keep(coin, day, bars[:, place].copy())

    def _tell(self, now: int) -> Times:
        """`(7, coins)`: the bars that opened within 24 hours, and what runs."""
        today, minute = now // DAY, now % DAY // MINUTE
        first, done = (now % DAY) // (SLOT * MINUTE) + 1, minute // SLOT
        running = self._running(now, minute, done * SLOT)
        prices = [self._slots[today - 1][0][:, :, first:], self._slots[today][0][:, :, :done]]
        amounts = [self._slots[today - 1][1][:, :, first:], self._slots[today][1][:, :, :done]]
        out = np.empty((7, len(self._coins)), np.int64)
        begin = next((part[0, :, 0] for part in prices if part.shape[2]), running[_OPEN])
        out[0], out[1], out[2], out[3] = begin, running[_HIGH], running[_LOW], running[_CLOSE]
        out[4:] = running[_AMOUNTS]
        for price, amount in zip(prices, amounts, strict=True):
            if price.shape[2]:
                np.maximum(out[1], price[1].max(axis=1), out=out[1])
                np.minimum(out[2], price[2].min(axis=1), out=out[2])
                out[4:] += amount.sum(axis=2)
        return out

    def _running(self, now: int, minute: int, first: int) -> Times:
        """The bar that holds `now`, from the minutes of it that have passed and the one that runs, `(10, coins)`."""
        offset = minute // _KEPT * _KEPT
        block = self._minutes[1][:, :, first - offset : minute + 1 - offset]
        size = block.shape[2]
        fine = path.expand(block.reshape(len(path.BLOCK), -1), 0).reshape(10, -1, size)
        fine[:, :, -1] = partial_bars(fine[:, :, -1], now - now % MINUTE, MINUTE, now % MINUTE)
        return grouped_bars(fine, size)[:, :, 0]


def _slots(block: Block, prices: Block, amounts: Times) -> None:
    """Make the bars of a tile; `grouped_bars` of `expand` would do it too, with three times the work."""
    opened, high, low, close, volume, trades = block[:6]
    typical = opened + high
    typical += low
    typical += close
    typical >>= 2
    prices[0] = opened[:, ::SLOT]
    prices[1] = _folded(np.maximum, high)
    prices[2] = _folded(np.minimum, low)
    amounts[0] = _folded(np.add, volume.astype(np.int64))
    amounts[1] = _folded(np.add, np.multiply(volume, typical, dtype=np.int64))
    amounts[2] = _folded(np.add, trades)


def _folded(combine: np.ufunc, row: Block) -> Block:
    """Each `SLOT` neighbours combined: for so few, one after another is faster than `reduceat`."""
    parts = [row[:, place::SLOT] for place in range(SLOT)]
    folded: Block = combine(parts[0], parts[1])
    for part in parts[2:]:
        combine(folded, part, out=folded)
    return folded
