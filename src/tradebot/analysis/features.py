"""The 31 features: 10 of each of three intervals and one of the whole market.

All are causal, scale-free and bounded, and each needs at most `WARMUP` bars: recursive averages
begin that many bars back (see `indicators.Every`), everything else has a finite window. So the
value for a bar is the same from a window of a hundred bars as from years, whatever happened
before the window. A feature that is not warm is NaN; a flat line has values (0, or what its text
says). Names and formulas have a hash, `schema_hash`, that travels with every dataset and model.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from tradebot.analysis import indicators as ta
from tradebot.analysis.indicators import Every, Last, Ops
from tradebot.clock import format_time
from tradebot.errors import UnknownName, suggestion
from tradebot.market.bars import Floats, Mask, Panel, interval_ms
from tradebot.registry import Registry

# A day of 15m bars. A little under 100, so that a window of 100 klines in which the newest is
# still open is enough.
WARMUP = 96
# To be raised whenever a formula changes: models trained on the old one are then refused.
FORMULAS = 1
_SLOW, _FAST = 48, 12
_BLOCK = 50_000  # values of `every` computed at once, so that they stay in the processor's cache


class Bars:
    """The arrays of one interval, each `(symbols, bars)`, and what several formulas need of them."""

    def __init__(self, data: Floats) -> None:
        self.open, self.high, self.low, close, self.volume = data
        self.close = np.where((self.low > 0) & (close > 0), close, np.nan)  # 0 is no price
        self._sigmas: dict[int, Floats] = {}

    @cached_property
    def moves(self) -> Floats:
        """Logarithmic returns."""
        return ta.returns(self.close)

    def sigma(self, ops: Ops, n: int) -> Floats:
        """Volatility of the moves over `n` bars, worked out once: five features want the slow one."""
        if n not in self._sigmas:
            self._sigmas[n] = ta.volatility(ops, self.moves, n)
        return self._sigmas[n]


Values = TypeVar("Values", Floats, Mask)
Formula: TypeAlias = Callable[[Ops, Bars], Floats]


@dataclass(frozen=True)
class Feature:
    """One column. `warmup` is the bars it needs, `low` and `high` its range; values beyond are cut off."""

    name: str
    formula: Formula
    warmup: int
    low: float
    high: float
    text: str
    source: str


def _move(bars: int, ops: Ops, b: Bars) -> Floats:
    move = np.log(ta.last(ops, b.close) / ta.ago(ops, b.close, bars))
    return ta.ratio(move, b.sigma(ops, _SLOW) * math.sqrt(bars), 0.0)


def _rsi(ops: Ops, b: Bars) -> Floats:
    return ta.rsi(ops, b.close, 7) / 50 - 1


def _ema_gap(ops: Ops, b: Bars) -> Floats:
    gap = ta.ema(ops, b.close, 5) - ta.ema(ops, b.close, 12)
    return ta.ratio(gap, ta.last(ops, b.close) * b.sigma(ops, _SLOW), 0.0)


def _bollinger(ops: Ops, b: Bars) -> Floats:
    return ta.bollinger(ops, b.close, 20, 2.0)


def _stochastic(ops: Ops, b: Bars) -> Floats:
    return ta.stochastic_k(ops, b.high, b.low, b.close, 14) / 50 - 1


def _mfi(ops: Ops, b: Bars) -> Floats:
    return ta.mfi(ops, b.high, b.low, b.close, b.volume, 14) / 50 - 1


def _vol_ratio(ops: Ops, b: Bars) -> Floats:
    term: Floats = np.log(ta.ratio(b.sigma(ops, _FAST), b.sigma(ops, _SLOW), 1.0))
    return term


def _volume_ratio(ops: Ops, b: Bars) -> Floats:
    share = ta.ratio(ta.last(ops, b.volume), ta.sma(ops, b.volume, _SLOW), 1.0)
    return np.log1p(share) - math.log(2)


_PEAK = math.sqrt(_SLOW)  # of any return in units of a root mean square that it is part of

FEATURES: Registry[Feature] = Registry("feature")
for _feature in (
    *(
        Feature(
            f"ret_{bars}", partial(_move, bars), _SLOW + 1, -_PEAK, _PEAK,
            f"ln(close / close {bars} before) / (σ48 · √{bars}); 0 if σ48 is 0", "return over its own volatility",
        )
        for bars in (1, 6, 24)
    ),
    Feature("rsi_7", _rsi, WARMUP, -1, 1, "RSI(7) / 50 − 1, begun 96 bars back; 0 if flat", "Wilder 1978"),
    Feature("ema_gap", _ema_gap, WARMUP, -6, 6,
            "(EMA(5) − EMA(12)) / (close · σ48), begun 96 bars back; 0 if σ48 is 0", "MACD, Appel 1979"),
    Feature("bollinger_20", _bollinger, 20, -2.2, 2.2,
            "(close − SMA(20)) / (2 · standard deviation of 20 closes); 0 if flat", "Bollinger 1992"),
    Feature("stoch_14", _stochastic, 14, -1, 1, "fast %K(14) / 50 − 1; 0 without a range", "Lane 1984"),
    Feature("mfi_14", _mfi, 15, -1, 1, "MFI(14) / 50 − 1; 0 without volume or moves", "Quong and Soudack 1989"),
    Feature("vol_ratio", _vol_ratio, _SLOW + 1, -3, math.log(2),
            "ln(σ12 / σ48); −3 if only σ12 is 0, 0 if both are", "volatility term structure"),
    Feature("volume_ratio", _volume_ratio, _SLOW, -math.log(2), math.log((1 + _SLOW) / 2),
            "ln(1 + volume / SMA(volume, 48)) − ln 2; 0 without volume", "relative volume"),
):  # fmt: skip
    FEATURES.register(_feature.name)(_feature)

MARKET = "market_trend"
MARKET_TEXT = "mean of tanh(ret_24) of the coarsest interval over all symbols that have it"
_TREND = list(FEATURES).index("ret_24")


@cache
def _names(intervals: tuple[str, ...]) -> tuple[str, ...]:
    return (*(f"{feature}_{interval}" for interval in intervals for feature in FEATURES), MARKET)


def names(intervals: Sequence[str]) -> tuple[str, ...]:
    """The ordered names of the columns, e.g. `rsi_7_5m`: the intervals' features, finest first, then the market's."""
    return _names(tuple(intervals))


def schema_hash(intervals: Sequence[str]) -> str:
    """16 hex digits over the ordered names, the formulas and their version."""
    return _schema_hash(tuple(intervals))


@cache  # every cycle asks whether the model fits
def _schema_hash(intervals: tuple[str, ...]) -> str:
    texts = [[entry.name, entry.text, entry.low, entry.high] for entry in FEATURES.values()]
    told = json.dumps([FORMULAS, WARMUP, names(intervals), texts, MARKET_TEXT])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _columns(ops: Ops, data: Floats) -> Floats:
    """The features of `(5, symbols, bars)` for the bars that `ops` is about, along a new last axis."""
    bars = Bars(data)
    with np.errstate(all="ignore"):
        return np.stack([entry.formula(ops, bars).clip(entry.low, entry.high) for entry in FEATURES.values()], axis=-1)


def latest_of(data: Floats) -> Floats:
    """`latest` of a panel's bare `data`: what crosses to a worker process."""
    return _columns(Last(), data[:, :, -WARMUP:])


