"""What an account has less of than the journal holds: the comparison itself, a pure function of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from tradebot.market.venue import ZERO, Balance
from tradebot.trading.orders import figure
from tradebot.trading.positions import Position


@dataclass(frozen=True)
class Shortage:
    """Too little of a coin, or of a contract: `ours` by the journal, in `symbols`, `there` at the venue."""

    asset: str
    symbols: frozenset[str]
    ours: Decimal
    there: Decimal

    @property
    def lacking(self) -> Decimal:
        """How much."""
        return self.ours - self.there

    def __str__(self) -> str:
        return f"{self.asset}: {figure(self.ours)} held by the journal, {figure(self.there)} by the venue"


def by_asset(positions: Iterable[Position]) -> dict[str, list[Position]]:
    """Positions by what they hold: a base coin may be held in several symbols."""
    held: dict[str, list[Position]] = {}
    for position in positions:
        held.setdefault(position.asset, []).append(position)
    return held


def shortages(positions: Iterable[Position], balances: Mapping[str, Balance]) -> dict[str, Shortage]:
    """What is short, by asset. More than is ours is no matter: an account may hold what is not the bot's."""
    held = by_asset(positions)
    found = (
        Shortage(
            asset,
            frozenset(each.symbol for each in ours),
            sum((each.quantity for each in ours), ZERO),
            ours[0].there(balances).total,
        )
        for asset, ours in held.items()
    )
    return {each.asset: each for each in found if each.lacking > 0}
