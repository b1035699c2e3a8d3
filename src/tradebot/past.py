"""Klines of the past: where they are, of which symbols, from when to when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Protocol

from tradebot import sim
from tradebot.clock import DAY, format_time, parse_time
from tradebot.config import Settings, Universe
from tradebot.documents import Document
from tradebot.errors import MarketError, UnknownName, UsageError
from tradebot.identity import SIM, venue_key
from tradebot.market.bars import Klines, interval_ms
from tradebot.market.store import KlineStore
from tradebot.market.universe import excluded, named
from tradebot.pipeline import fine_to_coarse
from tradebot.sim.playback import Playback
from tradebot.sim.prices import Prices

USUAL = 90 * DAY  # of synthetic prices, which have neither begin nor end
EPOCH = 10**11  # 1973; times begin there
END = 10**13  # when every bar of a file is closed
SLACK = DAY  # by which a period may pass what there is


class Source(Protocol):
    """Klines of the past."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def remedy(self) -> str:
        """How to get more of them."""

    def symbols(self) -> Sequence[str]:
        """All symbols that it has klines of."""

    def span(self, symbols: Sequence[str]) -> tuple[int, int]:
        """From when to when there are klines of any of them, UTC ms."""

    def usual(self, symbols: Sequence[str]) -> tuple[int, int]:
        """The part of that to learn from where nobody asks for another."""

    def lacks(self, symbols: Sequence[str], begin: int, end: int) -> Iterator[str]:
        """What is missing of them in that time and could be had, in words."""

    def read(self, symbols: Sequence[str], interval: str, start: int, end: int) -> Iterator[tuple[str, Klines]]:
        """Each symbol with its closed bars that open from `start` to `end`."""


@dataclass(frozen=True)
class Stored:
    """The kline store of a venue; symbols that have all three intervals."""

    store: KlineStore
    name: str
    intervals: tuple[str, ...]
    remedy: str

    def symbols(self) -> Sequence[str]:
        """Those of which every interval is stored."""
        series = set(self.store.stored())
        names = dict.fromkeys(symbol for symbol, _ in sorted(series))
        return [name for name in names if all((name, interval) in series for interval in self.intervals)]

    def span(self, symbols: Sequence[str]) -> tuple[int, int]:
        """Of the finest interval, over all of them."""
        spans = [self.store.span(symbol, self.intervals[0]) or (0, 0) for symbol in symbols]
        return min(first for first, _ in spans), max(last for _, last in spans) + interval_ms(self.intervals[0])

    def usual(self, symbols: Sequence[str]) -> tuple[int, int]:
        """All of it."""
        return self.span(symbols)

    def lacks(self, symbols: Sequence[str], begin: int, end: int) -> Iterator[str]:
        """The series of which a good part was never fetched."""
        for symbol, interval in product(symbols, self.intervals):
            step = interval_ms(interval)
            spans = self.store.missing(symbol, interval, begin, end - step)
            lost = sum(newest - since + step for since, newest in spans)
            if lost > SLACK:
                yield f"{symbol} {interval}: {lost / DAY:.1f} days of the period are not stored; {self.remedy}"

    def read(self, symbols: Sequence[str], interval: str, start: int, end: int) -> Iterator[tuple[str, Klines]]:
        """What is stored."""
        series = [(symbol, interval) for symbol in symbols]
        return ((symbol, klines) for (symbol, _), klines in self.store.read_many(series, start, end))


