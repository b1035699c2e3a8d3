"""Contracts at the simulated exchange: long and short, protected, funded, liquidated, through faults and restarts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from dealing import ACCOUNT, MINUTE, START
from hypothesis import given
from hypothesis import strategies as st
from pit import Pit

from tradebot.clock import HOUR
from tradebot.config import Trading
from tradebot.errors import TradingError
from tradebot.market import futures_wire
from tradebot.market.binance import read_json
from tradebot.market.venue import Balance, Fill, Instrument, Order, OrderType, Payment, Side
from tradebot.sim.futures.contracts import check_notional, check_price, check_quantity
from tradebot.trading import protection
from tradebot.trading.facts import Funded
from tradebot.trading.orders import NOTIONAL_MARGIN, Duty, Outcome, quantize, refusal
from tradebot.trading.positions import Position
from tradebot.trading.results import results

D = Decimal
LONG, SHORT = Side.BUY, Side.SELL
FAULTS = [
    "executed-dropped path=order method=POST",
    "dropped path=order method=POST",
    "backend-timeout path=order method=POST",
    "executed-dropped path=algoOrder method=POST",
    "partial-fill share=0.4",
]
MakePit = Callable[..., Pit]


@pytest.fixture
def make(tmp_path: Path) -> MakePit:
    return lambda **settings: Pit(tmp_path, **settings)


def earned(pit: Pit) -> Decimal:
    return sum((each.realized for each in results(pit.journal, ACCOUNT)), D(0))


@pytest.mark.parametrize(("side", "sign"), [(LONG, 1), (SHORT, -1)])
async def test_an_entry_is_held_at_the_venue_and_guarded_on_both_sides(make: MakePit, side: Side, sign: int) -> None:
    pit = make()
    await pit.prepare()
    assert await pit.enter(side) == {}
    assert pit.position.state == "open"
    assert await pit.held() == sign * pit.position.quantity == sign * D(10)
    assert await pit.waiting() == [("STOP_MARKET", D(10), side is SHORT), ("TAKE_PROFIT_MARKET", D(10), side is SHORT)]
    assert sign * (pit.position.target - pit.position.entry) > 0 > sign * (pit.position.stop - pit.position.entry)
    assert await pit.cycle() == []


@pytest.mark.parametrize(("side", "gain", "loss"), [(LONG, "104", "97"), (SHORT, "96", "103")])
@pytest.mark.parametrize("wins", [True, False])
async def test_the_venue_ends_it_at_stop_or_target_and_nothing_is_left_waiting(
    make: MakePit, side: Side, gain: str, loss: str, wins: bool
) -> None:
    pit = make()
    await pit.prepare()
    before = await pit.wallet()
    await pit.enter(side)
    for _ in range(2):
        await pit.cycle(gain if wins else loss)
    assert pit.desk.positions() == []
    assert await pit.held() == 0
    assert await pit.waiting() == []
    assert (earned(pit) > 0) is wins
    assert await pit.wallet() - before == earned(pit)
    (result,) = results(pit.journal, ACCOUNT)
    assert result.reason == ("guard-target" if wins else "guard-stop")
    assert (result.r > 0) is wins


@pytest.mark.parametrize("side", [LONG, SHORT])
async def test_a_person_closes_it_and_the_results_are_the_wallets(make: MakePit, side: Side) -> None:
    pit = make()
    await pit.prepare()
    before = await pit.wallet()
    await pit.enter(side)
    pit.wait()
    pit.price("101")
    await pit.desk.close("AUSDT", pit.marks)
    assert pit.desk.positions() == []
    assert await pit.waiting() == []
    assert await pit.wallet() - before == earned(pit)
    assert (earned(pit) > 0) is (side is LONG)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("side", [LONG, SHORT])
async def test_no_fault_makes_two_positions_of_one(make: MakePit, side: Side, fault: str) -> None:
    pit = make()
    await pit.prepare()
    pit.fault(fault)
    await pit.enter(side)
    pit.fault()
    pit.restart()
    await pit.prepare()
    await pit.desk.reconcile()
    for _ in range(3):
        await pit.cycle()
    held = await pit.held()
    mine = sum((p.sign * p.quantity for p in pit.desk.positions()), D(0))
    assert held == mine
    assert abs(held) <= 10
    if held:
        assert {quantity for _, quantity, _ in await pit.waiting()} == {abs(held)}


async def test_an_exit_never_turns_a_position_round(make: MakePit) -> None:
    pit = make(protect="monitor")
    await pit.prepare()
    await pit.enter(LONG)
    await pit.client.submit(Order("AUSDT", SHORT, "by-hand", quantity=D(10), reduce_only=True))
    await pit.desk.close("AUSDT", pit.marks)
    for _ in range(3):
        await pit.cycle()
    assert await pit.held() == 0
    assert pit.desk.positions() == []
    assert [each.reason for each in results(pit.journal, ACCOUNT)] == ["closed-elsewhere"]


async def test_a_liquidation_is_an_end_with_that_reason(make: MakePit) -> None:
    pit = make(protect="monitor", leverage=20, stop_loss="0.5", max_hold_s=10**6)
    await pit.prepare()
    before = await pit.wallet()
    await pit.enter(LONG)
    assert await pit.held() == 10
    for price in ("97", "94", "94", "94"):
        await pit.cycle(price)
    assert pit.desk.positions() == []
    assert [each.reason for each in results(pit.journal, ACCOUNT)] == ["liquidation"]
    assert await pit.wallet() - before == earned(pit), "what the margin lacked or left is the insurance fund's"


@pytest.mark.parametrize("lost", ["stop", "exit"])
async def test_a_liquidation_beside_an_order_that_got_lost_leaves_no_doubt(make: MakePit, lost: str) -> None:
    pit = make(protect="venue" if lost == "stop" else "monitor", leverage=20, stop_loss="0.03", max_hold_s=10**6)
    await pit.prepare()
    before = await pit.wallet()
    if lost == "stop":
        pit.fault("dropped path=algoOrder method=POST")
    await pit.enter(LONG)
    if lost == "exit":
        pit.fault("dropped path=order method=POST")
        await pit.cycle("97")
    assert pit.position.state == "in_doubt"
    pit.price("94")
    pit.wait(5_000)
    assert await pit.held() == 0, "the venue has closed it"
    pit.fault()
    for _ in range(4):
        await pit.cycle("94")
    assert pit.desk.positions() == []
    assert [each.reason for each in results(pit.journal, ACCOUNT)] == ["liquidation"]
    assert await pit.wallet() - before == earned(pit)


@pytest.mark.parametrize("side", [LONG, SHORT])
async def test_funding_is_booked_once_and_in_the_result(make: MakePit, side: Side) -> None:
    pit = make(max_hold_s=10**7)
    await pit.prepare()
    before = await pit.wallet()
    await pit.enter(side)
    for hour in range(1, 26):
        pit.wait(HOUR)
        await pit.desk.monitor(pit.marks)
        if hour % 6 == 0:
            pit.restart()
            await pit.prepare()
    paid = await pit.client.funding(START)
    assert len(paid) == 3
    assert pit.position.funding == sum(each.amount for each in paid) != 0
    await pit.desk.close("AUSDT", pit.marks)
    assert await pit.wallet() - before == earned(pit)
    rows = pit.journal.rows()
    pit.journal.rebuild()
    assert pit.journal.rows() == rows


async def test_funding_of_what_was_in_doubt_for_long_is_booked_too(make: MakePit) -> None:
    pit = make(max_hold_s=10**7)
    await pit.prepare()
    before = await pit.wallet()
    await pit.enter(LONG, "BUSDT")
    pit.fault("executed-dropped path=order")
    await pit.enter(SHORT)
    for _ in range(27):
        pit.wait(HOUR)
        await pit.desk.monitor(pit.marks)
    assert [str(each.state) for each in pit.desk.positions()] == ["open", "in_doubt"]
    pit.fault()
    for _ in range(2):
        pit.wait(HOUR)
        await pit.desk.monitor(pit.marks)
    for symbol in ("AUSDT", "BUSDT"):
        await pit.desk.close(symbol, pit.marks)
    assert all(each.funding for each in pit.over())
    assert await pit.wallet() - before == earned(pit)


async def test_one_way_mode_is_set_and_refused_where_positions_are_in_the_way(make: MakePit) -> None:
    pit = make()
    await pit.client._set("set_sides", [("dualSidePosition", "true")])
    await pit.prepare()
    await pit.enter(LONG)
    assert await pit.held() == 10


async def test_a_hedged_account_with_positions_is_refused(make: MakePit) -> None:
    pit = make()
    await pit.client._set("set_sides", [("dualSidePosition", "true")])
    hedged = [("symbol", "AUSDT"), ("side", "BUY"), ("positionSide", "LONG"), ("type", "MARKET"), ("quantity", "1")]
    await pit.client._read("submit", lambda reply: reply, hedged)
    with pytest.raises(TradingError, match="hedge mode"):
        await pit.prepare()


async def test_margin_is_isolated_and_leverage_as_set_before_the_first_entry(make: MakePit) -> None:
    pit = make(leverage=3)
    await pit.prepare()
    await pit.enter(SHORT)
    terms = await pit.client._read("terms", read_json(futures_wire.terms))
    assert terms["AUSDT"] == (True, 3)
    assert terms["BUSDT"] == (False, 20)


async def test_a_contract_with_a_position_in_cross_margin_is_not_entered(make: MakePit) -> None:
    pit = make()
    pit.client._isolated = frozenset({"AUSDT"})  # as somebody else's
    await pit.client.submit(Order("AUSDT", LONG, "theirs", quantity=D(1)))
    await pit.prepare()
    skipped = await pit.enter(LONG)
    assert "isolated margin" in skipped["AUSDT"]
    assert await pit.held() == 1


async def test_too_much_leverage_is_refused_by_name(make: MakePit) -> None:
    pit = make(leverage=51)
    await pit.prepare()
    assert "leverage 51" in (await pit.enter(LONG))["AUSDT"]
    assert await pit.held() == 0


REFUSALS = {
    -2019: "Margin is insufficient.",
    -2027: "Exceeded the maximum allowable position at current leverage.",
    -2028: "Leverage is smaller than permitted: insufficient margin balance.",
    -4028: "Leverage 20 is not valid.",
    -4192: "Trade forbidden due to Cooling-off Period.",
    -4400: "Futures Trading Quantitative Rules violated, only reduceOnly order is allowed.",
    -4531: "This action is not available in your region.",
}


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("path", ["leverage", "order"])
async def test_what_the_venue_refuses_for_its_leverage_or_to_the_account_is_not_entered_and_not_in_doubt(
    make: MakePit, code: int, path: str
) -> None:
    pit = make(leverage=20)
    await pit.prepare()
    pit.wire.inner = Refusing(pit.wire.inner, path, code)
    skipped = await pit.enter(LONG)
    assert f"code {code}: {REFUSALS[code]}" in skipped["AUSDT"]
    assert ("with leverage 20" in skipped["AUSDT"]) is (path == "leverage")
    (order,) = pit.orders()
    assert (str(order.state), order.code) == ("REJECTED", code)
    for _ in range(2):
        await pit.cycle()
    assert (pit.desk.positions(), await pit.held(), len(pit.orders())) == ([], 0, 1)
    bracket_allows = await pit.enter(LONG, bar=START + HOUR)
    assert (bracket_allows, await pit.held()) == ({}, 10), "another bar, another decision"


class Refusing(httpx.AsyncBaseTransport):
    """Says no once to a POST of that path."""

    def __init__(self, inner: httpx.AsyncBaseTransport, path: str, code: int) -> None:
        self._inner, self._path, self._code = inner, path, code

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._code and (request.method, request.url.path) == ("POST", f"/fapi/v1/{self._path}"):
            code, self._code = self._code, 0
            return httpx.Response(400, json={"code": code, "msg": REFUSALS[code]})
        return await self._inner.handle_async_request(request)


async def test_a_restart_between_entry_and_guard_protects_it(make: MakePit) -> None:
    pit = make()
    await pit.prepare()
    pit.fault("refused path=algoOrder method=POST")
    await pit.enter(SHORT)
    assert await pit.waiting() == []
    pit.fault()
    pit.restart()
    await pit.prepare()
    await pit.desk.reconcile()
    for _ in range(3):
        await pit.cycle()
    assert [kind for kind, _, _ in await pit.waiting()] == ["STOP_MARKET", "TAKE_PROFIT_MARKET"]
    assert [str(each.state) for each in pit.orders(Duty.GUARD)][-2:] == ["NEW", "NEW"]
    assert pit.clock.now() - START <= 5 * MINUTE


def position(side: Side, **changes: object) -> Position:
    bare = Position("tb-1", "AUSDT", "A", "USDT", side, START, START, START + HOUR, D("0.02"), D("0.03"), contract=True)
    return replace(bare, **changes)  # type: ignore[arg-type]


AMOUNTS = st.decimals(min_value="0.001", max_value=1000, places=3, allow_nan=False)
PARTS = st.lists(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS), min_size=1, max_size=5)


@given(st.sampled_from(Side), PARTS, AMOUNTS)
def test_in_any_parts_a_gain_is_what_came_in_less_what_went_out(
    side: Side, parts: list[tuple[Decimal, Decimal, Decimal]], funding: Decimal
) -> None:
    held, wallet, rate = position(side).entering(), D(0), D("0.0005")
    for way in (side, side.opposite):
        for number, (quantity, price, other) in enumerate(parts):
            at = price if way is side else other
            fee = quantity * at * rate
            held = held.booked(Fill(number, "AUSDT", 1, way, at, quantity, fee, "USDT", START))
            wallet += (1 if way is Side.SELL else -1) * quantity * at - fee
        if way is side:
            worth = held.sign * held.quantity * D(50)
            assert abs(held.unrealized(D(50)) - (wallet + worth)) < D("1e-9")
            assert held.sign * (held.entry - held.stop) > 0 > held.sign * (held.entry - held.target)
    held = held.funded(-funding)
    assert held.quantity == 0
    assert held.sign * (held.proceeds - held.cost) + held.funding == wallet - funding


@given(st.sampled_from(Side), st.decimals(-5, 5, places=2, allow_nan=False))
def test_what_is_held_the_other_way_is_not_there(side: Side, amount: Decimal) -> None:
    there = position(side).there({"AUSDT": Balance(amount), "A": Balance(D(99))}).total
    assert there == max(amount if side is LONG else -amount, D(0))


STEPS = st.sampled_from([D(1).scaleb(-places) for places in range(6)] + [D(5).scaleb(-2), D(10)])


@given(
    side=st.sampled_from(Side), step=STEPS, tick=STEPS, money=st.integers(1, 10**6), last=st.integers(1, 10**8),
    least=st.sampled_from([D(5), D(20), D(100)]), most=st.integers(1, 1000),
)  # fmt: skip
def test_entry_guard_and_exit_keep_to_the_filters_of_futures(
    side: Side, step: Decimal, tick: Decimal, money: int, last: int, least: Decimal, most: int
) -> None:
    price = tick * last
    rules = Instrument(
        "AUSDT", "A", "USDT", contract=True, tick=tick, step=step, min_quantity=step, min_notional=least,
        max_quantity=step * most * 10, max_market_quantity=step * most,
    )  # fmt: skip
    quantity = quantize(rules, D(money) / price, price)
    if refusal(rules, quantity, price, NOTIONAL_MARGIN):
        return
    check_quantity(rules, quantity, market=True)
    check_notional(rules, price, quantity)
    entered = Outcome("tb-1", "AUSDT", side, quantity, price, "enter", START, START, "tb-1").order()
    assert not entered.reduce_only
    assert ("quantity", futures_wire.plain(quantity)) in futures_wire.order_parameters(entered)
    held = position(side).entering().booked(Fill(1, "AUSDT", 1, side, price, quantity, D(0), "USDT", START))
    bare = replace(rules, min_notional=D(0))
    guard = protection.wanted(held, bare, Trading(), price)
    if isinstance(guard, str):
        assert "out of bounds" in guard
        return
    for order in (each.order() for each in protection.orders(held, guard, "binance-usdm", START)):
        assert order.reduce_only
        assert order.quantity == quantity
        assert order.type in {OrderType.STOP_LOSS, OrderType.TAKE_PROFIT}
        check_quantity(rules, order.quantity, market=True)
        assert order.stop_price is not None
        check_price(rules, order.stop_price)
        assert ("reduceOnly", "true") in futures_wire.algo_parameters(order)


async def test_funding_that_nobody_held_anything_for_is_not_ours(make: MakePit) -> None:
    pit = make()
    await pit.prepare()
    await pit.client.submit(Order("BUSDT", LONG, "theirs", quantity=D(1)))
    pit.wait(9 * HOUR)
    await pit.enter(LONG)
    await pit.desk.monitor(pit.marks)
    assert pit.position.funding == 0
    paid = Payment("x", "AUSDT", D(-1), "USDT", pit.clock.now())
    for _ in range(2):
        pit.journal.record(ACCOUNT, pit.clock.now(), Funded(pit.position.id, paid))
    assert pit.position.funding == -1
