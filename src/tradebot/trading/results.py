"""What trading has brought, from the journal alone.

Amounts are in a position's quote coin. A fee in the quote coin is in the result already, one in the base
coin too (less arrived); both are counted in `fees`, the latter at its trade's price. Fees in third coins
(BNB) are not worth a guess: they are listed by coin, beside the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate, chain

from tradebot.market.venue import ZERO, Fill, Side
from tradebot.trading.journal import Journal
from tradebot.trading.orders import Duty, Outcome, figure, plain
from tradebot.trading.positions import GONE, Position, PositionState


@dataclass(frozen=True)
class Result:
    """One position that is over. Times are venue ms; `r` is the result in units of what the stop risked.

    `slippage` is what the fills were worse (negative: better) than the prices at the decisions. Of dust
    that is left over, only what was sold counts. `realized` has in it `funding`, what holding a contract brought.
    """

    symbol: str
    side: str
    quote: str
    opened: int
    closed: int
    quantity: Decimal
    entry: Decimal
    exit: Decimal
    realized: Decimal
    fees: Decimal
    other_fees: Mapping[str, Decimal]
    slippage: Decimal
    r: Decimal
    reason: str
    funding: Decimal = ZERO

    @property
    def held_ms(self) -> int:
        """From the decision to enter to the last fill."""
        return self.closed - self.opened

    def document(self) -> dict[str, object]:
        """For `results[]`: amounts as strings, times in ms."""
        return {
            "symbol": self.symbol,
            "side": self.side,
            "quote": self.quote,
            "opened": self.opened,
            "closed": self.closed,
            "held_ms": self.held_ms,
            "quantity": plain(self.quantity),
            "entry": figure(self.entry),
            "exit": figure(self.exit),
            "realized": figure(self.realized),
            "fees": figure(self.fees),
            "other_fees": {coin: plain(fee) for coin, fee in self.other_fees.items()},
            "slippage": figure(self.slippage),
            "r": figure(self.r),
            "reason": self.reason,
            "funding": figure(self.funding),
        }


def results(journal: Journal, account: str, since: int = 0) -> list[Result]:
    """Positions that ended at `since` (venue ms) or later, by the time of their end."""
    fills, orders = journal.all_fills(account), dict[str, list[Outcome]]()
    for order in journal.orders(account):
        orders.setdefault(order.position, []).append(order)
    over = [each for each in journal.history(account) if each.state in GONE and each.bought]
    dust = [each for each in journal.positions(account) if each.state is PositionState.DUST and each.proceeds]
    found = (_result(each, orders.get(each.id, []), fills) for each in [*over, *dust])
    return sorted((each for each in found if each and each.closed >= since), key=lambda each: each.closed)


def _result(position: Position, orders: Iterable[Outcome], fills: Mapping[str, Sequence[Fill]]) -> Result | None:
    """None if nothing was ever sold, as where all was written off."""
    exits = [order for order in orders if order.duty is not Duty.ENTRY and order.executed]
    if not exits:
        return None
    own = list(chain.from_iterable(fills.get(order.client_id, ()) for order in orders))
    sold = _sum(order.executed for order in exits)
    cost = position.cost - position.open_cost
    realized = position.sign * (position.proceeds - cost) + position.funding
    risked = cost * position.stop_share
    return Result(
        symbol=position.symbol,
        side=str(position.side),
        quote=position.quote,
        opened=position.opened,
        closed=max((fill.time for fill in own), default=position.opened),
        quantity=sold,
        entry=position.entry,
        exit=_sum(order.quote_executed for order in exits) / sold,
        realized=realized,
        fees=_sum(_fee(fill, position) for fill in own),
        other_fees=_other_fees(own, position),
        slippage=_sum(map(_slipped, orders)),
        r=realized / risked if risked else ZERO,
        reason=exits[-1].intent,
        funding=position.funding,
    )


def _fee(fill: Fill, position: Position) -> Decimal:
    """A fee in quote coin; 0 for one in a third coin."""
    if fill.fee_asset == position.quote:
        return fill.fee
    return fill.fee * fill.price if fill.fee_asset == position.base else ZERO


def _other_fees(fills: Iterable[Fill], position: Position) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for fill in fills:
        if fill.fee and fill.fee_asset not in (position.base, position.quote):
            found[fill.fee_asset] = found.get(fill.fee_asset, ZERO) + fill.fee
    return found


def _slipped(order: Outcome) -> Decimal:
    """By how much in quote coin an order was worse than its decision's price; a stop's is that at which it triggers."""
    way = 1 if order.side is Side.BUY else -1
    return way * (order.quote_executed - order.executed * (order.stop_price or order.price))


@dataclass(frozen=True)
class Totals:
    """Results in one quote coin. Shares are of trades; None where there is nothing to divide by."""

    quote: str
    trades: int
    wins: int
    realized: Decimal
    fees: Decimal
    slippage: Decimal
    best: Decimal
    worst: Decimal
    drawdown: Decimal
    profit_factor: Decimal | None
    mean_r: Decimal
    mean_held_ms: int
    curve: tuple[Decimal, ...]

    def document(self) -> dict[str, object]:
        """For `totals[]`; `curve` is the sum of results after each trade."""
        return {
            "quote": self.quote,
            "trades": self.trades,
            "wins": self.wins,
            "win_rate": self.wins / self.trades,
            "realized": figure(self.realized),
            "fees": figure(self.fees),
            "slippage": figure(self.slippage),
            "expectancy": figure(self.realized / self.trades),
            "profit_factor": None if self.profit_factor is None else figure(self.profit_factor),
            "mean_r": figure(self.mean_r),
            "mean_held_ms": self.mean_held_ms,
            "best": figure(self.best),
            "worst": figure(self.worst),
            "max_drawdown": figure(self.drawdown),
            "curve": [figure(point) for point in self.curve],
        }


def totals(found: Sequence[Result]) -> list[Totals]:
    """What results in their order of time add up to, for each quote coin."""
    quotes = dict.fromkeys(each.quote for each in found)
    return [_total(quote, [each for each in found if each.quote == quote]) for quote in quotes]


def _total(quote: str, found: Sequence[Result]) -> Totals:
    gains = [each.realized for each in found]
    lost = -_sum(gain for gain in gains if gain < 0)
    return Totals(
        quote=quote,
        trades=len(found),
        wins=sum(gain > 0 for gain in gains),
        realized=_sum(gains),
        fees=_sum(each.fees for each in found),
        slippage=_sum(each.slippage for each in found),
        best=max(gains),
        worst=min(gains),
        drawdown=_drawdown(gains),
        profit_factor=_sum(gain for gain in gains if gain > 0) / lost if lost else None,
        mean_r=_sum(each.r for each in found) / len(found),
        mean_held_ms=sum(each.held_ms for each in found) // len(found),
        curve=tuple(accumulate(gains)),
    )


def _drawdown(gains: Iterable[Decimal]) -> Decimal:
    """The deepest fall of their sum from where it was highest, 0 before the first."""
    curve = list(accumulate(gains, initial=ZERO))
    return max(peak - point for peak, point in zip(accumulate(curve, max), curve, strict=True))


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, ZERO)
