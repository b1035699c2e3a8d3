"""Does a converted model say the same? The rows to ask it about, and the verdict.

Two tree ensembles differ, if at all, where a float is compared with a split value. So beside rows
from all over the features' range there are three for every split, one float below its value, on
it and one above, each moved to where it comes by that very split.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tradebot.analysis.features import FEATURES
from tradebot.errors import ModelError
from tradebot.model.predictor import WIDTH, Rows

TOLERANCE = 1e-5


def sample(booster: Any, rows: int, seed: int) -> Rows:
    """At least `rows` rows on which a converted model is compared, float32.

    Uniform over each feature's range, widened to its split values, and a little more, a quarter
    of them with missing values; then for each split a row below, on and above its value; and rows
    of nothing but NaN, ∞ or −∞.
    """
    random = np.random.default_rng(seed)
    unbound = np.full(WIDTH, np.inf, np.float32)
    trees = [json.loads(tree) for tree in booster.get_dump(dump_format="json")]
    splits = [split for tree in trees for split in _splits(tree, -unbound, unbound)]
    low, high = _range(splits)
    margin = 0.1 * (high - low)
    count = rows + len(splits)
    base = random.uniform(low - margin, high + margin, (count, WIDTH)).astype(np.float32)
    base[: rows // 4][random.random((rows // 4, WIDTH)) < 0.2] = np.nan
    around = [_around(*split, row) for split, row in zip(splits, base[rows:], strict=True)]
    ends = np.repeat(np.array([[np.nan], [np.inf], [-np.inf]], np.float32), WIDTH, axis=1)
    return np.concatenate([base[:rows], *around, ends])


def compare(source: str, names: Sequence[str], rows: Rows, expected: Rows, got: Rows) -> float:
    """The largest difference of the two predictions; a `ModelError` that shows the worst row above 1e-5."""
    differences = np.abs(expected.astype(np.float64) - got)
    worst = int(np.argmax(np.nan_to_num(differences, nan=np.inf)))
    if not differences[worst] <= TOLERANCE:
        row = ", ".join(f"{name}={value:.9g}" for name, value in zip(names, rows[worst], strict=True))
        raise ModelError(
            f"{source}: refused, its ONNX twin differs by {differences[worst]:.2g} (allowed {TOLERANCE:g}): "
            f"XGBoost says {expected[worst]:.9g}, ONNX {got[worst]:.9g} for {row}"
        )
    return float(differences[worst])


def _splits(node: Mapping[str, Any], low: Rows, high: Rows) -> Iterator[tuple[int, np.float32, Rows, Rows]]:
    """`(feature, value, low, high)` of each split below `node`; rows with `low <= row < high` come by it."""
    if "leaf" in node:
        return
    feature, value = int(node["split"].removeprefix("f")), np.float32(node["split_condition"])
    yield feature, value, low, high
    for child in node["children"]:
        left, right = low.copy(), high.copy()
        (right if child["nodeid"] == node["yes"] else left)[feature] = value
        yield from _splits(child, left, right)


def _range(splits: Sequence[tuple[int, np.float32, Rows, Rows]]) -> Rows:
    """Least and greatest value of each column `(2, 31)`: by its definition, or a split value beyond it."""
    kinds = [(entry.low, entry.high) for entry in FEATURES.values()]
    found = np.array([*kinds * ((WIDTH - 1) // len(kinds)), (-1.0, 1.0)], np.float32).T.copy()
    for feature, value, *_ in splits:
        found[0, feature] = min(found[0, feature], value)
        found[1, feature] = max(found[1, feature], value)
    return found


def _around(feature: int, value: np.float32, low: Rows, high: Rows, row: Rows) -> Rows:
    """`row` moved to where it comes by the split, three times: one float below, on, one above its value."""
    below, above = (np.nextafter(value, np.float32(end)) for end in (-np.inf, np.inf))
    moved = np.clip(row, low, np.nextafter(high, np.float32(-np.inf)))
    three = np.repeat(moved[None], 3, axis=0)
    three[:, feature] = below, value, above
    return three
