"""Closed rows of a series as the bytes that go out, from which pages are cut."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tradebot.clock import DAY
from tradebot.market.bars import INTERVALS, MONTH, next_open, open_of

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

    def reach(self, listed: int) -> tuple[int, int]:
        """Where they are looked for first; `listed` is when the symbol was."""
        reach = self.wanted * length(self.interval)
        if self.start is None:
            return self.end - reach, self.end
        start = max(self.start, open_of(self.interval, listed))
        return start, min(start + reach, self.end)


class Rows(NamedTuple):
    """All bars of a series that open from `since` to before `until`, written; no row is before them if `since` is 0.

    `ends` has where each row ends in `text`. At most `most` are kept when others follow.
    """

    text: bytes
    ends: NDArray[np.int32]
    since: int
    until: int
    most: int

    @classmethod
    def of(cls, text: bytes, asked: Closed) -> Rows:
        """What was asked for by its end, as it was written."""
        found = cls(text, _ends(text), 0, asked.end + 1, asked.wanted)
        return found if len(found.ends) < asked.wanted else found._replace(since=found._opened(0))

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.text) + self.ends.nbytes

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

    def then(self, text: bytes, asked: Closed) -> Rows:
        """With rows that were `lacking`, as they were written; the oldest leave."""
        later = _ends(text)
        known = len(self.ends)
        first = min(max(known + len(later) - self.most, 0), known)
        kept = self._text(first, known)
        begin = len(self.text) - len(kept)
        ends = np.concatenate([self.ends[first:] - begin, later + (len(kept) + 1 if kept else 0)])
        both = Rows(b",".join(part for part in (kept, text) if part), ends, self.since, asked.end + 1, self.most)
        return both._replace(since=both._opened(0)) if first else both

    def _text(self, first: int, last: int) -> bytes:
        if first == last:
            return b""
        return self.text[self.ends[first - 1] + 1 if first else 0 : self.ends[last - 1]]

    def _place(self, moment: int) -> int:
        """How many rows opened before this moment."""
        return len(self.ends) if moment >= self.until else bisect_left(range(len(self.ends)), moment, key=self._opened)

    def _opened(self, place: int) -> int:
        """The open time of a row, which is what it begins with."""
        begin = int(self.ends[place - 1]) + 2 if place else 1
        return int(self.text[begin : self.text.index(b",", begin)])


def _ends(text: bytes) -> NDArray[np.int32]:
    return np.flatnonzero(np.frombuffer(text, np.uint8) == _END).astype(np.int32) + np.int32(1)


def length(interval: str) -> int:
    """Length in ms; a month counts as its longest, so that a range is never too short."""
    return 31 * DAY if interval == MONTH else INTERVALS[interval]
