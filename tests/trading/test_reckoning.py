"""The record of a desk that trades, and what a new process knows of it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from dealing import MINUTE, START, Office

from tradebot.trading.facts import Released
from tradebot.trading.halt import halt
from tradebot.trading.reckoning import Reckoning, worth_by_coin

D = Decimal


async def trade(office: Office, *prices: str, bar: int = START) -> None:
    """Buy at 100 and leave at each of these prices, one bar after the other."""
    for number, price in enumerate(prices):
        office.price("AUSDT", "100")
        await office.buy("AUSDT", bar=bar + number * MINUTE)
        office.price("AUSDT", price)
        await office.monitor()
        office.wait()


def read(office: Office) -> Reckoning:
    """As a new process reads it."""
    made = Reckoning(office.journal, "double-paper")
    made.look(office.clock.now(), office.desk.positions(), office.marks)
    return made


class TestAPast:
    async def test_is_what_the_venue_paid_and_received(self, office):
        desk = office()
        await trade(desk, "103.5", "97", "97")
        record = desk.desk.reckoning.record
        held = sum(p.quantity * desk.marks[p.symbol] for p in desk.desk.positions())
        assert record.total == desk.broker.held["USDT"] - 10_000 + held
        assert (record.losses, record.bad) == (2, {"AUSDT": START + 2 * MINUTE})

    async def test_is_the_same_to_a_new_process(self, office):
        desk = office()
        await trade(desk, "103.5", "97", "90")
        before = desk.desk.reckoning.record
        desk.restart()
        after = read(desk).record
        assert (after.closed, after.total, after.losses, after.bad) == (
            before.closed, before.total, before.losses, before.bad,
        )  # fmt: skip
        assert (after.peak, after.day, after.opened_equity) == (before.peak, before.day, before.opened_equity)

    async def test_is_kept_when_the_rows_are_made_anew(self, office):
        desk = office()
        await trade(desk, "103.5", "97")
        before = read(desk).record
        desk.journal.rebuild()
        assert read(desk).record == before

    async def test_is_read_from_where_it_was_written_down(self, office):
        desk = office()
        await trade(desk, "103.5")
        kept = desk.journal.record_of("double-paper")
        assert kept.upto > 0
        assert desk.journal.filled_since("double-paper", read(desk).record.upto) == []

    async def test_takes_what_was_written_off_for_neither_gain_nor_loss(self, office):
        desk = office()
        await desk.buy("AUSDT")
        await desk.monitor()
        (held,) = desk.desk.positions()
        before = read(desk).record
        desk.journal.record("double-paper", desk.clock.now(), Released(held.id, D(0), held.cost))
        record = read(desk).record
        assert record.total == pytest.approx(D(0), abs=D("1e-9"))
        assert (record.losses, before.total < 0) == (0, True), "by the fee that it had cost at its mark"

    async def test_takes_dust_that_a_new_entry_took_over_once(self, office):
        desk = office("AUSDT", price="3000")
        desk.marks["AUSDT"] = D(3000)
        for number in range(3):
            await desk.buy("AUSDT", bar=START + number * MINUTE)
            desk.wait()
            await desk.desk.close("AUSDT", desk.marks)
        held = sum(p.quantity * desk.marks[p.symbol] for p in desk.desk.positions())
        assert read(desk).record.total == pytest.approx(desk.broker.held["USDT"] - 10_000 + held, abs=D("1e-9"))

    async def test_is_of_one_account(self, office):
        desk = office()
        await trade(desk, "97")
        assert Reckoning(desk.journal, "another").look(START, [], {}).total == 0

    async def test_writes_nothing_down_while_nothing_is_new(self, office):
        desk = office()
        await trade(desk, "103.5")
        before = len(desk.journal._db.rows("SELECT * FROM events"))
        for _ in range(5):
            await desk.monitor()
        assert len(desk.journal._db.rows("SELECT * FROM events")) == before


class TestStopping:
    async def test_a_daily_loss_leaves_exits_until_midnight(self, office):
        desk = office(fraction="0.15", stop_loss="0.5")
        await trade(desk, "40")
        _, skipped = await desk.buy("BUSDT", bar=START + 5 * MINUTE)
        assert skipped == {"BUSDT": "9.01% lost today, the limit is 5.00%"}
        desk.clock.advance(START + 86_400_000)
        await desk.monitor()
        _, skipped = await desk.buy("BUSDT", bar=START + 6 * MINUTE)
        assert skipped == {}

    async def test_a_drawdown_pulls_the_kill_switch_and_counts_anew_once_that_is_released(self, office):
        desk = office(fraction="0.5", stop_loss="0.5")
        await trade(desk, "40")
        desk.clock.advance(START + 86_400_000)
        desk.restart()
        _, skipped = await desk.buy("BUSDT", bar=START + 6 * MINUTE)
        assert "by drawdown: 30.0" in skipped["BUSDT"]
        desk.desk.switch.release()
        await desk.monitor()
        assert desk.desk.switch.state() is None, "what it was released from does not stop it again"
        orders, _ = await desk.buy("BUSDT", bar=START + 6 * MINUTE)
        assert orders

    async def test_a_halt_by_hand_keeps_its_reason_when_a_drawdown_comes_too(self, office):
        desk = office(fraction="0.9", stop_loss="0.5")
        await desk.buy("AUSDT")
        desk.desk.switch.pull(halt("holidays", "me"))
        desk.price("AUSDT", "40")
        await desk.monitor()
        assert desk.desk.switch.state().reason == "holidays"
        desk.desk.switch.release()
        await desk.monitor()
        assert desk.desk.switch.state().who == "drawdown"

    async def test_six_losses_in_a_row_leave_a_pause(self, office):
        desk = office()
        await trade(desk, *["97"] * 6)
        _, skipped = await desk.buy("BUSDT", bar=START + 10 * MINUTE)
        assert skipped == {"BUSDT": "6 losses in a row: 3540 s to wait"}
        desk.wait(3_540_000)
        assert await desk.buy("BUSDT", bar=START + 11 * MINUTE) != ([], {})


async def test_worth_counts_what_an_entry_under_way_may_still_spend(office):
    desk = office()
    await desk.buy("BUSDT")
    desk.broker.script.append("vanished")
    await desk.buy("AUSDT")
    found = worth_by_coin(desk.desk.positions(), desk.journal.unresolved("double-paper"), desk.marks)
    assert found["A"] == pytest.approx(D(1000), rel=D("0.01"))
    assert found["B"] == pytest.approx(D(1000), rel=D("0.01"))
