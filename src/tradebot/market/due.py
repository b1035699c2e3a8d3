"""Which bars a refresh wants, and when a series is due. Pure functions; all times are venue UTC ms.

A closed kline never expires: a series is due once, when the venue's clock passes the close of its
next bar. What the venue then does not have yet is one of three things:

- *Late*: only the newest bar is missing, and its close was less than `LATE_MS` ago. The series is
  asked again on its own, after growing real delays, while the refresh has patience.
- *A hole*: the venue already has a later bar, or never had one of this series. It is known, costs
  nothing more, and counts as ready; the next request begins before it, and so sees a bar that comes
  after all.
- *Silent* (a halt, a market without trades, a venue that stands): anything else. It is asked
  again after half the time that it has been silent so far, and at each close: soon when it has
  just begun, and never more often than a series that trades when it lasts. Until it speaks it is
  handed out with `KlinesLate`.

What is late or silent is known to one process; a new one asks once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tradebot.clock import SECOND, format_time
from tradebot.errors import KlinesLate
from tradebot.market.bars import Klines, interval_ms, last_closed, open_of
from tradebot.market.chunks import Coverage, Series, chunk_open

LATE_MS = 30 * SECOND
LEAST_MS = 5 * SECOND  # between two refreshes that ask for what is silent


class Window(NamedTuple):
    """The bars of a series that a refresh wants: open times `first` to `last`, all of them closed.

    `border` is where the chunk that holds the first of them begins.
    """

    series: Series
    first: int
    last: int
    step: int
    border: int

    @property
    def symbol(self) -> str:
        """Symbol of the series."""
        return self.series[0]

    @property
    def interval(self) -> str:
        """Interval of the series."""
        return self.series[1]

    @property
    def end(self) -> int:
        """When its last bar has closed: the open time of the bar after it."""
        return self.last + self.step

    def of(self, klines: Klines) -> Klines:
        """Its part of a series, an off-grid last bar included."""
        return klines.between(self.first, self.end - 1)


class Group(NamedTuple):
    """One symbol's windows that can be told from the finest of them, the leader, and that one."""

    leader: Window
    coarser: tuple[Window, ...]


def groups(symbols: Sequence[str], intervals: Sequence[str], bars: int, now: int) -> list[Group]:
    """The windows of a refresh, symbol by symbol, so that a cut leaves as many symbols whole as it can.

    Intervals that are no multiple of the finest one lead a group of their own.
    """
    spans = []
    for interval in sorted(dict.fromkeys(intervals), key=interval_ms):
        last, step = last_closed(interval, now), interval_ms(interval)
        first = last - (bars - 1) * step
        spans.append((interval, first, last, step, chunk_open(interval, first)))
    multiples = [span for span in spans[1:] if span[3] % spans[0][3] == 0]
    others = [span for span in spans[1:] if span not in multiples]
    found = []
    for symbol in dict.fromkeys(symbols):
        leader, *own = (Window((symbol, interval), *span) for interval, *span in (*spans[:1], *others))
        coarser = tuple(Window((symbol, interval), *span) for interval, *span in multiples)
        found += [Group(leader, coarser), *(Group(window, ()) for window in own)]
    return found


def complete(coverage: Coverage | None, window: Window) -> bool:
    """Whether nothing of a window is missing.

    Bars from well after the venue's present are another venue's, or this one's with its clock set
    back: they prove nothing.
    """
    if coverage is None or coverage.newest > window.end:
        return False
    return coverage.since <= window.first and window.last <= coverage.newest


def reaches(coverage: Coverage | None, window: Window) -> bool:
    """Whether a window is complete or can be completed by asking for newer bars only."""
    return coverage is not None and coverage.since <= window.first <= coverage.newest <= window.end


def overlapping(coverage: Coverage | None, window: Window) -> Window:
    """The window; if what is stored ends right before it, with that newest bar, in which a revision would show."""
    if coverage is None or not window.first - window.step <= coverage.newest < window.first:
        return window
    return window._replace(first=coverage.newest, border=chunk_open(window.interval, coverage.newest))


class Silence(NamedTuple):
    """The venue did not have the bar `last` when it was asked for; before `again` it is not asked.

    With `hole` nothing more is to be expected.
    """

    last: int
    again: int
    hole: bool


def silence(window: Window, newest: int | None, now: int, *, later: bool) -> Silence:
    """What to make of a reply that ends with `newest`, before the window's last bar.

    `later` tells whether it held a bar after the window.
    """
    close = window.end + window.step
    if later or newest is None:
        return Silence(window.last, close, hole=True)
    since = open_of(window.interval, newest) + 2 * window.step
    return Silence(window.last, min(close, now + max((now - since) // 2, LEAST_MS)), hole=False)


def late(window: Window, newest: int, now: int) -> bool:
    """Whether the one bar that is missing may come any moment."""
    return newest >= window.last - window.step and now - window.end < LATE_MS


def not_come(window: Window, newest: int) -> KlinesLate:
    """The error of a series whose bar after `newest` the venue does not have."""
    missing = open_of(window.interval, newest) + window.step
    return KlinesLate(f"{window.symbol} {window.interval}: the kline of {format_time(missing)} has not come yet")


def due_at(window: Window, coverage: Coverage | None, quiet: Silence | None, now: int) -> int:
    """When a series is to be asked for, as far as its closed bars go; `now` if at once."""
    if complete(coverage, window):
        return window.end + window.step
    return quiet.again if quiet is not None and quiet.last == window.last else now