def latest(panel: Panel) -> Floats:
    """Own features at the panel's last bar, `(symbols, 10)`; NaN where not warm."""
    return latest_of(panel.data)


def every(panel: Panel) -> Floats:
    """Own features at every bar, `(bars, symbols, 10)`: what `latest` says of the panel that ends there."""
    return _block_by_block(panel, partial(_columns, Every(WARMUP)), (len(FEATURES),))


def _block_by_block(panel: Panel, compute: Callable[[Floats], Floats], more: tuple[int, ...] = ()) -> Floats:
    """What `compute` makes of the panel's data, `(symbols, bars, *more)`, as `(bars, symbols, *more)`."""
    symbols, bars = panel.data.shape[1:]
    out = np.empty((bars, symbols, *more))
    step = max(_BLOCK // max(symbols, 1), WARMUP)
    for start in range(0, bars, step):
        before = min(start, WARMUP - 1)
        block = compute(panel.data[:, :, start - before : start + step])
        out[start : start + step] = block[:, before:].swapaxes(0, 1)
    return out


def _market(own: Floats) -> Floats:
    """The market's feature from the coarsest interval's; NaN if no symbol is warm."""
    trend = np.tanh(own[..., _TREND])
    warm = ~np.isnan(trend)
    return ta.ratio(np.where(warm, trend, 0.0).sum(axis=-1), warm.sum(axis=-1), np.nan)


def assemble(own: Sequence[Floats]) -> Floats:
    """The columns `(…, symbols, 31)` from each interval's `(…, symbols, 10)`, finest first."""
    market = np.broadcast_to(_market(own[-1])[..., None, None], (*own[-1].shape[:-1], 1))
    return np.concatenate([*own, market], axis=-1)


def _closed_rows(panels: Sequence[Panel], panel: Panel) -> tuple[NDArray[np.int64], Mask]:
    """For each bar of the first panel the newest bar of `panel` closed at its close, and whether there is one."""
    closes = panels[0].times + interval_ms(panels[0].interval)
    step, bars = interval_ms(panel.interval), panel.data.shape[2]
    rows = (closes - (panel.end + step)) // step + bars - 1
    return rows.clip(0, bars - 1), (rows >= 0) & (rows < bars)


def _aligned(panels: Sequence[Panel], panel: Panel, values: Values, missing: float) -> Values:
    """`values` (bars of `panel`, …) at each bar of the first panel; `missing` where `panel` does not reach."""
    if panel.symbols != panels[0].symbols:
        raise ValueError(f"the {panel.interval} panel holds other symbols than the {panels[0].interval} panel")
    rows, there = _closed_rows(panels, panel)
    out: Values = values[rows]
    out[~there] = missing
    return out


def align(panels: Sequence[Panel]) -> Floats:
    """All columns at each bar of the finest panel, `(bars, symbols, 31)`, of panels from fine to coarse.

    The coarser intervals' are those of their newest bar that is closed at the fine bar's close;
    NaN where a coarser panel does not hold that bar. All panels hold the same symbols.
    """
    return assemble([_aligned(panels, panel, every(panel), np.nan) for panel in panels])


def _recent(flags: Mask) -> NDArray[np.int64]:
    """How many of the `WARMUP` bars that end at each bar are flagged; `(symbols, bars)` in and out."""
    sums = flags.cumsum(axis=1)
    sums[:, WARMUP:] -= sums[:, :-WARMUP].copy()
    return sums


def _sound(panel: Panel, max_filled: int) -> Mask:
    """Whether each bar is there and has enough real bars before it, `(symbols, bars)`."""
    warm = _recent(~np.isnan(panel.close)) >= WARMUP
    sound: Mask = warm & ~panel.filled & (_recent(panel.filled) <= max_filled)
    return sound


def usable(panels: Sequence[Panel], max_filled: int) -> Mask:
    """For each row of `align(panels)`, `(bars, symbols)`: whether `not_warm` would have let it pass then."""
    masks = [_aligned(panels, panel, _sound(panel, max_filled).T, False) for panel in panels]
    together: Mask = np.logical_and.reduce(masks)
    return together


def not_warm(panels: Sequence[Panel], row: int, max_filled: int) -> str | None:
    """Why the symbol in `row` gives no signal at the panels' last bars, else None.

    It has too few bars of an interval, the newest one is not there yet, or more than `max_filled`
    of the `WARMUP` bars that its features look at were filled.
    """
    for panel in panels:
        known = int((~np.isnan(panel.close[row, -WARMUP:])).sum())
        filled = panel.filled[row, -WARMUP:]
        if known < WARMUP:
            return f"{panel.interval}: {known} of {WARMUP} bars"
        if filled[-1]:
            return f"{panel.interval}: no kline for {format_time(panel.end)} yet"
        if filled.sum() > max_filled:
            return f"{panel.interval}: {filled.sum()} of the last {WARMUP} klines are missing, {max_filled} may be"
    return None


def unusable(panels: Sequence[Panel], max_filled: int) -> dict[str, str]:
    """The reason of `not_warm` for every symbol that has one."""
    doubtful = np.zeros(len(panels[0].symbols), bool)
    for panel in panels:
        recent, filled = panel.close[:, -WARMUP:], panel.filled[:, -WARMUP:]
        doubtful |= (recent.shape[1] < WARMUP) | np.isnan(recent).any(axis=1) | filled.any(axis=1)
    reasons = {panels[0].symbols[row]: not_warm(panels, row, max_filled) for row in np.flatnonzero(doubtful).tolist()}
    return {symbol: reason for symbol, reason in reasons.items() if reason}


@dataclass(frozen=True, eq=False)
class Features:
    """Columns by name: `f["rsi_7_5m"]` is `(…, symbols)`. `values` is `(…, symbols, 31)`.

    `panels`, from fine to coarse, are the bars that they were computed from. Live there is one row, for
    the panels' last bars: `values` is `(symbols, 31)`. In training and backtests there is a row for each
    bar of the finest panel: `(bars, symbols, 31)`.
    """

    names: tuple[str, ...]
    symbols: tuple[str, ...]
    values: Floats
    panels: Sequence[Panel] = ()

    def __getitem__(self, name: str) -> Floats:
        try:
            column: Floats = self.values[..., self.names.index(name)]
        except ValueError:
            raise UnknownName(f"unknown feature '{name}'{suggestion(name, self.names)}") from None
        return column

    def across(self, feature: str) -> Floats:
        """One feature on every interval, `(…, symbols, intervals)`, finest first: `f.across("rsi_7")`."""
        if feature not in FEATURES:
            raise UnknownName(f"unknown feature '{feature}'{suggestion(feature, FEATURES)}")
        column: Floats = self.values[..., list(FEATURES).index(feature) : -1 : len(FEATURES)]
        return column

    def indicator(self, formula: Formula, interval: int = 0) -> Floats:
        """A formula of `indicators` at each row's bar, `(…, symbols)`, over at most `WARMUP` bars; NaN until warm.

        `interval` as in `window`. Write `f.indicator(lambda ops, b: ta.cci(ops, b.high, b.low, b.close, 20))`; `b` has
        the fields of `Bars`, each `(symbols, bars)`.
        """
        panel = self.panels[interval]
        with np.errstate(all="ignore"):
            if self.values.ndim == 2:
                return formula(Last(), Bars(panel.data[:, :, -WARMUP:]))
            values = _block_by_block(panel, lambda data: formula(Every(WARMUP), Bars(data)))
        return values if interval == 0 else _aligned(self.panels, panel, values, np.nan)

    def window(self, field: str, bars: int, interval: int = 0) -> Floats:
        """The last `bars` values of a field of `PANEL` up to each row's bar, `(…, symbols, bars)`, oldest first.

        `interval` counts from the finest (0); of a coarser one these are the bars that were closed when
        the row's bar closed. NaN where the panel does not reach. A read-only view where that is possible.
        """
        panel = self.panels[interval]
        values: Floats = getattr(panel, field)
        padded = np.concatenate([np.full((len(values), bars - 1), np.nan), values], axis=1)
        windows = np.lib.stride_tricks.sliding_window_view(padded, bars, axis=1).swapaxes(0, 1)
        if self.values.ndim == 2:
            newest: Floats = windows[-1]
            return newest
        return windows if interval == 0 else _aligned(self.panels, panel, windows, np.nan)
