"""The commands that trade: the lock, what a loop is asked, and what they tell."""

from __future__ import annotations

import pytest

from tradebot import holding
from tradebot.documents import Document
from tradebot.errors import Locked, MarketError, TradingError, UnknownName

from .conftest import MakeSettings

EAGER = {"strategy__min_score": 0.05, "model__threshold": 0.0}


async def test_a_wrong_strategy_is_told_before_the_venue_is_asked(make_settings: MakeSettings) -> None:
    settings = make_settings(strategy__name="trand", venue__name="binance", venue__base_url="http://127.0.0.1:9")
    with pytest.raises(UnknownName, match="trand"):
        await holding.run(settings, 1, lambda _: None)


async def test_the_lock_is_given_back_after_a_run_that_failed(make_settings: MakeSettings) -> None:
    settings = make_settings(venue__name="binance", venue__base_url="http://127.0.0.1:9", venue__retries=0)
    for _ in range(2):
        with pytest.raises(MarketError):
            await holding.run(settings, 1, lambda _: None)


async def test_a_lock_that_is_held_or_cannot_be_made_means_no_cycle(make_settings: MakeSettings) -> None:
    from filelock import FileLock

    settings = make_settings()
    documents: list[Document] = []
    with FileLock(settings.data_path / "lock"), pytest.raises(Locked):
        await holding.run(settings, 1, documents.append)
    (settings.data_path / "lock").unlink(missing_ok=True)
    (settings.data_path / "lock").mkdir()
    with pytest.raises(TradingError, match="no lock, no orders"):
        await holding.run(settings, 1, documents.append)
    assert documents == []


async def test_positions_are_what_the_run_left(make_settings: MakeSettings) -> None:
    settings = make_settings(strategy__min_score=0.05, model__threshold=0.0)
    documents: list[Document] = []
    await holding.run(settings, 1, documents.append)
    held = holding.positions(settings)
    assert held["account"] == "sim-at-20250602T150000Z-paper"
    assert held["positions"]
    assert {row["symbol"] for row in held["positions"]} == {row["symbol"] for row in documents[0]["positions"]}
    assert {row["mark"] for row in held["positions"]} == {None}
