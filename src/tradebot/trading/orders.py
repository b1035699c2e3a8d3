"""Orders: their state machine, their names, their quantities, and what became of each intent.

All amounts are `Decimal`, all times UTC milliseconds of the venue's clock.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_DOWN, Context, Decimal
from enum import StrEnum

from tradebot.clock import SECOND
from tradebot.machine import Machine
from tradebot.market.venue import ZERO, Fill, Instrument, Order, OrderReport, OrderType, Side

ENTER = "enter"
"""The intent of an entry; an exit's intent is its reason."""

GUARD_STOP = "guard-stop"
GUARD_TARGET = "guard-target"
"""The intents of what waits at the venue to close a position: at a loss, and at a gain."""

MADE_BY_VENUE = ("autoclose-", "adl_autoclose", "settlement_autoclose-", "delivery_autoclose-")
"""What the names of the orders begin with by which a venue itself closes contracts."""

PRICED = frozenset({OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT})
"""Types that name a price of their own."""

CONCLUSIVE_AFTER = 30 * SECOND
"""Venue ms after the last moment at which a lost order can have been sent, until "not found" can be proof.

The venue's longest recvWindow in use (5 s), the 10 s it gives its own matching engine, and 15 s for
its databases to catch up.
"""

LOOKUP_GAP = SECOND
"""Venue ms between two look-ups that agree; a second one in the same moment would prove nothing new."""

NOTIONAL_MARGIN = Decimal("0.05")
"""Share by which an entry stays above the least notional: the venue weighs with an average price, not the last."""

FINEST = Decimal("1e-8")
"""Step and tick where a symbol names none: venues keep eight places."""

MOST = Decimal("92233720368.54775807")
"""The largest quantity that a venue can keep: 63 bits of eight places."""

_EXACT = Context(prec=60, rounding=ROUND_DOWN)
_FIGURE = Context(prec=12)
_OTHERS = re.compile(r"[^A-Za-z0-9]")


class Duty(StrEnum):
    """What an order does for its position."""

    ENTRY = "entry"
    EXIT = "exit"
    GUARD = "guard"


def duty_of(intent: str) -> Duty:
    """The duty of an order with such an intent."""
    if intent == ENTER:
        return Duty.ENTRY
    return Duty.GUARD if intent in {GUARD_STOP, GUARD_TARGET} else Duty.EXIT


class OrderState(StrEnum):
    """The venue's words where it has one. CANCELING: it is to end, and may be filled until it has."""

    INTENDED = "INTENDED"
    SENT = "SENT"
    ACCEPTED = "NEW"
    PARTIAL = "PARTIALLY_FILLED"
    CANCELING = "CANCELING"
    UNKNOWN = "UNKNOWN"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    ABANDONED = "ABANDONED"


class OrderEvent(StrEnum):
    """What can happen to an order."""

    SEND = "send"
    ACCEPT = "accepted"
    PART = "partly filled"
    FILL = "filled"
    CANCEL = "canceled"
    EXPIRE = "expired"
    REJECT = "refused by the venue"
    RECALL = "cancel intended"
    DOUBT = "outcome unknown"
    MISS = "not found"
    ABSENT = "certainly absent"
    ABANDON = "never sent"
    BOUNCE = "certainly not executed"


_VENUE_EVENTS = {
    OrderEvent.ACCEPT: OrderState.ACCEPTED,
    OrderEvent.PART: OrderState.PARTIAL,
    OrderEvent.FILL: OrderState.FILLED,
    OrderEvent.CANCEL: OrderState.CANCELED,
    OrderEvent.EXPIRE: OrderState.EXPIRED,
    OrderEvent.REJECT: OrderState.REJECTED,
    OrderEvent.DOUBT: OrderState.UNKNOWN,
}
TOLD = frozenset(_VENUE_EVENTS) - {OrderEvent.DOUBT, OrderEvent.REJECT}
"""What the venue tells of an order as often as it is asked; of one that it refused it knows nothing."""

_LIVE = (OrderState.SENT, OrderState.UNKNOWN, OrderState.ACCEPTED, OrderState.PARTIAL)
_RESTING = (OrderState.ACCEPTED, OrderState.PARTIAL)
_STAYS = dict.fromkeys((OrderEvent.ACCEPT, OrderEvent.PART), OrderState.CANCELING)

