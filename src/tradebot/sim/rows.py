"""Closed rows of a series as the bytes that go out, from which pages are cut."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tradebot.clock import DAY
from tradebot.market.bars import INTERVALS, MONTH, next_open, open_of
from tradebot.sim.exact import Exact

_END = ord("]")  # occurs once in a row


class Closed(NamedTuple):
    """Closed rows: the oldest `wanted` from `start` on, or without it the newest ones, up to `end`.

    `latest` are those up to the bar that is open.
    """

    symbol: str
    interval: str
    start: int | None
    end: int
    wanted: int
    latest: bool = False

    @property
    def series(self) -> tuple[str, str]:
        """Symbol and interval."""
        return self[:2]

    @property
    def moment(self) -> int:
        """When the last of them was closed."""
        return next_open(self.interval, self.end)

    @property
    def reach(self) -> int:
        """How far to look for them (ms) where there are no holes."""
        return self.wanted * length(self.interval)

    def within(self, listed: int, reach: int | None = None) -> tuple[int, int]:
        """Where to look for them, if not further than usual; `listed` is when the symbol was."""
        first, reach = open_of(self.interval, listed), self.reach if reach is None else reach
        if self.start is None:
            return max(self.end - reach, first), self.end
        start = max(self.start, first)
        return start, min(start + reach, self.end)

    def of(self, found: Exact) -> Exact:
        """As many as are wanted of what was found."""
        skipped = max(len(found) - self.wanted, 0) if self.start is None else 0
        return Exact(found.data[:, skipped : skipped + self.wanted], found.scale)


@dataclass(frozen=True)
class Rows:
    """All bars of a series that open from `since` to before `until`, written; no row is before them if `since` is 0.

    At most `most` are kept when others follow.
    """

    text: bytes
    count: int
    since: int
    until: int
    most: int

    @classmethod
    def of(cls, text: bytes, count: int, asked: Closed) -> Rows:
        """What was asked for by its end, as it was written."""
        return cls(text, count, _opened(text) if count == asked.wanted else 0, asked.end + 1, asked.wanted)

    @cached_property
    def ends(self) -> NDArray[np.int32]:
        """Where each row ends in the text; not looked for before somebody wants a part of it."""
        return np.flatnonzero(np.frombuffer(self.text, np.uint8) == _END).astype(np.int32) + np.int32(1)

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.text) + 4 * self.count

    def cut(self, asked: Closed) -> tuple[bytes, int] | None:
        """The rows that are asked for and their number; None if that is not known."""
        if asked.end >= self.until or (asked.start is not None and asked.start < self.since):
            return None
        last = self._place(asked.end + 1)
        if asked.start is None:
            first = last - asked.wanted
            if first < 0 < self.since:
                return None
            first = max(first, 0)
        else:
            first = self._place(asked.start)
            last = max(min(last, first + asked.wanted), first)
        return self._text(first, last), last - first

    def lacking(self, asked: Closed) -> Closed | None:
        """What would have to follow for all that is asked for to be known; None where that does not help."""
        after = asked.end + 1 - self.until
        rows = -(-after // length(asked.interval)) + 1  # one more than there are, which tells that none is left out
        if after <= 0 or rows > self.most + 1 or (asked.start is not None and asked.start < self.since):
            return None
        return Closed(asked.symbol, asked.interval, self.until, asked.end, rows)

    def then(self, text: bytes, count: int, asked: Closed) -> Rows:
        """With so many rows that were `lacking`, as they were written; the oldest leave."""
        first = min(max(self.count + count - self.most, 0), self.count)
        both = b",".join(part for part in (self._text(first, self.count), text) if part)
        since = _opened(both) if first else self.since
        return Rows(both, self.count - first + count, since, asked.end + 1, self.most)

    def _text(self, first: int, last: int) -> bytes:
        if first == last:
            return b""
        if last - first == self.count:
            return self.text
        return self.text[self.ends[first - 1] + 1 if first else 0 : self.ends[last - 1]]

    def _place(self, moment: int) -> int:
        """How many rows opened before this moment."""
        return self.count if moment >= self.until else bisect_left(range(self.count), moment, key=self._opened)

    def _opened(self, place: int) -> int:
        return _opened(self.text, int(self.ends[place - 1]) + 1 if place else 0)


def _opened(text: bytes, place: int = 0) -> int:
    """The open time of the row at a place of the text, which is what it begins with."""
    return int(text[place + 1 : text.index(b",", place)])


def length(interval: str) -> int:
    """Length in ms; a month counts as its longest, so that a range is never too short."""
    return 31 * DAY if interval == MONTH else INTERVALS[interval]
