"""Rules about the prediction, the venue and the money, each able to refuse an entry with a reason."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeAlias

from tradebot.market.venue import Side
from tradebot.registry import Registry
from tradebot.trading.orders import NOTIONAL_MARGIN, figure, refusal
from tradebot.trading.risk.sizes import budget, share, sized
from tradebot.trading.risk.view import Account, Candidate

Rule: TypeAlias = Callable[[Candidate, Account], str | None]
RULES: Registry[Rule] = Registry("risk rule")
"""Every rule can refuse an entry; the first that does gives the reason. Exits ask none of them."""

ABOUT_MONEY = frozenset({"exposure", "coin", "cash"})
"""Rules that need to know the balances."""


@RULES.register("halt")
def _halt(_candidate: Candidate, account: Account) -> str | None:
    """Nothing is entered while the kill switch is on."""
    return account.halted or None


@RULES.register("clock")
def _clock(_candidate: Candidate, account: Account) -> str | None:
    """Nothing is entered by a clock that cannot be relied on."""
    return account.outlook.clock_doubt or None


@RULES.register("threshold")
def _threshold(candidate: Candidate, account: Account) -> str | None:
    """The model's probability must reach the threshold; NaN reaches none."""
    probability = candidate.prediction.probability
    if probability >= account.threshold:
        return None
    return f"probability {probability:.2%} below {account.threshold:.2%}"


@RULES.register("side")
def _side(candidate: Candidate, _account: Account) -> str | None:
    """Only contracts can be sold short."""
    short = candidate.prediction.side is Side.SELL and not candidate.rules.contract
    return "a short position is not possible on spot" if short else None


@RULES.register("bar")
def _bar(candidate: Candidate, account: Account) -> str | None:
    """A bar that was acted upon, with whatever outcome, is never acted on again."""
    if (candidate.symbol, candidate.prediction.bar_time) not in account.acted:
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


@RULES.register("size")
def _size(candidate: Candidate, account: Account) -> str | None:
    """The chosen size must give a share."""
    part = share(candidate, account)
    if isinstance(part, str):
        return f"no size: {part}"
    return None if part > 0 else f"no size: {account.risk.size} gives 0"


@RULES.register("cash")
def _cash(candidate: Candidate, account: Account) -> str | None:
    """There must be money for an order that can also be sold again after a loss."""
    money = budget(candidate, account)
    if money <= 0:
        return f"no free {account.quote}"
    margin = (1 + NOTIONAL_MARGIN) / (1 - account.limits.stop_loss) - 1
    reason = refusal(candidate.rules, sized(candidate, account), candidate.price, margin)
    return reason and f"{figure(money)} {account.quote} are too little: {reason}"


def refused(candidate: Candidate, account: Account, *, unasked: Collection[str] = ()) -> str | None:
    """The first rule's reason against the entry, or None; the rules named in `unasked` are left out."""
    for name, rule in RULES.items():
        if name not in unasked and (reason := rule(candidate, account)):
            return reason
    return None
