"""How much of the equity an entry gets: sizes by name, chosen by `risk.size`.

A size is a share of the equity, worked out in floats where it comes from statistics; what limits it, and
all that becomes an order, is Decimal. A new size is one function here and its line in docs/risk.md.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_DOWN, Decimal
from typing import TypeAlias

from tradebot.config import Risk
from tradebot.market.venue import ZERO
from tradebot.registry import Registry
from tradebot.trading.orders import figure, quantize
from tradebot.trading.risk.view import Account, Candidate

RESERVE = Decimal("0.01")
"""Share of the free quote coin that is left alone: a market order pays spread, slippage and fee on top."""

_FINE = Decimal("1e-9")

Size: TypeAlias = Callable[[Candidate, Account], Decimal | str]
"""Share of the equity in [0, 1], not negative; or why there is none."""
SIZES: Registry[Size] = Registry("size")


@SIZES.register("fixed")
def _fixed(_candidate: Candidate, account: Account) -> Decimal | str:
    """`trading.fraction`."""
    return account.limits.fraction


@SIZES.register("volatility")
def _volatility(candidate: Candidate, account: Account) -> Decimal | str:
    """`risk.volatility` ÷ the coin's usual move in a day, at most `risk.max_fraction`; none where that is not known."""
    move = account.outlook.volatility(candidate.symbol)
    if move is None:
        return "how much it moves is not known"
    return _capped(float(account.risk.volatility) / move, account)


@SIZES.register("kelly")
def _kelly(candidate: Candidate, account: Account) -> Decimal | str:
    """`risk.kelly` × (p − (1 − p) ÷ b), at most `risk.max_fraction`; none where that is not positive.

    b is the gain at the target ÷ the loss at the stop, both after fees and spread (Kelly 1956). The
    stake is taken to be the whole position, not what the stop would cost: stops slip.
    """
    probability, cost = candidate.prediction.probability, account.cost(candidate.symbol)
    gain, loss = account.limits.take_profit - cost, account.limits.stop_loss + cost
    if gain <= 0:
        return f"a target of {figure(account.limits.take_profit)} does not cover costs of {figure(cost)}"
    share = probability - (1 - probability) * float(loss / gain)
    if not share > 0:
        return f"no gain to expect at probability {probability:.4g} with {figure(gain)} against {figure(loss)}"
    return _capped(float(account.risk.kelly) * share, account)


def _capped(share: float, account: Account) -> Decimal:
    """The share, rounded down, at most `risk.max_fraction`."""
    most = account.risk.max_fraction
    return most if share >= most else Decimal(share).quantize(_FINE, ROUND_DOWN)


def needs_spreads(risk: Risk) -> bool:
    """Whether anything in force reckons with a symbol's spread."""
    return risk.size == "kelly" or risk.min_edge is not None


def share(candidate: Candidate, account: Account) -> Decimal | str:
    """The share of the equity by the chosen size; or why there is none."""
    return SIZES[account.risk.size](candidate, account)


def budget(candidate: Candidate, account: Account) -> Decimal:
    """Quote coin for the entry: its share of the equity, reduced to what is free less a reserve; never below 0."""
    part = share(candidate, account)
    if isinstance(part, str):
        return ZERO
    return max(ZERO, min(part * account.equity, account.free * (1 - RESERVE)))


def sized(candidate: Candidate, account: Account) -> Decimal:
    """Quantity in base coin for the budget, on the symbol's step; 0 without a price."""
    if not candidate.price:
        return ZERO
    return quantize(candidate.rules, budget(candidate, account) / candidate.price, candidate.price)
