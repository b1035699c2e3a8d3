"""What a venue knows and what it is asked: value types and the two protocols.

Prices and amounts that can reach an order are `Decimal`, straight from the venue's strings.
Times are UTC milliseconds of the venue's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, runtime_checkable

from tradebot.market.bars import Klines

ZERO = Decimal(0)


class Side(StrEnum):
    """Of an order, a signal or a position (BUY is long)."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> Side:
        """The side that undoes this one."""
        return Side.SELL if self is Side.BUY else Side.BUY


@dataclass(frozen=True, slots=True)
class Instrument:
    """A symbol and its trading rules. A bound or step of 0 means that there is no such rule.

    `buy_up` and `buy_down` bound the price of a buy by multiples of the venue's own, which is not
    exactly the last one; `sell_up` and `sell_down` that of a sale.
    A `contract` is held on margin, long or short; of all else only what is there can be sold.
    """

    symbol: str
    base: str
    quote: str
    status: str = "TRADING"
    spot: bool = True
    contract: bool = False
    tick: Decimal = ZERO
    step: Decimal = ZERO
    min_quantity: Decimal = ZERO
    max_quantity: Decimal = ZERO
    max_market_quantity: Decimal = ZERO
    min_notional: Decimal = ZERO
    max_notional: Decimal = ZERO
    min_price: Decimal = ZERO
    max_price: Decimal = ZERO
    buy_up: Decimal = ZERO
    buy_down: Decimal = ZERO
    sell_up: Decimal = ZERO
    sell_down: Decimal = ZERO

    @property
    def asset(self) -> str:
        """What an account's balances call what is held of it: its coin, or the symbol of a contract."""
        return self.symbol if self.contract else self.base

    @property
    def tradable(self) -> bool:
        """Whether orders are accepted at all."""
        return self.status == "TRADING" and self.spot


@dataclass(frozen=True, slots=True)
class Ticker:
    """24 hours of a symbol. `quote_volume` is a float: it ranks, it does not pay."""

    symbol: str
    last: Decimal
    bid: Decimal
    ask: Decimal
    quote_volume: float


@dataclass(frozen=True, slots=True)
class Balance:
    """What is held of one asset; `free + locked` is all of it."""

    free: Decimal = ZERO
    locked: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """Free and locked together."""
        return self.free + self.locked


class OrderType(StrEnum):
    """Order types in the venue's words."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    LIMIT_MAKER = "LIMIT_MAKER"
    STOP_LOSS = "STOP_LOSS"
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"


@dataclass(frozen=True, slots=True)
class Order:
    """What the venue is asked to do. Either `quantity` (base) or `quote_quantity` is given.

    One that is `reduce_only` never opens a position on the other side; where nothing is owed, none can.
    """

    symbol: str
    side: Side
    client_id: str
    type: OrderType = OrderType.MARKET
    quantity: Decimal | None = None
    quote_quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: str | None = None
    reduce_only: bool = False


@dataclass(frozen=True, slots=True)
class OrderPair:
    """Two orders of one quantity of which one cancels the other; `client_id` names the list of both."""

    client_id: str
    above: Order
    below: Order


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of an order. `trade_id` is unique for a symbol; `fee` is in `fee_asset`.

    `quote` is what the venue says was paid: it keeps fewer places than price times quantity may have. None where
    it was not told.
    """

    trade_id: int
    symbol: str
    order_id: int
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    time: int
    maker: bool = False
    quote: Decimal | None = None

    @property
    def worth(self) -> Decimal:
        """Quote coin paid or received, before fees."""
        return self.price * self.quantity if self.quote is None else self.quote


@dataclass(frozen=True, slots=True)
class OrderReport:
    """What the venue knows of an order. `status` is the venue's word and may be one we do not know.

    Count by `executed` and `quote_executed`, never by the status: an EXPIRED order can have
    fills. `fills` is empty where the reply does not carry them (ask `trades` then). `list_id` is the
    venue's number of the list that the order is in.
    """

    symbol: str
    client_id: str
    order_id: int
    side: Side
    type: str
    status: str
    quantity: Decimal
    executed: Decimal
    quote_executed: Decimal
    price: Decimal
    time: int
    fills: tuple[Fill, ...] = ()
    list_id: int | None = None

    @property
    def average(self) -> Decimal:
        """Average fill price; 0 where nothing was executed."""
        return self.quote_executed / self.executed if self.executed else ZERO


@dataclass(frozen=True, slots=True)
class Payment:
    """What a contract cost (below 0) or brought beside its trades, in `coin`. `id` is unique for the account."""

    id: str
    symbol: str
    amount: Decimal
    coin: str
    time: int


class Feed(Protocol):
    """Market data. Raises `MarketError`s only.

    `requests` counts what was sent, `weight` what the venue charges for it (0 where that is not known).
    """

    requests: int
    weight: int

    async def time(self) -> int:
        """The venue's clock, UTC ms; also sets the program's clock."""

    async def instruments(self) -> Mapping[str, Instrument]:
        """All symbols with their rules."""

    async def tickers(self) -> Mapping[str, Ticker]:
        """24 h statistics of all symbols."""

    async def prices(self) -> Mapping[str, Decimal]:
        """Last price of all symbols."""

    async def connect(self, requests: int) -> None:
        """Open the connections for so many requests at once; asks and raises nothing."""
        return  # most need no connection, or have a pool that cannot be told

    async def klines(self, symbol: str, interval: str, start: int | None, limit: int) -> Klines:
        """Up to `limit` bars from open time `start` on, or the newest if None; the last may be open."""


class Broker(Protocol):
    """The account. Raises `OrderRejected`, `OrderUnknown` or a `MarketError`."""

    async def balances(self) -> Mapping[str, Balance]:
        """What is held, by asset."""

    async def submit(self, order: Order) -> OrderReport:
        """Send once. `OrderRejected`: certainly not executed. `OrderUnknown`: query before anything else."""

    async def submit_pair(self, pair: OrderPair) -> list[OrderReport]:
        """Send two orders at once, as `submit` does one; their reports, in any order."""

    async def cancel(self, symbol: str, client_id: str) -> OrderReport:
        """Cancel an open order, and with it the other one of its pair; its final report."""

    async def order(self, symbol: str, client_id: str) -> OrderReport | None:
        """The order as it is now; None if the venue does not know it (which is no proof right after sending)."""

    async def open_orders(self) -> list[OrderReport]:
        """All orders that can still be filled."""

    async def trades(self, symbol: str, since: int) -> list[Fill]:
        """Fills of a symbol from `since` (UTC ms) on, oldest first."""


@runtime_checkable
class ContractBroker(Broker, Protocol):
    """An account that holds contracts. Their `balances` go by symbol, and are below 0 for shorts."""

    async def numbered(self, symbol: str, order_id: int) -> OrderReport | None:
        """The order of that number, also one that the venue itself has made; None if it is not known."""

    async def funding(self, since: int) -> list[Payment]:
        """Funding, and what liquidations took or left, from `since` (UTC ms) on, oldest first."""
