"""What people ask of an open account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from tradebot.clock import wall_ms
from tradebot.config import Settings
from tradebot.documents import Document
from tradebot.errands import Errand, Errands
from tradebot.errors import UsageError
from tradebot.hand import Hand
from tradebot.market.venue import Side
from tradebot.session import open_session
from tradebot.trading.desk import Desk, Prediction
from tradebot.trading.journal import Journal
from tradebot.trading.reconcile import Reconciliation

from .conftest import MakeSettings
from .test_pipeline import Change, Meddling


@asynccontextmanager
async def handling(settings: Settings, change: Change = lambda _: None) -> AsyncIterator[Hand]:
    """A hand on a paper account that holds BTCUSDT and ETHUSDT."""
    async with open_session(settings, trading=True, wrap=lambda inner: Meddling(change, inner)) as session:
        with Journal(settings.data_path / "state.db") as journal:
            assert session.broker is not None
            desk = Desk(session.broker, journal, session.clock, settings, session.instruments, "USDT", session.account)
            comparison = Reconciliation(
                session.broker, journal, session.clock, session.account, instruments=session.instruments, every_s=300
            )
            bought = [Prediction(symbol, Side.BUY, 0, 0.9) for symbol in ("BTCUSDT", "ETHUSDT")]
            await desk.enter(bought, await session.feed.prices(), 0.5)
            yield Hand(session, desk, comparison)


def filled(document: Document) -> list[Document]:
    """The orders that were executed; those that protected a position were taken back before."""
    return [order for order in document["orders"] if order["status"] == "FILLED"]


@pytest.mark.parametrize(("symbols", "sold"), [(("BTCUSDT",), {"BTCUSDT"}), ((), {"BTCUSDT", "ETHUSDT"})])
async def test_positions_are_closed_by_name_or_all(
    make_settings: MakeSettings, symbols: tuple[str, ...], sold: set[str]
) -> None:
    async with handling(make_settings()) as hand:
        document = await hand.close(symbols)
        assert {order["symbol"] for order in filled(document)} == sold
        assert {order["intent"] for order in filled(document)} == {"close"}
        assert {row["state"] for row in document["positions"]} <= {"dust"}
        left = {p.symbol for p in hand.desk.positions() if p.state.value == "open"}
        assert left == {"BTCUSDT", "ETHUSDT"} - sold


async def test_what_is_not_held_is_named_beside_what_is(make_settings: MakeSettings) -> None:
    async with handling(make_settings()) as hand:
        for work in (hand.close, hand.release):
            with pytest.raises(UsageError, match="no position in XRPUSDT; held: BTCUSDT, ETHUSDT"):
                await work(["XRPUSDT"])


async def test_without_prices_positions_are_closed_all_the_same(make_settings: MakeSettings) -> None:
    blind = [False]

    def no_prices(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(500) if blind[0] and request.url.path.endswith("ticker/price") else None

    async with handling(make_settings(venue__retries=0), no_prices) as hand:
        blind[0] = True
        document = await hand.close(["BTCUSDT"])
        assert [order["symbol"] for order in filled(document)] == ["BTCUSDT"]
        assert "HTTP 500" in document["warnings"][0]


async def test_what_is_released_is_told(make_settings: MakeSettings) -> None:
    async with handling(make_settings()) as hand:
        document = await hand.release(["BTCUSDT"])
        assert document["released"][0].startswith("BTCUSDT: the venue has all of ")
        assert [row["state"] for row in document["positions"]] == ["open"]


async def answered(ask: Callable[[], Document | None]) -> Document:
    while (answer := ask()) is None:
        await asyncio.sleep(0.01)
    return answer


async def test_errands_are_answered_beside_other_work_with_errors_too(make_settings: MakeSettings) -> None:
    async with handling(make_settings()) as hand:
        errands = Errands(hand.session.settings.data_path)
        attending = asyncio.create_task(hand.attend(errands))
        until = wall_ms() + 60_000
        sold = await answered(errands.ask(Errand("close", ("BTCUSDT",), until)).answer)
        assert [order["symbol"] for order in filled(sold)] == ["BTCUSDT"]
        failed = await answered(errands.ask(Errand("close", ("NONE",), until)).answer)
        assert (failed["exit_code"], "no position in NONE" in failed["error"]) == (2, True)
        hand.rest(attending)
        await asyncio.wait([attending])
        assert attending.cancelled()


async def test_an_errand_with_orders_in_the_air_is_brought_to_its_end(make_settings: MakeSettings) -> None:
    async with handling(make_settings(sim__latency_ms=200.0)) as hand:
        errands = Errands(hand.session.settings.data_path)
        attending = asyncio.create_task(hand.attend(errands))
        asked = errands.ask(Errand("close", ("BTCUSDT",), wall_ms() + 60_000))
        while asked.waits:
            await asyncio.sleep(0.01)
        hand.rest(attending)
        await asyncio.wait_for(attending, 5)
        answer = asked.answer()
        assert answer is not None
        assert [order["symbol"] for order in filled(answer)] == ["BTCUSDT"]
