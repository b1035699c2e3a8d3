"""The card says all that is known of a model, the bad as loudly as the good."""

from __future__ import annotations

import json
from typing import Any

import pytest

Card = dict[str, Any]


def test_it_is_plain_json_without_nan(card: Card) -> None:
    assert json.loads(json.dumps(card, allow_nan=False)) == card


def test_it_holds_what_the_model_was_made_of(card: Card) -> None:
    assert card["strategy"] == {"name": "rising", "parameters": {}, "min_score": 0.3}
    assert card["label"]["take_profit"] == 0.03
    assert card["label"]["horizon"] == 3_600_000
    assert len(card["features"]) == 31
    assert card["walk"] == {"folds": 2, "test": 0.2, "embargo": 0}
    assert card["xgboost"]["seed"] == 1
    assert card["xgboost"]["rounds"] > 1
    assert card["dataset"]["counts"] == {"kept": 1_500, "no signal": 700}


def test_it_holds_figures_of_each_fold_of_all_and_of_the_test_part(card: Card) -> None:
    keys = {"log_loss", "base_log_loss", "auc", "brier", "base_rate", "calibration", "calibration_error"}
    assert [fold["name"] for fold in card["folds"]] == ["fold 1", "fold 2"]
    for figures in (*(fold["figures"] for fold in card["folds"]), card["pooled"], card["test"]["figures"]):
        assert keys <= figures.keys()
    assert card["margin"]["low"] > 0
    assert len(card["shuffled"]["aucs"]) == 2
    assert card["threshold"]["validation"]["trades"] >= 100
    assert card["threshold"]["test"]["trades"] > 0


def test_importance_is_shares_the_largest_first(card: Card) -> None:
    shares = list(card["importance"].values())
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)
    assert next(iter(card["importance"])) == "ret_1_5m"
