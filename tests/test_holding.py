"""The commands that trade: the lock, what a loop is asked, and what they tell."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tradebot import holding, tables
from tradebot.config import Settings
from tradebot.documents import Document
from tradebot.errors import JournalError, Locked, MarketError, TradingError, UnknownName, UsageError
from tradebot.identity import account_key
from tradebot.lock import alone
from tradebot.market.signing import Credentials
from tradebot.session import open_session
from tradebot.sim.keys import PAPER_KEY, PAPER_SECRET
from tradebot.trading.facts import Identified
from tradebot.trading.journal import Journal

from .conftest import MakeSettings, served

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


async def held(settings: Settings) -> list[str]:
    """Buy what the first cycle offers."""
    await holding.run(settings, 1, lambda _: None)
    return [row["symbol"] for row in holding.positions(settings)["positions"]]


async def test_without_a_loop_positions_are_closed_by_the_command_itself(make_settings: MakeSettings) -> None:
    settings = make_settings(**EAGER)
    symbols = await held(settings)
    document = await holding.act(settings, "close", symbols[:1], None)
    sold = [order["symbol"] for order in document["orders"] if order["status"] == "FILLED"]
    assert (document["by"], sold) == ("command", symbols[:1])
    holding.require_closed(document)
    document = await holding.act(settings, "close", (), None)
    assert {order["symbol"] for order in document["orders"]} == set(symbols[1:])


async def test_where_nothing_is_held_no_venue_is_asked(make_settings: MakeSettings) -> None:
    settings = make_settings(venue__name="binance", venue__base_url="http://127.0.0.1:9")
    with pytest.raises(UsageError, match=r"nothing is held in binance@127\.0\.0\.1:9-paper"):
        await holding.act(settings, "close", (), None)
    assert (await holding.marked(settings))["positions"] == []


async def test_a_loop_that_does_not_answer_is_told_and_nothing_is_done(make_settings: MakeSettings) -> None:
    settings = make_settings()
    with alone(settings), pytest.raises(TradingError, match="did not look at this in time; nothing was done"):
        await holding.act(settings, "close", (), None, patience_s=0.3)
    assert list((settings.data_path / "errands").iterdir()) == []


async def test_a_loop_that_ends_before_it_has_begun_leaves_the_work_to_the_command(make_settings: MakeSettings) -> None:
    settings = make_settings(**EAGER)
    await held(settings)
    with alone(settings):
        acting = asyncio.create_task(holding.act(settings, "close", (), None))
        await asyncio.sleep(0.25)
        assert not acting.done()
    document = await acting
    assert document["by"] == "command"
    holding.require_closed(document)


def test_what_could_not_be_closed_is_named() -> None:
    rows = [{"symbol": "AUSDT", "state": "in_doubt"}, {"symbol": "BUSDT", "state": "dust"}]
    with pytest.raises(TradingError, match=r"still held: AUSDT \(in_doubt\); see"):
        holding.require_closed({"positions": rows})


async def test_marks_are_the_venues_prices(make_settings: MakeSettings) -> None:
    settings = make_settings(**EAGER)
    await held(settings)
    document = await holding.marked(settings)
    async with open_session(settings) as session:
        prices = await session.feed.prices()
    assert document["positions"]
    for row in document["positions"]:
        assert row["mark"] == format(prices[row["symbol"]], "f")
        assert row["unrealized"] is not None


async def test_history_is_told_and_written_as_a_table(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings(**EAGER)
    assert holding.history(settings, 0, None)["results"] == []
    await held(settings)
    await holding.act(settings, "close", (), None)
    for name in ("results.csv", "results.parquet"):
        document = holding.history(settings, 0, tmp_path / name)
        (written,) = tables.read(tmp_path / name)
        assert written["symbol"] == [row["symbol"] for row in document["results"]]
        assert written["realized"] == [row["realized"] for row in document["results"]]
    assert document["totals"][0]["trades"] == len(document["results"]) > 0
    late = document["results"][-1]["closed"] + 1
    assert holding.history(settings, late, None)["results"] == []


async def test_a_rebuild_changes_no_row_and_wants_the_lock(make_settings: MakeSettings) -> None:
    settings = make_settings(**EAGER)
    with pytest.raises(UsageError, match="no trading state"):
        holding.rebuild(settings)
    symbols = await held(settings)
    document = holding.rebuild(settings)
    assert (document["positions"], document["changed"]) == (len(symbols), 0)
    with alone(settings), pytest.raises(Locked):
        holding.rebuild(settings)


async def test_live_orders_are_announced_before_the_first_with_account_universe_and_limits(
    make_settings: MakeSettings,
) -> None:
    told: list[Any] = []
    async with served(make_settings()) as url:
        settings = make_settings(
            venue__name="binance", venue__base_url=url, trading__mode="live", run__step=True, **EAGER
        )
        await holding.run(settings, 2, told.append, Credentials(PAPER_KEY, PAPER_SECRET), told.append)
    lines, documents = told[:-2], told[-2:]
    assert "live trading on binance@127.0.0.1" in lines[0]
    assert "account …" in lines[0]
    assert "10000 USDT" in lines[0]
    assert lines[1].startswith("universe: the 30 most traded")
    assert "max_positions = 5" in lines[2]
    assert "from any address" in lines[3]
    assert documents[0]["briefing"] == lines
    assert "briefing" not in documents[1]
    assert documents[0]["mode"] == "live"
    assert documents[0]["orders"]


async def test_another_account_behind_the_same_settings_is_refused(make_settings: MakeSettings) -> None:
    documents: list[Document] = []
    async with served(make_settings()) as url:
        settings = make_settings(venue__name="binance", venue__base_url=url, trading__mode="testnet", run__step=True)
        key = Credentials(PAPER_KEY, PAPER_SECRET)
        await holding.run(settings, 1, documents.append, key)
        with Journal(settings.data_path / "state.db") as journal:
            assert journal.identity(account_key(settings)) is not None
            journal.record(account_key(settings), 0, Identified("987654"))
        with pytest.raises(JournalError, match=r"is the account …654, but this API key belongs to …"):
            await holding.run(settings, 1, documents.append, key)
    assert len(documents) == 1


async def test_a_testnet_that_was_wiped_is_not_traded_until_a_person_lets_go_of_what_was_held(
    make_settings: MakeSettings,
) -> None:
    documents: list[Document] = []
    key, port = Credentials(PAPER_KEY, PAPER_SECRET), 0
    remote = {"venue__name": "binance", "trading__mode": "testnet", "run__step": True}
    async with served(make_settings()) as url:
        settings = make_settings(venue__base_url=url, **remote, **EAGER)
        await holding.run(settings, 1, documents.append, key)
        port = int(url.rpartition(":")[2])
    assert documents[0]["positions"]
    async with served(make_settings(sim__at="2025-06-02T17:00:00Z"), port):
        with pytest.raises(JournalError, match="testnets do each month; `tradebot positions release all`"):
            await holding.run(settings, 1, documents.append, key)
        released = await holding.act(settings, "release", (), key)
        assert "numbered from the beginning" in released["released"][0]
        assert released["positions"] == []
        await holding.run(settings, 1, documents.append, key)
    assert documents[1]["positions"], (documents[1]["skipped"][:3], documents[1]["warnings"], documents[1]["symbols"])
    assert holding.history(settings, 0, None)["results"] == [], "what was wiped is neither gain nor loss"


async def test_data_folders_on_one_account_name_the_same_decision_differently(make_settings: MakeSettings) -> None:
    documents: list[Document] = []
    names = []
    for folder in ("one", "two"):
        async with served(make_settings()) as url:
            settings = make_settings(
                data_dir=str(make_settings().data_path / folder), venue__name="binance", venue__base_url=url,
                trading__mode="testnet", run__step=True, **EAGER,
            )  # fmt: skip
            await holding.run(settings, 1, documents.append, Credentials(PAPER_KEY, PAPER_SECRET))
        names.append({order["client_id"] for order in documents[-1]["orders"]})
    assert names[0]
    assert not names[0] & names[1]
