"""How klines lie on disk: stretches of `CHUNK` grid bars, packed, in one diskcache.

One more entry, the index, tells for each series what is there, and is written in the same
transaction: readers in other processes see all of a cycle or nothing of it. A chunk that is not
there holds no bar; one that cannot be used is set aside and taken out of the index, so that it is
fetched anew.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import orjson

from tradebot.errors import BadKlines
from tradebot.market import packing
from tradebot.market.bars import Floats, Klines, interval_ms, merge
from tradebot.market.coverage import Coverage, merged, reduced
from tradebot.market.seals import BRIEF_S, Entries, unseal

__all__ = ["CHUNK", "Change", "Chunks", "Coverage", "Range", "Series", "Stretch", "chunk_open", "chunk_span"]

Series: TypeAlias = tuple[str, str]
Range: TypeAlias = tuple[Series, int, int]
CHUNK = 512
READ_AT_ONCE = 2_000  # chunks


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What a refresh found out about a series.

    `klines` begin at the border of a chunk and are all that is known from there on. `coverage` is all
    that is known now, older spans included, and `base` the one that it was built on. With `replaces`
    all older bars are another venue's.
    """

    series: Series
    klines: Klines
    coverage: Coverage
    base: Coverage | None
    replaces: bool = False


class Stretch(NamedTuple):
    """All bars that the venue has of a series from `since` to `newest` (open times, UTC ms); maybe none."""

    series: Series
    klines: Klines
    since: int
    newest: int


def in_line(stretches: Iterable[Stretch]) -> Iterator[Stretch]:
    """The same with what follows without a gap as one: each chunk is then read and written once.

    Of a series whose stretches overlap each stays as it is, in its place, since of two the later one wins.
    """
    of: dict[Series, list[Stretch]] = {}
    for each in stretches:
        of.setdefault(each.series, []).append(each)
    for series, parts in of.items():
        ordered = sorted(parts, key=attrgetter("since"))
        if any(later.since <= before.newest for before, later in pairwise(ordered)):
            yield from parts
            continue
        step = interval_ms(series[1])
        breaks = [i for i, (a, b) in enumerate(pairwise(ordered), 1) if b.since != a.newest + step]
        for left, right in pairwise([0, *breaks, len(ordered)]):
            run = ordered[left:right]
            klines = Klines(np.concatenate([each.klines.data for each in run], axis=1))
            yield Stretch(series, klines, run[0].since, run[-1].newest)


def chunk_span(interval: str) -> int:
    """Length of a chunk in ms."""
    return CHUNK * interval_ms(interval)


def chunk_open(interval: str, moment: int) -> int:
    """The moment at which the chunk that holds `moment` begins."""
    return moment - moment % chunk_span(interval)


