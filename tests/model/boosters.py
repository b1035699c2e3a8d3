"""Small boosters on random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH = 31


def numbers(count: int, seed: int = 0, width: int = WIDTH) -> NDArray[np.float32]:
    """Rows with a few missing values."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, width)).astype(np.float32)
    rows[random.random(rows.shape) < 0.05] = np.nan
    return rows


def booster(
    seed: int = 0, width: int = WIDTH, rounds: int = 20, names: list[str] | None = None, **parameters: Any
) -> Any:
    """A quickly trained booster; every 31 numbers give some probability that the first is large."""
    import xgboost

    rows = numbers(800, seed, width)
    labels = (np.nan_to_num(rows[:, 0]) + np.random.default_rng(seed).normal(size=len(rows)) > 0.5).astype(np.float32)
    settings = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1, "seed": seed, **parameters}
    return xgboost.train(settings, xgboost.DMatrix(rows, labels, feature_names=names), rounds)
