"""The comparison looks where two tree ensembles can differ, and shows the row where they do."""

from __future__ import annotations

import json

import numpy as np
import pytest
from boosters import booster

from tradebot.analysis.features import FEATURES
from tradebot.errors import ModelError
from tradebot.model.parity import compare, sample

NAMES = [f"x{i}" for i in range(31)]
MODEL = booster(seed=3)


def splits() -> set[tuple[int, float]]:
    """Every split of the model, by XGBoost's own table."""
    found = set()
    nodes = [json.loads(tree) for tree in MODEL.get_dump(dump_format="json")]
    while nodes:
        node = nodes.pop()
        if "children" in node:
            found.add((int(node["split"][1:]), float(np.float32(node["split_condition"]))))
            nodes += node["children"]
    return found


class TestSample:
    def test_has_at_least_the_rows_that_were_asked_for_and_is_the_same_each_time(self) -> None:
        rows = sample(MODEL, 500, seed=1)
        assert rows.dtype == np.float32
        assert rows.shape[0] > 500
        assert rows.tobytes() == sample(MODEL, 500, seed=1).tobytes()
        assert rows.tobytes() != sample(MODEL, 500, seed=2).tobytes()

    def test_has_each_split_value_and_the_floats_beside_it(self) -> None:
        rows = sample(MODEL, 100, seed=1)
        for feature, value in splits():
            for wanted in (value, *(np.nextafter(np.float32(value), np.float32(end)) for end in (-np.inf, np.inf))):
                assert (rows[:, feature] == wanted).any()

    def test_its_rows_come_by_the_split_that_they_are_for(self) -> None:
        # Below and above a split that is reached, XGBoost goes to different leaves of some tree.
        rows = sample(MODEL, 100, seed=1)[100:-3].reshape(-1, 3, 31)
        leaves = np.stack([MODEL.inplace_predict(rows[:, part]) for part in (0, 1, 2)])
        trees = MODEL.predict(_matrix(rows.reshape(-1, 31)), pred_leaf=True).reshape(len(rows), 3, -1)
        assert (trees[:, 0] != trees[:, 1]).any(axis=1).all()
        assert (trees[:, 1] == trees[:, 2]).mean() > 0.99
        assert leaves.shape == (3, len(rows))

    def test_has_missing_and_infinite_values(self) -> None:
        rows = sample(MODEL, 400, seed=1)
        assert np.isnan(rows).all(axis=1).sum() == 1
        assert 10 < np.isnan(rows).any(axis=1).sum() <= 101
        assert (rows == np.inf).all(axis=1).sum() == (rows == -np.inf).all(axis=1).sum() == 1

    def test_covers_the_range_of_every_feature_and_little_more(self) -> None:
        rows = sample(MODEL, 2_000, seed=1)[:2_000]
        column = list(FEATURES).index("vol_ratio")
        low, high = FEATURES["vol_ratio"].low, FEATURES["vol_ratio"].high
        for interval in range(1, 3):  # by the first a wild split value might widen it
            values = rows[:, 10 * interval + column]
            assert low - 1.0 < np.nanmin(values) < low
            assert high < np.nanmax(values) < high + 4.0


def _matrix(rows: np.ndarray) -> object:
    import xgboost

    return xgboost.DMatrix(rows, nthread=1)


class TestCompare:
    ROWS = np.zeros((3, 31), np.float32)
    ROWS[1, 4] = 7.5

    def test_gives_the_largest_difference(self) -> None:
        ours, theirs = np.array([0.5, 0.25, 0.5], np.float32), np.array([0.5, 0.25 + 2**-20, 0.5], np.float32)
        assert compare("m", NAMES, self.ROWS, ours, theirs) == 2**-20

    @pytest.mark.parametrize("wrong", [0.2501, np.nan])
    def test_refuses_a_difference_and_shows_the_worst_row(self, wrong: float) -> None:
        ours, theirs = np.array([0.5, 0.25, 0.5], np.float32), np.array([0.5, wrong, 0.50002], np.float32)
        with pytest.raises(ModelError, match=r"^m: refused.*XGBoost says 0\.25, ONNX .*x3=0, x4=7\.5, x5=0"):
            compare("m", NAMES, self.ROWS, ours, theirs)