ORDER: Machine[OrderState, OrderEvent] = Machine(
    "order",
    OrderState.INTENDED,
    {
        (OrderState.INTENDED, OrderEvent.SEND): OrderState.SENT,
        (OrderState.INTENDED, OrderEvent.ABANDON): OrderState.ABANDONED,
        **{(state, event): target for state in _LIVE for event, target in _VENUE_EVENTS.items()},
        **{(state, OrderEvent.RECALL): OrderState.CANCELING for state in _RESTING},
        **{(OrderState.CANCELING, event): target for event, target in (_VENUE_EVENTS | _STAYS).items()},
        (OrderState.SENT, OrderEvent.BOUNCE): OrderState.ABANDONED,
        (OrderState.UNKNOWN, OrderEvent.MISS): OrderState.UNKNOWN,
        (OrderState.UNKNOWN, OrderEvent.ABSENT): OrderState.ABANDONED,
    },
)
"""UNKNOWN is left only by what the venue says of the order, or when it is certainly absent.

ABANDONED holds the intents that never became an order. Any live state may follow another: replies
overtake each other, and an order that was found again may be in whatever state.
"""

_STATUS = {
    "NEW": OrderEvent.ACCEPT,
    "PENDING_NEW": OrderEvent.ACCEPT,
    "PENDING_CANCEL": OrderEvent.ACCEPT,
    "PARTIALLY_FILLED": OrderEvent.PART,
    "FILLED": OrderEvent.FILL,
    "CANCELED": OrderEvent.CANCEL,
    "REJECTED": OrderEvent.REJECT,
    "EXPIRED": OrderEvent.EXPIRE,
    "EXPIRED_IN_MATCH": OrderEvent.EXPIRE,
}


def event_of(report: OrderReport) -> OrderEvent:
    """What a report says happened; a status that we do not know leaves the order in doubt."""
    event = _STATUS.get(report.status, OrderEvent.DOUBT)
    return OrderEvent.PART if event is OrderEvent.ACCEPT and report.executed else event


def client_id(venue: str, symbol: str, bar_time: int, intent: str, attempt: int) -> str:
    """The order's name at the venue: the same for the same decision, in this process or a later one.

    Matches `^[a-zA-Z0-9-_]{1,36}$` whatever the symbol is written in; the last 20 characters are
    100 bits of a hash of all five.
    """
    digest = hashlib.sha256("|".join((venue, symbol, str(bar_time), intent, str(attempt))).encode()).digest()
    code = base64.b32encode(digest[:15]).decode("ascii").lower()[:20]
    return f"tb-{_OTHERS.sub('', symbol)[:12]}-{code}"


def plain(value: Decimal) -> str:
    """The value in digits, never with an exponent."""
    return format(value, "f")


def figure(value: Decimal) -> str:
    """A quotient (average, result) to 12 significant digits, in digits."""
    return plain(value.normalize(_FIGURE))


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """The multiple of `step` next to `value` toward zero; `value` itself where the step is 0."""
    return _EXACT.multiply(_EXACT.divide_int(value, step), step) if step else value


def quantize(instrument: Instrument, quantity: Decimal, price: Decimal) -> Decimal:
    """The most of `quantity` (base coin) that one market order may hold: on the step, within the maxima.

    Never more than `quantity`. Minima are `refusal`'s: a quantity is not rounded up to them.
    """
    limits = [limit for limit in (instrument.max_quantity, instrument.max_market_quantity, MOST) if limit]
    if instrument.max_notional and price > 0:
        limits.append(_EXACT.divide(instrument.max_notional, price))
    return floor_to(min([quantity, *limits]), instrument.step or FINEST)


def refusal(instrument: Instrument, quantity: Decimal, price: Decimal, margin: Decimal = ZERO) -> str | None:
    """Why the venue would not take a market order of a quantized `quantity`, or None.

    `margin` is the share by which quantity and notional must exceed the venue's least, so that what
    is left of an entry after fees and a loss can be sold again.
    """
    if quantity <= 0:
        return f"nothing left on the step of {plain(instrument.step)} {instrument.base}"
    least = max(instrument.min_quantity, instrument.step) * (1 + margin)
    if quantity < least:
        return f"quantity {plain(quantity)} below the least of {plain(least)} {instrument.base}"
    worth, least = quantity * price, instrument.min_notional * (1 + margin)
    if worth < least:
        return f"worth {figure(worth)} {instrument.quote}, below the least of {figure(least)}"
    return None


