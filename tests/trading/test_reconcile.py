"""The venue's orders, trades and balances against the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from dealing import ACCOUNT, MINUTE, START, Office
from pit import pit

from tradebot.errors import JournalError, TradingError
from tradebot.market.venue import Balance, Fill, Order, OrderType, Side
from tradebot.trading.positions import PositionState
from tradebot.trading.reconcile import Reconciliation

SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")


class Compared:
    """An office with its comparison, and somebody else who trades on the same account."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.begin()

    def begin(self) -> None:
        office = self.office
        self.reconciliation = Reconciliation(
            office.broker, office.journal, office.clock, ACCOUNT, instruments=office.instruments, every_s=300
        )

    async def compare(self) -> list[str]:
        return await self.reconciliation.compare(SYMBOLS)

    def refusals(self) -> dict[str, str | None]:
        return {symbol: self.reconciliation.refusal(symbol) for symbol in SYMBOLS}

    def somebody(self, symbol: str, side: Side, quantity: str, name: str = "web-1", word: str = "fill") -> None:
        self.office.broker.execute(Order(symbol, side, name, OrderType.LIMIT, Decimal(quantity)), word)


@pytest.fixture
def compared(office: Callable[..., Office]) -> Compared:
    return Compared(office())


class TestEntries:
    async def test_wait_for_the_first_comparison(self, compared: Compared) -> None:
        assert set(compared.refusals().values()) == {"exits only: not compared with the venue yet"}
        assert await compared.compare() == []
        assert set(compared.refusals().values()) == {None}

    @pytest.mark.parametrize("what", ["open_orders", "balances"])
    async def test_wait_for_a_venue_that_answers(self, compared: Compared, what: str) -> None:
        compared.office.broker.blind.add(what)
        (line,) = await compared.compare()
        assert f"could not be compared with the journal: {what}" in line
        assert all(why and why.startswith("exits only") for why in compared.refusals().values())
        assert not compared.reconciliation.due
        compared.office.wait(MINUTE // 2)
        assert compared.reconciliation.due
        compared.office.broker.blind.clear()
        await compared.compare()
        assert set(compared.refusals().values()) == {None}

    async def test_go_on_while_a_venue_that_was_compared_does_not_answer(self, compared: Compared) -> None:
        await compared.compare()
        compared.office.broker.blind.add("balances")
        assert len(await compared.compare()) == 1
        assert set(compared.refusals().values()) == {None}

    async def test_are_compared_again_on_a_beat_of_the_venues_clock(self, compared: Compared) -> None:
        await compared.compare()
        for minutes, due in ((4, False), (1, True)):
            compared.office.wait(minutes * MINUTE)
            assert compared.reconciliation.due is due


class TestOrdersOfOthers:
    @pytest.mark.parametrize(("name", "who"), [("web-1", "somebody else"), ("tb-AUSDT-abc", "another tradebot")])
    async def test_are_told_once_and_keep_their_symbol_to_themselves(
        self, compared: Compared, name: str, who: str
    ) -> None:
        compared.somebody("AUSDT", Side.BUY, "0.5", name, "open")
        (line,) = await compared.compare()
        assert f"AUSDT: an open order of {who} (BUY 0.5, LIMIT, {name}); left alone, and not entered" == line
        assert [symbol for symbol, why in compared.refusals().items() if why] == ["AUSDT"]
        assert await compared.compare() == []
        assert [row["symbol"] for row in compared.reconciliation.external] == ["AUSDT"]

    async def test_that_are_gone_free_it_again(self, compared: Compared) -> None:
        compared.somebody("AUSDT", Side.BUY, "0.5", word="open")
        await compared.compare()
        compared.office.broker.reports.clear()
        assert await compared.compare() == ["AUSDT: no longer left alone"]
        assert set(compared.refusals().values()) == {None}

    async def test_are_not_those_that_the_journal_knows(self, compared: Compared) -> None:
        compared.office.broker.script.append("open")
        await compared.office.buy("AUSDT")
        await compared.compare()
        assert compared.reconciliation.external == []


class TestTooLittle:
    async def test_of_a_coin_ends_all_entries_until_it_is_back(self, compared: Compared) -> None:
        await compared.office.buy("AUSDT")
        held = compared.office.broker.held["A"]
        compared.office.broker.held["A"] -= Decimal(1)  # type: ignore[assignment]
        (line,) = await compared.compare()
        assert line == "A: 9.99 held by the journal, 8.99 by the venue; no entries until that is settled"
        assert all(why and why.startswith("exits only: A: ") for why in compared.refusals().values())
        compared.office.wait(MINUTE // 2)
        assert compared.reconciliation.due, "a doubt is looked at more often"
        compared.office.broker.held["A"] = held
        await compared.compare()
        assert set(compared.refusals().values()) == {None}

    async def test_is_explained_by_who_sold_it_and_then_concerns_that_symbol_only(self, compared: Compared) -> None:
        await compared.office.buy("AUSDT", "BUSDT")
        compared.somebody("AUSDT", Side.SELL, "4")
        (line,) = await compared.compare()
        assert line.startswith("AUSDT: 4 A sold by somebody else within a day")
        assert [symbol for symbol, why in compared.refusals().items() if why] == ["AUSDT"]

    async def test_is_not_explained_by_a_smaller_sale(self, compared: Compared) -> None:
        await compared.office.buy("AUSDT")
        compared.somebody("AUSDT", Side.SELL, "4")
        compared.office.broker.held["A"] -= Decimal(1)  # type: ignore[assignment]
        await compared.compare()
        assert all(why and why.startswith("exits only") for why in compared.refusals().values())

    async def test_while_an_order_is_under_way_must_be_seen_twice(self, compared: Compared) -> None:
        await compared.office.buy("AUSDT")
        compared.office.broker.script.append("lost")
        compared.office.broker.blind.add("order")
        compared.office.broker.blind.add("trades")
        await compared.office.desk.close("AUSDT", compared.office.marks)
        assert compared.office.state("AUSDT") == "in_doubt"
        compared.office.broker.blind.clear()
        assert await compared.compare() == []
        compared.office.wait(MINUTE // 2)
        assert compared.reconciliation.due
        (line,) = await compared.compare()
        assert "9.99 held by the journal, 0 by the venue" in line
        await compared.office.monitor()
        await compared.compare()
        assert set(compared.refusals().values()) == {None}, "the order was found, so that nothing lacks"


class TestTradesOfOthers:
    async def test_in_coins_beyond_ours_keep_the_symbol_to_them(self, compared: Compared) -> None:
        compared.somebody("BUSDT", Side.BUY, "2")
        (line,) = await compared.compare()
        assert line.startswith("BUSDT: 1.998 B bought by somebody else within a day")
        assert [symbol for symbol, why in compared.refusals().items() if why] == ["BUSDT"]

    async def test_are_not_looked_for_without_such_coins(self, compared: Compared) -> None:
        await compared.office.buy("AUSDT")
        compared.office.broker.asked.clear()
        await compared.compare()
        assert "trades" not in compared.office.broker.asked

    async def test_that_are_older_than_a_day_do_not_count(self, compared: Compared) -> None:
        compared.somebody("BUSDT", Side.BUY, "2")
        compared.office.wait(25 * 60 * MINUTE)
        assert await compared.compare() == []

    async def test_are_asked_for_again_only_when_something_changed_or_an_hour_has_passed(
        self, compared: Compared
    ) -> None:
        compared.somebody("BUSDT", Side.BUY, "2")
        asked = compared.office.broker.asked
        seen = []
        for change in (lambda: None, lambda: compared.somebody("BUSDT", Side.BUY, "1", "web-2"), lambda: None):
            change()
            await compared.compare()
            seen.append(asked["trades"])
        compared.office.wait(60 * MINUTE)
        await compared.compare()
        assert [*seen, asked["trades"]] == [1, 2, 2, 3]

    async def test_are_not_ours_that_are_made_meanwhile(self, compared: Compared) -> None:
        office, entering = compared.office, list[asyncio.Task[object]]()
        office.broker.held["A"] = Decimal(3)  # type: ignore[assignment]
        trades = office.broker.trades

        async def later(symbol: str, since: int) -> list[Fill]:
            if not entering:
                office.broker.script.append("hang")
                entering.append(asyncio.create_task(office.buy("AUSDT")))
                await office.broker.hanging.wait()
            return await trades(symbol, since)

        office.broker.trades = later  # type: ignore[method-assign]
        assert await compared.compare() == []
        entering[0].cancel()
        await asyncio.wait(entering)
        await office.monitor()
        compared.somebody("AUSDT", Side.BUY, "2")
        assert len(await compared.compare()) == 1, "and theirs are found the next time"

    async def test_are_remembered_while_we_trade_the_symbol(self, compared: Compared) -> None:
        await compared.office.buy("BUSDT")
        compared.somebody("BUSDT", Side.BUY, "2")
        assert len(await compared.compare()) == 1
        compared.office.broker.script.append("vanished")
        compared.office.broker.blind.add("order")
        await compared.office.desk.close("BUSDT", compared.office.marks)
        assert await compared.compare() == []


class TestRelease:
    async def test_writes_off_what_the_venue_does_not_have_and_lets_entries_go_on(self, compared: Compared) -> None:
        await compared.office.buy("AUSDT", "BUSDT")
        compared.office.broker.held["A"] = Decimal(4)  # type: ignore[assignment]
        await compared.compare()
        (line,) = await compared.reconciliation.release("AUSDT")
        assert "4 by the venue" in line
        assert "4 kept" in line
        assert {p.symbol: p.quantity for p in compared.office.desk.positions()}["AUSDT"] == 4
        assert compared.reconciliation.due
        await compared.compare()
        assert set(compared.refusals().values()) == {None}

    async def test_of_an_account_that_was_wiped_closes_the_position(self, compared: Compared) -> None:
        await compared.office.buy("AUSDT")
        compared.office.broker.held["A"] = Decimal(0)  # type: ignore[assignment]
        await compared.reconciliation.release("AUSDT")
        assert compared.office.desk.positions() == []
        (position,) = compared.office.journal.history(ACCOUNT)
        assert (position.state, position.cost) == (PositionState.CLOSED, 0)

    async def test_gives_up_an_order_of_unknown_outcome(self, compared: Compared) -> None:
        compared.office.broker.script.append("vanished")
        await compared.office.buy("AUSDT")
        lines = await compared.reconciliation.release("AUSDT")
        assert "which the venue does not know, is given up" in lines[0]
        assert compared.office.journal.unresolved(ACCOUNT) == []
        assert compared.office.desk.positions() == []

    async def test_does_not_give_up_an_order_that_the_venue_has(self, compared: Compared) -> None:
        await compared.office.buy("AUSDT")
        compared.office.broker.script.append("open")
        await compared.office.desk.close("AUSDT", compared.office.marks)
        compared.office.broker.held["A"] = Decimal(0)  # type: ignore[assignment]
        with pytest.raises(TradingError, match=r"the venue knows order tb-.*; close the position, or cancel it there"):
            await compared.reconciliation.release("AUSDT")
        assert compared.office.journal.unresolved(ACCOUNT) != []

    async def test_gives_up_an_order_that_a_wiped_venue_has_forgotten(self, compared: Compared) -> None:
        await compared.office.buy("AUSDT")
        compared.office.broker.script.append("open")
        await compared.office.desk.close("AUSDT", compared.office.marks)
        compared.office.broker.held["A"] = Decimal(0)  # type: ignore[assignment]
        compared.office.broker.reports.clear()
        assert len(await compared.reconciliation.release("AUSDT")) == 2
        assert compared.office.journal.unresolved(ACCOUNT) == []
        assert compared.office.desk.positions() == []

    async def test_of_what_the_venue_has_changes_nothing(self, compared: Compared) -> None:
        await compared.office.buy("AUSDT")
        before = compared.office.rows()
        assert await compared.reconciliation.release("AUSDT") == ["AUSDT: the venue has all of 9.99 A"]
        assert compared.office.rows() == before

    async def test_of_what_is_not_held_is_an_error(self, compared: Compared) -> None:
        with pytest.raises(TradingError, match="nothing is held"):
            await compared.reconciliation.release("AUSDT")


class TestAnAccountMadeAnew:
    async def wiped(self, compared: Compared) -> None:
        """Two positions, one of them on its way out; then the venue forgets everything."""
        await compared.office.buy("AUSDT", "BUSDT")
        compared.office.broker.script.append("open")
        await compared.office.desk.close("AUSDT", compared.office.marks)
        compared.office.wait(61 * MINUTE)
        assert not await compared.reconciliation.made_anew()
        compared.office.broker.reports.clear()
        assert not await compared.reconciliation.made_anew(), "its trades are still known"
        compared.office.broker.fills.clear()

    async def test_is_known_by_what_it_has_forgotten(self, compared: Compared) -> None:
        await self.wiped(compared)
        assert await compared.reconciliation.made_anew()

    async def test_is_not_suspected_for_what_was_done_within_the_hour(self, compared: Compared) -> None:
        await compared.office.buy("AUSDT")
        compared.office.broker.reports.clear()
        compared.office.broker.fills.clear()
        compared.office.wait(59 * MINUTE)
        assert not await compared.reconciliation.made_anew()

    async def test_begins_with_nothing_and_books_trades_of_the_same_numbers(self, compared: Compared) -> None:
        await self.wiped(compared)
        assert len(await compared.reconciliation.begin_anew()) == 4
        assert compared.office.desk.positions() == []
        assert not await compared.reconciliation.made_anew()
        await compared.compare()
        assert set(compared.refusals().values()) == {None}
        (order, *_), skipped = await compared.office.buy("AUSDT", bar=START + MINUTE)
        assert not skipped, "what was wiped is no loss"
        assert (order.intent, order.settled) == ("enter", True)
        before = compared.office.rows()
        compared.office.journal.rebuild()
        assert compared.office.rows() == before


async def test_what_could_not_be_written_is_told_when_it_can_be(compared: Compared) -> None:
    compared.somebody("AUSDT", Side.BUY, "0.5", word="open")
    record = compared.office.journal.record

    def full(*_: object) -> None:
        raise JournalError("the disk is full")

    compared.office.journal.record = full  # type: ignore[method-assign, assignment]
    with pytest.raises(JournalError):
        await compared.compare()
    assert compared.refusals()["AUSDT"], "it holds all the same"
    compared.office.journal.record = record  # type: ignore[method-assign]
    assert len(await compared.compare()) == 1
    assert await compared.compare() == []


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
async def test_a_contract_that_we_enter_while_the_venue_answers_is_ours(tmp_path: Path, side: Side) -> None:
    floor = pit(tmp_path)
    await floor.prepare()
    made = Reconciliation(floor.client, floor.journal, floor.clock, ACCOUNT, instruments=floor.known, every_s=300)
    balances = floor.client.balances

    async def late() -> Mapping[str, Balance]:
        floor.client.balances = balances  # type: ignore[method-assign]
        told = await balances()
        await floor.enter(side)
        return told

    floor.client.balances = late  # type: ignore[method-assign]
    assert await made.compare(SYMBOLS) == []
    assert floor.desk.positions()
    assert await made.compare(SYMBOLS) == []
    floor.journal.close()


async def test_findings_are_kept_for_those_who_do_not_ask_the_venue(compared: Compared) -> None:
    compared.somebody("AUSDT", Side.BUY, "0.5", word="open")
    await compared.compare()
    await compared.compare()
    assert list(compared.office.journal.audit(ACCOUNT).external) == ["AUSDT"]
    compared.office.broker.reports.clear()
    compared.begin()
    await compared.compare()
    assert compared.office.journal.audit(ACCOUNT).external == {}
    assert compared.office.clock.now() == START
