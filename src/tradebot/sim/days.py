"""Days of synthetic minutes: computed for several coins or days in one go, kept, and made coarser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import TypeAlias

import numpy as np

from tradebot.clock import MINUTE
from tradebot.market.bars import Times
from tradebot.sim import path
from tradebot.sim.asks import Asks, Need
from tradebot.sim.cache import Cache
from tradebot.sim.coins import Coin
from tradebot.sim.exact import merged
from tradebot.sim.path import HOURS, MINUTES, Block
from tradebot.sim.shapes import LENGTH

# Days computed at once: so many that numpy's calls cost little, and so few that they stay in a CPU's own cache.
TILE = 32
SHARE = 16  # days that one who asks gets at a time
_NEAR = 48  # places in the list
_BATCH = 128  # days that are begun at once
_FAR = 500  # days of which what is lacking is looked up at once
_MARKETS = 2 << 20
_LIMITS = {MINUTES: 1 << 40, HOURS: 6 << 20, 1: 3 << 20}
_FINER = {1: HOURS, HOURS: MINUTES}
_OBJECT = 200  # bytes that an array takes besides its values
_WALK = 6 * 24 * 8 + 8 + 6 * _OBJECT


# Bars of a day of a coin from a minute of it on: minutes as a block `(7, n)`, coarser ones `(10, n)`.
Part: TypeAlias = tuple[int, Block]


class Days:
    """What is known of any day of any coin; memory is bounded. Days are counted since 1970."""

    def __init__(self, seed: int, coins: Sequence[Coin], memory: int) -> None:
        self.seed = seed
        self._coins = coins
        self._place = {coin.instrument.symbol: place for place, coin in enumerate(coins)}
        self._missed = 0
        # By the number of bars a day, so that no page of hours drives out the minutes of everyone.
        self._kept: dict[int, Cache[Part]] = {bars: Cache(min(memory, limit)) for bars, limit in _LIMITS.items()}
        self._markets: Cache[path.Walk] = Cache(_MARKETS)
        self._table = path.Table.of(seed, coins)
        self._asks = Asks(_BATCH, SHARE, self._work)

    def minutes(self, coin: Coin, first: int, until: int) -> Block:
        """The minutes (since 1970) from `first` up to before `until`, `(7, minutes)`."""
        return self._cut(MINUTES, coin, first, until)

    def coarse(self, bars: int, coin: Coin, first: int, until: int) -> Times:
        """Whole hours or days between two minutes, of which a day has 24 `bars` or 1, `(10, bars)`."""
        return self._cut(bars, coin, first, until)

    def _cut(self, bars: int, coin: Coin, first: int, until: int) -> Block:
        place, days, size = self._place[coin.instrument.symbol], list(_by_day(first, until)), MINUTES // bars
        known = {day: self._known(bars, place, day, start, end) for day, start, end in days}
        lacking = [self._need(bars, place, day, start, end) for day, start, end in days if known[day] is None]
        made = {need.day: (need.first, need.made[bars]) for need in self._made(lacking)}
        parts = []
        for day, start, end in days:
            begin, data = known[day] or made[day]
            parts.append(data[:, (start - begin) // size : (end - begin) // size])
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def bars(self, asked: Sequence[tuple[Coin, int, int, int]]) -> list[Times]:
        """Of each coin from a first minute up to before another one bars `(10, n)` of so many minutes."""
        blocks = [self.minutes(coin, first, until) for coin, first, until, _ in asked]
        return grouped_each(np.concatenate(blocks, axis=1), [each[1:] for each in asked])

    def steps(self, coin: Coin, wanted: Sequence[tuple[int, int, int]]) -> Iterator[None]:
        """Compute what is lacking of (bars, first minute, until minute), some milliseconds at a step.

        Whoever else does so before the second step is served by the same computation.
        """
        place, rest = self._place[coin.instrument.symbol], []
        for bars, first, until in wanted:
            cuts = [first, *range((first // MINUTES + _FAR) * MINUTES, until, _FAR * MINUTES), until]
            for start, end in pairwise(cuts[:-1]):
                yield from self._asks.steps(self._needs(place, [(bars, start, end)]))
            rest.append((bars, cuts[-2], until))
        yield from self._asks.steps(self._needs(place, rest))

    def _needs(self, place: int, wanted: Sequence[tuple[int, int, int]]) -> list[Need]:
        needs: dict[int, Need] = {}
        for bars, first, until in wanted:
            for need in self._lacking(place, bars, first, until):
                needs.setdefault(need.day, need).join(need)
        return list(needs.values())

    def _lacking(self, place: int, bars: int, first: int, until: int) -> Iterator[Need]:
        """The days of which these bars are not known."""
        for day, start, end in _by_day(first, until):
            if self._known(bars, place, day, start, end) is None:
                yield self._need(bars, place, day, start, end)

    def _known(self, bars: int, place: int, day: int, start: int, end: int) -> Part | None:
        """What has the bars of these minutes of a day, or finer ones that they can be made of."""
        known = self._kept[bars].get((place, day))
        if known and known[0] <= start and end <= known[0] + known[1].shape[1] * (MINUTES // bars):
            return known
        finer = self._known(_FINER[bars], place, day, start, end) if bars < MINUTES else None
        return finer and self._keep(bars, place, day, (finer[0], _coarser(bars, day, *finer)))

    def _keep(self, bars: int, place: int, day: int, part: Part) -> Part:
        return self._kept[bars].put((place, day), part, part[1].nbytes + _OBJECT)

    def _need(self, bars: int, place: int, day: int, start: int, end: int) -> Need:
        """What of a day to compute for these minutes of it."""
        if bars == 1 or (place, day) in self._kept[bars]:
            # It was asked for a second time, and will be for a third.
            return Need(place, day, 0, MINUTES, {bars})
        return Need(place, day, start // LENGTH * LENGTH, -(-end // LENGTH) * LENGTH, {bars})

    def _made(self, needs: Sequence[Need]) -> Sequence[Need]:
        """Compute them now. Who asks for one coin asks for the next ones too, so they come along."""
        if needs:
            for _ in self._work(needs):
                pass
        return needs

    def _company(self, needs: Sequence[Need]) -> list[Need]:
        """What the last coin needs, of those that follow it in the list and lack it too.

        Only for who goes through the list: the last coin that was missed is not far away.
        """
        last = needs[-1]
        far = abs(last.place - self._missed) > _NEAR
        self._missed = last.place
        alike = [need for need in needs if need.place == last.place]
        room = (SHARE - len(needs)) // len(alike)
        if far or room <= 0:
            return []
        return [
            Need(other, need.day, need.first, need.last, set(need.bars))
            for other in range(last.place + 1, min(last.place + 1 + room, len(self._coins)))
            if not self._has(other, last)
            for need in alike
        ]

    def _has(self, place: int, need: Need) -> bool:
        return all(self._known(bars, place, need.day, need.first, need.last) for bars in need.bars)

    def _work(self, needs: Sequence[Need]) -> Iterator[None]:
        """Make what is needed and what will be, and keep it, a tile at a step."""
        for made, block in self.compute([*needs, *self._company(needs)]):
            for bars in sorted(set().union(*(need.bars for need in made))):
                self._finish(bars, made, block)
            yield

    def compute(self, needs: Sequence[Need]) -> Iterator[tuple[Sequence[Need], Block]]:
        """The hours of some needs, one after another, `(7, hours, 60)`, a tile of needs at a time."""
        for begin in range(0, len(needs), _BATCH):
            batch = needs[begin : begin + _BATCH]
            days = np.array([need.day for need in batch])
            hours = path.sketch(self._table.take([need.place for need in batch]), days, self._market(days))
            parts = [hours[:, row, slice(*need.hours)] for row, need in enumerate(batch)]
            for at in range(0, len(batch), TILE):
                yield batch[at : at + TILE], path.minutes(np.concatenate(parts[at : at + TILE], axis=1))

    def _finish(self, bars: int, needs: Sequence[Need], block: Block) -> None:
        """Keep a tile as minutes or as bars for those who need these."""
        ends = accumulate((need.hours[1] - need.hours[0] for need in needs), initial=0)
        parts = [(need, block[:, at:end]) for need, (at, end) in zip(needs, pairwise(ends), strict=True)]
        some = [need for need in needs if bars in need.bars]
        made = [hours.reshape(len(block), -1) for need, hours in parts if bars in need.bars]
        if bars < MINUTES:
            whole = np.concatenate(made, axis=1) if len(some) < len(needs) else block.reshape(len(block), -1)
            made = grouped_each(whole, [(*need.since, MINUTES // bars) for need in some])
        for need, data in zip(some, made, strict=True):
            need.made[bars] = self._keep(bars, need.place, need.day, (need.first, data.copy()))[1]

    def everyone(self, day: int, first: int, last: int) -> Iterator[tuple[int, Block]]:
        """Some hours of a day of all coins, a tile `(7, coins, minutes)` at a time with the place of its first coin."""
        market = self._market(np.array([day]))
        for begin in range(0, len(self._coins), _BATCH):
            table = self._table.take(slice(begin, begin + _BATCH))
            days = np.full(len(table.beta), day)
            hours = path.sketch(table, days, market)[:, :, first:last]
            size = max(TILE * HOURS // (last - first), 1)
            for at in range(0, len(days), size):
                some = hours[:, at : at + size]
                yield begin + at, path.minutes(some.reshape(len(some), -1)).reshape(len(path.BLOCK), some.shape[1], -1)

    def _market(self, days: Times) -> path.Walk:
        """The market of each day, or one row if all are the same day."""
        asked = days.tolist()
        if asked.count(asked[0]) == len(asked):
            asked = asked[:1]
        known = {day: self._markets.get(day) for day in asked}
        missing = [day for day, market in known.items() if market is None]
        if missing:
            fresh = path.market(self.seed, np.array(missing, np.int64))
            for row, day in enumerate(missing):
                known[day] = self._markets.put(day, fresh.row(row), _WALK)
        parts = [market for day in asked if (market := known[day]) is not None]
        return parts[0] if len(parts) == 1 else path.Walk.join(parts)


def _by_day(first: int, until: int) -> Iterator[tuple[int, int, int]]:
    """The days of minutes since 1970, with the first of each and the one after its last."""
    for day in range(first // MINUTES, (until - 1) // MINUTES + 1):
        start = day * MINUTES
        yield day, max(first - start, 0), min(until - start, MINUTES)


def grouped_bars(bars: Times, size: int) -> Times:
    """Each `size` neighbours along the last axis made one bar; the first axis is `FIELDS`."""
    if size == 1:
        return bars
    flat = bars.reshape(len(bars), -1)
    return merged(flat, np.arange(0, flat.shape[1], size)).reshape(*bars.shape[:-1], -1)


def grouped_block(block: Block, size: int, first: int | Times) -> Times:
    """Each `size` minutes of a block `(7, rows, minutes)` made one bar, `(10, rows, bars)`.

    `first` is the first minute since 1970, of all rows or `(rows, 1)` of each.
    """
    whole = block.reshape(len(block), -1)
    bars = grouped(whole, np.arange(0, whole.shape[1], size)).reshape(10, block.shape[1], -1)
    bars[0] = (first + np.arange(0, block.shape[2], size)) * MINUTE
    return bars


def grouped_each(block: Block, spans: Sequence[tuple[int, int, int]]) -> list[Times]:
    """Blocks one after another, `(7, minutes)`, as bars `(10, n)`.

    Of each block is told its first minute since 1970, the one after its last, and the minutes of a bar.
    """
    opens = [np.arange(*span) for span in spans]
    cuts = list(accumulate(map(len, opens), initial=0))
    ends = accumulate((until - first for first, until, _ in spans), initial=0)
    every = np.concatenate(opens)
    shift = np.repeat([end - first for end, (first, _, _) in zip(ends, spans, strict=False)], np.diff(cuts))
    bars = grouped(block, every + shift)
    np.multiply(every, MINUTE, out=bars[0])
    return [bars[:, begin:end] for begin, end in pairwise(cuts)]


def _coarser(bars: int, day: int, first: int, finer: Block) -> Times:
    """Bars, of which a day has so many, made of the next finer ones from a minute of the day on."""
    if bars == 1:
        return grouped_bars(finer, HOURS)
    began = day * MINUTES + first
    return grouped_each(finer, [(began, began + finer.shape[1], LENGTH)])[0]


def grouped(block: Block, starts: Times) -> Times:
    """Neighbours of a block `(7, minutes)` made one bar, from each of `starts` on; `(10, bars)` without open times."""
    opened, high, low, close, volume, trades, taken = block
    total = opened + high
    total += low
    total += close
    typical = (total >> 2).astype(np.int64)
    out = np.empty((10, len(starts)), np.int64)
    out[1], out[4, :-1], out[4, -1] = opened[starts], close[starts[1:] - 1], close[-1]
    out[2], out[3] = np.maximum.reduceat(high, starts), np.minimum.reduceat(low, starts)
    for place, amounts in ((5, volume), (8, taken)):
        wide = amounts.astype(np.int64)
        np.add.reduceat(wide, starts, out=out[place])
        wide *= typical
        np.add.reduceat(wide, starts, out=out[place + 1])
    np.add.reduceat(trades, starts, out=out[7], dtype=np.int64)
    return out
