"""When to leave a position, in whole or in part, and where its stop belongs: pure functions of it, the mark and now.

A stop moves in the position's favour only. Shares are of the entry price, as in the settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from tradebot.config import Trading
from tradebot.market.venue import ZERO, Instrument
from tradebot.trading.orders import quantize, refusal
from tradebot.trading.positions import Position, PositionState

STOP_LOSS = "stop-loss"
TRAILING_STOP = "trailing-stop"
TAKE_PROFIT = "take-profit"
LADDER = "ladder"
TIME = "time"

TRAIL_STEP = Decimal("0.1")
"""Part of its distance from the best price by which a trailing stop must improve before it is moved."""

_HOLDS = frozenset({PositionState.OPEN, PositionState.ENTERING})


@dataclass(frozen=True)
class Exit:
    """Why to leave, and how much of the position (base coin)."""

    reason: str
    quantity: Decimal


def due(
    position: Position, mark: Decimal | None, now: int, rules: Instrument, settings: Trading, *, target: bool = True
) -> Exit | None:
    """What of a position should be left at price `mark` and venue time `now`, or None.

    The stop comes before targets, both before time. Without a mark only time counts. Without `target` the
    venue looks after the target. One that still enters is left only if it holds something.
    """
    if position.state not in _HOLDS or position.quantity <= 0:
        return None
    if mark is not None and mark > 0 and (reached := _reached(position, mark, rules, settings, target=target)):
        return reached
    return Exit(TIME, position.quantity) if now >= position.until else None


def _reached(position: Position, mark: Decimal, rules: Instrument, settings: Trading, *, target: bool) -> Exit | None:
    """What the price wants to be left."""
    if position.sign * (mark - position.stop) <= 0:
        return Exit(TRAILING_STOP if position.stop == position.raised else STOP_LOSS, position.quantity)
    if settings.rungs:
        part = _rung(position, mark, rules, settings.rungs)
        return Exit(LADDER, part) if part else None
    there = target and position.sign * (mark - position.target) >= 0
    return Exit(TAKE_PROFIT, position.quantity) if there else None


def _rung(position: Position, mark: Decimal, rules: Instrument, rungs: Sequence[tuple[Decimal, Decimal]]) -> Decimal:
    """How much is still to be sold for the rungs that `mark` has reached; 0 if that is too little for an order.

    All that is held, if what would be left could not be sold.
    """
    gain = position.sign * (mark / position.entry - 1)
    reached = sum((share for level, share in rungs if gain >= level), ZERO)
    part = min(position.bought * reached - (position.bought - position.quantity), position.quantity)
    part = quantize(rules, max(part, ZERO), mark)
    if refusal(rules, part, mark):
        return ZERO
    left = position.quantity - part
    return position.quantity if refusal(rules, quantize(rules, left, mark), mark) else part


def watched(position: Position, mark: Decimal | None, settings: Trading) -> tuple[Decimal, Decimal] | None:
    """Best mark and stop of a position that has now seen `mark`; None if neither is new.

    Only where the settings let a stop follow the price: the best mark matters to nothing else.
    """
    follows = settings.trail or settings.break_even_after
    if not follows or not mark or not position.entry or position.state not in _HOLDS:
        return None
    sign = position.sign
    best = _better(position.best, mark, sign)
    gain = sign * (best / position.entry - 1)
    stop = position.raised
    if settings.break_even_after and gain >= settings.break_even_after:
        stop = _better(stop, position.entry, sign)
    if settings.trail and gain >= settings.trail_after:
        stop = _trailed(position, best, stop, settings.trail)
    return (best, stop) if (best, stop) != (position.best, position.raised) else None


def _trailed(position: Position, best: Decimal, stop: Decimal, trail: Decimal) -> Decimal:
    """The stop that trails `best`, if that is enough of an improvement on `stop` (0: the first one) to move it."""
    trailed = best * (1 - position.sign * trail)
    least = best * trail * TRAIL_STEP if stop else ZERO
    return trailed if position.sign * (trailed - (stop or position.stop)) > least else stop


def _better(one: Decimal, other: Decimal, sign: int) -> Decimal:
    """Of two prices the one further in the position's favour; 0 is none."""
    return (max if sign > 0 else min)(one, other) if one else other
