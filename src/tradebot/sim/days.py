"""Days of synthetic minutes: computed for several coins or days in one go, kept, and made coarser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

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
_COARSE = {24: 6 << 20, 1: 3 << 20}
_WORKSPACE = 8 << 20
_QUARTER = 2**29  # four prices below that add up within 32 bits
_OBJECT = 200  # bytes that an array takes besides its values
_WALK = 6 * 24 * 8 + 8 + 6 * _OBJECT


class Days:
    """What is known of any day of any coin; memory is bounded. Days are counted since 1970."""

    def __init__(self, seed: int, coins: Sequence[Coin], memory: int) -> None:
        self.seed = seed
        self._coins = coins
        self._place = {coin.instrument.symbol: place for place, coin in enumerate(coins)}
        self._missed = 0
        # The first minute that is known of a day, and those from there on.
        self._blocks: Cache[tuple[int, Block]] = Cache(memory)
        # Apart, so that no page of hours drives out the days of everyone.
        self._coarse: dict[int, Cache[Times]] = {bars: Cache(min(memory, limit)) for bars, limit in _COARSE.items()}
        self._markets: Cache[path.Walk] = Cache(_MARKETS)
        self._table = path.Table.of(seed, coins)
        self._asks = Asks(_BATCH, SHARE, self._work)
        # glibc hands memory back after each tile and takes it anew page by page, a quarter of the time; having
        # freed one large block, which is never touched, it keeps that much.
        np.empty(_WORKSPACE, np.uint8)

    def minutes(self, coin: Coin, first: int, until: int) -> Block:
        """The minutes (since 1970) from `first` up to before `until`, `(7, minutes)`."""
        place = self._place[coin.instrument.symbol]
        days = list(_by_day(first, until))
        found = {day: self._known(place, day, start, end) for day, start, end in days}
        lacking = [self._part(place, day, start, end) for day, start, end in days if found[day] is None]
        found |= {need.day: (need.first, need.made[MINUTES]) for need in self._made(lacking)}
        parts = []
        for day, start, end in days:
            begin, block = found[day] or _NONE
            parts.append(block[:, start - begin : end - begin])
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def bars(self, asked: Sequence[tuple[Coin, int, int, int]]) -> list[Times]:
        """Of each coin from a first minute up to before another one bars `(10, n)` of so many minutes."""
        blocks = [self.minutes(coin, first, until) for coin, first, until, _ in asked]
        ends = list(accumulate((block.shape[1] for block in blocks), initial=0))
        starts = [np.arange(begin, end, each[3]) for each, (begin, end) in zip(asked, pairwise(ends), strict=True)]
        made = grouped(np.concatenate(blocks, axis=1), np.concatenate(starts))
        made[0] = np.concatenate([np.arange(first, until, size) for _, first, until, size in asked])
        made[0] *= MINUTE
        cuts = list(accumulate((len(each) for each in starts), initial=0))
        return [made[:, begin:end] for begin, end in pairwise(cuts)]

    def coarse(self, coin: Coin, first: int, last: int, bars: int) -> Times:
        """Whole days of 24 bars or of 1 each, `(10, days × bars)`."""
        place = self._place[coin.instrument.symbol]
        found = {day: self._coarser(place, day, bars) for day in range(first, last + 1)}
        lacking = [Need(place, day, 0, MINUTES, {bars}) for day, data in found.items() if data is None]
        found |= {need.day: need.made[bars] for need in self._made(lacking)}
        return np.concatenate([data for data in found.values() if data is not None], axis=1)

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
            if bars < MINUTES:
                if self._coarser(place, day, bars) is None:
                    yield Need(place, day, 0, MINUTES, {bars})
            elif self._known(place, day, start, end) is None:
                yield self._part(place, day, start, end)

    def _known(self, place: int, day: int, start: int, end: int) -> tuple[int, Block] | None:
        """A block that has these minutes of a day, and its first one."""
        known = self._blocks.get((place, day))
        return known if known and known[0] <= start and end <= known[0] + known[1].shape[1] else None

    def _part(self, place: int, day: int, start: int, end: int) -> Need:
        """What of a day to compute for these minutes of it."""
        if (place, day) in self._blocks:
            # It was asked for a second time, and will be for a third.
            return Need(place, day, 0, MINUTES, {MINUTES})
        return Need(place, day, start // LENGTH * LENGTH, -(-end // LENGTH) * LENGTH, {MINUTES})

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
        return all(
            self._known(place, need.day, need.first, need.last)
            if bars == MINUTES
            else (place, need.day) in self._coarse[bars]
            for bars in need.bars
        )

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
        some = [(need, hours) for need, hours in parts if bars in need.bars]
        if bars == MINUTES:
            for need, hours in some:
                kept = need.made[bars] = hours.copy().reshape(len(block), -1)
                self._blocks.put((need.place, need.day), (need.first, kept), kept.nbytes + _OBJECT)
            return
        whole = block if len(some) == len(needs) else np.concatenate([hours for _, hours in some], axis=1)
        days = np.array([[need.day * MINUTES] for need, _ in some])
        made = grouped_block(whole.reshape(len(block), len(some), MINUTES), MINUTES // bars, days)
        for row, (need, _) in enumerate(some):
            need.made[bars] = self._keep(need.place, need.day, made[:, row].copy())

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

    def _coarser(self, place: int, day: int, bars: int) -> Times | None:
        """The bars of a day if they are there, or finer ones that they can be made of."""
        known = self._coarse[bars].get((place, day))
        if known is not None:
            return known
        if bars == 1 and (hours := self._coarse[24].get((place, day))) is not None:
            return self._keep(place, day, grouped_bars(hours, 24))
        whole = self._known(place, day, 0, MINUTES)
        if whole is None:
            return None
        return self._keep(place, day, grouped_block(whole[1][:, None], MINUTES // bars, day * MINUTES)[:, 0])

    def _keep(self, place: int, day: int, data: Times) -> Times:
        """Keep the coarse bars of a day of a coin, `(10, 24)` or `(10, 1)`, which are returned."""
        return self._coarse[data.shape[1]].put((place, day), data, data.nbytes + _OBJECT)


_NONE: tuple[int, Block] = (0, np.empty((len(path.BLOCK), 0), np.int32))


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


def grouped(block: Block, starts: Times) -> Times:
    """Neighbours of a block `(7, minutes)` made one bar, from each of `starts` on; `(10, bars)` without open times."""
    opened, high, low, close, volume, trades, taken = block
    typical = _typical(opened, high, low, close)
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


def _typical(opened: Block, high: Block, low: Block, close: Block) -> Times:
    """A quarter of all four prices."""
    total = opened.astype(np.int64) if high.max() >= _QUARTER else opened.copy()
    total += high
    total += low
    total += close
    total >>= 2
    return total.astype(np.int64, copy=False)
