"""What trading has brought."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from dealing import ACCOUNT, MINUTE, START, Office
from floor import Floor
from hypothesis import given, settings
from hypothesis import strategies as st
from pit import Pit

from tradebot.market.venue import Side
from tradebot.trading.results import Result, results, totals

amounts = st.decimals(min_value=Decimal(-100), max_value=Decimal(100), places=2)


async def traded(office: Office, symbol: str = "AUSDT", to: str = "110", bar: int = START) -> None:
    """Buy at 100 and sell ten minutes later."""
    office.price(symbol, "100")
    await office.buy(symbol, bar=bar)
    office.wait(10 * MINUTE)
    office.price(symbol, to)
    await office.desk.close(symbol, office.marks)


async def test_a_gain_is_what_the_account_has_more(office: Callable[..., Office]) -> None:
    made = office(fee_asset="base")
    before = made.broker.held["USDT"]
    await traded(made)
    (result,) = results(made.journal, ACCOUNT)
    dust = sum(p.open_cost for p in made.desk.positions())
    assert result.realized == made.broker.held["USDT"] - before + dust
    assert (result.symbol, result.reason, result.held_ms) == ("AUSDT", "close", 10 * MINUTE)


async def test_fees_are_told_in_quote_coin_whichever_of_both_they_were_paid_in(office: Callable[..., Office]) -> None:
    made = office(fee_asset="base")
    await traded(made, to="100")
    (result,) = results(made.journal, ACCOUNT)
    bought, sold = (order.executed for order in made.journal.orders(ACCOUNT))
    assert result.fees == bought * 100 * made.broker.fee + sold * 100 * made.broker.fee
    assert result.other_fees == {}


async def test_fees_in_a_third_coin_are_listed_beside_the_result(office: Callable[..., Office]) -> None:
    made = office(fee_asset="BNB")
    await traded(made)
    (result,) = results(made.journal, ACCOUNT)
    assert result.fees == 0
    assert result.other_fees == {"BNB": Decimal("0.0004")}
    assert result.realized == result.quantity * 10


async def test_r_counts_in_what_the_stop_risked(office: Callable[..., Office]) -> None:
    made = office(fee_asset="BNB", stop_loss=Decimal("0.05"))
    await traded(made, to="110")
    (result,) = results(made.journal, ACCOUNT)
    assert result.r == 2
    assert result.document()["r"] == "2"


@pytest.mark.parametrize(("bought_at", "sold_at", "slippage"), [("101", "108", "3"), ("99", "112", "-3")])
async def test_slippage_is_what_fills_were_worse_than_decided(
    office: Callable[..., Office], bought_at: str, sold_at: str, slippage: str
) -> None:
    made = office(fee_asset="BNB")
    marks = dict(made.marks)
    made.broker.prices["AUSDT"] = Decimal(bought_at)
    await made.desk.enter([*_predicted()], marks, 0.5)
    made.broker.prices["AUSDT"] = Decimal(sold_at)
    await made.desk.close("AUSDT", marks | {"AUSDT": Decimal(110)})
    (result,) = results(made.journal, ACCOUNT)
    assert result.slippage == Decimal(slippage) * result.quantity


def _predicted() -> list[object]:
    from tradebot.market.venue import Side
    from tradebot.trading.risk import Prediction

    return [Prediction("AUSDT", Side.BUY, START, 0.9)]


async def test_only_what_is_over_since_then_counts(office: Callable[..., Office]) -> None:
    made = office(fee_asset="BNB")
    await traded(made)
    await traded(made, "BUSDT", "90")
    await made.buy("CUSDT")
    assert [each.symbol for each in results(made.journal, ACCOUNT)] == ["AUSDT", "BUSDT"]
    assert [each.symbol for each in results(made.journal, ACCOUNT, START + 11 * MINUTE)] == ["BUSDT"]


async def test_results_are_the_same_after_a_rebuild(office: Callable[..., Office]) -> None:
    made = office()
    for number in range(3):
        await traded(made, bar=START + number, to=str(95 + 10 * number))
    before = results(made.journal, ACCOUNT)
    made.journal.rebuild()
    assert results(made.journal, ACCOUNT) == before
    assert len(before) == 3


def result(gain: Decimal, quote: str = "USDT") -> Result:
    zero, one = Decimal(0), Decimal(1)
    return Result("AUSDT", "BUY", quote, 0, 60_000, one, one, one, gain, one, {}, zero, gain / 10, "time")


def test_totals_of_a_known_run() -> None:
    (total,) = totals([result(Decimal(gain)) for gain in (10, -4, -8, 6, 20, -5)])
    assert total.curve == (10, 6, -2, 4, 24, 19)
    assert (total.trades, total.wins, total.realized) == (6, 3, 19)
    assert (total.drawdown, total.best, total.worst) == (12, 20, -8)
    assert total.profit_factor == Decimal(36) / 17
    assert total.document()["expectancy"] == "3.16666666667"
    assert total.document()["win_rate"] == 0.5


def test_a_loss_from_the_start_is_a_drawdown_too() -> None:
    (total,) = totals([result(Decimal(-3)), result(Decimal(-4))])
    assert (total.drawdown, total.profit_factor) == (7, 0)


def test_without_a_loss_there_is_no_profit_factor() -> None:
    (total,) = totals([result(Decimal(3))])
    assert (total.drawdown, total.profit_factor, total.document()["profit_factor"]) == (0, None, None)


def test_coins_are_not_added_up_with_others() -> None:
    found = totals([result(Decimal(3)), result(Decimal("0.1"), "BTC"), result(Decimal(4))])
    assert {total.quote: total.realized for total in found} == {"USDT": 7, "BTC": Decimal("0.1")}
    assert totals([]) == []


@given(gains=st.lists(amounts, min_size=1, max_size=30))
def test_the_drawdown_is_the_largest_fall_between_any_two_moments(gains: list[Decimal]) -> None:
    (total,) = totals([result(gain) for gain in gains])
    sums = [Decimal(0), *total.curve]
    assert total.drawdown == max(a - b for i, a in enumerate(sums) for b in sums[i:])
    assert total.realized == sums[-1]


STEPS = st.integers(-8, 0).map(lambda places: Decimal(1).scaleb(places))


async def lived(room: Floor | Pit, side: Side, moves: list[float]) -> Decimal:
    """What the wallet has gained when a position was entered, taken in parts by the venue and left."""
    if isinstance(room, Pit):
        await room.prepare()
    before = (await room.client.balances())["USDT"].total
    await (room.enter(side) if isinstance(room, Pit) else room.buy())
    for move in moves:
        tick = room.rules["AUSDT"].tick
        await room.cycle(str((room.marks["AUSDT"] * Decimal(str(1 + move))).quantize(tick)))
    room.fault()
    for _ in range(3):
        room.wait()
        await room.desk.monitor(room.marks)
        await room.desk.close("AUSDT", room.marks)
    return (await room.client.balances())["USDT"].total - before


@settings(max_examples=30)
@given(
    st.sampled_from([Floor, Pit]), st.sampled_from(Side), STEPS, STEPS, st.integers(100_000, 999_999),
    st.lists(st.floats(-0.04, 0.04), max_size=3), st.sampled_from(["", "0.1", "0.37"]),
    st.sampled_from(["0", "0.003"]),
)  # fmt: skip
def test_whatever_the_filters_results_are_what_the_wallet_gained_to_the_last_digit(
    kind: type[Floor], side: Side, step: Decimal, tick: Decimal, ticks: int, moves: list[float], share: str, spread: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        room = kind(Path(folder), "AUSDT", price=str(tick * ticks), spread=spread, fraction="0.3")
        room.rules["AUSDT"] = room.known["AUSDT"] = replace(
            room.known["AUSDT"], step=step, tick=tick, min_quantity=step
        )
        room.fault(*([f"partial-fill share={share}"] if share else []))
        gained = asyncio.run(lived(room, side, moves))
        found, held = results(room.journal, ACCOUNT), room.desk.positions()
        assert all(each.state == "dust" for each in held)
        assert sum(each.realized for each in found) - sum(each.open_cost for each in held) == gained
        traded = [each for fills in room.journal.all_fills(ACCOUNT).values() for each in fills]
        paid = sum(each.fee for each in traded if each.fee_asset == "USDT")
        assert paid <= sum(each.fees for each in found)
        room.journal.close()
