"""Playback of a folder of kline files: the exchange as it was."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from tradebot.clock import DAY, format_time
from tradebot.errors import BadKlines, MarketError, suggestion
from tradebot.market.bars import FIELDS, INTERVALS, MONTH, Klines, next_open
from tradebot.market.figures import LIMIT
from tradebot.market.venue import Instrument
from tradebot.sim.exact import Exact, Scale, join, opens_of, partial, price_within
from tradebot.sim.files import read_klines
from tradebot.sim.prices import Prices

# SYMBOL-INTERVAL.csv, and the venue's archives SYMBOL-INTERVAL-2024-01.csv, which follow each other.
_NAME = re.compile(r"(?P<symbol>[A-Z0-9]{4,20})-(?P<interval>\d+[A-Za-z]+)(-\d{4}-\d{2}(-\d{2})?)?\.(csv|parquet)")
# Longer names first: BTCFDUSD is quoted in FDUSD, not in USD.
_LEAST = {
    "FDUSD": "5", "USDT": "5", "USDC": "5", "BUSD": "5", "TUSD": "5", "USDP": "5", "BTC": "0.0001", "ETH": "0.001",
    "BNB": "0.01", "EUR": "5", "GBP": "5", "TRY": "10", "BRL": "10", "AUD": "5", "JPY": "100", "ZAR": "50", "DAI": "5",
    "XRP": "5", "DOGE": "50", "USD": "5",
}  # fmt: skip
_LARGEST = Decimal(9_000_000_000)


class Playback(Prices):
    """The klines of a folder; before a symbol's first bar it has no price, after the last one the price stays.

    An interval without a file is made from the coarsest finer one that divides it. `BadKlines` for a
    folder that is missing or holds no kline file, and for a file that cannot be read, which it names.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        parts: dict[str, dict[str, list[Exact]]] = defaultdict(lambda: defaultdict(list))
        for path, symbol, interval in _kline_files(folder):
            if len(series := read_klines(path)):
                parts[symbol][interval].append(_checked(path, series, interval))
        if not parts:
            raise BadKlines(f"{folder}: no klines in it; put files like ETHBTC-5m.csv there")
        self._series = {symbol: _merged(folder, symbol, parts[symbol]) for symbol in sorted(parts)}
        self._instruments = {symbol: _instrument(folder, symbol, each) for symbol, each in self._series.items()}
        self._derived: dict[tuple[str, str], Exact] = {}

    def instruments(self) -> Mapping[str, Instrument]:
        """The symbols of the folder by name, with rules that fit their data."""
        return self._instruments

    def listed(self, symbol: str) -> int:
        """Open time of the first bar of the finest file."""
        return int(self._finest(symbol)[1].data[0, 0])

    def span(self) -> tuple[int, int]:
        """From when to when the most symbols have klines at once, UTC ms; the latest such time of several."""
        ends = {symbol: self._end(symbol) for symbol in self._series}
        opened = {symbol: self.listed(symbol) for symbol in self._series}
        alive = {start: sum(opened[s] <= start < ends[s] for s in ends) for start in opened.values()}
        start = max(alive, key=lambda moment: (alive[moment], moment))
        return start, min(end for symbol, end in ends.items() if opened[symbol] <= start < end)

    def klines(self, symbol: str, interval: str, start: int, end: int, now: int) -> Klines:
        """What the files hold, with their holes."""
        return self.exact(symbol, interval, start, end, now).klines()

    def exact(self, symbol: str, interval: str, start: int, end: int, now: int) -> Exact:
        """What the files hold, with their holes; a running bar of which nothing was traded yet is not there."""
        found = self._whole(symbol, interval).between(start, min(end, now))
        if not len(found) or next_open(interval, opened := int(found.data[0, -1])) <= now:
            return found
        return join([Exact(found.data[:, :-1], found.scale), self._open(symbol, interval, opened, now)], found.scale)

    def price(self, symbol: str, now: int) -> Decimal:
        """The price on the path of the running bar, or the last close."""
        interval, series = self._finest(symbol)
        place = int(np.searchsorted(series.data[0], now, side="right")) - 1
        if place < 0:
            raise MarketError(f"{symbol} has no price yet: its klines begin later")
        bar = series.data[:, place]
        return Decimal(price_within(bar, _length(interval), now - int(bar[0]))).scaleb(-series.scale.price)

    def _finest(self, symbol: str) -> tuple[str, Exact]:
        return next(iter(self._series[symbol].items()))

    def _end(self, symbol: str) -> int:
        interval, series = self._finest(symbol)
        return int(series.data[0, -1]) + _length(interval)

    def _whole(self, symbol: str, interval: str) -> Exact:
        """The whole series of an interval, from its own file or a finer one."""
        own = self._series[symbol]
        if interval in own:
            return own[interval]
        if (symbol, interval) not in self._derived:
            finer = [name for name in own if _divides(name, interval)]
            empty = Exact.empty(self._finest(symbol)[1].scale)
            self._derived[symbol, interval] = own[finer[-1]].aggregate(interval) if finer else empty
        return self._derived[symbol, interval]

    def _open(self, symbol: str, interval: str, opened: int, now: int) -> Exact:
        """The bar that holds `now`, from the finest bars there are; none before the first trade in it."""
        name, series = self._finest(symbol)
        fine = series.between(opened, now)
        if not len(fine):
            own = self._series[symbol].get(interval)
            if own is None:
                return Exact.empty(series.scale)
            name, fine = interval, own.between(opened, opened)
        last = fine.data[:, -1]
        running = partial(last, _length(name), now - int(last[0]))
        fine = Exact(np.concatenate([fine.data[:, :-1], running[:, None]], axis=1), fine.scale)
        return fine if name == interval else fine.aggregate(interval)


