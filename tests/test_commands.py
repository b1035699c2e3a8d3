"""Settings in, document out."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tradebot import commands
from tradebot.config import Settings
from tradebot.errors import ModelError, UnknownName

from .conftest import MakeSettings


async def test_a_wrong_strategy_is_told_before_the_venue_is_asked(make_settings: MakeSettings) -> None:
    settings = make_settings(strategy__name="trand", venue__name="binance", venue__base_url="http://127.0.0.1:9")
    for command in (commands.analyze, commands.predict):
        with pytest.raises(UnknownName, match="trand"):
            await command(settings)


async def test_a_wrong_model_is_told_before_the_venue_is_asked(make_settings: MakeSettings) -> None:
    settings = make_settings(model__path="none.onnx", venue__name="binance", venue__base_url="http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"none\.onnx"):
        await commands.predict(settings)


def test_an_export_tells_what_was_checked(tmp_path: Path) -> None:
    from tradebot.model import predictor

    document = commands.export_onnx(predictor.demo_path().with_suffix(".ubj"), tmp_path / "copy.onnx")
    assert set(document) >= {"source", "onnx", "features", "rows_checked", "max_abs_diff", "sha256"}
    assert (document["features"], document["rows_checked"] >= 10_000) == (31, True)
    assert document["max_abs_diff"] < 1e-5


def test_a_folder_is_no_model_to_export() -> None:
    with pytest.raises(ModelError, match="Is a directory"):
        commands.export_onnx(Path(), None)


async def test_a_table_is_refused_by_a_model_of_other_formulas(make_settings: MakeSettings, tmp_path: Path) -> None:
    import xgboost

    from tradebot.model import predictor

    told = {"intervals": ["5m", "15m", "1h"], "schema": "0" * 16}
    booster = xgboost.Booster(model_file=str(predictor.demo_path().with_suffix(".ubj")))
    booster.set_attr(tradebot=json.dumps(told))
    booster.save_model(tmp_path / "old.ubj")
    commands.export_onnx(tmp_path / "old.ubj", None)
    settings = make_settings(model__path=str(tmp_path / "old.onnx"))
    with pytest.raises(ModelError, match=r"trained on features 0{16} .*1h\); train again"):
        await commands.predict_table(settings, "standard input", io.BytesIO(b"ret_1_5m\n1\n"), None)


def test_the_pool_loads_the_model_of_the_settings(make_settings: MakeSettings) -> None:
    settings: Settings = make_settings(pool__use="always", pool__workers=1)
    with commands.make_pool(settings) as pool:
        assert len(pool.pids) == 1
    with pytest.raises(ModelError):
        commands.make_pool(make_settings(model__path="none.onnx"))
