"""The last 24 hours of every synthetic coin at once, for those who ask for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TypeAlias

import numpy as np

from tradebot.clock import DAY, HOUR, MINUTE
from tradebot.market.bars import Times
from tradebot.sim import path
from tradebot.sim.coins import Coin
from tradebot.sim.days import Days, grouped_bars, grouped_block
from tradebot.sim.exact import partial_bars
from tradebot.sim.path import HOURS, MINUTES, Block
from tradebot.sim.shapes import LENGTH

SLOT = 5  # minutes: the 24 hours begin with one of the bars of five
_SLOTS = LENGTH // SLOT
_INSTANTS = 4
_OPEN, _HIGH, _LOW, _CLOSE, _AMOUNTS = 1, 2, 3, 4, (5, 6, 7)

_Hour: TypeAlias = tuple[int, int]  # a day since 1970 and an hour of it


class Board:
    """Per coin a bar for each hour of two days, 5m bars of the hours at both ends, and minutes of the present one.

    A new hour is one pass over all coins. Coins that were listed after the first of the two days began are left out.
    """

    def __init__(self, days: Days, coins: Sequence[Coin]) -> None:
        self._days = days
        self._coins = coins
        self._listed = np.array([coin.listed for coin in coins])
        # By hour: one bar `(10, coins)`, 5m bars `(10, coins, 12)`, minutes `(7, rows, 60)` of each tile.
        self._bars: dict[_Hour, Times] = {}
        self._slots: dict[_Hour, Times] = {}
        self._minutes: dict[_Hour, list[Block]] = {}
        self._reading: Iterator[None] = iter(())
        self._told: dict[int, dict[str, list[int]]] = {}

    def steps(self, now: int) -> Iterator[None]:
        """Get ready to answer for this instant, a tile of coins at a step; whoever else does so helps."""
        while now not in self._told:
            if not any(True for _ in self._reading):
                lacking = self._lacking(now)
                if lacking is None:
                    self._tell_all(now)
                    return
                self._reading = self._read(*lacking, {_begin(now)[0], _present(now)})
            yield

    def day(self, symbol: str, now: int) -> list[int] | None:
        """Open, high, low, last, volume, quote volume and trades; None for an instant that nobody got ready for."""
        told = self._told.get(now)
        return None if told is None else told.get(symbol)

    def _lacking(self, now: int) -> tuple[int, int, int] | None:
        """A day and its first and last hour of which something is not there yet."""
        begin, present = _begin(now)[0], _present(now)
        place = begin[0] * HOURS + begin[1], present[0] * HOURS + present[1]
        wanted = [divmod(hour, HOURS) for hour in range(place[0], place[1] + 1)]
        fine = {begin, present} - self._slots.keys() | {present} - self._minutes.keys()
        missing = [hour for hour in wanted if hour not in self._bars or hour in fine]
        if not missing:
            return None
        hours = [hour for day, hour in missing if day == missing[0][0]]
        return missing[0][0], hours[0], hours[-1]

    def _read(self, day: int, first: int, last: int, fine: set[_Hour]) -> Iterator[None]:
        """Some hours of a day of all coins; those that are `fine` in detail."""
        hours = [(day, hour) for hour in range(first, last + 1)]
        bars = np.empty((len(hours), 10, len(self._coins)), np.int64)
        slots = {hour: np.empty((10, len(self._coins), _SLOTS), np.int64) for hour in hours if hour in fine}
        minutes: dict[_Hour, list[Block]] = {hour: [] for hour in slots}
        for at, block in self._days.everyone(day, first, last + 1):
            rows = slice(at, at + block.shape[1])
            bars[:, :, rows] = grouped_block(block, LENGTH, day * MINUTES + first * LENGTH).transpose(2, 0, 1)
            for hour, into in slots.items():
                detail = block[:, :, (hour[1] - first) * LENGTH : (hour[1] - first + 1) * LENGTH]
                into[:, rows] = grouped_block(detail, SLOT, day * MINUTES + hour[1] * LENGTH)
                minutes[hour].append(detail.copy())
            yield
        self._bars |= dict(zip(hours, bars, strict=True))
        self._slots |= slots
        self._minutes |= minutes

    def _tell_all(self, now: int) -> None:
        """Answer for this instant, and forget what none after it can need."""
        today = now // DAY
        told = self._tell(now).T.tolist()
        old = (self._listed <= (today - 1) * DAY).tolist()
        symbols = [coin.instrument.symbol for coin in self._coins]
        self._told = dict(islice(self._told.items(), max(len(self._told) - _INSTANTS + 1, 0), None))
        self._told[now] = {symbol: told[place] for place, symbol in enumerate(symbols) if old[place]}
        present, kept = _present(now), {_present(now), _begin(now)[0]}
        self._bars = {hour: bars for hour, bars in self._bars.items() if hour[0] in (today - 1, today)}
        self._slots = {hour: slots for hour, slots in self._slots.items() if hour in kept}
        self._minutes = {hour: minutes for hour, minutes in self._minutes.items() if hour == present}

    def _tell(self, now: int) -> Times:
        """`(7, coins)`: the bars that opened within 24 hours, and what runs."""
        (before, first), slot = _begin(now)
        today, present = _present(now)
        done = now % HOUR // MINUTE // SLOT
        pieces = []
        if before < today:
            pieces += [self._slots[before, first][:, :, slot:]]
            pieces += [self._bars[before, hour][:, :, None] for hour in range(first + 1, HOURS)]
        pieces += [self._bars[today, hour][:, :, None] for hour in range(present)]
        pieces += [self._slots[today, present][:, :, :done], self._running(now, done * SLOT)]
        data = np.concatenate([grouped_bars(piece, piece.shape[2]) for piece in pieces if piece.shape[2]], axis=2)
        whole = grouped_bars(data, data.shape[2])[:, :, 0]
        return whole[[_OPEN, _HIGH, _LOW, _CLOSE, *_AMOUNTS]]

    def _running(self, now: int, first: int) -> Times:
        """The minutes of the 5m bar that holds `now`, up to the one that runs, `(10, coins, minutes)`."""
        last = now % HOUR // MINUTE
        block = np.concatenate([part[:, :, first : last + 1] for part in self._minutes[_present(now)]], axis=1)
        size = block.shape[2]
        fine = path.expand(block.reshape(len(path.BLOCK), -1), 0).reshape(10, -1, size)
        fine[:, :, -1] = partial_bars(fine[:, :, -1], now - now % MINUTE, MINUTE, now % MINUTE)
        return fine


def _present(now: int) -> _Hour:
    return now // DAY, now % DAY // HOUR


def _begin(now: int) -> tuple[_Hour, int]:
    """Of the first bar of five minutes that opened within 24 hours: its hour, and its place in that."""
    slot = (now - DAY) // (SLOT * MINUTE) + 1
    day, place = divmod(slot, MINUTES // SLOT)
    return (day, place // _SLOTS), place % _SLOTS
