"""Every order is sent at most once, and what became of it is found out, not guessed."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from dealing import ACCOUNT, LATEST, MINUTE, START

from tradebot.errors import ImpossibleTransition, JournalError
from tradebot.market.venue import Fill, Side
from tradebot.trading.facts import Filled
from tradebot.trading.orders import CONCLUSIVE_AFTER, Moved
from tradebot.trading.placement import AT_ONCE, to_the_end


class TestSending:
    async def test_stores_the_intent_before_the_venue_hears_of_it(self, office):
        desk = office()
        seen = []
        submit = desk.broker.submit

        async def spying(order):
            seen.append(desk.journal.order(ACCOUNT, order.client_id).state)
            return await submit(order)

        desk.broker.submit = spying
        orders, _ = await desk.buy("AUSDT")
        assert seen == ["SENT"]
        assert orders[0].state == "FILLED"

    async def test_has_all_that_go_out_at_once_on_disk_before_the_first_with_one_write(self, office, tmp_path):
        symbols = [f"S{n}USDT" for n in range(AT_ONCE)]
        desk = office(*symbols, max_positions=9, fraction="0.05", protect="monitor")
        submit, secure, seen = desk.broker.submit, desk.journal.secure, []

        def securing():
            secure()
            seen.append(sum(path.stat().st_size for path in tmp_path.glob("state.db-wal")))

        async def spying(order):
            assert desk.journal._db.rows("PRAGMA synchronous") == [(2,)]
            seen.append("sent")
            return await submit(order)

        desk.broker.submit, desk.journal.secure = spying, securing
        await desk.buy(*symbols)
        size = seen[0]
        assert size > 0
        assert seen == [size, "sent"] * AT_ONCE

    async def test_records_what_is_told_of_several_orders_at_once_with_one_stroke(self, office):
        symbols = [f"S{n}USDT" for n in range(AT_ONCE)]
        desk = office(*symbols, max_positions=9, fraction="0.05", protect="monitor")
        record, told = desk.journal.record, []

        def counting(account, time, *new):
            told.append([fact.client_id for fact in new if isinstance(fact, Moved)])
            record(account, time, *new)

        desk.journal.record = counting
        orders, _ = await desk.buy(*symbols)
        assert [names for names in told if names] == [[order.client_id for order in orders]]
        assert {order.state for order in orders} == {"FILLED"}

    async def test_what_cannot_be_recorded_of_one_order_keeps_nothing_of_another_from_it(self, office):
        desk = office("AUSDT", "BUSDT", "CUSDT", max_positions=3, fraction="0.1", protect="monitor")
        record = desk.journal.record

        def refusing(account, time, *new):
            if any(isinstance(fact, Filled) and fact.fill.symbol == "BUSDT" for fact in new):
                raise ImpossibleTransition("not this one")
            record(account, time, *new)

        desk.journal.record = refusing
        with pytest.raises(ImpossibleTransition, match="not this one"):
            await desk.buy("AUSDT", "BUSDT", "CUSDT")
        states = {order.symbol: order.state for order in desk.journal.orders(ACCOUNT)}
        assert states == {"AUSDT": "FILLED", "BUSDT": "SENT", "CUSDT": "FILLED"}

    async def test_what_has_been_told_is_recorded_though_the_program_is_to_end_in_that_moment(self, office):
        desk = office("AUSDT", "BUSDT", fraction="0.1", protect="monitor")
        buying = asyncio.create_task(desk.buy("AUSDT", "BUSDT"))
        while not desk.desk._placement._news.facts:
            await asyncio.sleep(0)
        buying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await buying
        assert {order.state for order in desk.journal.orders(ACCOUNT)} == {"FILLED"}

    async def test_never_sends_an_order_again_that_was_marked_as_sent(self, office):
        desk = office(protect="monitor")
        placement, intents = desk.desk._placement, []
        intend = placement.intend
        placement.intend = lambda new: intents.extend(intend(new)) or intents
        await desk.buy("AUSDT")
        assert len(desk.broker.received) == 1
        with pytest.raises(ImpossibleTransition, match="was sent before"):
            await placement.send(intents)
        assert len(desk.broker.received) == 1

    async def test_writes_twice_for_an_order_that_goes_out_at_once(self, office):
        desk = office(protect="monitor")
        record, facts = desk.journal.record, []

        def counting(account, time, *new):
            facts.append({type(fact).__name__ for fact in new})
            record(account, time, *new)

        desk.journal.record = counting
        await desk.buy("AUSDT")
        assert facts[:2] == [{"Intended"}, {"Filled", "Moved"}]

    @pytest.mark.parametrize(
        ("word", "status", "executed", "position", "reason"),
        [
            ("fill", "FILLED", 10, "open", ""),
            ("bare", "FILLED", 10, "open", ""),
            ("half", "EXPIRED", 5, "open", ""),
            ("open", "NEW", 0, "entering", ""),
            ("odd", "UNKNOWN", 10, "in_doubt", "the venue calls it SETTLED_ELSEWHERE"),
            ("reject", "REJECTED", 0, None, "insufficient balance"),
            ("refused", "ABANDONED", 0, None, "connection refused"),
            ("busy", "ABANDONED", 0, None, "too many requests"),
            ("lost", "FILLED", 10, "open", ""),
            ("vanished", "UNKNOWN", 0, "in_doubt", "read timed out"),
        ],
    )
    async def test_records_what_became_of_it(self, office, word, status, executed, position, reason):
        desk = office()
        desk.broker.script.append(word)
        (order,), _ = await desk.buy("AUSDT")
        assert (order.state, order.executed, order.reason) == (status, executed, reason)
        assert desk.state("AUSDT") == position
        assert sum(desk.broker.executed_orders().values()) <= 1

    async def test_sends_nothing_that_it_could_not_record(self, office):
        desk = office()
        desk.journal._db.execute("PRAGMA query_only = ON")
        with pytest.raises(JournalError):
            await desk.buy("AUSDT")
        assert desk.broker.received == []

    async def test_goes_on_side_by_side_within_a_bound(self, office):
        symbols = [f"S{n}USDT" for n in range(12)]
        desk = office(*symbols, max_positions=12, fraction="0.05")
        submit, at_once, most = desk.broker.submit, 0, 0

        async def counting(order):
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.001)
            at_once -= 1
            return await submit(order)

        desk.broker.submit = counting
        orders, _ = await desk.buy(*symbols)
        assert [order.state for order in orders] == ["FILLED"] * 12
        assert most == AT_ONCE

    async def test_records_an_order_in_the_air_as_unknown_when_interrupted(self, office):
        desk = office()
        desk.broker.script.append("hang")
        task = asyncio.create_task(desk.buy("AUSDT"))
        await desk.broker.hanging.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (order,) = desk.journal.unresolved(ACCOUNT)
        assert (order.state, order.reason) == ("UNKNOWN", "interrupted (CancelledError)")
        assert desk.state("AUSDT") == "in_doubt"
        assert [(order.state, order.executed) for order in await desk.monitor()] == [("FILLED", 10)]

    async def test_abandons_what_an_interruption_kept_from_being_sent(self, office):
        symbols = [f"S{n}USDT" for n in range(AT_ONCE + 1)]
        desk = office(*symbols, max_positions=9, fraction="0.05")
        desk.broker.script.extend(["hang"] * AT_ONCE)
        task = asyncio.create_task(desk.buy(*symbols))
        while len(desk.broker.received) < AT_ONCE:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        states = sorted(str(order.state) for order in await desk.monitor())
        assert states == ["ABANDONED", *["FILLED"] * AT_ONCE]
        assert len(desk.broker.received) == AT_ONCE

    async def test_lets_a_bug_through_but_never_loses_the_order(self, office):
        desk = office()
        desk.broker.script.append("crash")
        with pytest.raises(ZeroDivisionError):
            await desk.buy("AUSDT")
        assert desk.journal.unresolved(ACCOUNT)[0].state == "UNKNOWN"

    async def test_finishes_the_other_orders_when_one_fails(self, office):
        desk = office()
        desk.broker.script.extend(["crash", "fill", "fill"])
        with pytest.raises(ZeroDivisionError):
            await desk.buy("AUSDT", "BUSDT", "CUSDT")
        assert [desk.state(symbol) for symbol in desk.marks] == ["in_doubt", "open", "open"]

    async def test_of_a_reply_that_could_not_be_recorded_leaves_it_sent_for_the_next_start(self, office):
        desk = office()
        submit = desk.broker.submit

        async def disk_fills_up(order):
            desk.journal._db.execute("PRAGMA query_only = ON")
            return await submit(order)

        desk.broker.submit = disk_fills_up
        with pytest.raises(JournalError):
            await desk.buy("AUSDT")
        desk.broker.submit = submit
        desk.restart()
        assert await desk.desk.reconcile() == ["AUSDT: enter FILLED"]
        assert desk.state("AUSDT") == "open"
        assert max(desk.broker.executed_orders().values()) == 1


class TestDoubt:
    async def test_ends_when_the_order_is_found(self, office):
        desk = office()
        desk.broker.script.append("lost")
        desk.broker.blind = {"order"}
        (order,), _ = await desk.buy("AUSDT")
        assert order.state == "UNKNOWN"
        assert await desk.monitor() == []
        desk.broker.blind = set()
        assert [(order.state, order.executed) for order in await desk.monitor()] == [("FILLED", 10)]
        assert desk.desk.positions()[0].quantity == Decimal("9.99")

    async def test_does_not_end_by_a_not_found_that_comes_too_early(self, office):
        desk = office()
        desk.broker.script.append("late")
        await desk.buy("AUSDT")
        for _ in range(LATEST // 1000):
            desk.wait(1000)
            assert await desk.monitor() == []
        desk.broker.deliver()
        assert [order.state for order in await desk.monitor()] == ["FILLED"]

    async def test_stays_for_as_long_as_not_found_proves_nothing(self, office):
        desk = office()
        desk.broker.script.append("vanished")
        await desk.buy("AUSDT")
        for _ in range(CONCLUSIVE_AFTER // 1000 - 1):
            desk.wait(1000)
            assert await desk.monitor() == []
        assert desk.broker.asked["trades"] == 0

    async def test_ends_by_two_conclusive_look_ups_that_agree(self, office):
        desk = office()
        desk.broker.script.append("vanished")
        await desk.buy("AUSDT")
        desk.wait(CONCLUSIVE_AFTER)
        assert await desk.monitor() == []
        assert await desk.monitor() == []  # the same moment proves nothing new
        desk.wait(1000)
        assert [(order.state, order.executed) for order in await desk.monitor()] == [("ABANDONED", 0)]
        assert desk.broker.asked["open_orders"] == desk.broker.asked["trades"] == 3
        assert desk.state("AUSDT") is None

    @pytest.mark.parametrize("silent", ["order", "open_orders", "trades"])
    async def test_does_not_end_while_any_look_up_gets_no_answer(self, office, silent):
        desk = office()
        desk.broker.script.append("vanished")
        await desk.buy("AUSDT")
        desk.broker.blind = {silent}
        for _ in range(5):
            desk.wait()
            assert await desk.monitor() == []
        assert desk.state("AUSDT") == "in_doubt"

    async def test_does_not_end_while_a_trade_may_be_the_orders(self, office):
        desk = office()
        desk.broker.script.append("lost")
        desk.broker.blind = {"order"}
        (order,), _ = await desk.buy("AUSDT")
        desk.broker.blind, desk.broker.hidden = set(), {order.client_id}
        for _ in range(5):
            desk.wait()
            assert await desk.monitor() == []
        desk.broker.hidden = set()
        assert [order.state for order in await desk.monitor()] == ["FILLED"]

    async def test_is_not_kept_up_by_trades_that_cannot_be_the_orders(self, office):
        desk = office()
        desk.broker.script.append("vanished")
        await desk.buy("AUSDT")
        for side, time in ((Side.SELL, START), (Side.BUY, START - MINUTE), (Side.BUY, START + MINUTE)):
            trade = len(desk.broker.fills) + 1
            desk.broker.fills.append(Fill(trade, "AUSDT", 5, side, Decimal(1), Decimal(1), Decimal(0), "USDT", time))
        desk.wait()
        await desk.monitor()
        desk.wait()
        assert [order.state for order in await desk.monitor()] == ["ABANDONED"]

    async def test_finds_an_order_among_the_open_ones_that_a_query_did_not_show(self, office):
        desk = office()
        desk.broker.script.append("vanished")
        (order,), _ = await desk.buy("AUSDT")
        desk.broker.execute(order.order(), "open")
        desk.broker.hidden = {order.client_id}
        desk.wait()
        assert [order.state for order in await desk.monitor()] == ["NEW"]

    async def test_never_takes_an_order_that_was_acknowledged_for_absent(self, office):
        desk = office()
        desk.broker.script.append("odd")
        (order,), _ = await desk.buy("AUSDT")
        desk.broker.reports.clear()
        for _ in range(5):
            desk.wait()
            assert await desk.monitor() == []
        assert desk.journal.order(ACCOUNT, order.client_id).state == "UNKNOWN"

    async def test_lasts_until_all_fills_are_booked(self, office):
        desk = office()
        desk.broker.script.append("bare")
        desk.broker.trades_delay = 2
        (order,), _ = await desk.buy("AUSDT")
        assert (order.state, order.reason) == ("UNKNOWN", "not all of its fills are known yet")
        assert await desk.monitor() == []
        assert [order.state for order in await desk.monitor()] == ["FILLED"]
        assert desk.desk.positions()[0].quantity == Decimal("9.99")

    async def test_books_no_fills_of_other_orders(self, office):
        desk = office(fee_asset="BNB")
        await desk.buy("AUSDT")
        await desk.desk.close("AUSDT", desk.marks)
        desk.broker.script.append("bare")
        (order,), _ = await desk.buy("AUSDT", bar=START + MINUTE)
        assert (order.state, order.executed, order.fees) == ("FILLED", 10, {"BNB": Decimal("0.0002")})

    async def test_survives_any_number_of_restarts(self, office):
        desk = office()
        desk.broker.script.append("lost")
        desk.broker.blind = {"order"}
        await desk.buy("AUSDT")
        for _ in range(3):
            desk.restart()
            assert await desk.desk.reconcile() == ["AUSDT: enter UNKNOWN (read timed out)"]
        desk.broker.blind = set()
        assert await desk.desk.reconcile() == ["AUSDT: enter FILLED"]

    async def test_adds_nothing_to_the_journal_while_nothing_is_new(self, office):
        desk = office()
        desk.broker.script.append("odd")
        await desk.buy("AUSDT")
        count = "SELECT count(*) FROM events"
        before = desk.journal._db.execute(count).fetchone()
        for _ in range(3):
            desk.wait()
            await desk.monitor()
        assert desk.journal._db.execute(count).fetchone() == before


class TestOpenOrders:
    async def test_are_followed_until_they_are_filled(self, office):
        desk = office()
        desk.broker.script.append("open")
        (order,), _ = await desk.buy("AUSDT")
        assert await desk.monitor() == []
        desk.broker.finish(order.client_id)
        assert [(order.state, order.executed) for order in await desk.monitor()] == [("FILLED", 10)]

    async def test_do_not_go_back_on_older_news(self, office):
        desk = office()
        desk.broker.script.append("odd")
        (order,), _ = await desk.buy("AUSDT")
        newest = desk.broker.reports[order.client_id]
        desk.broker.execute(order.order(), "open", newest.order_id)
        assert await desk.monitor() == []
        assert desk.journal.order(ACCOUNT, order.client_id).executed == 10


class TestSideBySide:
    async def test_all_jobs_end_before_the_first_failure_is_raised(self):
        ended = []

        async def job(name, error=None):
            await asyncio.sleep(0)
            if error:
                raise error
            await asyncio.sleep(0.001)
            ended.append(name)
            return name

        with pytest.raises(KeyError, match="first"):
            await to_the_end(job("a"), job("b", KeyError("first")), job("c", ValueError("second")), job("d"))
        assert ended == ["a", "d"]
        assert await to_the_end(job("a"), job("b")) == ["a", "b"]

    async def test_looking_up_leaves_alone_what_is_being_sent(self, office):
        desk = office()
        desk.broker.script.append("hang")
        sending = asyncio.create_task(desk.buy("AUSDT"))
        await desk.broker.hanging.wait()
        assert await desk.monitor() == []
        assert desk.broker.asked["order"] == 0
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
