"""A venue and its clock, written by hand, and a store on them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np

from tradebot.clock import HOUR, MINUTE, SteppedClock
from tradebot.market.bars import Klines, aggregate, interval_ms
from tradebot.market.store import KlineStore, Ready, Terms
from tradebot.market.venue import Feed

T0 = 1_516_406_400_000
STEP = 5 * MINUTE
BARS = 30


class Venue(Feed):
    """Holds the truth: values follow from symbol, time and `seed`, with holes and revisions."""

    def __init__(self, clock: SteppedClock, seed: int = 0) -> None:
        self.clock = clock
        self.seed = seed
        self.listed = 0
        self.holes: set[int] = set()
        self.late = 0  # how long after its close (venue ms) a bar, and the one after it, appears
        self.slow: set[str] | None = None  # only these symbols are late
        self.page = 1_000
        self.revised: dict[int, float] = {}
        self.faults: dict[str, Exception] = {}
        self.asked: list[tuple[str, str, int | None, int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_once = self.most = 0

    def truth(self, symbol: str, interval: str, first: int, last: int) -> Klines:
        """All bars there are; coarse ones are made of those of five minutes, as the venue makes them of trades."""
        step = interval_ms(interval)
        start = -(-first // step) * step
        if interval != "5m":
            stop = last // step * step + step - 1
            return aggregate(self.truth(symbol, "5m", start, min(stop, self.clock.now())), interval)
        opens = [t for t in range(max(start, self.listed), last + 1, step) if t not in self.holes]
        data = np.outer(np.arange(1, 11) / 7, [t // 1000 % 9973 + self.seed + ord(symbol[0]) for t in opens])
        data[0] = opens
        data[4] += [self.revised.get(t, 0.0) for t in opens]
        return Klines(data)

    async def klines(self, symbol: str, interval: str, start: int | None, limit: int) -> Klines:
        self.asked.append((symbol, interval, start, limit))
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(0)
            await self.gate.wait()
        finally:
            self.at_once -= 1
        if symbol in self.faults:
            raise self.faults[symbol]
        assert start is not None
        step, now = interval_ms(interval), self.clock.now()
        late = self.late if self.slow is None or symbol in self.slow else 0
        known = now if (now - late) // step == now // step else now // step * step - step - 1
        found = self.truth(symbol, interval, start, known)
        return Klines(found.data[:, : min(limit, self.page)])


class Desk:
    """A store on a venue, both of which can be replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = SteppedClock(T0 + 12 * HOUR + 7_000)
        self.venue = Venue(self.clock)
        self.store = KlineStore(folder, "test")

    def reopen(self) -> None:
        self.store.close()
        self.store = KlineStore(self.folder, "test")

    async def refresh(
        self, symbols: str = "A", intervals: tuple[str, ...] = ("5m",), bars: int = BARS, **options: Any
    ) -> list[Ready]:
        self.venue.asked.clear()
        stream = self.store.refresh(
            self.venue, self.clock.now(), list(symbols), intervals, bars, terms=Terms(**options)
        )
        return [ready async for ready in stream]

    async def one(self, **options: Any) -> Ready:
        (ready,) = await self.refresh(**options)
        return ready

    def window(self, symbol: str = "A", bars: int = BARS, interval: str = "5m") -> Klines:
        step = interval_ms(interval)
        last = self.clock.now() // step * step - step
        return self.venue.truth(symbol, interval, last - (bars - 1) * step, last)

    def since_stored(self, symbol: str, interval: str) -> Klines:
        """The truth from the first stored bar on."""
        first = int(self.store.read(symbol, interval).open_time[0])
        return self.venue.truth(symbol, interval, first, self.clock.now()).closed(interval, self.clock.now())

    def still_open(self, interval: str) -> Klines:
        """The open bar of symbol A."""
        step, now = interval_ms(interval), self.clock.now()
        return self.venue.truth("A", interval, now // step * step, now)

    def pass_bars(self, count: int) -> None:
        self.clock.advance(self.clock.now() + count * STEP)


def same(one: Klines, other: Klines) -> bool:
    return bool(np.array_equal(one.data, other.data))
