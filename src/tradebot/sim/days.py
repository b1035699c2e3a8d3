"""Days of synthetic minutes: computed for several coins or days in one go, kept, and made coarser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from tradebot.market.bars import SUMMED, Times
from tradebot.sim import path
from tradebot.sim.cache import Cache
from tradebot.sim.coins import Coin
from tradebot.sim.path import MINUTES, Block

# Rows computed at once: so many that numpy's calls cost little, and so few that they stay in a CPU's own cache.
TILE = 8
_NEAR = 48  # places in the list
_BATCH = 64  # rows of which everything but the minutes is computed at once
_MARKETS = 8 << 20
_COARSE = {24: 8 << 20, 1: 4 << 20}
_WORKSPACE = 8 << 20
_BLOCK = len(path.BLOCK) * MINUTES * 4
_OBJECT = 200  # bytes that an array takes besides its values


class Days:
    """What is known of any day of any coin; memory is bounded. Days are counted since 1970."""

    def __init__(self, seed: int, coins: Sequence[Coin], memory: int) -> None:
        self.seed = seed
        self._coins = coins
        self._place = {coin.instrument.symbol: place for place, coin in enumerate(coins)}
        self._missed = 0
        self._blocks: Cache[Block] = Cache(memory)
        # Apart, so that no page of hours drives out the days of everyone.
        self._coarse: dict[int, Cache[Times]] = {bars: Cache(min(memory, limit)) for bars, limit in _COARSE.items()}
        self._markets: Cache[path.Market] = Cache(_MARKETS)
        self._table = path.Table.of(seed, coins)
        # glibc hands memory back after each tile and takes it anew page by page, a quarter of the time; having
        # freed one large block, which is never touched, it keeps that much.
        np.empty(_WORKSPACE, np.uint8)

    def minutes(self, coin: Coin, first: int, last: int) -> Block:
        """The minutes of whole days, `(7, minutes)`."""
        symbol = coin.instrument.symbol
        found = {day: self._blocks.get((symbol, day)) for day in range(first, last + 1)}
        missing = [day for day, block in found.items() if block is None]
        if missing:
            found |= self._fill(coin, missing)
        blocks = [block for block in found.values() if block is not None]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)

    def _fill(self, coin: Coin, missing: Sequence[int]) -> dict[int, Block]:
        """The days that are missing; who asks for one coin asks for the next ones too, so they come along."""
        company = self._company(coin, missing) if len(missing) <= TILE // 2 else [coin]
        rows = list(product(company, missing))
        filled: dict[int, Block] = {}
        for part, block in self.compute(rows):
            self._store(part, block)
            filled |= {day: block[:, place] for place, (each, day) in enumerate(part) if each is coin}
        return filled

    def _company(self, coin: Coin, days: Sequence[int]) -> list[Coin]:
        """The coin and those after it in the list that lack these days too, as many as one tile holds.

        Only for who goes through the list, perhaps with many requests at once: the last coin that was
        missed is not far away.
        """
        place = self._place[coin.instrument.symbol]
        far = abs(place - self._missed) > _NEAR
        self._missed = place
        if far:
            return [coin]
        after = self._coins[place + 1 : place + TILE // len(days)]
        return [coin, *(each for each in after if (each.instrument.symbol, days[-1]) not in self._blocks)]

    def compute(self, rows: Sequence[tuple[Coin, int]]) -> Iterator[tuple[Sequence[tuple[Coin, int]], Block]]:
        """Minutes of any coins and days, a tile `(7, rows, 1440)` at a time; nothing of it is kept."""
        for begin in range(0, len(rows), _BATCH):
            batch = rows[begin : begin + _BATCH]
            days = np.array([day for _, day in batch], np.int64)
            table = self._table.take([self._place[coin.instrument.symbol] for coin, _ in batch])
            market = self._market(days)
            at = path.nodes(table, days, market.at)
            for tile in range(0, len(batch), TILE):
                some = slice(tile, tile + TILE)
                yield batch[some], path.minutes(table.take(some), days[some], at.take(some), market.take(some))

    def everyone(self, day: int) -> Iterator[tuple[int, Block]]:
        """A day of all coins, a tile `(7, rows, 1440)` at a time with the place of its first coin.

        It is kept if two such days fit into the cache.
        """
        keep = 2 * len(self._coins) <= self._blocks.limit // _BLOCK
        for at in range(0, len(self._coins), TILE):
            part = self._coins[at : at + TILE]
            known = [block for coin in part if (block := self._blocks.get((coin.instrument.symbol, day))) is not None]
            if len(known) == len(part):
                yield at, np.stack(known, axis=1)
                continue
            for rows, block in self.compute([(coin, day) for coin in part]):
                if keep:
                    self._store(rows, block)
                yield at, block

    def _store(self, rows: Sequence[tuple[Coin, int]], block: Block) -> None:
        for place, (coin, day) in enumerate(rows):
            kept = np.ascontiguousarray(block[:, place])
            self._blocks.put((coin.instrument.symbol, day), kept, kept.nbytes + _OBJECT)

    def _market(self, days: Times) -> path.Market:
        """The market of each day, or one row if all are the same day."""
        asked = days.tolist()
        if asked.count(asked[0]) == len(asked):
            asked = asked[:1]
        known = {day: self._markets.get(day) for day in asked}
        missing = [day for day, market in known.items() if market is None]
        for at in range(0, len(missing), TILE):
            part = missing[at : at + TILE]
            fresh = path.Market.of(self.seed, np.array(part, np.int64))
            for row, day in enumerate(part):
                one = path.Market.join([fresh.take(slice(row, row + 1))])  # a copy, that the others may be forgotten
                known[day] = self._markets.put(day, one, 2 * 8 * MINUTES + _OBJECT)
        parts = [market for day in asked if (market := known[day]) is not None]
        return parts[0] if len(parts) == 1 else path.Market.join(parts)

    def coarse(self, coin: Coin, first: int, last: int, bars: int) -> Times:
        """Whole days of 24 bars or of 1 each, `(10, days × bars)`."""
        symbol = coin.instrument.symbol
        found = {day: self._coarse[bars].get((symbol, day)) for day in range(first, last + 1)}
        missing = [day for day, data in found.items() if data is None]
        for tile in self._make(coin, missing, bars):
            found |= tile
        return np.concatenate([data for data in found.values() if data is not None], axis=1)

    def steps(self, coin: Coin, first: int, last: int, bars: int) -> Iterator[None]:
        """Compute what `coarse` lacks, some milliseconds at a step."""
        symbol = coin.instrument.symbol
        missing = [day for day in range(first, last + 1) if self._coarse[bars].get((symbol, day)) is None]
        for _ in self._make(coin, missing, bars):
            yield

    def _make(self, coin: Coin, days: Sequence[int], bars: int) -> Iterator[dict[int, Times]]:
        """Coarse bars by day, a tile of days at a time; they are kept."""
        finer = {day: data for day in days if (data := self._finer(coin, day, bars)) is not None}
        if finer:
            yield {day: self.keep(coin, day, grouped_bars(data, data.shape[1] // bars)) for day, data in finer.items()}
        for part, block in self.compute([(coin, day) for day in days if day not in finer]):
            whole = np.stack([path.expand(block[:, k], day * MINUTES) for k, (_, day) in enumerate(part)], axis=1)
            grouped = grouped_bars(whole, MINUTES // bars)
            yield {day: self.keep(coin, day, np.ascontiguousarray(grouped[:, k])) for k, (_, day) in enumerate(part)}

    def _finer(self, coin: Coin, day: int, bars: int) -> Times | None:
        """Finer bars of a day that are there already."""
        symbol = coin.instrument.symbol
        if bars == 1 and (hours := self._coarse[24].get((symbol, day))) is not None:
            return hours
        block = self._blocks.get((symbol, day))
        return None if block is None else path.expand(block, day * MINUTES)

    def keep(self, coin: Coin, day: int, data: Times) -> Times:
        """Keep the coarse bars of a day, `(10, 24)` or `(10, 1)`, which are returned."""
        return self._coarse[data.shape[1]].put((coin.instrument.symbol, day), data, data.nbytes + _OBJECT)


def grouped_bars(bars: Times, size: int) -> Times:
    """Each `size` neighbours along the last axis made one bar; the first axis is `FIELDS`."""
    if size == 1:
        return bars
    shape = (*bars.shape[:-1], bars.shape[-1] // size)
    flat = bars.reshape(len(bars), -1)
    starts = np.arange(0, flat.shape[1], size)
    out = np.empty((len(bars), len(starts)), np.int64)
    out[0], out[1], out[4] = flat[0, starts], flat[1, starts], flat[4, size - 1 :: size]
    np.maximum.reduceat(flat[2], starts, out=out[2])
    np.minimum.reduceat(flat[3], starts, out=out[3])
    np.add.reduceat(flat[SUMMED], starts, axis=1, out=out[SUMMED])
    return out.reshape(shape)
