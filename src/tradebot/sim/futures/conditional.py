"""Conditional orders: which price each waits for, and what it becomes when the price is there."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from tradebot.market.venue import Side
from tradebot.sim.futures.desk import Desk, signed
from tradebot.sim.futures.ledger import ALGOS, Algo, Placed
from tradebot.sim.futures.positions import PositionSide
from tradebot.sim.refusals import Refused
from tradebot.sim.resting import Level

TRAILING = "TRAILING_STOP_MARKET"
LIMITS = {"STOP", "TAKE_PROFIT"}


def waits_for(algo: Algo) -> Level:
    """The trigger: stops wait for a fall if they sell, profits for a rise; buys the other way round."""
    falling = (algo.side is Side.SELL) == algo.type.startswith("STOP")
    return Level(algo.trigger, falling=falling, through=False)


def becomes(algo: Algo, quantity: Decimal, now: int) -> Placed:
    """The order that a triggered one turns into; it keeps its client id."""
    limit = algo.type in LIMITS
    return Placed(
        0, algo.symbol, algo.client_id, algo.side, algo.position_side, "LIMIT" if limit else "MARKET",
        algo.time_in_force if limit else "GTC", quantity, algo.price, now, now,
        reduce_only=algo.reduce_only or (algo.close_position and algo.position_side is PositionSide.BOTH),
        good_till=algo.good_till, original_type=algo.type,
    )  # fmt: skip


def trigger(desk: Desk, algo: Algo, price: Decimal, now: int) -> Algo:
    """Turn it into an order at this price and time; REJECTED or EXPIRED where that is refused."""
    quantity = algo.quantity
    if algo.close_position:
        amount = desk.ledger.position(algo.symbol, algo.position_side).amount
        quantity = abs(amount) if amount * signed(algo.side, Decimal(1)) < 0 else Decimal(0)
    try:
        if not quantity:
            raise Refused(-2022, "ReduceOnly Order is rejected.")
        order = desk.submit(becomes(algo, quantity, now), price, now)
        done = replace(algo, status="TRIGGERED" if order.open else "FINISHED", order_id=order.order_id)
    except Refused as no:
        done = replace(algo, status="EXPIRED" if no.code == -2022 else "REJECTED")
    done = replace(done, triggered=now, updated=now)
    ALGOS.put(desk.ledger.db, done)
    return done
