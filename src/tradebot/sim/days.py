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
from tradebot.sim.path import MINUTES, Block

# Rows computed at once: so many that numpy's calls cost little, and so few that they stay in a CPU's own cache.
TILE = 32
SHARE = 16  # rows that one who asks gets at a time
_NEAR = 48  # places in the list
_BATCH = 64  # rows of which everything but the minutes is computed at once
_FAR = 500  # days of which what is lacking is looked up at once
_PART = 180  # minutes: who asks for less of a day gets so many
_MARKETS = 4 << 20
_COARSE = {24: 6 << 20, 1: 3 << 20}
_WORKSPACE = 8 << 20
_QUARTER = 2**29  # four prices below that add up within 32 bits
_OBJECT = 200  # bytes that an array takes besides its values


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
        self._markets: Cache[path.Market] = Cache(_MARKETS)
        # Of everyone's days the nodes and trails of each batch.
        self._trails: Cache[list[tuple[path.Nodes, path.Sums]]] = Cache(2)
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
        return Need(place, day, start // _PART * _PART, -(-end // _PART) * _PART, {MINUTES})

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
        needs = sorted([*needs, *self._company(needs)], key=lambda need: need.span)
        at = 0
        for first, block in self.compute([(need.place, need.day) for need in needs], [need.span for need in needs]):
            part = needs[at : at + block.shape[1]]
            at += len(part)
            for bars in sorted(set().union(*(need.bars for need in part))):
                self._finish(bars, part, block, first)
            yield

    def _finish(self, bars: int, needs: Sequence[Need], block: Block, first: int) -> None:
        """Keep a tile, whose first minute is given, as minutes or as bars for those who need these."""
        rows = [row for row, need in enumerate(needs) if bars in need.bars]
        if bars < MINUTES:
            some = block if len(rows) == len(needs) else block[:, rows]
            made = grouped_block(some, MINUTES // bars, np.array([[needs[row].day * MINUTES] for row in rows]))
            for place, row in enumerate(rows):
                needs[row].made[bars] = self._keep(needs[row].place, needs[row].day, made[:, place].copy())
            return
        for row in rows:
            need = needs[row]
            kept = need.made[bars] = block[:, row, need.first - first : need.last - first].copy()
            self._blocks.put((need.place, need.day), (need.first, kept), kept.nbytes + _OBJECT)

    def compute(self, rows: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, Block]]:
        """Minutes of any coins (by place) and days, a tile `(7, rows, minutes)` at a time; nothing of it is kept.

        It begins at a minute of the day that is told, and holds what `spans` says for each row.
        """
        places, days = (np.array(column, np.int64) for column in zip(*rows, strict=True))
        for begin in range(0, len(rows), _BATCH):
            batch = slice(begin, begin + _BATCH)
            table, market = self._table.take(places[batch]), self._market(days[batch])
            at = path.nodes(table, days[batch], market.at)
            for tile in range(0, len(places[batch]), TILE):
                some = slice(tile, tile + TILE)
                asked = spans[batch][some]
                part = slice(min(first for first, _ in asked), max(last for _, last in asked))
                known = table.take(some), days[batch][some], at.take(some)
                yield part.start, path.minutes(*known, market.take(some), path.walk(*known), part=part)

    def everyone(self, day: int, first: int, last: int) -> Iterator[tuple[int, Block]]:
        """A part of a day of all coins, a tile `(7, rows, minutes)` at a time with the place of its first coin.

        It begins at a multiple of `path.STRIDE`. Another part of one of the last two days takes much less time.
        """
        known = self._trails.get(day)
        return self._walked(day, slice(first, last)) if known is None else self._again(day, slice(first, last), known)

    def _walked(self, day: int, part: slice) -> Iterator[tuple[int, Block]]:
        """`everyone` for the first time."""
        market, trails = self._market(np.array([day])), list[tuple[path.Nodes, path.Sums]]()
        for begin in range(0, len(self._coins), _BATCH):
            table = self._table.take(slice(begin, begin + _BATCH))
            days = np.full(len(table.beta), day)
            nodes, sums = path.nodes(table, days, market.at), []
            for at in range(0, len(days), TILE):
                some = slice(at, at + TILE)
                known = table.take(some), days[some], nodes.take(some)
                own = path.walk(*known)
                sums.append(own.trail())
                yield begin + at, path.minutes(*known, market, own, part=part)
            trails.append((nodes, np.concatenate(sums)))
        self._trails.put(day, trails, 1)

    def _again(
        self, day: int, part: slice, known: Sequence[tuple[path.Nodes, path.Sums]]
    ) -> Iterator[tuple[int, Block]]:
        market = self._market(np.array([day]))
        for place, (nodes, trail) in enumerate(known):
            table, days = self._table.take(slice(place * _BATCH, (place + 1) * _BATCH)), np.full(len(trail), day)
            own = path.walk(table, days, nodes, part, trail)
            yield place * _BATCH, path.minutes(table, days, nodes, market, own, part=part)

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
