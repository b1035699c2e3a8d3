"""What is held is protected at the venue, and what protects it never sells twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from dealing import MINUTE
from floor import Floor

from tradebot.errors import OrderRejected, OrderUnknown
from tradebot.market.bars import Klines
from tradebot.market.venue import OrderType
from tradebot.trading.halt import halt
from tradebot.trading.orders import Duty

D = Decimal
STOP, TARGET = ("STOP_LOSS", D("9.99"), D("98.09")), ("LIMIT_MAKER", D("9.99"), D("103.11"))


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[type[Floor]]:
    """Makes floors in the test's own folder."""
    made: list[Floor] = []

    def make(*symbols: str, **options: object) -> Floor:
        made.append(Floor(tmp_path, *symbols, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make  # type: ignore[misc]
    for each in made:
        each.journal.close()


class TestProtecting:
    async def test_one_write_is_enough_for_what_protects_all_whose_replies_come_together(self, floor):
        symbols = [f"{letter}USDT" for letter in "ABCDE"]
        desk = floor(*symbols, max_positions=5, fraction="0.05")
        submit, secure, written = desk.client.submit_pair, desk.journal.secure, []

        def securing():
            if desk.journal._unsafe:
                written.append({order.client_id for order in desk.orders() if not order.settled})
            secure()

        async def spying(pair):
            assert {pair.above.client_id, pair.below.client_id} <= written[-1]
            return await submit(pair)

        desk.client.submit_pair, desk.journal.secure = spying, securing
        await desk.buy(*symbols)
        assert [len(names) for names in written] == [5, 2 * 5]
        assert len(desk.guards()) == 2 * 5

    async def test_protects_the_others_while_the_reply_of_one_is_lost(self, floor):
        symbols = [f"{letter}USDT" for letter in "ABCDE"]
        desk = floor(*symbols, max_positions=5, fraction="0.05")
        submit = desk.client.submit

        async def losing(order):
            report = await submit(order)
            if order.symbol == "CUSDT":
                raise OrderUnknown("read timed out")
            return report

        desk.client.submit = losing
        await desk.buy(*symbols)
        stops = {each.symbol for each in desk.exchange.open_orders()}
        assert stops >= {*symbols} - {"CUSDT"}
        await desk.cycle()
        assert {each.symbol for each in desk.exchange.open_orders()} == {*symbols}
        desk.agrees()

    async def test_places_stop_and_target_as_soon_as_something_is_held(self, floor):
        desk = floor()
        assert await desk.buy() == {}
        assert desk.guards() == [TARGET, STOP]
        assert desk.position.state == "open"
        assert desk.desk.document(desk.position, desk.marks)["protected"] == "9.99"

    async def test_asks_nothing_to_be_done_while_they_stand(self, floor):
        desk = floor()
        await desk.buy()
        sent = len(desk.wire.sent)
        assert await desk.cycle() == []
        assert {name for _, name in desk.wire.sent[sent:]} == {"order"}
        assert {method for method, _ in desk.wire.sent[sent:]} == {"GET"}

    @pytest.mark.parametrize(("price", "reason", "at"), [("97", "guard-stop", "97"), ("104", "guard-target", "103.11")])
    async def test_counts_what_the_venue_sold(self, floor, price, reason, at):
        desk = floor()
        await desk.buy()
        moved = await desk.cycle(price)
        assert [(o.intent, o.average) for o in moved if o.executed] == [(reason, D(at))]
        assert desk.desk.positions() == []
        desk.agrees()

    async def test_sells_nothing_more_when_the_venue_has_sold(self, floor):
        desk = floor()
        await desk.buy()
        for _ in range(3):
            await desk.cycle("90")
        assert desk.sold() == D("9.99")
        assert desk.orders(Duty.EXIT) == []

    async def test_replaces_what_somebody_took_away(self, floor):
        desk = floor()
        await desk.buy()
        desk.exchange.cancel_all("AUSDT")
        await desk.cycle()
        assert desk.guards() == [TARGET, STOP]
        desk.agrees()

    async def test_takes_back_its_orders_before_it_leaves_for_another_reason(self, floor):
        desk = floor(max_hold_s=60)
        await desk.buy()
        moved = await desk.cycle()
        assert [(o.intent, str(o.state)) for o in moved] == [
            ("guard-stop", "CANCELED"),
            ("guard-target", "CANCELED"),
            ("time", "FILLED"),
        ]
        assert desk.guards() == []
        desk.agrees()

    async def test_exits_in_doubt_sell_no_more_than_is_held(self, floor):
        desk = floor(max_hold_s=60)
        await desk.buy()
        desk.fault("executed-dropped path=order method=DELETE")
        await desk.cycle()
        assert desk.sold() == D("9.99")
        desk.agrees()

    async def test_counts_a_fill_that_overtook_the_cancel(self, floor):
        desk = floor(max_hold_s=60)
        await desk.buy()

        async def fall(method, name):
            if method == "DELETE":
                desk.wait(1)
                desk.source.mark({"AUSDT": D(97)})

        desk.wire.before = fall
        await desk.cycle()
        assert desk.sold() == D("9.99")
        assert desk.orders(Duty.EXIT) == []
        assert desk.desk.positions() == []
        desk.agrees()

    async def test_does_not_leave_while_the_cancel_is_not_certain(self, floor):
        desk = floor(max_hold_s=60)
        await desk.buy()
        desk.fault("dropped path=order method=DELETE", "dropped path=order method=GET")
        await desk.cycle()
        assert desk.orders(Duty.EXIT) == []
        assert "could not be taken back yet" in desk.desk.doubts[0]
        desk.fault()
        await desk.cycle()
        assert desk.desk.positions() == []
        desk.agrees()

    async def test_without_being_told_a_mark_leaves_the_stop_in_force(self, floor):
        desk = floor()
        await desk.buy()
        desk.wait()
        assert await desk.desk.monitor({}) == []
        assert desk.guards() == [TARGET, STOP]

    async def test_survives_a_restart(self, floor):
        desk = floor()
        await desk.buy()
        desk.restart()
        assert await desk.desk.reconcile() == []
        await desk.cycle()
        assert desk.guards() == [TARGET, STOP]
        assert len(desk.orders(Duty.GUARD)) == 2

    async def test_watched_by_the_bot_places_nothing(self, floor):
        desk = floor(protect="monitor")
        await desk.buy()
        assert desk.guards() == []
        (order,) = await desk.cycle("97")
        assert order.intent == "stop-loss"
        desk.agrees()

    async def test_is_taken_back_when_the_bot_is_to_watch(self, floor):
        desk = floor()
        await desk.buy()
        desk.settings = desk.settings.model_copy(
            update={"trading": desk.settings.trading.model_copy(update={"protect": "monitor"})}
        )
        desk.restart()
        await desk.cycle()
        assert desk.guards() == []
        assert desk.position.state == "open"


class TestMany:
    async def test_are_looked_at_in_one_request_unless_something_changed(self, floor):
        names = [f"S{number}USDT" for number in range(12)]
        desk = floor(*names, max_positions=12, fraction="0.05")
        await desk.buy(*names)
        sent = len(desk.wire.sent)
        assert await desk.cycle() == []
        assert desk.wire.sent[sent:] == [("GET", "openOrders")]
        sent = len(desk.wire.sent)
        moved = await desk.cycle("97", "S3USDT")
        assert {order.symbol for order in moved} == {"S3USDT"}
        assert desk.wire.sent[sent:].count(("GET", "order")) == 2
        desk.agrees()

    async def test_are_looked_up_one_by_one_when_that_request_fails(self, floor):
        names = [f"S{number}USDT" for number in range(12)]
        desk = floor(*names, max_positions=12, fraction="0.05")
        await desk.buy(*names)
        desk.fault("dropped path=openOrders")
        moved = await desk.cycle("97", "S3USDT")
        assert {order.symbol for order in moved} == {"S3USDT"}
        desk.agrees()


class TestDoubtfulProtection:
    @pytest.mark.parametrize(
        "fault",
        [
            "executed-dropped path=orderList/oco times=1",
            "backend-timeout executed=true path=orderList/oco times=1",
            "truncated path=orderList/oco times=1",
            "html executed=true path=orderList/oco times=1",
            "unavailable says=unknown executed=true path=orderList/oco times=1",
        ],
    )
    async def test_is_found_when_only_its_reply_was_lost(self, floor, fault):
        desk = floor()
        desk.fault(fault)
        await desk.buy()
        await desk.cycle()
        assert desk.guards() == [TARGET, STOP]
        assert [str(o.state) for o in desk.orders(Duty.GUARD)] == ["NEW", "NEW"]
        desk.agrees()

    @pytest.mark.parametrize(
        ("fault", "cycles"),
        [
            ("dropped path=orderList/oco times=1", 2),
            ("backend-timeout path=orderList/oco times=1", 2),
            ("refused path=orderList/oco times=1", 1),
            ("limited seconds=5 path=orderList/oco times=1", 1),
            ("server-error status=502 code=0 path=orderList/oco times=1", 2),
        ],
    )
    async def test_is_placed_anew_when_it_never_arrived(self, floor, fault, cycles):
        desk = floor()
        desk.fault(fault)
        await desk.buy()
        for _ in range(cycles):
            await desk.cycle()
        assert desk.guards() == [TARGET, STOP]
        desk.agrees()


class TestRefusedProtection:
    async def test_for_a_filter_leaves_the_watch_to_the_bot_and_says_so(self, floor):
        desk = floor()
        desk.full()
        await desk.buy()
        assert desk.guards() == []
        await desk.cycle()
        (warning,) = desk.desk.doubts
        assert warning.startswith("AUSDT: no stop at the venue (")
        assert "MAX_NUM_ALGO_ORDERS); the bot watches the price" in warning
        assert [o.intent for o in await desk.cycle("97") if o.executed] == ["stop-loss"]
        desk.agrees()

    async def test_is_tried_again_ever_more_seldom(self, floor):
        desk = floor()
        desk.full()
        await desk.buy()
        for _ in range(16):
            await desk.cycle()
        times = [o.created // MINUTE for o in desk.orders(Duty.GUARD) if o.intent == "guard-stop"]
        assert [time - times[0] for time in times] == [0, 1, 3, 7, 15]
        desk.exchange.cancel("AUSDT", None, "somebody")
        for _ in range(17):
            await desk.cycle()
        assert desk.guards() == [TARGET, STOP]

    async def test_because_the_market_is_past_it_is_an_exit(self, floor):
        desk = floor()

        async def fall(method, name):
            if name == "orderList/oco":
                desk.source.mark({"AUSDT": D(97)})

        desk.wire.before = fall
        await desk.buy()
        assert [(o.intent, str(o.state)) for o in desk.orders()][-1] == ("stop-loss", "FILLED")
        desk.agrees()

    async def test_of_a_stop_that_ends_at_the_market_is_followed_by_one_with_a_limit(self, floor):
        desk = floor()
        submit = desk.client.submit_pair

        async def fussy(pair):
            if OrderType.STOP_LOSS in {pair.above.type, pair.below.type}:
                raise OrderRejected("Stop loss orders are not supported for this symbol.", code=-1013)
            return await submit(pair)

        desk.client.submit_pair = fussy
        await desk.buy()
        assert desk.guards() == [TARGET, ("STOP_LOSS_LIMIT", D("9.99"), D("98.09"))]
        assert await desk.cycle() == []


class TestChangingProtection:
    async def test_follows_a_part_of_the_target_that_was_filled(self, floor):
        """The first fill of the target takes the stop away: what is left is protected anew, or left."""
        desk = floor()
        await desk.buy()
        desk.wait()
        opened = desk.clock.now()
        row = [opened, "100", "103.2", "100", "100", "16", opened + MINUTE - 1, "1600", 5, "8", "800", "0"]
        desk.wait()
        desk.exchange.play("AUSDT", Klines.from_rows([row]))
        assert desk.guards() == [("LIMIT_MAKER", D("5.99"), D("103.11"))]
        await desk.desk.monitor(desk.marks)
        assert desk.guards() == [("LIMIT_MAKER", D("5.99"), D("103.11")), ("STOP_LOSS", D("5.99"), D("98.09"))]
        assert desk.position.quantity == D("5.99")
        desk.agrees()
        await desk.cycle("97")
        assert desk.desk.positions() == []
        desk.agrees()

    async def test_grows_with_an_entry_that_fills_in_parts(self, floor):
        desk = floor(entry="limit", entry_seconds=600, reprice=0)
        desk.fault("partial-fill share=0.4")
        await desk.buy()
        desk.fault()
        assert desk.position.state == "entering"
        held = desk.position.quantity
        assert held == D("3.996")
        assert [left for _, left, _ in desk.guards()] == [held, held]
        await desk.cycle("99.9")
        assert desk.position.state == "open"
        assert [left for _, left, _ in desk.guards()] == [D("9.99"), D("9.99")]
        desk.agrees()

    async def test_notices_another_quantity_than_was_sent(self, floor):
        desk = floor()
        await desk.buy()
        order = desk.client.order

        async def less(symbol, client_id):
            report = await order(symbol, client_id)
            return None if report is None else replace(report, quantity=D(5))

        desk.client.order = less
        await desk.cycle()
        desk.client.order = order
        assert len(desk.orders(Duty.GUARD)) == 4
        assert desk.guards() == [TARGET, STOP]


class TestFollowing:
    async def test_a_trailing_stop_is_moved_up_and_never_down(self, floor):
        desk = floor(trail="0.01", trail_after="0.02", take_profit="0.5")
        await desk.buy()
        assert desk.guards() == [STOP]
        stops = []
        for price in ("101", "103", "103.05", "105", "104.5"):
            await desk.cycle(price)
            stops.append(desk.guards()[0][2])
        assert stops == [D("98.09"), D("101.97"), D("101.97"), D("103.95"), D("103.95")]
        moved = await desk.cycle("103.9")
        assert [o.intent for o in moved if o.executed] == ["guard-stop"]
        desk.agrees()

    async def test_the_best_price_survives_a_restart(self, floor):
        desk = floor(trail="0.01", protect="monitor", take_profit="0.5")
        await desk.buy()
        await desk.cycle("110")
        desk.restart()
        moved = await desk.cycle("108.8")
        assert [o.intent for o in moved] == ["trailing-stop"]
        desk.agrees()

    async def test_break_even_puts_the_stop_at_the_entry(self, floor):
        desk = floor(break_even_after="0.01")
        await desk.buy()
        await desk.cycle("101.2")
        assert [price for kind, _, price in desk.guards() if kind == "STOP_LOSS"] == [D("100.1")]
        await desk.cycle("100.05")
        assert desk.desk.positions() == []
        desk.agrees()

    async def test_a_rung_that_is_reached_with_the_entry_leaves_no_rest_without_a_stop(self, floor):
        desk = floor(ladder=["0.01:0.5", "0.04:0.5"])
        desk.source.mark({"AUSDT": D(98)})  # cheaper than the mark, by which the first rung is reached already
        await desk.buy()
        assert [each.intent for each in desk.orders()] == ["enter", "ladder", "guard-stop"]
        assert [(kind, left) for kind, left, _ in desk.guards()] == [("STOP_LOSS", desk.position.quantity.normalize())]
        desk.agrees()

    async def test_a_ladder_sells_in_parts_and_protects_the_rest(self, floor):
        desk = floor(ladder=["0.02:0.5", "0.04:0.5"])
        await desk.buy()
        assert desk.guards() == [STOP]
        await desk.cycle("102.2")
        assert desk.guards() == [("STOP_LOSS", D("4.995"), D("98.09"))]
        assert await desk.cycle("102.3") == []
        await desk.cycle("104.5")
        assert desk.desk.positions() == []
        assert [o.quantity for o in desk.orders(Duty.EXIT)] == [D("4.995"), D("4.995")]
        desk.agrees()


class TestLimitEntries:
    async def test_rest_for_their_time_and_keep_what_they_got(self, floor):
        desk = floor(entry="limit", entry_seconds=120, reprice=0)
        desk.fault("partial-fill share=0.4")
        assert await desk.buy() == {}
        desk.fault()
        await desk.cycle("100.2")
        assert desk.position.state == "entering"
        await desk.cycle()
        assert (desk.position.state, desk.position.quantity) == ("open", D("3.996"))
        assert [left for _, left, _ in desk.guards()] == [D("3.996")] * 2
        desk.agrees()

    async def test_follow_the_price_a_few_times_and_not_too_far(self, floor):
        desk = floor(entry="limit", entry_seconds=600, reprice=2, chase="0.003")
        desk.fault("partial-fill share=0.0000001")
        await desk.buy()
        for price in ("100.1", "100.25", "100.3", "100.9"):
            await desk.cycle(price)
        tries = desk.orders(Duty.ENTRY)
        assert [(o.price, str(o.state)) for o in tries] == [
            (D("100.00"), "CANCELED"),
            (D("100.10"), "CANCELED"),
            (D("100.25"), "NEW"),
        ]
        assert len({o.client_id for o in tries}) == 3
        desk.fault()
        await desk.cycle("100.2")
        assert desk.position.quantity == D("9.99")
        desk.agrees()

    async def test_of_which_nothing_was_filled_end_flat(self, floor):
        desk = floor(entry="limit", entry_seconds=60, reprice=0)
        desk.fault("partial-fill share=0.0000001")
        await desk.buy()
        desk.restart()
        await desk.desk.reconcile()
        await desk.cycle("101")
        assert desk.desk.positions() == []
        assert desk.told() == [("enter", "CANCELED")]
        desk.agrees()

    async def test_of_which_too_little_was_filled_leave_dust(self, floor):
        desk = floor(entry="limit", entry_seconds=60, reprice=0)
        desk.fault("partial-fill share=0.004")
        await desk.buy()
        desk.fault()
        await desk.cycle("101")
        assert (desk.position.state, desk.guards()) == ("dust", [])
        desk.agrees()

    async def test_are_taken_back_and_not_renewed_once_the_kill_switch_is_on(self, floor):
        desk = floor(entry="limit", entry_seconds=600, reprice=5)
        desk.fault("partial-fill share=0.4")
        await desk.buy()
        desk.desk.switch.pull(halt("weekend", "me"))
        await desk.cycle("100.2")
        assert [str(o.state) for o in desk.orders(Duty.ENTRY)] == ["CANCELED"]
        assert [left for _, left, _ in desk.guards()] == [D("3.996")] * 2, "what was bought is looked after"
        desk.agrees()

    async def test_and_what_protects_are_taken_back_before_all_is_left(self, floor):
        desk = floor("AUSDT", "BUSDT", entry="limit", entry_seconds=600)
        await desk.buy()
        desk.fault("partial-fill share=0.4")
        await desk.buy("BUSDT")
        desk.fault()
        desk.desk.switch.pull(halt("out", "me", flatten=True))
        await desk.cycle()
        assert [p for p in desk.desk.positions() if p.state != "dust"] == []
        assert desk.guards() == []
        desk.agrees()


class TestRefusedEntries:
    async def test_by_rules_that_have_changed_are_made_once_more_by_the_new_ones(self, floor):
        desk = floor()
        desk.fault("filters symbol=AUSDT step=0.01")
        desk.marks["AUSDT"] = D("99.99")
        desk.source.mark(desk.marks)
        assert await desk.buy() == {}
        assert [(o.quantity, str(o.state)) for o in desk.orders(Duty.ENTRY)] == [
            (D("10.001"), "REJECTED"),
            (D("10.00"), "FILLED"),
        ]
        desk.agrees()

    async def test_by_the_same_rules_are_not_sent_again(self, floor):
        desk = floor()
        desk.rules["AUSDT"] = desk.known["AUSDT"] = replace(desk.rules["AUSDT"], min_quantity=D(0))
        desk.fault("filters symbol=AUSDT min_notional=5000")
        skipped = await desk.buy()
        assert "NOTIONAL" in skipped["AUSDT"]
        assert len(desk.orders()) == 1


async def test_trouble_with_one_position_does_not_keep_another_from_being_left(floor):
    desk = floor(protect="monitor")
    await desk.buy("AUSDT", "BUSDT")
    first = desk.orders()[0]
    desk.journal._db.execute("UPDATE orders SET settled = 0 WHERE client_id = ?", (first.client_id,))
    for symbol in ("AUSDT", "BUSDT"):
        desk.price("90", symbol)
    moved = await desk.cycle()
    assert [o.symbol for o in moved] == ["BUSDT"]
    assert desk.desk.doubts == ["AUSDT: order: 'filled' is impossible in state 'FILLED'; it stays as it is"]


class TestLeavingByHand:
    async def test_what_could_not_be_sold_is_protected_again(self, floor):
        desk = floor()
        await desk.buy()
        desk.fault("partial-fill share=0.3")
        await desk.desk.close("AUSDT", desk.marks)
        left = D("6.993")
        assert desk.position.quantity < 7
        assert [(kind, size) for kind, size, _ in desk.guards()] == [("LIMIT_MAKER", left), ("STOP_LOSS", left)]

    async def test_what_is_too_little_to_sell_gets_no_stop_and_no_warning(self, floor):
        desk = floor(price="101")
        await desk.buy()
        await desk.desk.close("AUSDT", desk.marks)
        assert desk.guards() == []
        assert not desk.desk.doubts
        assert desk.position.state == "dust"


class TestExitsThatSellAPart:
    async def test_what_a_target_could_not_sell_keeps_its_trailing_stop(self, floor):
        desk = floor(trail="0.05")
        await desk.buy()
        desk.fault("partial-fill share=0.3")
        for left in ("6.993", "4.896"):
            await desk.cycle("104")
            assert [(kind, size) for kind, size, _ in desk.guards()] == [("STOP_LOSS", D(left))]

    async def test_dust_that_an_exit_leaves_is_no_position_without_a_stop(self, floor):
        desk = floor(price="101", max_hold_s=30)
        await desk.buy()
        await desk.cycle()
        assert desk.position.state == "dust"
        assert not desk.desk.doubts
