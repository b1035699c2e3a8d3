from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from exchanging import NOW, D, exchange, marked

from futures.test_desk import PRICE, desk, order
from tradebot.market.venue import Side
from tradebot.sim.futures.conditional import becomes, trigger, waits_for
from tradebot.sim.futures.engine import Futures
from tradebot.sim.futures.ledger import ALGOS, Algo
from tradebot.sim.futures.positions import PositionSide

STOP = Algo(
    0, "BTCUSDT", "s", Side.SELL, PositionSide.BOTH, "STOP_MARKET", "GTC", D("0.1"), D(0), D(39_000), NOW, NOW
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "side", "falling"),
    [
        ("STOP_MARKET", Side.SELL, True), ("STOP", Side.BUY, False), ("TAKE_PROFIT", Side.SELL, False),
        ("TAKE_PROFIT_MARKET", Side.BUY, True),
    ],
)  # fmt: skip
def test_stops_wait_against_the_position_and_profits_with_it(kind: str, side: Side, falling: bool) -> None:
    level = waits_for(replace(STOP, type=kind, side=side))
    assert (level.price, level.falling, level.through) == (39_000, falling, False)
    assert level.met(D(39_000))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("MARKET", D(0), False)), ({"type": "STOP", "price": D(38_900)}, ("LIMIT", D(38_900), False)),
        ({"reduce_only": True}, ("MARKET", D(0), True)), ({"close_position": True}, ("MARKET", D(0), True)),
        ({"close_position": True, "position_side": PositionSide.LONG}, ("MARKET", D(0), False)),
    ],
)  # fmt: skip
def test_it_becomes_a_plain_order_of_the_same_name(changes: dict[str, Any], expected: tuple[Any, ...]) -> None:
    made = becomes(replace(STOP, **changes), D("0.1"), NOW)
    assert (made.type, made.price, made.reduce_only) == expected
    assert (made.client_id, made.quantity, made.original_type) == ("s", D("0.1"), changes.get("type", "STOP_MARKET"))


def test_a_close_is_as_large_as_what_is_held_then() -> None:
    at = desk()
    at.submit(order(quantity="0.3"), PRICE, NOW)
    algo = ALGOS.enter(at.ledger.db, replace(STOP, close_position=True, quantity=D(0)))
    done = trigger(at, algo, D(39_000), NOW + 9)
    assert (done.status, done.triggered) == ("FINISHED", NOW + 9)
    assert at.ledger.positions() == {}
    assert ALGOS.select(at.ledger.db) == [done]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"reduce_only": True}, "EXPIRED"), ({"close_position": True}, "EXPIRED"), ({"quantity": D(100)}, "REJECTED"),
        ({}, "FINISHED"), ({"type": "STOP", "price": D(40_500)}, "TRIGGERED"),
    ],
)  # fmt: skip
def test_what_cannot_be_placed_then_ends_there(changes: dict[str, Any], status: str) -> None:
    futures = Futures(exchange(marked()))
    algo = ALGOS.enter(futures.ledger.db, replace(STOP, **changes))
    done = trigger(futures.desk, algo, D(39_000), NOW)
    assert done.status == status
    assert bool(done.order_id) is (status in {"FINISHED", "TRIGGERED"})
