"""May this prediction become an entry, and of what size: rules that refuse with a reason."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeAlias

from tradebot.config import Trading
from tradebot.market.venue import ZERO, Instrument, Side
from tradebot.registry import Registry
from tradebot.trading.orders import NOTIONAL_MARGIN, figure, quantize, refusal

RESERVE = Decimal("0.01")
"""Share of the free quote coin that is left alone: a market order pays spread, slippage and fee on top."""


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
    client_id: str
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
class Account:
    """What the rules look at. `equity` and `free` are quote coin; the sets hold symbols, `acted` client ids."""

    quote: str
    equity: Decimal
    free: Decimal
    held: frozenset[str]
    unresolved: frozenset[str]
    acted: frozenset[str]
    threshold: float
    limits: Trading

    def after(self, symbol: str, spent: Decimal) -> Account:
        """The account once `symbol` is entered for `spent`."""
        return replace(self, free=self.free - spent, held=self.held | {symbol})


Rule: TypeAlias = Callable[[Candidate, Account], str | None]
RULES: Registry[Rule] = Registry("risk rule")
"""Every rule can refuse an entry; the first that does gives the reason. Exits ask none of them."""

ABOUT_MONEY = ("cash",)
"""Rules that need to know the balances."""


@RULES.register("threshold")
def _threshold(candidate: Candidate, account: Account) -> str | None:
    """The model's probability must reach the threshold; NaN reaches none."""
    probability = candidate.prediction.probability
    if probability >= account.threshold:
        return None
    return f"probability {probability:.4g} below {account.threshold:.4g}"


@RULES.register("side")
def _side(candidate: Candidate, _account: Account) -> str | None:
    """Spot cannot be sold short."""
    return "a short position is not possible on spot" if candidate.prediction.side is Side.SELL else None


@RULES.register("bar")
def _bar(candidate: Candidate, account: Account) -> str | None:
    """A bar that was acted upon, with whatever outcome, is never acted on again."""
    if candidate.client_id not in account.acted:
        return None
    return "this bar was acted on already"


@RULES.register("unresolved")
def _unresolved(candidate: Candidate, account: Account) -> str | None:
    """A symbol whose last order is in doubt is blocked."""
    return "an earlier order is not resolved yet" if candidate.symbol in account.unresolved else None


@RULES.register("one-per-symbol")
def _one_per_symbol(candidate: Candidate, account: Account) -> str | None:
    """One position a symbol."""
    return "a position is held already" if candidate.symbol in account.held else None


@RULES.register("max-positions")
def _max_positions(_candidate: Candidate, account: Account) -> str | None:
    """No more positions at once than the settings allow."""
    most = account.limits.max_positions
    return f"{len(account.held)} of {most} positions held" if len(account.held) >= most else None


@RULES.register("tradable")
def _tradable(candidate: Candidate, account: Account) -> str | None:
    """The venue takes orders, in our quote coin, and there is a price."""
    instrument = candidate.instrument
    if instrument is None:
        return "not offered by the venue"
    if not instrument.tradable:
        return f"not trading (status {instrument.status})"
    if instrument.quote != account.quote:
        return f"paid in {instrument.quote}, not {account.quote}"
    return None if candidate.price > 0 else "no price"


@RULES.register("cash")
def _cash(candidate: Candidate, account: Account) -> str | None:
    """There must be money for an order that can also be sold again after a loss."""
    if budget(account) <= 0:
        return f"no free {account.quote}"
    margin = (1 + NOTIONAL_MARGIN) / (1 - account.limits.stop_loss) - 1
    reason = refusal(candidate.rules, sized(candidate, account), candidate.price, margin)
    return reason and f"{figure(budget(account))} {account.quote} are too little: {reason}"


def budget(account: Account) -> Decimal:
    """Quote coin for the next entry: the set share of the equity, reduced to what is free."""
    return max(ZERO, min(account.limits.fraction * account.equity, account.free * (1 - RESERVE)))


def sized(candidate: Candidate, account: Account) -> Decimal:
    """Quantity in base coin for the budget, on the symbol's step; 0 without a price."""
    if not candidate.price:
        return ZERO
    return quantize(candidate.rules, budget(account) / candidate.price, candidate.price)


def refused(candidate: Candidate, account: Account, *, unasked: Collection[str] = ()) -> str | None:
    """The first rule's reason against the entry, or None; the rules named in `unasked` are left out."""
    asked = (rule for name, rule in RULES.items() if name not in unasked)
    return next((reason for rule in asked if (reason := rule(candidate, account))), None)