def _length(interval: str) -> int:
    """Length of an interval in ms; months count thirty days."""
    return INTERVALS.get(interval, 30 * DAY)


def _divides(fine: str, coarse: str) -> bool:
    if fine in {coarse, MONTH}:
        return False
    return (DAY if coarse in {MONTH, "1w"} else INTERVALS[coarse]) % INTERVALS[fine] == 0


def _kline_files(folder: Path) -> list[tuple[Path, str, str]]:
    """The kline files of a folder with symbol and interval, by name; other files do not count."""
    if not folder.is_dir():
        raise BadKlines(f"{folder}: no such folder of kline files")
    found = []
    for path in sorted(folder.iterdir()):
        if match := _NAME.fullmatch(path.name):
            interval = match["interval"]
            if interval not in INTERVALS and interval != MONTH:
                known = (*INTERVALS, MONTH)
                raise BadKlines(f"{path}: unknown interval '{interval}' in its name{suggestion(interval, known)}")
            found.append((path, match["symbol"], interval))
    if not found:
        raise BadKlines(f"{folder}: no kline files in it; they are named like ETHBTC-5m.csv")
    return found


def _checked(path: Path, series: Exact, interval: str) -> Exact:
    """The same; finer rows than the file's name tells would be taken for bars that they are not."""
    twice = np.flatnonzero(np.diff(opens_of(series.data[0], interval)) == 0)
    if len(twice):
        when = format_time(int(series.data[0, twice[0] + 1]))
        raise BadKlines(f"{path}: a second row of the same {interval} bar at {when}; name it after its rows' interval")
    return series


def _merged(folder: Path, symbol: str, parts: Mapping[str, Sequence[Exact]]) -> dict[str, Exact]:
    """A symbol's series, finest first, all with the same decimal places."""
    scales = [part.scale for each in parts.values() for part in each]
    scale = Scale(*(max(places) for places in zip(*((s.price, s.amount, s.quote) for s in scales), strict=True)))
    merged = {}
    for interval in sorted(parts, key=_length):
        if _total(parts[interval], scale) >= LIMIT:
            files = ", ".join(f"{symbol}-{name}" for name in sorted(parts, key=_length))
            raise BadKlines(
                f"{folder}: files of {files}: the sum of a column of {symbol}-{interval} passes what 64 bits hold "
                "at the decimal places that all of them need; keep fewer files or decimal places"
            )
        each = sorted(parts[interval], key=lambda part: int(part.data[0, 0]))
        series = join([part.rescaled(scale) for part in each], scale)
        if (np.diff(series.data[0]) <= 0).any():
            raise BadKlines(f"{folder}: files of {symbol}-{interval} overlap; keep each bar in one of them")
        merged[interval] = series
    return merged


def _total(parts: Sequence[Exact], scale: Scale) -> int:
    """The largest sum of a column over all parts in places of `scale`, of which 64 bits may hold too little."""
    sums = [0] * len(FIELDS)
    for part in parts:
        for row, (of, to) in enumerate(zip(part.scale.rows, scale.rows, strict=True)):
            # Within its own scale no column of a file passes 64 bits.
            sums[row] += int(part.data[row].sum()) * 10 ** (to - of)
    return max(sums[1:])


def _instrument(folder: Path, symbol: str, series: Mapping[str, Exact]) -> Instrument:
    """Rules that fit the data: tick and step are its last decimal place."""
    quote = next((coin for coin in _LEAST if symbol.endswith(coin) and symbol != coin), None)
    if quote is None:
        raise BadKlines(f"{folder}: no known quote coin in the symbol {symbol}; known: {', '.join(_LEAST)}")
    scale = next(iter(series.values())).scale
    step = Decimal(1).scaleb(-scale.amount)
    return Instrument(
        symbol=symbol, base=symbol.removesuffix(quote), quote=quote, tick=Decimal(1).scaleb(-scale.price), step=step,
        min_quantity=step, max_quantity=_LARGEST, max_market_quantity=_LARGEST,
        min_notional=Decimal(_LEAST[quote]),
    )  # fmt: skip
