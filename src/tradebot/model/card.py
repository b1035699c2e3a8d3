"""The model card: everything that is known of a trained model, as JSON can say it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

from tradebot.analysis import features
from tradebot.model.export import Report
from tradebot.model.training import LEAVES, PARAMETERS, Trained

Document: TypeAlias = dict[str, Any]


def describe(trained: Trained, counts: Mapping[str, int], source: str, report: Report) -> Document:
    """All of it; times are UTC ms, returns are shares, and what does not exist is None.

    `counts` are the dataset's, `source` says where the klines are from.
    """
    import xgboost

    told, shuffled, recipe, walk = trained.told, trained.shuffled, trained.recipe, trained.walk
    card: Document = _plain({
        "schema": 1,
        "sha256": report.sha256,
        "doubts": trained.doubts,
        "source": source,
        "period": {"since": recipe.since, "until": recipe.until},
        "trained_from": told.trained_from,
        "trained_to": told.trained_to,
        "symbols": recipe.symbols,
        "intervals": recipe.intervals,
        "features": features.names(recipe.intervals),
        "feature_schema": told.schema,
        "strategy": {"name": recipe.name, "parameters": recipe.parameters, "min_score": recipe.min_score},
        "label": {"text": told.label, **asdict(recipe.barrier)},
        "dataset": {"max_filled": recipe.max_filled, "bars": recipe.bars, "counts": dict(counts)},
        "walk": asdict(walk),
        "xgboost": {**PARAMETERS, "min_child_weight": f"signals / {LEAVES}", "seed": trained.seed,
                    "rounds": trained.booster.num_boosted_rounds(), "version": xgboost.__version__},
        "margin": trained.margin._asdict(),
        "folds": [asdict(fold) for fold in trained.folds],
        "pooled": asdict(trained.pooled),
        "test": trained.test and asdict(trained.test),
        "trades": [asdict(each) for each in trained.trades],
        "threshold": {**asdict(trained.choice), "validation": asdict(trained.chosen),
                      "test": trained.tested and asdict(trained.tested)},
        "shuffled": {"aucs": shuffled.aucs, "gains": shuffled.gains, "mean_auc": _mean(shuffled.aucs),
                     "error": _error(shuffled.aucs)},
        "importance": importance(trained.booster),
        "onnx": {"rows_checked": report.rows_checked, "max_abs_diff": report.max_abs_diff},
    })  # fmt: skip
    return card


def _plain(value: Any) -> Any:
    """What JSON can say: lists for tuples, None for what is not a number."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _error(values: Sequence[float]) -> float:
    """Standard error of the mean; NaN of less than two."""
    if len(values) < 2:
        return math.nan
    mean = _mean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))


def importance(booster: Any) -> dict[str, float]:
    """Each feature's share of what all splits gained, the largest first; features without a split are left out."""
    gains = booster.get_score(importance_type="total_gain")
    total = sum(gains.values()) or 1.0
    return {name: gain / total for name, gain in sorted(gains.items(), key=lambda each: (-each[1], each[0]))}
