"""The arithmetic that orders meet the market with: exact products, the grids of a symbol, best prices."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Context, Decimal

# Enough digits for the product of any two of the venue's numbers.
EXACT = Context(prec=60)
UNIT = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask."""

    bid: Decimal
    ask: Decimal


def to_unit(value: Decimal) -> Decimal:
    """Cut to eight places, as the venue keeps amounts."""
    return value.quantize(UNIT, ROUND_DOWN, EXACT)


def worth(price: Decimal, quantity: Decimal) -> Decimal:
    """What a quantity costs, cut to eight places."""
    return to_unit(EXACT.multiply(price, quantity))


def on_grid(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    """The multiple of `step` next to `value`; a step of 0 means no rule."""
    if not step:
        return value
    return EXACT.multiply(EXACT.divide(value, step).to_integral_value(rounding), step)


def around(last: Decimal, spread: Decimal, tick: Decimal) -> Quote:
    """Bid and ask half a spread from the last price, rounded outward to the tick; the bid stays positive."""
    half = last * spread / 2
    bid = on_grid(last - half, tick, ROUND_FLOOR)
    return Quote(max(bid, tick or last), on_grid(last + half, tick, ROUND_CEILING))
