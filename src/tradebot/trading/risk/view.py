"""What rules and sizes look at: a prediction that asks to be entered, and the account as it is now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from tradebot.config import Risk, Trading
from tradebot.market.venue import ZERO, Instrument, Side
from tradebot.trading.risk.outlook import NOTHING, Outlook
from tradebot.trading.risk.record import Record


@dataclass(frozen=True)
class Prediction:
    """A signal's probability of success. `bar_time` is the open time of the bar it stands on, UTC ms."""

    symbol: str
    side: Side
    bar_time: int
    probability: float
    score: float = 0.0

    def document(self) -> dict[str, object]:
        """For `predictions[]`; a probability of NaN is null."""
        known = self.probability == self.probability
        return {
            "symbol": self.symbol,
            "side": str(self.side),
            "bar_time": self.bar_time,
            "probability": self.probability if known else None,
        }


@dataclass(frozen=True)
class Candidate:
    """A prediction that asks to be entered, with what is known of its symbol."""

    prediction: Prediction
    instrument: Instrument | None
    mark: Decimal | None

    @property
    def symbol(self) -> str:
        """The prediction's symbol."""
        return self.prediction.symbol

    @property
    def rules(self) -> Instrument:
        """The symbol's trading rules; those of one that the venue does not offer forbid nothing."""
        return self.instrument or Instrument(self.symbol, "", "")

    @property
    def price(self) -> Decimal:
        """The mark; 0 where there is none."""
        return self.mark or ZERO


@dataclass(frozen=True)
class Costs:
    """What a trade is reckoned to cost, as shares: `fee` of each fill, `spread` where the symbol's own is not known."""

    fee: Decimal = ZERO
    spread: Decimal = ZERO


@dataclass(frozen=True)
class Account:
    """What the rules look at. `equity` and `free` are quote coin; the sets hold symbols, `acted` with bar times.

    `now` is venue UTC ms. `worth` is what is held and under way, in quote coin by base coin. `halted` says
    why nothing may be entered at all ("": nothing speaks against it).
    """

    quote: str
    equity: Decimal
    free: Decimal
    held: frozenset[str]
    unresolved: frozenset[str]
    acted: frozenset[tuple[str, int]]
    threshold: float
    limits: Trading
    risk: Risk = field(default_factory=Risk)
    costs: Costs = Costs()
    now: int = 0
    worth: Mapping[str, Decimal] = field(default_factory=dict)
    record: Record = field(default_factory=Record)
    outlook: Outlook = NOTHING
    halted: str = ""

    @property
    def exposure(self) -> Decimal:
        """All that is held and under way, in quote coin."""
        return sum(self.worth.values(), ZERO)

    def cost(self, symbol: str) -> Decimal:
        """Both fees and the spread of a trade in `symbol`, as a share of what it is worth."""
        return 2 * self.costs.fee + self.outlook.spreads.get(symbol, self.costs.spread)

    def after(self, candidate: Candidate, spent: Decimal) -> Account:
        """The account once the candidate is entered for `spent`."""
        base = candidate.rules.base
        worth = {**self.worth, base: self.worth.get(base, ZERO) + spent}
        return replace(self, free=self.free - spent, held=self.held | {candidate.symbol}, worth=worth)
