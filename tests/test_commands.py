"""Settings in, document out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradebot import commands
from tradebot.config import Settings
from tradebot.errors import ModelError, UnknownName, VenueUnreachable
from tradebot.market.bars import Klines
from tradebot.market.store import Ready
from tradebot.session import open_session

from .conftest import MakeSettings


async def test_series_are_told_by_symbol_and_from_fine_to_coarse(make_settings: MakeSettings) -> None:
    document = await commands.fetch(make_settings(sim__symbols=2))
    assert [(row["symbol"], row["interval"]) for row in document["series"]] == [
        (symbol, interval) for symbol in ("BTCUSDT", "ETHUSDT") for interval in ("5m", "15m", "1h")
    ]


async def test_a_fetch_takes_any_intervals_and_needs_no_model(make_settings: MakeSettings) -> None:
    document = await commands.fetch(make_settings(market__intervals=("4h",), model__path="none.onnx", sim__symbols=1))
    assert [row["interval"] for row in document["series"]] == ["4h"]


async def test_a_series_that_failed_is_an_error_beside_the_others(make_settings: MakeSettings) -> None:
    async with open_session(make_settings()) as session:
        good = Ready("BTCUSDT", "5m", Klines.empty())
        bad = Ready("ETHUSDT", "5m", Klines.empty(), error=VenueUnreachable("timed out"))
        document = commands.fetched(session, 0, [good, bad], 1.0)
        assert [row["symbol"] for row in document["series"]] == ["BTCUSDT"]
        assert document["errors"] == [{"symbol": "ETHUSDT", "interval": "5m", "error": "timed out"}]
        with pytest.raises(VenueUnreachable):
            commands.fetched(session, 0, [bad], 1.0)


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


def test_the_pool_loads_the_model_of_the_settings(make_settings: MakeSettings) -> None:
    settings: Settings = make_settings(pool__use="always", pool__workers=1)
    with commands.make_pool(settings) as pool:
        assert len(pool.pids) == 1
    with pytest.raises(ModelError):
        commands.make_pool(make_settings(model__path="none.onnx"))