@dataclass(frozen=True)
class Played:
    """The prices of the simulated exchange, synthetic or played back, up to `now`."""

    prices: Prices
    name: str
    finest: str
    now: int
    remedy: str = "take a period within that"

    def symbols(self) -> Sequence[str]:
        """All that it lists."""
        return list(self.prices.instruments())

    def span(self, symbols: Sequence[str]) -> tuple[int, int]:
        """Of files what they hold, `MarketError` if that is nothing; synthetic prices have no begin."""
        if not isinstance(self.prices, Playback):
            return EPOCH, self.now
        found = [klines.open_time for _, klines in self.read(symbols, self.finest, 0, END)]
        held = [times for times in found if len(times)]
        if not held:
            raise MarketError(f"no {self.finest} klines of these symbols in {self.name}; see market.intervals")
        return int(min(times[0] for times in held)), int(max(times[-1] for times in held)) + interval_ms(self.finest)

    def usual(self, symbols: Sequence[str]) -> tuple[int, int]:
        """Of files the time that most symbols have in common; of synthetic prices the last months."""
        return self.prices.span() if isinstance(self.prices, Playback) else (self.now - USUAL, self.now)

    def lacks(self, symbols: Sequence[str], begin: int, end: int) -> Iterator[str]:
        """Nothing: there is no more."""
        return iter(())

    def read(self, symbols: Sequence[str], interval: str, start: int, end: int) -> Iterator[tuple[str, Klines]]:
        """What the exchange would have answered at its present."""
        return ((symbol, self.prices.klines(symbol, interval, start, end, self.now)) for symbol in symbols)


@contextmanager
def open_source(settings: Settings, folder: Path | None) -> Iterator[Source]:
    """A folder of kline files, the simulated exchange's prices, or the store of any other venue."""
    intervals = fine_to_coarse(settings)
    if folder is not None:
        yield Played(Playback(folder), f"the files in {folder}", intervals[0], END)
    elif settings.venue.name == SIM:
        prices = sim.open_prices(settings)
        now = END if isinstance(prices, Playback) else sim.sim_clock(settings).now()
        yield Played(prices, venue_key(settings), intervals[0], now)
    else:
        with KlineStore(settings.data_path / "klines", venue_key(settings)) as store:
            remedy = f"bring them with tradebot fetch --venue {settings.venue.name} --since TIME"
            yield Stored(store, venue_key(settings), intervals, remedy)


def chosen(settings: Settings, source: Source) -> tuple[str, ...]:
    """The symbols that the configured ones or patterns name, else all, paid in the configured quote coin.

    `UnknownName` for one that the source does not have, `MarketError` if none is left.
    """
    wanted, known = settings.universe, source.symbols()
    try:
        asked = named(wanted, known) if known else ()
    except UnknownName as error:
        raise UnknownName(f"{source.name}: {error}") from None
    if kept := _kept(wanted, asked or known):
        return kept
    other = f" with universe.quote = {wanted.quote.upper()}" if known and wanted.quote else ""
    raise MarketError(f"no klines to train on in {source.name}{other}; {source.remedy}")


def _kept(wanted: Universe, symbols: Iterable[str]) -> tuple[str, ...]:
    """Those of them that are paid in the configured quote coin and not excluded."""
    return tuple(each for each in symbols if each.endswith(wanted.quote.upper()) and not excluded(wanted, each))


def period(source: Source, symbols: Sequence[str], since: str | None, until: str | None) -> tuple[int, int]:
    """From when to when signals are looked for: as asked, as far as there are klines; else the usual part.

    `UsageError` for what is no period, `MarketError` where there is nothing or a good part is missing.
    """
    begin, end = (None if text is None else parse_time(text) for text in (since, until))
    if begin is not None and end is not None and begin >= end:
        raise UsageError(f"--since {since} is not before --until {until}")
    first, last = source.span(symbols)
    usual = source.usual(symbols)
    begin = usual[0] if begin is None else begin
    end = (usual[1] if usual[1] > begin else last) if end is None else end
    if begin < first - SLACK or end > last + SLACK or max(begin, first) >= min(end, last):
        raise MarketError(
            f"klines of {source.name} reach from {format_time(first)} to {format_time(last)} UTC, which does not "
            f"hold {format_time(begin)} to {format_time(end)}; {source.remedy}"
        )
    return max(begin, first), min(end, last)


def there(
    source: Source, symbols: Sequence[str], interval: str, begin: int, end: int
) -> tuple[tuple[str, ...], list[Document]]:
    """The symbols that have klines in a period, and those that have not."""
    found = tuple(symbol for symbol, klines in source.read(symbols, interval, begin, end) if len(klines))
    reason = "no klines in the period"
    return found or tuple(symbols), [{"symbol": each, "reason": reason} for each in symbols if each not in found]
