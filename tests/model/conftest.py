"""A saved and an exported model, made once for all tests of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from boosters import booster


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Save a booster, by default as `model.ubj` in the test's folder."""

    def _save(made: Any, name: str = "model.ubj") -> Path:
        path = tmp_path / name
        made.save_model(path)
        return path

    return _save


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model; not to be changed."""
    from tradebot.model.export import export

    folder = tmp_path_factory.mktemp("exported")
    booster(rounds=60).save_model(folder / "model.ubj")
    export(folder / "model.ubj", folder / "model.onnx")
    return folder / "model.onnx"
