"""What predictions are worth: their figures beside those of the base rate, and the threshold to trade at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tradebot.market.bars import Floats
from tradebot.model.predictor import Rows


@dataclass(frozen=True)
class Figures:
    """What a set of predictions is worth; `base_…` is what always saying the base rate would get.

    `share` of the signals pass the threshold; `hit_rate` and `expectancy` (mean net return of a
    trade) are theirs, NaN where none passes; `all_expectancy` is that of taking every signal.
    """

    signals: int
    base_rate: float
    log_loss: float
    base_log_loss: float
    brier: float
    base_brier: float
    auc: float
    share: float
    hit_rate: float
    expectancy: float
    all_expectancy: float


def figures(probabilities: Rows, labels: Rows, returns: Floats, threshold: float, base_rate: float) -> Figures:
    """Figures of predictions on rows that the model has not seen; `base_rate` is that of the training rows."""
    base = np.full(len(labels), base_rate)
    passed = probabilities >= threshold
    hits, gains = (float(part[passed].mean()) if passed.any() else np.nan for part in (labels, returns))
    return Figures(
        signals=len(labels),
        base_rate=float(labels.mean()),
        log_loss=log_loss(probabilities, labels),
        base_log_loss=log_loss(base, labels),
        brier=float(np.mean((probabilities - labels) ** 2)),
        base_brier=float(np.mean((base - labels) ** 2)),
        auc=auc(probabilities, labels),
        share=float(passed.mean()),
        hit_rate=hits,
        expectancy=gains,
        all_expectancy=float(returns.mean()),
    )


def log_loss(probabilities: Rows | Floats, labels: Rows) -> float:
    """Mean negative log-likelihood, probabilities kept 1e-7 away from 0 and 1."""
    sure = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(labels > 0, np.log(sure), np.log1p(-sure))))


def auc(probabilities: Rows, labels: Rows) -> float:
    """Chance that a success ranks above a failure, ties counting half (Mann–Whitney); NaN without both kinds."""
    _, rank, count = np.unique(probabilities, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count - 1) / 2
    good = int(labels.sum())
    pairs = good * (len(labels) - good)
    return float((middle[rank][labels > 0].sum() - good * (good + 1) / 2) / pairs) if pairs else np.nan


def choose_threshold(probabilities: Rows, returns: Floats, least_share: float) -> float:
    """The threshold of highest mean return among those that at least `least_share` of the signals pass."""
    quantiles = np.quantile(probabilities, np.linspace(0, 1 - least_share, 41), method="lower")
    candidates = np.floor(np.unique(quantiles) * 1e4) / 1e4
    return float(max(candidates, key=lambda threshold: returns[probabilities >= threshold].mean()))
