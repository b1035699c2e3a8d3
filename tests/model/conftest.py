"""A saved and an exported model, made once for all tests of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from boosters import booster
from histories import planted, recipe


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Save a booster, by default as `model.ubj` in the test's folder."""

    def _save(made: Any, name: str = "model.ubj") -> Path:
        path = tmp_path / name
        made.save_model(path)
        return path

    return _save


@pytest.fixture(scope="session")
def card() -> dict[str, Any]:
    """The card of a model that found a planted rule; not to be changed."""
    from tradebot.model.card import describe
    from tradebot.model.export import Report
    from tradebot.model.training import train
    from tradebot.model.validation import Walk

    data, walk = planted(count=1_500), Walk(folds=2, embargo=0)
    plan = replace(recipe(1), since=int(data.times.min()), until=int(data.ends.max()))
    trained = train(data, plan, walk, seed=1, shuffles=2)
    counts = {"kept": len(data), "no signal": 700}
    report = Report("model.ubj", "model.onnx", 31, 10_000, 1e-7, "ab" * 32)
    return describe(trained, counts, "made-up prices", report)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model; not to be changed."""
    from tradebot.model.export import export

    folder = tmp_path_factory.mktemp("exported")
    booster(rounds=60).save_model(folder / "model.ubj")
    export(folder / "model.ubj", folder / "model.onnx")
    return folder / "model.onnx"
