"""Positions: their state machine, what fills make of them, and when to leave them.

Everything here is pure: the journal applies it to what is recorded, the desk to what is planned.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from tradebot.machine import Machine
from tradebot.market.venue import ZERO, Balance, Fill, Side
from tradebot.trading.orders import Duty, OrderState, figure, plain

_FINE = Decimal("1e-12")


class PositionState(StrEnum):
    """FLAT: nothing came of the entry. DUST: held, but less than can be sold. IN_DOUBT: what is held is not certain."""

    FLAT = "flat"
    ENTERING = "entering"
    OPEN = "open"
    EXITING = "exiting"
    CLOSED = "closed"
    DUST = "dust"
    IN_DOUBT = "in_doubt"


class PositionEvent(StrEnum):
    """What can happen to a position."""

    ENTER = "entry intended"
    HELD = "orders settled, something is held"
    VOID = "orders settled, nothing was bought"
    EXIT = "exit intended"
    CLOSE = "orders settled, nothing is left"
    BUYING = "the entry is still open"
    SELLING = "the exit is still open"
    DOUBT = "outcome unknown"
    SHRINK = "too little to sell"
    GROW = "enough to sell"
    ABSORB = "taken over by a new entry"
    RELEASE = "written off by a person"


_S, _E = PositionState, PositionEvent

POSITION: Machine[PositionState, PositionEvent] = Machine(
    "position",
    _S.FLAT,
    {
        (_S.FLAT, _E.ENTER): _S.ENTERING,
        (_S.ENTERING, _E.HELD): _S.OPEN,
        (_S.ENTERING, _E.VOID): _S.FLAT,
        (_S.ENTERING, _E.CLOSE): _S.CLOSED,
        (_S.ENTERING, _E.DOUBT): _S.IN_DOUBT,
        (_S.OPEN, _E.ENTER): _S.ENTERING,
        (_S.OPEN, _E.EXIT): _S.EXITING,
        (_S.OPEN, _E.CLOSE): _S.CLOSED,
        (_S.OPEN, _E.SHRINK): _S.DUST,
        (_S.OPEN, _E.DOUBT): _S.IN_DOUBT,
        (_S.EXITING, _E.HELD): _S.OPEN,
        (_S.EXITING, _E.CLOSE): _S.CLOSED,
        (_S.EXITING, _E.DOUBT): _S.IN_DOUBT,
        (_S.IN_DOUBT, _E.BUYING): _S.ENTERING,
        (_S.IN_DOUBT, _E.SELLING): _S.EXITING,
        (_S.IN_DOUBT, _E.HELD): _S.OPEN,
        (_S.IN_DOUBT, _E.VOID): _S.FLAT,
        (_S.IN_DOUBT, _E.CLOSE): _S.CLOSED,
        (_S.DUST, _E.GROW): _S.OPEN,
        (_S.DUST, _E.ABSORB): _S.CLOSED,
        **{(held, _E.RELEASE): _S.CLOSED for held in (_S.OPEN, _S.IN_DOUBT, _S.DUST)},
    },
)

_SETTLING = {_E.BUYING: _S.ENTERING, _E.SELLING: _S.EXITING, _E.HELD: _S.OPEN, _E.DOUBT: _S.IN_DOUBT}

GONE = frozenset({PositionState.FLAT, PositionState.CLOSED})
"""States in which nothing is held and nothing is under way."""

BUSY = frozenset(PositionState) - GONE - {PositionState.DUST}
"""States that take up one of the places for positions."""


@dataclass(frozen=True)
class Position:
    """What is held of one symbol because of one entry, whose client id is its `id`.

    `quantity` is in base coin, net of fees paid in it; `bought` is the same for the entry alone.
    `cost` and `proceeds` are quote coin paid and received, fees in quote coin included. `stop` and
    `target` are prices; they follow the entry price by `stop_share` and `target_share`, the stop not
    below `raised`, to which it was moved in the position's favour. `best` is the best mark seen since
    the first fill (0: none yet). `opened` and `until` (time of the exit at the latest) are venue ms.
    Fees in third coins touch nothing here. `entries`, `exits` and `guards` count the orders of
    each kind so far, which numbers the next. A `contract` is one on margin, which may be short: `cost` is
    then what its entry was sold for, less fees; `funding` is what holding it has brought (cost: negative).
    """

    id: str
    symbol: str
    base: str
    quote: str
    side: Side
    bar_time: int
    opened: int
    until: int
    stop_share: Decimal
    target_share: Decimal
    state: PositionState = POSITION.initial
    quantity: Decimal = ZERO
    bought: Decimal = ZERO
    cost: Decimal = ZERO
    proceeds: Decimal = ZERO
    stop: Decimal = ZERO
    target: Decimal = ZERO
    exits: int = 0
    entries: int = 0
    guards: int = 0
    best: Decimal = ZERO
    raised: Decimal = ZERO
    contract: bool = False
    funding: Decimal = ZERO

    @property
    def sign(self) -> int:
        """1 for long, −1 for short."""
        return 1 if self.side is Side.BUY else -1

    @property
    def asset(self) -> str:
        """What the venue's balances call it: its coin, or the symbol of a contract."""
        return self.symbol if self.contract else self.base

    def there(self, balances: Mapping[str, Balance]) -> Balance:
        """What the account has of it, whoever it belongs to; nothing of a contract that is held the other way."""
        found = balances.get(self.asset, Balance())
        return Balance(max(self.sign * found.free, ZERO), max(self.sign * found.locked, ZERO))

    @property
    def entry(self) -> Decimal:
        """Quote coin paid for each coin that arrived: the average price with the entry's fees; 0 before a fill."""
        return self.cost / self.bought if self.bought else ZERO

    @property
    def open_cost(self) -> Decimal:
        """The part of `cost` that is still held, to 12 decimals so that sums with it stay exact."""
        return self.cost if self.quantity == self.bought else (self.quantity * self.entry).quantize(_FINE)

    def worth(self, mark: Decimal) -> Decimal:
        """What it adds to the wallet at `mark`, in quote coin: of a contract its open gain."""
        return self.unrealized(mark) if self.contract else self.quantity * mark

    def unrealized(self, mark: Decimal) -> Decimal:
        """Gain (loss: negative) in quote coin if what is held went at `mark`, before the exit's fees."""
        return self.sign * (self.quantity * mark - self.open_cost)

    def step(self, event: PositionEvent) -> Position:
        """The position after `event`; `ImpossibleTransition` if the table has no such row."""
        return replace(self, state=POSITION.step(self.state, event))

    def entering(self, dust: Position | None = None) -> Position:
        """This position with its entry intended, and `dust` of the same symbol taken over."""
        fresh = self.step(PositionEvent.ENTER)
        if dust is None:
            return fresh
        return _levelled(replace(fresh, quantity=dust.quantity, bought=dust.quantity, cost=dust.open_cost))

    def absorbed(self) -> Position:
        """This dust after a new entry took it over, at the cost that it took over."""
        left = replace(self, quantity=ZERO, bought=self.bought - self.quantity, cost=self.cost - self.open_cost)
        return left.step(PositionEvent.ABSORB)

    def released(self, left: Decimal) -> Position:
        """This position once a person has written off all but `left`, at cost: no gain and no loss."""
        gone = self.quantity - left
        written_off = (gone * self.entry).quantize(_FINE) if left else self.open_cost
        after = replace(self, quantity=left, bought=self.bought - gone, cost=self.cost - written_off)
        if not left:
            return after.step(PositionEvent.RELEASE)
        return after.step(PositionEvent.HELD) if self.state is PositionState.IN_DOUBT else after

    def reentering(self) -> Position:
        """This position with its entry intended once more, at another price."""
        return replace(self.step(PositionEvent.ENTER), entries=self.entries + 1)

    def guarding(self) -> Position:
        """This position with one more try at protection intended; that moves no state."""
        return replace(self, guards=self.guards + 1)

    def watched(self, best: Decimal, stop: Decimal) -> Position:
        """This position with its best mark and its stop; neither ever moves against it."""
        better = max if self.sign > 0 else _least
        return _levelled(replace(self, best=better(self.best, best), raised=better(self.raised, stop)))

    def funded(self, amount: Decimal) -> Position:
        """This position with funding paid (below 0) or received, which may come after its end."""
        return replace(self, funding=self.funding + amount)

    def exiting(self) -> Position:
        """This position with one more exit intended."""
        return replace(self.step(PositionEvent.EXIT), exits=self.exits + 1)

    def booked(self, fill: Fill) -> Position:
        """The position after one fill, of its entry or of an exit."""
        way = 1 if fill.side is Side.BUY else -1
        base = way * fill.quantity - (fill.fee if fill.fee_asset == self.base else ZERO)
        quote = -way * fill.worth - (fill.fee if fill.fee_asset == self.quote else ZERO)
        after = replace(self, quantity=self.quantity + self.sign * base)
        if fill.side is not self.side:
            return replace(after, proceeds=self.proceeds + self.sign * quote)
        return _levelled(replace(after, bought=self.bought + self.sign * base, cost=self.cost - self.sign * quote))

    def followed(self, live: Iterable[tuple[Duty, OrderState]]) -> Position:
        """The position after one of its orders moved, when these are the ones that are not settled.

        What is dust or gone stays so.
        """
        if self.state in GONE or self.state is PositionState.DUST:
            return self
        orders = list(live)
        unknown = any(state is OrderState.UNKNOWN for _, state in orders)
        event = PositionEvent.DOUBT if unknown else self._led({duty for duty, _ in orders})
        return self if _SETTLING.get(event) is self.state else self.step(event)

    def _led(self, duties: Collection[Duty]) -> PositionEvent:
        """Where orders of such duties lead, all of which are certain."""
        if Duty.EXIT in duties:
            return PositionEvent.SELLING
        if Duty.ENTRY in duties:
            return PositionEvent.BUYING
        if self.quantity > 0 or Duty.GUARD in duties:
            return PositionEvent.HELD
        return PositionEvent.CLOSE if self.bought else PositionEvent.VOID

    def document(self, mark: Decimal | None = None) -> dict[str, object]:
        """For `positions[]`: amounts as strings, times in ms; without a mark, it and the gain are null."""
        return {
            "symbol": self.symbol,
            "side": str(self.side),
            "quantity": plain(self.quantity),
            "entry": figure(self.entry),
            "mark": None if mark is None else plain(mark),
            "stop": figure(self.stop),
            "target": figure(self.target),
            "opened": self.opened,
            "until": self.until,
            "state": str(self.state),
            "unrealized": None if mark is None else figure(self.unrealized(mark)),
        }


def _levelled(position: Position) -> Position:
    """The position with stop and target where they belong for its entry price."""
    entry, sign = position.entry, position.sign
    stop, target = entry * (1 - sign * position.stop_share), entry * (1 + sign * position.target_share)
    better = max if sign > 0 else _least
    return replace(position, stop=better(stop, position.raised), target=target)


def _least(one: Decimal, other: Decimal) -> Decimal:
    """The lesser of two prices, of which 0 is none."""
    return min(one, other) if one and other else one or other
