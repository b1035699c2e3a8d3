"""What is stored against what the venue says: the same pages, asked for again and compared.

`Check` stands where a fetch of history expects the store, so that what is known of pages, limits and
faults serves here too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from random import Random

import numpy as np

from tradebot.market.bars import Klines, interval_ms, merge
from tradebot.market.chunks import Series, Stretch
from tradebot.market.coverage import Span
from tradebot.market.history import PAGE, Shelf


@dataclass
class Difference:
    """How a series differs from the venue's: counts of bars, and the open times (UTC ms) of the first and last.

    `missing` the venue has and we do not, `extra` we have and the venue does not, `revised` have
    other values. `remaining` are those that were not mended.
    """

    checked: int = 0
    missing: int = 0
    extra: int = 0
    revised: int = 0
    remaining: int = 0
    first: int | None = None
    last: int | None = None


def sample(spans: Sequence[Span], step: int, seed: str) -> list[Span]:
    """Three pages of what is covered: the oldest, the newest and one between them; all of it if that is less."""
    reach = (PAGE - 1) * step
    pages = [(at, min(at + reach, last)) for first, last in spans for at in range(first, last + 1, reach + step)]
    if len(pages) <= 3:
        return pages
    newest = max(spans[-1][0], spans[-1][1] - reach), spans[-1][1]
    return [pages[0], Random(seed).choice(pages[1:-2] or pages[1:2]), newest]  # noqa: S311 (chooses what to look at)


def covered(spans: Iterable[Span], first: int, last: int) -> list[Span]:
    """The parts of `spans` that lie between two open times."""
    parts = ((max(since, first), min(newest, last)) for since, newest in spans)
    return [(since, newest) for since, newest in parts if since <= newest]


class Check(Shelf):
    """Compares what comes in for `wanted` with what `store` holds; with `mend` the venue's bars are stored.

    A bar that the venue does not have is never taken away.
    """

    def __init__(self, store: Shelf, wanted: Mapping[Series, Sequence[Span]], *, mend: bool = False) -> None:
        self.found = {series: Difference() for series in wanted}
        self._store = store
        self._wanted = wanted
        self._mend = mend

    def missing(self, symbol: str, interval: str, start: int, end: int) -> Sequence[Span]:
        """What is to be compared."""
        return self._wanted[symbol, interval]

    def read(self, symbol: str, interval: str, start: int | None = None, end: int | None = None) -> Klines:
        """Nothing, so that nothing is made of finer bars: the venue's own are wanted."""
        return Klines.empty()

    def add(self, stretches: Iterable[Stretch]) -> None:
        """Compare; and store what differs, if it is to be mended."""
        differing = []
        for stretch in stretches:
            found = self.found[stretch.series]
            held = self._store.read(*stretch.series, stretch.since, stretch.newest + interval_ms(stretch.series[1]) - 1)
            ours, theirs = held.data[0], stretch.klines.data[0]
            extra, missing = np.setdiff1d(ours, theirs), np.setdiff1d(theirs, ours)
            revised = merge(held, stretch.klines)[1]
            times = [int(time) for time in chain(extra, missing, revised)]
            found.checked += len(stretch.klines)
            found.extra, found.missing = found.extra + len(extra), found.missing + len(missing)
            found.revised += len(revised)
            found.remaining += len(extra) if self._mend else len(times)
            if times:
                found.first = min([*times, *([] if found.first is None else [found.first])])
                found.last = max([*times, *([] if found.last is None else [found.last])])
                differing.append(stretch)
        if self._mend and differing:
            self._store.add(differing)
