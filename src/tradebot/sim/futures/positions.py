"""Positions and margin: pure arithmetic of what is held, what it is worth and when it is taken away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from tradebot.market.venue import ZERO
from tradebot.sim.futures.contracts import MAINTENANCE
from tradebot.sim.matching import EXACT, to_unit


class PositionSide(StrEnum):
    """BOTH in one-way mode; LONG and SHORT side by side in hedge mode."""

    BOTH = "BOTH"
    LONG = "LONG"
    SHORT = "SHORT"


@dataclass(frozen=True, slots=True)
class Terms:
    """How a contract is traded: with which leverage, and whether its positions have a margin of their own."""

    symbol: str
    leverage: int = 20
    isolated: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """What is held of a contract. `amount` and `cost` are below 0 for shorts.

    `cost` is what the amount was worth when it was entered; keeping it rather than a price makes the
    profits of any sequence of partial closes add up to the last digit. `margin` is the isolated
    margin, 0 in cross margin.
    """

    symbol: str
    side: PositionSide = PositionSide.BOTH
    amount: Decimal = ZERO
    cost: Decimal = ZERO
    margin: Decimal = ZERO
    updated: int = 0

    @property
    def entry(self) -> Decimal:
        """Average entry price; 0 where nothing is held."""
        return to_unit(EXACT.divide(self.cost, self.amount)) if self.amount else ZERO

    def notional(self, mark: Decimal) -> Decimal:
        """What it is worth now; below 0 for shorts."""
        return to_unit(EXACT.multiply(self.amount, mark))

    def unrealized(self, mark: Decimal) -> Decimal:
        """Profit if it were closed at `mark`."""
        return self.notional(mark) - self.cost

    def maintenance(self, mark: Decimal) -> Decimal:
        """The margin below which it is liquidated."""
        return abs(self.notional(mark)) * MAINTENANCE

    def liquidation(self, collateral: Decimal) -> Decimal:
        """The price at which `collateral` and profit are down to the maintenance margin; 0 where none is."""
        if not self.amount:
            return ZERO
        return max(EXACT.divide(self.cost - collateral, self.amount - abs(self.amount) * MAINTENANCE), ZERO)

    def filled(self, quantity: Decimal, value: Decimal, terms: Terms) -> tuple[Position, Decimal]:
        """The position after `quantity` more (below 0: sold) for `value`, and the profit realized by it.

        What goes against the position closes it in proportion; what is beyond it opens the other side.
        Isolated margin comes in with what opens and goes out with what closes.
        """
        closes = min(abs(quantity), abs(self.amount)) if quantity * self.amount < 0 else ZERO
        sign = 1 if quantity > 0 else -1
        closing = to_unit(EXACT.divide(EXACT.multiply(value, closes), abs(quantity)))
        part = EXACT.divide(closes, abs(self.amount)) if closes else ZERO
        cost = self.cost if part == 1 else to_unit(EXACT.multiply(self.cost, part))
        margin = self.margin if part == 1 else to_unit(EXACT.multiply(self.margin, part))
        opening = value - closing
        added = to_unit(EXACT.divide(opening, Decimal(terms.leverage))) if terms.isolated else ZERO
        after = replace(
            self, amount=self.amount + quantity, cost=self.cost - cost + sign * opening,
            margin=self.margin - margin + added,
        )  # fmt: skip
        return after, -(sign * closing + cost) if closes else ZERO


@dataclass(frozen=True, slots=True)
class Stake:
    """One position with its terms, its mark price and the orders that could make it larger."""

    position: Position
    terms: Terms
    mark: Decimal
    bids: Decimal = ZERO
    asks: Decimal = ZERO

    @property
    def notional(self) -> Decimal:
        """What the position is worth."""
        return self.position.notional(self.mark)

    @property
    def unrealized(self) -> Decimal:
        """Its open profit."""
        return self.position.unrealized(self.mark)

    @property
    def maintenance(self) -> Decimal:
        """Its maintenance margin."""
        return to_unit(self.position.maintenance(self.mark))

    @property
    def initial(self) -> Decimal:
        """Margin that the position needs at the mark price."""
        return self._margin(abs(self.notional))

    @property
    def ordered(self) -> Decimal:
        """Margin that its orders need on top: that of the worse side, if all of it were filled."""
        worst = max(abs(self.notional), abs(self.notional + self.bids), abs(self.notional - self.asks))
        return self._margin(worst) - self.initial

    def _margin(self, notional: Decimal) -> Decimal:
        return to_unit(EXACT.divide(notional, Decimal(self.terms.leverage)))


@dataclass(frozen=True, slots=True)
class Account:
    """The wallet and everything that is at stake, at one moment."""

    wallet: Decimal
    stakes: Mapping[tuple[str, PositionSide], Stake] = field(default_factory=dict)

    def _sum(self, values: Iterable[Decimal]) -> Decimal:
        return sum(values, ZERO)

    @property
    def cross(self) -> list[Stake]:
        """The stakes that share the wallet."""
        return [each for each in self.stakes.values() if not each.terms.isolated]

    @property
    def isolated_margin(self) -> Decimal:
        """What isolated positions have taken out of the wallet."""
        return self._sum(each.position.margin for each in self.stakes.values())

    @property
    def cross_wallet(self) -> Decimal:
        """The wallet without isolated margins."""
        return self.wallet - self.isolated_margin

    @property
    def unrealized(self) -> Decimal:
        """Open profit of all positions."""
        return self._sum(each.unrealized for each in self.stakes.values())

    @property
    def cross_unrealized(self) -> Decimal:
        """Open profit of the positions in cross margin."""
        return self._sum(each.unrealized for each in self.cross)

    @property
    def initial(self) -> Decimal:
        """Initial margin of all positions."""
        return self._sum(each.initial for each in self.stakes.values())

    @property
    def ordered(self) -> Decimal:
        """Margin of all open orders."""
        return self._sum(each.ordered for each in self.stakes.values())

    @property
    def maintenance(self) -> Decimal:
        """Maintenance margin of all positions."""
        return self._sum(each.maintenance for each in self.stakes.values())

    @property
    def available(self) -> Decimal:
        """What new positions may take; below 0 when losses have eaten into the margin."""
        held = self._sum(each.initial for each in self.cross)
        return self.cross_wallet + self.cross_unrealized - held - self.ordered

    def liquidation(self, key: tuple[str, PositionSide]) -> Decimal:
        """The mark price at which a position is liquidated, other prices as they are; 0 where there is none."""
        stake = self.stakes[key]
        if stake.terms.isolated:
            return stake.position.liquidation(stake.position.margin)
        others = [each for other, each in self.stakes.items() if other != key and not each.terms.isolated]
        collateral = self.cross_wallet + self._sum(each.unrealized - each.maintenance for each in others)
        return stake.position.liquidation(collateral)
