"""How an entry is made: at the market, or at a limit that rests for a while and follows the price a little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from tradebot.clock import SECOND
from tradebot.config import Trading
from tradebot.market.venue import Instrument, OrderType, Side
from tradebot.trading.orders import ENTER, Outcome, plain, quantize, refusal
from tradebot.trading.positions import Position
from tradebot.trading.protection import on_tick


def made(order: Outcome, rules: Instrument, settings: Trading) -> Outcome:
    """An entry as the settings want it: as it is, or at a limit on the tick next to its price, away from the market."""
    if settings.entry == "market":
        return order
    rounding = ROUND_FLOOR if order.side is Side.BUY else ROUND_CEILING
    return replace(order, type=OrderType.LIMIT, price=on_tick(order.price, rules.tick, rounding))


def refused(order: Outcome, rules: Instrument) -> str | None:
    """Why the venue would not take an entry at its limit, or None; an entry at the market is judged by the mark."""
    if order.type is not OrderType.LIMIT:
        return None
    within = max(rules.min_price, rules.tick) <= order.price and not 0 < rules.max_price < order.price
    return (
        refusal(rules, order.quantity, order.price) if within else f"a limit of {plain(order.price)} is out of bounds"
    )


def expired(position: Position, now: int, settings: Trading) -> bool:
    """Whether the time of a limit entry is over, however much of it is filled."""
    return now >= position.opened + settings.entry_seconds * SECOND


def following(
    tries: Sequence[Outcome],
    position: Position,
    rules: Instrument,
    settings: Trading,
    *,
    mark: Decimal | None,
    now: int,
) -> Outcome | None:
    """What is left of a limit entry, at the present price instead of its last one; None if it is not to follow.

    `tries` are its orders so far, oldest first. It follows a price that has moved away from it, while it
    has time and prices left, not further from its first price than `chase` allows, and not with too
    little. The new order has no name yet.
    """
    first, last = tries[0], tries[-1]
    if last.type is not OrderType.LIMIT or not mark or position.sign * (mark - last.price) <= 0:
        return None
    if expired(position, now, settings) or position.entries >= settings.reprice:
        return None
    quantity = quantize(rules, last.left, mark)
    next_ = made(Outcome(
        client_id="", symbol=last.symbol, side=last.side, quantity=quantity, price=mark, intent=ENTER,
        bar_time=last.bar_time, created=now, position=position.id,
    ), rules, settings)  # fmt: skip
    if next_.price == last.price or position.sign * (next_.price / first.price - 1) > settings.chase:
        return None
    return None if refusal(rules, quantity, next_.price) else next_
