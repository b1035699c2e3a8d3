"""A desk buys what the rules allow, leaves what is due, and never acts twice."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

import pytest
from dealing import ACCOUNT, MINUTE, START, Office, instrument
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradebot.errors import TradingError
from tradebot.market.venue import Side
from tradebot.trading.halt import Switch
from tradebot.trading.orders import ENTER
from tradebot.trading.placement import AT_ONCE
from tradebot.trading.positions import PositionState
from tradebot.trading.risk import Prediction


class Crash(BaseException):
    """The process dies here."""


def die_at(office: Office, write: int) -> None:
    """Let the process die at a journal write, counted from now: the write itself is lost."""
    record, left = office.journal.record, [write]

    def dying(account, time, *facts):
        left[0] -= 1
        if left[0] < 0:
            raise Crash
        record(account, time, *facts)

    office.journal.record = dying


def coarse(office) -> Office:
    """An office in which fees in the base coin leave dust."""
    desk = office()
    desk.instruments["AUSDT"] = instrument("AUSDT", step="0.1")
    return desk


class TestEntering:
    async def test_buys_a_share_of_the_equity_and_protects_it(self, office):
        desk = office()
        (order,), skipped = await desk.buy("AUSDT")
        (position,) = desk.desk.positions()
        assert skipped == {}
        assert (order.intent, order.side, order.quantity, order.price) == (ENTER, Side.BUY, 10, 100)
        assert (position.state, position.quantity) == (PositionState.OPEN, Decimal("9.990"))
        assert position.stop == position.entry * Decimal("0.98")
        assert position.target == position.entry * Decimal("1.03")
        assert position.until == START + 4 * 3600 * 1000

    async def test_prefers_the_best_and_says_why_not_the_others(self, office):
        desk = office("AUSDT", "BUSDT", "CUSDT", "DUSDT", max_positions=1)
        chances = {"AUSDT": 0.6, "BUSDT": 0.8, "CUSDT": 0.41, "DUSDT": float("nan")}
        predictions = [Prediction(symbol, Side.BUY, START, p) for symbol, p in chances.items()]
        predictions.append(Prediction("BUSDT", Side.SELL, START, 0.95))
        orders, skipped = await desk.desk.enter(predictions, desk.marks, 0.55)
        assert [order.symbol for order in orders] == ["BUSDT"]
        assert skipped == {
            "AUSDT": "1 of 1 positions held",
            "CUSDT": "probability 41.00% below 55.00%",
            "DUSDT": "probability nan% below 55.00%",
        }

    async def test_sells_nothing_short_on_spot(self, office):
        desk = office()
        orders, skipped = await desk.desk.enter([Prediction("AUSDT", Side.SELL, START, 0.9)], desk.marks, 0.55)
        assert (orders, skipped) == ([], {"AUSDT": "a short position is not possible on spot"})

    async def test_acts_on_a_bar_once_whatever_came_of_it(self, office):
        for symbol, word in (("AUSDT", "fill"), ("BUSDT", "reject"), ("CUSDT", "refused")):
            desk = office()
            desk.broker.script.append(word)
            await desk.buy(symbol)
            await desk.desk.close(symbol, desk.marks)
            desk.restart()
            orders, skipped = await desk.buy(symbol)
            assert (orders, skipped) == ([], {symbol: "this bar was acted on already"})
            orders, _ = await desk.buy(symbol, bar=START + MINUTE)
            assert [order.state for order in orders] == ["FILLED"]
            desk.journal.close()
            desk.path.unlink()

    @pytest.mark.parametrize("moment", range(6))
    async def test_is_not_disturbed_by_a_hand_that_closes_at_any_moment(self, office, moment):
        made = office()
        entering = asyncio.create_task(made.buy("AUSDT"))
        for _ in range(moment):
            await asyncio.sleep(0)
        await made.desk.close("AUSDT", made.marks)
        ((entry, *_), skipped) = await entering
        assert (str(entry.state), skipped) == ("FILLED", {})

    async def test_names_what_was_sent_in_vain(self, office):
        desk = office()
        desk.broker.script.append("reject")
        orders, skipped = await desk.buy("AUSDT")
        assert [order.state for order in orders] == ["REJECTED"]
        assert skipped == {"AUSDT": "AUSDT: enter REJECTED (insufficient balance)"}

    async def test_blocks_a_symbol_while_its_order_is_in_doubt(self, office):
        desk = office()
        desk.broker.script.append("vanished")
        await desk.buy("AUSDT")
        orders, skipped = await desk.buy("AUSDT", "BUSDT", bar=START + MINUTE)
        assert [order.symbol for order in orders] == ["BUSDT"]
        assert skipped == {"AUSDT": "an earlier order is not resolved yet"}

    async def test_spends_no_more_than_there_is(self, office):
        desk = office("AUSDT", "BUSDT", "CUSDT", "DUSDT", fraction="0.4")
        orders, skipped = await desk.buy("AUSDT", "BUSDT", "CUSDT", "DUSDT")
        assert [order.quantity for order in orders] == [40, 40, Decimal("19.8"), Decimal("0.198")]
        assert skipped == {}
        assert desk.broker.held["USDT"] >= 0

    async def test_does_nothing_when_the_balances_cannot_be_read(self, office):
        desk = office()
        desk.broker.blind = {"balances"}
        orders, skipped = await desk.buy("AUSDT")
        assert (orders, skipped) == ([], {"AUSDT": "balances not known: balances: no answer"})

    async def test_asks_the_venue_nothing_when_there_is_nothing_to_decide(self, office):
        desk = office()
        assert await desk.buy() == ([], {})
        assert not desk.broker.asked


class TestMonitoring:
    @pytest.mark.parametrize(("price", "reason"), [("98.0", "stop-loss"), ("103.2", "take-profit")])
    async def test_leaves_at_stop_and_target(self, office, price, reason):
        desk = office(fee_asset="BNB")
        await desk.buy("AUSDT")
        assert await desk.monitor() == []
        desk.price("AUSDT", price)
        (order,) = await desk.monitor()
        assert (order.intent, order.side, order.quantity, order.state) == (reason, Side.SELL, 10, "FILLED")
        assert desk.desk.positions() == []
        (closed,) = desk.journal.history(ACCOUNT)
        assert closed.proceeds == 10 * Decimal(price)

    async def test_leaves_when_the_time_is_over_even_without_a_price(self, office):
        desk = office(max_hold_s=60, fee_asset="BNB")
        await desk.buy("AUSDT")
        desk.wait(59_999)
        assert await desk.desk.monitor({}) == []
        desk.wait(1)
        assert [order.intent for order in await desk.desk.monitor({})] == ["time"]
        assert desk.desk.positions() == []

    async def test_sells_no_more_than_the_fee_left_and_calls_the_rest_dust(self, office):
        desk = coarse(office)
        await desk.buy("AUSDT")
        desk.price("AUSDT", "90")
        (order,) = await desk.monitor()
        assert (order.quantity, order.state) == (Decimal("9.9"), "FILLED")
        (rest,) = desk.desk.positions()
        assert (rest.state, rest.quantity) == (PositionState.DUST, Decimal("0.090"))
        for _ in range(3):
            desk.wait()
            assert await desk.monitor() == []

    async def test_takes_dust_over_into_the_next_position_and_sells_it_there(self, office):
        desk = coarse(office)
        for number in range(12):
            desk.price("AUSDT", "100")
            await desk.buy("AUSDT", bar=START + number * MINUTE)
            (position,) = desk.desk.positions()
            assert position.quantity == desk.broker.held["A"]
            desk.price("AUSDT", "90")
            await desk.monitor()
        assert desk.broker.held["A"] < Decimal("0.1")
        every = desk.journal.positions(ACCOUNT) + desk.journal.history(ACCOUNT)
        assert 10_000 - desk.broker.held["USDT"] == sum(p.cost - p.proceeds for p in every)

    async def test_holds_dust_again_when_nothing_came_of_the_next_entry(self, office):
        desk = coarse(office)
        await desk.buy("AUSDT")
        await desk.desk.close("AUSDT", desk.marks)
        desk.broker.script.append("reject")
        await desk.buy("AUSDT", bar=START + MINUTE)
        (dust,) = desk.desk.positions()
        assert (dust.state, dust.quantity) == (PositionState.DUST, desk.broker.held["A"])

    async def test_opens_dust_again_that_has_become_worth_selling(self, office):
        desk = office(fee_asset="BNB")
        await desk.buy("AUSDT")
        desk.marks["AUSDT"] = Decimal("0.4")  # a price at which it would be worth 4
        assert await desk.monitor() == []
        assert desk.state("AUSDT") == "dust"
        desk.marks["AUSDT"] = Decimal(97)
        (order,) = await desk.monitor()
        assert (order.intent, order.state) == ("stop-loss", "FILLED")

    async def test_tries_again_under_a_new_name_after_a_refused_exit(self, office):
        desk = office(fee_asset="BNB")
        await desk.buy("AUSDT")
        desk.price("AUSDT", "90")
        desk.broker.script.extend(["reject", "refused"])
        states, names = [], set()
        for _ in range(3):
            (order,) = await desk.monitor()
            states.append(order.state)
            names.add(order.client_id)
        assert states == ["REJECTED", "ABANDONED", "FILLED"]
        assert len(names) == 3

    async def test_sends_no_second_exit_while_the_first_is_in_doubt(self, office):
        desk = office(fee_asset="BNB")
        await desk.buy("AUSDT")
        desk.price("AUSDT", "90")
        desk.broker.script.append("vanished")
        assert [order.state for order in await desk.monitor()] == ["UNKNOWN"]
        for _ in range(29):
            desk.wait(1000)
            assert await desk.monitor() == []
        assert len(desk.broker.received) == 2

    async def test_leaves_at_once_when_a_lost_exit_turns_out_never_to_have_arrived(self, office):
        desk = office(fee_asset="BNB")
        await desk.buy("AUSDT")
        desk.price("AUSDT", "90")
        desk.broker.script.append("vanished")
        await desk.monitor()
        desk.wait()
        await desk.monitor()
        desk.wait()
        assert [(o.intent, o.state) for o in await desk.monitor()] == [
            ("stop-loss", "ABANDONED"),
            ("stop-loss", "FILLED"),
        ]

    async def test_does_not_let_look_ups_of_one_symbol_hold_up_the_exit_of_another(self, office):
        desk = office(fee_asset="BNB")
        await desk.buy("BUSDT")
        desk.broker.script.append("vanished")
        await desk.buy("AUSDT", bar=START + MINUTE)
        desk.price("BUSDT", "90")
        answered = asyncio.Event()

        async def stuck(symbol, client_id):
            await answered.wait()

        desk.broker.order = stuck
        task = asyncio.create_task(desk.monitor())
        await asyncio.sleep(0.01)
        assert desk.broker.held["B"] == 0
        answered.set()
        assert [order.symbol for order in await task] == ["BUSDT"]

    async def test_does_not_let_entries_in_the_air_hold_up_an_exit(self, office):
        symbols = [f"S{n}USDT" for n in range(6)]
        desk = office("AUSDT", *symbols, max_positions=9, fraction="0.05", fee_asset="BNB")
        await desk.buy("AUSDT")
        desk.broker.script.extend(["hang"] * 6)
        entering = asyncio.create_task(desk.buy(*symbols))
        await desk.broker.hanging.wait()
        desk.price("AUSDT", "90")
        desk.broker.script.clear()
        assert [order.intent for order in await desk.monitor()] == ["stop-loss"]
        entering.cancel()
        with suppress(asyncio.CancelledError):
            await entering

    async def test_sells_only_what_is_free(self, office):
        desk = office(fee_asset="BNB")
        await desk.buy("AUSDT")
        desk.broker.locked["A"] = Decimal(4)
        desk.price("AUSDT", "90")
        (order,) = await desk.monitor()
        assert order.quantity == 6
        assert desk.state("AUSDT") == "open"
        assert await desk.monitor() == []
        assert desk.state("AUSDT") == "in_doubt"
        desk.broker.held["A"], held = Decimal(1), desk.broker.held["A"]
        desk.broker.locked["A"] = Decimal(1)
        assert await desk.monitor() == []
        (doubt,) = desk.desk.doubts
        assert doubt.endswith("by the venue; the position is left alone, and keeps its place, until they agree")
        desk.broker.held["A"] = held
        desk.broker.locked.clear()
        (order,) = await desk.monitor()
        assert order.quantity == 4
        assert desk.desk.positions() == []

    async def test_tries_to_leave_even_if_the_balances_cannot_be_read(self, office):
        desk = office(fee_asset="BNB")
        await desk.buy("AUSDT")
        desk.price("AUSDT", "90")
        desk.broker.blind = {"balances"}
        assert [order.state for order in await desk.monitor()] == ["FILLED"]

    async def test_leaves_a_symbol_that_is_no_longer_listed(self, office):
        desk = office(fee_asset="BNB")
        await desk.buy("AUSDT")
        del desk.instruments["AUSDT"]
        desk.price("AUSDT", "90")
        assert [order.state for order in await desk.monitor()] == ["FILLED"]

    async def test_overlapping_itself_sells_once(self, office):
        desk = office(fee_asset="BNB")
        await desk.buy("AUSDT")
        desk.price("AUSDT", "90")
        done = await asyncio.gather(desk.monitor(), desk.monitor(), desk.desk.close("AUSDT", desk.marks))
        assert sum(len(orders) for orders in done) == 1
        assert len(desk.broker.received) == 2

    async def test_tells_what_it_left_though_the_kill_switch_cannot_be_pulled(self, office):
        class Jammed(Switch):
            def pull(self, halt):
                raise TradingError("HALT: No space left on device; the trading is not stopped")

        made = office()
        risk = made.settings.risk.model_copy(update={"drawdown": Decimal("0.001")})
        made.settings = made.settings.model_copy(update={"risk": risk})
        made.restart()
        made.desk.switch = Jammed(made.path.parent)
        await made.buy("AUSDT")
        await made.monitor()
        made.price("AUSDT", "90")
        assert [order.intent for order in await made.monitor()] == ["stop-loss"]
        assert made.desk.doubts == ["HALT: No space left on device; the trading is not stopped"]
        _, skipped = await made.buy("BUSDT", bar=START + MINUTE)
        assert "highest" in skipped["BUSDT"]


class TestClosing:
    async def test_sells_what_is_open_and_nothing_else(self, office):
        desk = office(fee_asset="BNB")
        await desk.buy("AUSDT", "BUSDT")
        (order,) = await desk.desk.close("AUSDT", desk.marks)
        assert (order.symbol, order.intent, order.state) == ("AUSDT", "close", "FILLED")
        assert await desk.desk.close("AUSDT", desk.marks) == []
        assert desk.state("BUSDT") == "open"


class TestReconciling:
    async def test_abandons_an_intent_that_was_never_sent(self, office):
        symbols = [f"S{n}USDT" for n in range(AT_ONCE + 1)]
        desk = office(*symbols, max_positions=9, fraction="0.05")
        die_at(desk, 1)
        with pytest.raises(Crash):
            await desk.buy(*symbols)
        desk.restart()
        (left,) = {*symbols} - {order.symbol for order in desk.broker.received}
        assert f"{left}: enter ABANDONED (decided, but never sent)" in await desk.desk.reconcile()
        assert desk.state(left) is None

    async def test_says_what_the_venue_does_not_hold(self, office):
        desk = office()
        await desk.buy("AUSDT")
        desk.broker.held["A"] -= 1
        assert await desk.desk.audit() == ["A: 9.99 held by the journal, 8.99 by the venue"]
        assert await desk.desk.reconcile() == [], "that is told by whoever compares the account"

    async def test_says_so_when_the_balances_cannot_be_read(self, office):
        desk = office()
        await desk.buy("AUSDT")
        desk.broker.blind = {"balances"}
        assert await desk.desk.audit() == ["balances not known: balances: no answer"]

    async def test_has_nothing_to_say_and_nothing_to_ask_of_an_account_that_holds_nothing(self, office):
        desk = office()
        assert await desk.desk.reconcile() == []
        assert not desk.broker.asked


class TestDocuments:
    async def test_show_a_position_at_its_mark(self, office):
        desk = office(fee_asset="BNB")
        await desk.buy("AUSDT")
        (position,) = desk.desk.positions()
        assert desk.desk.document(position, {"AUSDT": Decimal(101)})["unrealized"] == "10"
        assert desk.desk.document(position, {})["unrealized"] is None


WORDS = st.sampled_from(
    ["fill", "fill", "bare", "half", "open", "odd", "reject", "refused", "busy", "lost", "vanished", "late"]
)
SYMBOLS = st.sampled_from(["AUSDT", "BUSDT"])
ACTIONS = st.one_of(
    st.tuples(st.just("buy"), SYMBOLS, WORDS),
    st.tuples(st.just("price"), SYMBOLS, st.sampled_from(["90", "99", "101", "120"])),
    st.tuples(st.just("monitor"), st.just(""), WORDS),
    st.tuples(st.just("blind"), st.sampled_from(["order", "trades", "balances", "", ""]), st.just("")),
    st.tuples(st.just("crash"), st.sampled_from(["buy", "monitor"]), st.integers(0, 5)),
    st.tuples(st.just("deliver"), st.just(""), st.just("")),
    st.tuples(st.just("restart"), st.just(""), st.just("")),
)
STEPS = st.lists(st.tuples(st.sampled_from([0, 1_000, 14_000, MINUTE]), ACTIONS), min_size=3, max_size=14)


async def live(office: Office, steps) -> None:
    for number, (pause, (what, name, more)) in enumerate(steps):
        office.wait(pause)
        bar = START + number * MINUTE
        if what in {"buy", "monitor"}:
            office.broker.script.append(more)
        if what == "buy":
            await office.buy(name, bar=bar)
        elif what == "monitor":
            await office.monitor()
        elif what == "price":
            office.price(name, more)
        elif what == "blind":
            office.broker.blind = {name}
        elif what == "deliver":
            office.broker.deliver()
        else:
            if what == "crash":
                die_at(office, more)
                with suppress(Crash):
                    await (office.buy("AUSDT", "BUSDT", bar=bar) if name == "buy" else office.monitor())
            office.restart()
            await office.desk.reconcile()
        office.broker.script.clear()


async def come_to_rest(office: Office) -> None:
    """The venue answers again, everything on its way arrives, and time passes."""
    office.broker.blind = set()
    office.broker.deliver()
    for client_id, report in list(office.broker.reports.items()):
        if report.status in {"NEW", "SETTLED_ELSEWHERE"}:
            if report.executed:
                office.broker.reports[client_id] = replace(report, status="FILLED")
            else:
                office.broker.finish(client_id)
    for symbol in office.marks:
        office.price(symbol, "100")
    office.restart()
    await office.desk.reconcile()
    for _ in range(4):
        office.wait()
        await office.monitor()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.sampled_from(["base", "BNB"]))
def test_whatever_happens_orders_execute_once_and_positions_are_what_was_executed(tmp_path_factory, steps, fee_asset):
    async def story() -> None:
        office = Office(tmp_path_factory.mktemp("story"), "AUSDT", "BUSDT", fee_asset=fee_asset)
        await live(office, steps)
        await come_to_rest(office)
        broker, journal = office.broker, office.journal
        assert max(broker.executed_orders().values(), default=0) <= 1
        assert journal.unresolved(ACCOUNT) == []
        assert {order.client_id for order in broker.received} <= {o.client_id for o in journal.orders(ACCOUNT)}
        for symbol in office.marks:
            held = sum(p.quantity for p in journal.positions(ACCOUNT) if p.symbol == symbol)
            assert held == broker.held[symbol.removesuffix("USDT")]
            assert journal.booked(ACCOUNT, symbol) == {f.trade_id for f in broker.fills if f.symbol == symbol}
        every = journal.positions(ACCOUNT) + journal.history(ACCOUNT)
        assert 10_000 - broker.held["USDT"] == sum(p.cost - p.proceeds for p in every)
        rows = office.rows()
        journal.rebuild()
        assert office.rows() == rows
        journal.close()

    asyncio.run(story())
