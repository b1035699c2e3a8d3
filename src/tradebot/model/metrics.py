"""What predictions are worth: their figures beside those of the base rate, and the threshold to trade at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tradebot.clock import DAY
from tradebot.market.bars import Floats, Times
from tradebot.model.predictor import Rows

BINS = 10
SHARES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)  # of the signals, most probable first
LEAST_TRADES = 100
LEAST_DAYS = 5  # fewer say nothing of the spread between days
_GRID = 41


@dataclass(frozen=True)
class Bin:
    """A tenth of the predictions: how many, the mean of what was predicted, the share that came true."""

    signals: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Trades:
    """The trades at or above a threshold, as many as `trades` on `days` days.

    `expectancy` is their mean net return and `error` its standard error, taken between days since
    trades of a day share their market. NaN where there is no trade, or only one day.
    """

    threshold: float
    trades: int
    days: int
    hit_rate: float
    expectancy: float
    error: float


@dataclass(frozen=True)
class Figures:
    """What a set of predictions is worth; `base_…` is what always saying the base rate would get.

    `calibration_error` is the mean distance between predicted and observed over `calibration`.
    """

    signals: int
    base_rate: float
    log_loss: float
    base_log_loss: float
    brier: float
    base_brier: float
    auc: float
    calibration_error: float
    calibration: tuple[Bin, ...]


@dataclass(frozen=True)
class Choice:
    """The threshold to trade at, why it, and whether its trades earned more than they cost."""

    threshold: float
    why: str
    profitable: bool


@dataclass(frozen=True, eq=False)
class Judged:
    """Predictions on rows that their model had not seen.

    `chances` `(n,)` float32; `base` `(n,)` the base rate of the rows that it had; `labels`,
    `returns` and `times` those of the rows; `part` `(n,)` which stretch of time they are of.
    """

    chances: Rows
    base: Floats
    labels: Rows
    returns: Floats
    times: Times
    part: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.chances)

    @classmethod
    def join(cls, parts: Sequence[Judged]) -> Judged:
        """Those of several models together."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def figures(judged: Judged) -> Figures:
    """All figures but those of trades; the AUC is NaN where no part holds both outcomes."""
    from sklearn import metrics

    chances, labels = judged.chances.astype(np.float64), judged.labels
    bins = calibration(chances, labels)
    return Figures(
        signals=len(judged),
        base_rate=float(labels.mean()),
        log_loss=float(metrics.log_loss(labels, chances, labels=[0, 1])),
        base_log_loss=float(metrics.log_loss(labels, judged.base, labels=[0, 1])),
        brier=float(metrics.brier_score_loss(labels, chances)),
        base_brier=float(metrics.brier_score_loss(labels, judged.base)),
        auc=auc(judged),
        calibration_error=sum(each.signals * abs(each.predicted - each.observed) for each in bins) / len(judged),
        calibration=tuple(bins),
    )


def auc(judged: Judged) -> float:
    """Chance that a success ranks above a failure of the same part, over all parts by their signals.

    Across parts there is nothing to compare: their models differ, and a base rate that falls where
    it was high before would make any model look worse than chance.
    """
    from sklearn import metrics

    parts = [judged.part == part for part in np.unique(judged.part)]
    both = [part for part in parts if len(np.unique(judged.labels[part])) == 2]
    if not both:
        return float("nan")
    areas = [metrics.roc_auc_score(judged.labels[part], judged.chances[part]) for part in both]
    return float(np.average(areas, weights=[part.sum() for part in both]))


def calibration(chances: Floats, labels: Rows) -> list[Bin]:
    """Tenths of the predictions from the lowest on; equal predictions stay together."""
    edges = np.unique(np.quantile(chances, np.linspace(0, 1, BINS + 1)[1:-1], method="lower"))
    places = np.searchsorted(edges, chances, side="left")
    groups = [places == place for place in np.unique(places)]
    return [Bin(int(group.sum()), float(chances[group].mean()), float(labels[group].mean())) for group in groups]


