"""Contracts at the simulated exchange: long and short, protected, funded, liquidated, through faults and restarts."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from dealing import ACCOUNT, MINUTE, START
from pit import Pit

from tradebot.clock import HOUR
from tradebot.errors import TradingError
from tradebot.market.venue import Order, Side
from tradebot.trading.orders import Duty
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
    from tradebot.market import futures_wire
    from tradebot.market.binance import read_json

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