@dataclass(frozen=True)
class Moved:
    """One step of an order, with what the venue said along with it.

    `code` is that of a refusal; `quantity` what the venue says that the order is over, if that is not what
    was sent; `list_id` the venue's number of the list that it is in.
    """

    client_id: str
    event: OrderEvent
    reason: str = ""
    order_id: int | None = None
    executed: Decimal | None = None
    quote_executed: Decimal | None = None
    code: int = 0
    quantity: Decimal | None = None
    list_id: int | None = None


@dataclass(frozen=True)
class Outcome:
    """An intent and what has become of it so far.

    `price` is the limit of a type that has one; else what was expected at the decision. `pair` is the
    client id of the list whose other leg it cancels, `list_id` the venue's number of it. `created` is
    the decision's time, `doubted` the last moment at which the order can have been on its way
    when its outcome got lost, `missed` the first conclusive look-up that did not find it (0: none).
    """

    client_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    intent: str
    bar_time: int
    created: int
    position: str
    type: OrderType = OrderType.MARKET
    state: OrderState = ORDER.initial
    order_id: int | None = None
    executed: Decimal = ZERO
    quote_executed: Decimal = ZERO
    fees: Mapping[str, Decimal] = field(default_factory=dict)
    doubted: int = 0
    missed: int = 0
    reason: str = ""
    stop_price: Decimal = ZERO
    pair: str = ""
    list_id: int | None = None
    code: int = 0

    @property
    def duty(self) -> Duty:
        """What it does for its position."""
        return duty_of(self.intent)

    @property
    def resting(self) -> bool:
        """Whether the venue holds it, and it is not to end."""
        return self.state in _RESTING

    @property
    def left(self) -> Decimal:
        """What of it is not executed."""
        return self.quantity - self.executed

    @property
    def settled(self) -> bool:
        """Whether nothing more can come of it."""
        return self.state in ORDER.terminal

    @property
    def average(self) -> Decimal:
        """Average fill price; 0 where nothing was executed."""
        return self.quote_executed / self.executed if self.executed else ZERO

    @property
    def worth(self) -> Decimal:
        """What it was expected to cost or bring, in quote coin."""
        return self.quantity * self.price

    def order(self) -> Order:
        """What the venue is asked to do."""
        price = self.price if self.type in PRICED else None
        return Order(
            self.symbol, self.side, self.client_id, self.type, self.quantity, price=price,
            stop_price=self.stop_price or None, reduce_only=self.duty is not Duty.ENTRY,
        )  # fmt: skip

    def moved(self, fact: Moved, time: int) -> Outcome:
        """The outcome after one step; `ImpossibleTransition` if the table has no such step."""
        state = ORDER.step(self.state, fact.event)
        return replace(
            self,
            state=state,
            reason=fact.reason,
            order_id=self.order_id if fact.order_id is None else fact.order_id,
            executed=self.executed if fact.executed is None else fact.executed,
            quote_executed=self.quote_executed if fact.quote_executed is None else fact.quote_executed,
            doubted=time if state is OrderState.UNKNOWN is not self.state else self.doubted,
            missed=time if fact.event is OrderEvent.MISS else self.missed,
            code=fact.code,
            quantity=self.quantity if fact.quantity is None else fact.quantity,
            list_id=self.list_id if fact.list_id is None else fact.list_id,
        )

    def booked(self, fill: Fill) -> Outcome:
        """The outcome with the fee of one more fill."""
        return replace(self, fees={**self.fees, fill.fee_asset: self.fees.get(fill.fee_asset, ZERO) + fill.fee})

    def document(self) -> dict[str, object]:
        """For `orders[]`: amounts as strings, times in ms; `fee` is null where it was paid in several coins."""
        fees = {asset: plain(fee) for asset, fee in self.fees.items() if fee}
        return {
            "client_id": self.client_id,
            "symbol": self.symbol,
            "side": str(self.side),
            "type": str(self.type),
            "quantity": plain(self.quantity),
            "price": plain(self.price),
            "stop_price": plain(self.stop_price) if self.stop_price else None,
            "status": str(self.state),
            "executed": plain(self.executed),
            "average": figure(self.average),
            "fee": None if len(fees) > 1 else next(iter(fees.values()), "0"),
            "fees": fees,
            "intent": self.intent,
            "bar_time": self.bar_time,
            "created": self.created,
            "reason": self.reason or None,
        }