def gain(judged: Judged) -> Floats:
    """By how much each prediction's log-loss is below that of the base rate, `(n,)`."""
    return _losses(judged.base, judged.labels) - _losses(judged.chances, judged.labels)


def _losses(chances: Rows | Floats, labels: Rows) -> Floats:
    """Negative log-likelihoods, probabilities kept 1e-7 away from 0 and 1."""
    sure = np.clip(chances.astype(np.float64), 1e-7, 1 - 1e-7)
    losses: Floats = -np.where(labels > 0, np.log(sure), np.log1p(-sure))
    return losses


def trades(judged: Judged, threshold: float) -> Trades:
    """The trades at or above a threshold."""
    passed = judged.chances >= threshold
    mean, error, days = by_days(judged.returns[passed], judged.times[passed])
    hits = float(judged.labels[passed].mean()) if passed.any() else float("nan")
    return Trades(threshold, int(passed.sum()), days, hits, mean, error)


def by_days(values: Floats, times: Times) -> tuple[float, float, int]:
    """Mean of values, its standard error between UTC days (that of a ratio of sums), and the days."""
    sums, counts = blocks(values, times, DAY)
    if not len(sums):
        return float("nan"), float("nan"), 0
    mean = sums.sum() / counts.sum()
    if len(sums) < 2:
        return float(mean), float("nan"), 1
    spread = np.sqrt(len(sums) / (len(sums) - 1) * ((sums - mean * counts) ** 2).sum())
    return float(mean), float(spread / counts.sum()), len(sums)


def blocks(values: Floats, times: Times, length: int) -> tuple[Floats, Floats]:
    """Sum and number of the values in each stretch of `length` ms that holds one."""
    _, places = np.unique(times // length, return_inverse=True)
    sums: Floats = np.bincount(places, values).astype(np.float64)
    return sums, np.bincount(places).astype(np.float64)


def table(judged: Judged) -> list[Trades]:
    """The trades at several thresholds, from all of the signals to the most probable hundredth."""
    return [trades(judged, threshold) for threshold in _thresholds(judged, np.array(SHARES))]


def _thresholds(judged: Judged, shares: Floats) -> list[float]:
    """Thresholds of four places that at least these shares of the signals pass, ascending, each once."""
    lowest = np.quantile(judged.chances, 1 - shares, method="lower")
    return [float(each) for each in np.unique(np.floor(lowest.astype(np.float64) * 1e4) / 1e4)]


def choose_threshold(judged: Judged) -> Choice:
    """The threshold of the highest mean net return less two standard errors among those with enough trades.

    Two, since the best of many is lucky too: below that none counts as profitable. Only for
    predictions of validation: a threshold chosen on what it is then measured on is a wish.
    """
    shares = np.linspace(1, min(1.0, LEAST_TRADES / len(judged)), _GRID)
    tried = [trades(judged, threshold) for threshold in _thresholds(judged, shares)]
    enough = [each for each in tried if each.trades >= LEAST_TRADES and each.days >= LEAST_DAYS]
    if not enough:
        why = f"the lowest prediction: validation has less than {LEAST_TRADES} trades on {LEAST_DAYS} days to choose by"
        return Choice(tried[0].threshold, why, False)
    best = max(enough, key=lambda each: each.expectancy - 2 * each.error)
    profitable = best.expectancy > 2 * best.error
    told = f"{best.trades:,} trades of validation at {best.expectancy:+.3%} ± {best.error:.3%} after costs"
    rule = f"the best by mean return less two standard errors of {len(enough)} with at least {LEAST_TRADES} trades"
    return Choice(
        best.threshold, f"{rule}, {told}{'' if profitable else ': none is profitable beyond chance'}", profitable
    )


def lowest(judged: Judged) -> Choice:
    """The lowest prediction: a model that is there to be seen at work refuses no signal like those it knows."""
    return Choice(
        _thresholds(judged, np.ones(1))[0], "the lowest prediction of validation, so that none is refused", False
    )