class Chunks:
    """The klines of one venue in `folder`. Every trouble with the folder is a `MarketError`."""

    def __init__(self, folder: Path, venue: str) -> None:
        self.folder = folder
        self.entries = Entries(folder)
        self._venue = venue
        self._index: tuple[bytes, dict[Series, Coverage]] = (b"", {})

    def close(self) -> None:
        """Close this thread's connection."""
        self.entries.close()

    def index(self) -> dict[Series, Coverage]:
        """What is stored, by series. Not to be changed."""
        raw = self.entries.get(self._key("index"))
        if raw != self._index[0] or not raw:
            self._index = (raw, self._parsed(raw))
        return self._index[1]

    def _parsed(self, raw: bytes) -> dict[Series, Coverage]:
        try:
            if raw:
                rows = orjson.loads(zlib.decompress(unseal(raw)))
                return {
                    (symbol, interval): Coverage(first, since, newest, tuple(map(tuple, older)))
                    for symbol, interval, first, since, newest, older in rows
                }
        except (BadKlines, zlib.error, ValueError, TypeError) as error:
            why = error if isinstance(error, BadKlines) else BadKlines("damaged")
            self.entries.set_aside(self._key("index"), raw, why)
        return self._rebuilt()

    def _rebuilt(self) -> dict[Series, Coverage]:
        """An index of the chunks that are there. It claims nothing, so that every series is asked for anew."""
        opens: dict[Series, list[int]] = {}
        for key in self.entries.keys(self._key("")):
            _, *series, moment = key.split("|")
            if len(series) == 2 and moment.isdecimal():
                opens.setdefault((series[0], series[1]), []).append(int(moment))
        return {series: Coverage(min(found), max(found), max(found)) for series, found in opens.items()}

    def _write_index(self, index: dict[Series, Coverage]) -> None:
        rows = [(*series, *coverage) for series, coverage in index.items()]
        self.entries.put(self._key("index"), zlib.compress(orjson.dumps(rows), 1))

    def load(self, series: Series, start: int, end: int) -> tuple[Klines, bool]:
        """The bars of one series with `start <= open time <= end`, and whether nothing of them was damaged."""
        return self.load_many([(series, start, end)])[0]

    def load_many(self, ranges: Sequence[Range]) -> list[tuple[Klines, bool]]:
        """`load` for many series at once, which is several times as fast as one by one."""
        keys = [self._keys(*wanted) for wanted in ranges]
        return self._unpacked(ranges, keys, self.entries.find([key for some in keys for key in some]))

    def read(self, series: Sequence[Series], start: int | None, end: int | None) -> Iterator[tuple[Series, Klines]]:
        """Each series with its stored bars from `start` to `end`, all there are where a bound is None.

        A limited number of chunks is in memory at once; those of one series are of one moment.
        """
        self.index()  # sets aside what cannot be read, which must not happen within a snapshot
        queue = list(reversed(series))
        while queue:
            ranges: list[Range] = []
            keys: list[list[str]] = []
            with self.entries.snapshot():
                index = self.index()
                while queue and sum(map(len, keys)) < READ_AT_ONCE:
                    ranges.append(_held(queue.pop(), index, start, end))
                    keys.append(self._keys(*ranges[-1]))
                found = self.entries.find([key for some in keys for key in some])
            for wanted, (klines, _) in zip(ranges, self._unpacked(ranges, keys, found), strict=True):
                yield wanted[0], klines

    def _unpacked(
        self, ranges: Sequence[Range], keys: Sequence[Sequence[str]], found: dict[str, bytes]
    ) -> list[tuple[Klines, bool]]:
        payloads, first, last, ends, damaged = [], [], [], [], {}
        for (_, start, end), some in zip(ranges, keys, strict=True):
            for key in some:
                if key in found:
                    try:
                        payload = unseal(found[key])
                        packing.check(payload)
                    except BadKlines as error:
                        damaged[key] = error
                    else:
                        payloads.append(payload)
                        first.append(start)
                        last.append(end)
            ends.append(len(payloads))
        if damaged:
            self._forget(damaged, found)
        if not payloads:
            return [(Klines.empty(), damaged.keys().isdisjoint(some)) for some in keys]
        data, counts = packing.unpack(payloads, np.array(first, np.int64), np.array(last, np.int64))
        bars = np.concatenate([[0], np.cumsum(counts)])[[0, *ends]].tolist()
        return [
            (Klines(data[:, left:right]).between(start, end), damaged.keys().isdisjoint(some))
            for (_, start, end), some, (left, right) in zip(ranges, keys, pairwise(bars), strict=True)
        ]

    def _forget(self, damaged: dict[str, BadKlines], found: dict[str, bytes]) -> None:
        """Set entries aside and claim nothing of their time any more."""
        with self.entries.transaction(BRIEF_S):
            index = dict(self.index())
            for key, why in damaged.items():
                self.entries.set_aside(key, found[key], why)
                _, symbol, interval, moment = key.split("|")
                series, start = (symbol, interval), int(moment)
                if coverage := index.pop(series, None):
                    left = reduced(coverage, start, start + chunk_span(interval), interval_ms(interval))
                    index |= {series: left} if left else {}
            self._write_index(index)

    def commit(self, changes: Iterable[Change], longest_s: float = BRIEF_S) -> None:
        """Store all `changes` and their coverage in one transaction, which waits no longer for another process's."""
        with self.entries.transaction(longest_s):
            index = dict(self.index())
            settled = []
            for change in changes:
                klines, index[change.series] = self._settled(change, index.get(change.series))
                settled.append((change.series, klines))
            self._write(settled)
            self._write_index(index)

    def add(self, stretches: Iterable[Stretch]) -> None:
        """Store `stretches` of any age beside what is there, in one transaction; bars that differ replace the old."""
        with self.entries.transaction():
            index = dict(self.index())
            for series, klines, since, newest in in_line(stretches):
                first = min(since, int(klines.data[0, 0])) if len(klines) else since
                known = Coverage(first, since, newest)
                present = index.get(series)
                index[series] = merged(present, known, interval_ms(series[1])) if present else known
                self._write([(series, self._beside(series, klines))])
            self._write_index(index)

    def _settled(self, change: Change, present: Coverage | None) -> tuple[Klines, Coverage]:
        """What to write for a change, where others may have been since it was made."""
        series, klines, coverage, step = change.series, change.klines, change.coverage, interval_ms(change.series[1])
        if present == change.base or change.replaces:
            if change.replaces:
                self._drop(series, 0)
            elif present and present.newest > coverage.newest:
                self._drop(series, coverage.newest + 1)
            return klines, coverage
        if change.base:  # which is no more: only what comes with the change is sure
            since = max(coverage.since, chunk_open(series[1], int(klines.data[0, 0])))
            coverage = Coverage(max(coverage.first, since), since, coverage.newest)
        return self._beside(series, klines), merged(present, coverage, step) if present else coverage

    def _beside(self, series: Series, klines: Klines) -> Klines:
        """`klines` and what is stored in the chunks that they touch."""
        if not len(klines):
            return klines
        start = chunk_open(series[1], int(klines.data[0, 0]))
        end = chunk_open(series[1], int(klines.data[0, -1])) + chunk_span(series[1]) - 1
        return merge(self.load(series, start, end)[0], klines)[0]

    def _write(self, pieces: Iterable[tuple[Series, Klines]]) -> None:
        keys, stretches = [], []
        for series, klines in pieces:
            for data in _cut(klines.data, chunk_span(series[1])):
                keys.append(self._key(*series, _moment(chunk_open(series[1], int(data[0, 0])))))
                stretches.append((data, interval_ms(series[1])))
        bars = [data.shape[1] for data, _ in stretches]
        self.entries.put_all(zip(keys, packing.pack(stretches), bars, strict=True))

    def prune(self, gone: Collection[Series], before: int) -> None:
        """Drop all of the series `gone`, and of the others the chunks that end before `before`, in one transaction."""
        with self.entries.transaction():
            kept = {}
            for series, coverage in self.index().items():
                border = chunk_open(series[1], before)
                left = None if series in gone else coverage
                if left and left.first < border:
                    left = reduced(left, 0, border, interval_ms(series[1]))
                if left != coverage:
                    self._drop(series, 0, border if left else None)
                if left:
                    kept[series] = left
            self._write_index(kept)

    def _drop(self, series: Series, start: int, stop: int | None = None) -> None:
        """Delete the chunks that begin at `start` or later, and before `stop`."""
        last = "~" if stop is None else _moment(stop)
        self.entries.drop(self._key(*series, _moment(start)), self._key(*series, last))

    def _keys(self, series: Series, start: int, end: int) -> list[str]:
        """The chunks that `start` to `end` touch."""
        moments = range(chunk_open(series[1], start), end + 1, chunk_span(series[1]))
        return [self._key(*series, _moment(moment)) for moment in moments]

    def _key(self, *parts: str) -> str:
        return "|".join([self._venue, *parts])

    def amounts(self) -> dict[Series, tuple[int, int, int]]:
        """For each series its bars, its bytes, and when it was last written (UTC ms of this machine's clock)."""
        groups = [(group.key.split("|"), group) for group in self.entries.groups(self._key(""))]
        return {(key[1], key[2]): (group.tags, group.size, group.written) for key, group in groups if len(key) == 4}


def _cut(data: Floats, span: int) -> list[Floats]:
    """The parts of a series that belong into one chunk each."""
    if data.shape[1] and data[0, -1] - data[0, 0] < span - data[0, 0] % span:  # the usual case
        return [data]
    opens = data[0] - data[0] % span
    borders = [*np.flatnonzero(np.diff(opens, prepend=-1.0)).tolist(), data.shape[1]]
    return [data[:, left:right] for left, right in pairwise(borders)]


def _moment(moment: int) -> str:
    return f"{moment:015d}"  # so that keys sort by time


def _held(series: Series, index: dict[Series, Coverage], start: int | None, end: int | None) -> Range:
    coverage = index.get(series)
    if coverage is None:
        return series, 0, -1
    first = coverage.first if start is None else max(start, coverage.first)
    return series, first, coverage.newest if end is None else min(end, coverage.newest)
