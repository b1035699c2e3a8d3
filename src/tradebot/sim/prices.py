"""Where the simulated exchange's prices come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import numpy as np

from tradebot.clock import DAY, MINUTE
from tradebot.errors import MarketError
from tradebot.market.bars import INTERVALS, Klines, Times, next_open, open_of
from tradebot.market.venue import Instrument
from tradebot.sim import path
from tradebot.sim.board import Board
from tradebot.sim.coins import Coin, coins
from tradebot.sim.days import Days, grouped_bars
from tradebot.sim.exact import Exact, Scale, merged, partial, partial_bars, price_within
from tradebot.sim.path import MINUTES

if TYPE_CHECKING:
    from tradebot.sim.fault_plan import Plan

# Finest first: a day is told from the finest bars that the source has.
_GRAINS = ("5m", "1h", "1d")
_FINE = ("1m", *_GRAINS)
_SEVERAL = 3  # bars that take less time together than one by one


@dataclass(frozen=True, slots=True)
class Day:
    """The bars of a symbol that opened within 24 hours, or another time.

    Without any, `last` four times and no amounts.
    """

    open: Decimal
    high: Decimal
    low: Decimal
    last: Decimal
    volume: Decimal = Decimal(0)
    quote_volume: Decimal = Decimal(0)
    trades: int = 0

    @classmethod
    def of(cls, numbers: Sequence[int], scale: Scale) -> Day:
        """From scaled integers in the order of the fields."""
        opened, high, low, last = (Decimal(value).scaleb(-scale.price, _WIDE) for value in numbers[:4])
        volume, value = (
            Decimal(numbers[4]).scaleb(-scale.amount, _WIDE),
            Decimal(numbers[5]).scaleb(-scale.quote, _WIDE),
        )
        return cls(opened, high, low, last, volume, value, numbers[6])

    @classmethod
    def since(cls, prices: Prices, symbol: str, start: int, now: int) -> Day:
        """From the finest bars that opened at `start` or later; `MarketError` before the first trade."""
        last = prices.price(symbol, now)
        for grain in _GRAINS if now - start >= DAY - 1 else _FINE:
            bars = prices.exact(symbol, grain, start, now, now)
            if len(bars):
                data = bars.data
                ends = int(data[1, 0]), int(data[2].max()), int(data[3].min()), int(data[4, -1])
                told = cls.of([*ends, *(int(amount) for amount in data[5:8].sum(axis=1))], bars.scale)
                return replace(told, last=last)
        return cls(last, last, last, last)


class Running(NamedTuple):
    """The bar of a series that holds the instant `now` (UTC ms)."""

    symbol: str
    interval: str
    now: int

    @property
    def opened(self) -> int:
        """When it opened."""
        return open_of(self.interval, self.now)

    @property
    def series(self) -> tuple[str, str]:
        """Symbol and interval."""
        return self[:2]


class Range(NamedTuple):
    """Bars of a series with `start <= open time <= end`, as they stood at `now` (UTC ms)."""

    symbol: str
    interval: str
    start: int
    end: int
    now: int


class Prices(Protocol):
    """A source of klines and last prices; `now` is always the venue's time, UTC ms."""

    @property
    def settled(self) -> bool:
        """Whether closed bars and symbols stay as they were told; if not, nobody may keep them."""
        return True

    @property
    def plan(self) -> Plan | None:
        """The plan of faults that they are under; None for honest ones."""
        return None

    def instruments(self) -> Mapping[str, Instrument]:
        """The symbols with their rules, in listing order."""

    def listed(self, symbol: str) -> int:
        """When its trading begins, UTC ms; before that it is not on offer."""

    def exact(self, symbol: str, interval: str, start: int, end: int, now: int) -> Exact:
        """Bars with `start <= open time <= end` and open time `<= now`; the one that holds `now` is partial.

        An interval finer than the source has none. `KeyError` for an unknown symbol.
        """

    def ranges(self, asked: Sequence[Range]) -> list[Exact]:
        """`exact` of several ranges."""
        return [self.exact(*each) for each in asked]

    def running(self, asked: Sequence[Running]) -> list[Exact]:
        """The bar that holds an instant, of several series; empty where there is none."""
        return [self.exact(each.symbol, each.interval, each.opened, each.now, each.now) for each in asked]

    def klines(self, symbol: str, interval: str, start: int, end: int, now: int) -> Klines:
        """`exact` as floats, correctly rounded."""

    def steps(self, symbol: str, interval: str, start: int, end: int, now: int) -> Iterator[None]:
        """Do what `exact` of this range takes long for, bit by bit; whoever serves others too can do so between."""
        return iter(())

    def price(self, symbol: str, now: int) -> Decimal:
        """Last traded price at this instant, on the tick; `MarketError` before the first trade."""

    def turnover(self, symbol: str) -> Decimal:
        """What is traded on a usual day, in the quote coin; zero where only klines tell."""
        return Decimal(0)

    def day(self, symbol: str, now: int) -> Day:
        """24 hours up to this instant; `MarketError` before the first trade."""
        return Day.since(self, symbol, now - DAY + 1, now)

    def expecting(self, now: int) -> Iterator[None]:
        """Do what `price` and `day` of all symbols at this instant take long for, bit by bit, as `steps` does."""
        return iter(())

    def expect(self, now: int) -> None:
        """`expecting` at once."""
        for _ in self.expecting(now):
            pass


