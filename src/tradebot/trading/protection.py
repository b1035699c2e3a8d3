"""What should wait at the venue to protect a position, and whether it does: pure functions.

A position is protected by a stop alone, or by a stop and a target of which one cancels the other; of a
contract's two the keeper cancels what is left, and until then neither can do more than reduce it. The
prices lie on the symbol's ticks, outward: never nearer to the market than they were meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from itertools import takewhile

from tradebot.clock import HOUR, MINUTE
from tradebot.config import Trading
from tradebot.market.venue import ZERO, Instrument, OrderType
from tradebot.trading.orders import (
    FINEST,
    GUARD_STOP,
    GUARD_TARGET,
    OrderState,
    Outcome,
    client_id,
    plain,
    quantize,
    refusal,
)
from tradebot.trading.positions import Position

SLIP = Decimal("0.01")
"""How far a stop-limit's limit lies beyond its stop: where a venue takes no stop that ends at the market."""

AGAIN_MS = MINUTE
"""Venue ms after a refusal until protection is tried again; doubled with each further one, up to an hour."""

_EXACT = Context(prec=60)
_BEYOND = ("trigger immediately", "immediately trigger", "match and take", "relationship of the prices")
_NO_MARKET_STOP = "not supported"


@dataclass(frozen=True)
class Shield:
    """What should wait: so much (base coin), a stop, its limit if it is to have one, a target if there is one."""

    quantity: Decimal
    stop: Decimal
    limit: Decimal | None = None
    target: Decimal | None = None


def on_tick(price: Decimal, tick: Decimal, rounding: str) -> Decimal:
    """The multiple of `tick` (of `FINEST` where that is 0) next to a price."""
    tick = tick or FINEST
    return _EXACT.multiply(_EXACT.divide(price, tick).to_integral_value(rounding), tick)


def wanted(
    position: Position, rules: Instrument, settings: Trading, mark: Decimal | None, *, limited: bool = False
) -> Shield | str:
    """How a position is to be protected at the venue; or why the venue would not take a stop.

    `limited` asks for a stop with a limit. Bounds of prices go by `mark`; None: they are left to the venue.
    A target that the venue would not take is left to the bot.
    """
    away, toward = (ROUND_FLOOR, ROUND_CEILING) if position.sign > 0 else (ROUND_CEILING, ROUND_FLOOR)
    stop = on_tick(position.stop, rules.tick, away)
    gain = on_tick(position.target, rules.tick, toward)
    left_to_bot = settings.trail or settings.rungs or unpriced(position, rules, gain, mark)
    target = None if left_to_bot else gain
    # The venue weighs a stop at the market by its stop price.
    quantity = quantize(rules, position.quantity, max(stop, target or ZERO))
    if not limited:
        return refusal(rules, quantity, stop) or _unlisted(rules, stop) or Shield(quantity, stop, None, target)
    limit = on_tick(stop * (1 - position.sign * SLIP), rules.tick, away)
    reason = refusal(rules, quantity, min(stop, limit)) or unpriced(position, rules, limit, mark)
    return reason or Shield(quantity, stop, limit, target)


def unpriced(position: Position, rules: Instrument, price: Decimal, mark: Decimal | None) -> str | None:
    """Why the venue would not take an order that leaves `position` at a limit of `price`, or None."""
    up, down = (rules.sell_up, rules.sell_down) if position.sign > 0 else (rules.buy_up, rules.buy_down)
    if mark and ((up and price > mark * up) or (down and price < mark * down)):
        return f"a price of {plain(price)} is too far from {plain(mark)}"
    return _unlisted(rules, price)


def _unlisted(rules: Instrument, price: Decimal) -> str | None:
    within = max(rules.min_price, rules.tick) <= price and not 0 < rules.max_price < price
    return None if within and price > 0 else f"a price of {plain(price)} is out of bounds"


def stands(shield: Shield | str | None, live: Sequence[Outcome]) -> bool:
    """Whether just this waits at the venue, of the orders that protect a position; nothing, where that is wanted.

    What cannot be had (a reason) does not stand.
    """
    if not isinstance(shield, Shield):
        return shield is None and not live
    stops = [(each.left, each.stop_price, each.type) for each in live if each.intent == GUARD_STOP]
    targets = [(each.left, each.price) for each in live if each.intent == GUARD_TARGET]
    kind = OrderType.STOP_LOSS if shield.limit is None else OrderType.STOP_LOSS_LIMIT
    return (
        all(each.resting for each in live)
        and stops == [(shield.quantity, shield.stop, kind)]
        and targets == ([] if shield.target is None else [(shield.quantity, shield.target)])
    )


def orders(position: Position, shield: Shield, venue: str, now: int) -> list[Outcome]:
    """The orders that make a shield, named by how often the position was protected before."""

    def name(intent: str) -> str:
        return client_id(venue, position.symbol, position.bar_time, intent, position.guards)

    paired = shield.target is not None and not position.contract
    stop = Outcome(
        client_id=name(GUARD_STOP),
        symbol=position.symbol,
        side=position.side.opposite,
        quantity=shield.quantity,
        price=shield.stop if shield.limit is None else shield.limit,
        intent=GUARD_STOP,
        bar_time=position.bar_time,
        created=now,
        position=position.id,
        type=OrderType.STOP_LOSS if shield.limit is None else OrderType.STOP_LOSS_LIMIT,
        stop_price=shield.stop,
        pair=name("guard") if paired else "",
    )
    if shield.target is None:
        return [stop]
    target = replace(
        stop, client_id=name(GUARD_TARGET), intent=GUARD_TARGET, type=OrderType.LIMIT_MAKER, price=shield.target,
        stop_price=ZERO,
    )  # fmt: skip
    if position.contract:  # both wait for a price, and neither knows of the other
        target = replace(target, type=OrderType.TAKE_PROFIT, stop_price=shield.target)
    return [stop, target]


def beyond(tried: Sequence[Outcome]) -> bool:
    """Whether a shield was refused because the market is past its prices already: it is time to leave."""
    return any(each.state is OrderState.REJECTED and _says(each, *_BEYOND) for each in tried)


def needs_limit(tried: Sequence[Outcome]) -> bool:
    """Whether the venue has refused a stop that ends at the market for its kind."""
    return any(each.state is OrderState.REJECTED and _says(each, _NO_MARKET_STOP) for each in tried)


def again_at(tried: Sequence[Outcome]) -> int:
    """Venue time from which protection may be tried again after these tries, oldest first; 0: at once."""
    stops = [each for each in tried if each.intent == GUARD_STOP and not _says(each, _NO_MARKET_STOP)]
    refused = list(takewhile(lambda each: each.state is OrderState.REJECTED, reversed(stops)))
    return refused[0].created + min(AGAIN_MS << (len(refused) - 1), HOUR) if refused else 0


def _says(order: Outcome, *texts: str) -> bool:
    return any(text in order.reason.lower() for text in texts)
