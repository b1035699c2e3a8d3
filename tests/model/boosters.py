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
    """A quickly trained booster; every 31 numbers give some probability that the first is large.

    Where there are several classes they are thirds of that number, and what is not classified is regressed on it.
    """
    import xgboost

    rows = numbers(800, seed, width)
    size = np.nan_to_num(rows[:, 0]) + np.random.default_rng(seed).normal(size=len(rows))
    settings = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1, "seed": seed, **parameters}
    labels = (size > 0.5).astype(np.float32)
    if settings["objective"].startswith("multi:"):
        labels = np.digitize(size, np.quantile(size, np.linspace(0, 1, settings["num_class"] + 1)[1:-1]))
    elif not settings["objective"].startswith(("binary:", "reg:logistic", "rank:")):
        labels = np.exp(size / 4)
    matrix = xgboost.DMatrix(rows, labels, feature_names=names)
    if settings["objective"] == "survival:aft":
        matrix.set_float_info("label_lower_bound", labels)
        matrix.set_float_info("label_upper_bound", labels)
    return xgboost.train(settings, matrix, rounds)