class Synthetic(Prices):
    """Seeded prices of any number of symbols: a pure function of seed, symbol and time."""

    def __init__(self, seed: int, symbols: int, *, memory: int = 24 << 20) -> None:
        self.seed = seed
        listed = coins(symbols)
        self._coins = {coin.instrument.symbol: coin for coin in listed}
        self._instruments = {symbol: coin.instrument for symbol, coin in self._coins.items()}
        self._days = Days(seed, listed, memory)
        self._board = Board(self._days, listed)

    def instruments(self) -> Mapping[str, Instrument]:
        """The coins, the most traded ones first."""
        return self._instruments

    def listed(self, symbol: str) -> int:
        """The coin's listing time; the clock may stand before it."""
        return self._coins[symbol].listed

    def klines(self, symbol: str, interval: str, start: int, end: int, now: int) -> Klines:
        """Any range at once, without gaps."""
        return self.exact(symbol, interval, start, end, now).klines()

    def exact(self, symbol: str, interval: str, start: int, end: int, now: int) -> Exact:
        """Any range at once, without gaps; there are no seconds."""
        return self.ranges([Range(symbol, interval, start, end, now)])[0]

    def ranges(self, asked: Sequence[Range]) -> list[Exact]:
        """Closed bars of less than an hour are made in one go."""
        coins = [self._coins[each.symbol] for each in asked]
        spans = [_span(coin, *each[1:]) for coin, each in zip(coins, asked, strict=True)]
        closed = self._closed(
            [(coin, each.interval, *span[:2]) for coin, each, span in zip(coins, asked, spans, strict=True)]
        )
        return [
            Exact(
                bars if opened is None else np.concatenate([bars, self._open(coin, opened, each.now)], axis=1),
                _scale(coin),
            )
            for coin, each, (_, _, opened), bars in zip(coins, asked, spans, closed, strict=True)
        ]

    def running(self, asked: Sequence[Running]) -> list[Exact]:
        """Those of one instant that began today are made in one go."""
        coins = [self._coins[each.symbol] for each in asked]
        begins = [max(each.opened, coin.listed) for each, coin in zip(asked, coins, strict=True)]
        now = asked[0].now if asked else 0
        alike = all(each.now == now and each.interval != "1s" for each in asked)
        if len(asked) < _SEVERAL or not alike or min(begins) < now - now % DAY or max(begins) > now:
            return super().running(asked)
        bars = self._running(coins, begins, now)
        bars[0] = [each.opened for each in asked]
        return [Exact(bars[:, place : place + 1], _scale(coin)) for place, coin in enumerate(coins)]

    def _running(self, coins: Sequence[Coin], begins: Sequence[int], now: int) -> Times:
        """Bars `(10, coins)` from these moments of the day of `now` on."""
        minute = now // MINUTE
        known = zip(coins, begins, strict=True)
        blocks = [self._days.minutes(coin, begin // MINUTE, minute + 1) for coin, begin in known]
        ends = np.cumsum([block.shape[1] for block in blocks])
        fine = path.expand(np.concatenate(blocks, axis=1), 0)
        fine[:, ends - 1] = partial_bars(fine[:, ends - 1], minute * MINUTE, MINUTE, now % MINUTE)
        return merged(fine, np.concatenate([[0], ends[:-1]]))

    def steps(self, symbol: str, interval: str, start: int, end: int, now: int) -> Iterator[None]:
        """A tile of days at a step, together with those that others ask for."""
        coin = self._coins[symbol]
        span = _span(coin, interval, start, end, now)
        return self._days.steps(coin, list(_wanted(coin, interval, span, now)))

    def price(self, symbol: str, now: int) -> Decimal:
        """The price on the path of the running minute; `MarketError` before the listing."""
        coin = self._coins[symbol]
        if now < coin.listed:
            raise MarketError(f"{symbol} is not traded before its listing")
        if (told := self._board.day(symbol, now)) is not None:
            return Decimal(told[3]).scaleb(-coin.price_places)
        place = now // MINUTE
        minute = path.expand(self._days.minutes(coin, place, place + 1), place)
        return Decimal(price_within(minute[:, 0], MINUTE, now % MINUTE)).scaleb(-coin.price_places)

    def turnover(self, symbol: str) -> Decimal:
        """The coin's own."""
        return Decimal(self._coins[symbol].turnover)

    def day(self, symbol: str, now: int) -> Day:
        """24 hours up to this instant; `MarketError` before the listing."""
        told = self._board.day(symbol, now)
        return super().day(symbol, now) if told is None else Day.of(told, _scale(self._coins[symbol]))

    def expecting(self, now: int) -> Iterator[None]:
        """A tile of symbols at a step."""
        return self._board.steps(now)

    def _closed(self, asked: Sequence[tuple[Coin, str, int, int]]) -> Iterator[Times]:
        """Whole bars of coins and intervals, from the open time of the first up to before a moment."""
        fine = [
            (coin, max(first, coin.listed) // MINUTE, until // MINUTE, _minutes(interval))
            for coin, interval, first, until in asked
            if first < until and _bars(interval) == MINUTES
        ]
        made = iter(self._days.bars(fine) if fine else ())
        for coin, interval, first, until in asked:
            if first == until:
                yield _NO_BARS
            else:
                yield next(made) if _bars(interval) == MINUTES else self._coarse(coin, interval, first, until)

    def _coarse(self, coin: Coin, interval: str, first: int, until: int) -> Times:
        minutes = _minutes(interval)
        part = self._days.coarse(_bars(interval), coin, max(first, coin.listed) // MINUTE, until // MINUTE)
        if minutes < MINUTES:
            return grouped_bars(part, minutes // 60)
        return part if minutes == MINUTES else Exact(part, _PLAIN).aggregate(interval).data

    def _open(self, coin: Coin, opened: int, now: int) -> Times:
        """The bar that holds `now`, from the minutes that have passed and the one that runs."""
        parts = []
        begin, today = max(opened, coin.listed), now - now % DAY
        if begin < today:
            parts.append(self._days.coarse(1, coin, begin // MINUTE, today // MINUTE))
        first = max(begin, today) // MINUTE
        minutes = path.expand(self._days.minutes(coin, first, now // MINUTE + 1), first)
        minutes[:, -1] = partial(minutes[:, -1], MINUTE, now % MINUTE)
        parts.append(minutes)
        fine = np.concatenate(parts, axis=1)
        bar = grouped_bars(fine, fine.shape[1])
        bar[0] = opened
        return bar


_PLAIN = Scale(0, 0, 0)
_NO_BARS = Exact.empty(_PLAIN).data
_Span: TypeAlias = tuple[int, int, int | None]
_NO_SPAN: _Span = (0, 0, None)
_WIDE = Context(prec=60)


def _scale(coin: Coin) -> Scale:
    return Scale(coin.price_places, coin.amount_places, coin.price_places + coin.amount_places)


def _span(coin: Coin, interval: str, start: int, end: int, now: int) -> _Span:
    """Of a range the closed bars: open time of the first, end of the last; and the open time of the one that runs."""
    if interval == "1s" or now < coin.listed:
        return _NO_SPAN
    # The bar in which a coin was listed opens before it, and holds what there is.
    first = _first_at_or_after(interval, max(start, open_of(interval, coin.listed)))
    last = open_of(interval, min(end, now))
    if first > last:
        return _NO_SPAN
    close = next_open(interval, last)
    return (first, last, last) if close > now else (first, close, None)


def _minutes(interval: str) -> int:
    """At least so many minutes are in a bar."""
    return INTERVALS.get(interval, 28 * DAY) // MINUTE


def _bars(interval: str) -> int:
    """Of how many bars a day is from which the bars of an interval are made."""
    minutes = _minutes(interval)
    return MINUTES if minutes < 60 else 24 if minutes < MINUTES else 1


def _wanted(coin: Coin, interval: str, span: _Span, now: int) -> Iterator[tuple[int, int, int]]:
    """What the bars of a `_span` are made of: bars a day, first minute, until minute."""
    first, until, opened = max(span[0], coin.listed), *span[1:]
    if first < until:
        yield _bars(interval), first // MINUTE, until // MINUTE
    if opened is not None:
        opened, today = max(opened, coin.listed), now - now % DAY
        if opened < today:
            yield 1, opened // MINUTE, today // MINUTE
        yield MINUTES, max(opened, today) // MINUTE, now // MINUTE + 1


def _first_at_or_after(interval: str, moment: int) -> int:
    opened = open_of(interval, moment)
    return opened if opened == moment else next_open(interval, moment)


class Marked(Prices):
    """Prices that are set from outside: the paper account of a real venue. It has no klines.

    `instruments` stays the caller's, who may change it: symbols come, go and halt with the venue's.
    """

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self._marks: dict[str, Decimal] = {}

    def mark(self, prices: Mapping[str, Decimal]) -> None:
        """Take these for the last prices; symbols that are not named keep theirs."""
        self._marks.update(prices)

    def instruments(self) -> Mapping[str, Instrument]:
        """The symbols as given."""
        return self._instruments

    def listed(self, symbol: str) -> int:
        """Always: what is not traded has no price."""
        return 0

    def klines(self, symbol: str, interval: str, start: int, end: int, now: int) -> Klines:
        """None."""
        return Klines.empty()

    def exact(self, symbol: str, interval: str, start: int, end: int, now: int) -> Exact:
        """None."""
        return Exact.empty(Scale(8, 8, 8))

    def price(self, symbol: str, now: int) -> Decimal:
        """The last mark; `MarketError` where none was set."""
        try:
            return self._marks[symbol]
        except KeyError:
            raise MarketError(f"no price of {symbol} yet") from None
