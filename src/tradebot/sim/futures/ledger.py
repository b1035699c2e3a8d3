"""What the futures account remembers: orders, algo orders, trades, income, positions and settings."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from tradebot.market.venue import ZERO, Side
from tradebot.sim.footprint import Taken
from tradebot.sim.futures.positions import Position, PositionSide, Terms
from tradebot.sim.tables import Table, open_account

OPEN = ("NEW", "PARTIALLY_FILLED")
R = TypeVar("R")


class Income(StrEnum):
    """Why the wallet changed."""

    REALIZED = "REALIZED_PNL"
    FUNDING = "FUNDING_FEE"
    COMMISSION = "COMMISSION"
    CLEARANCE = "INSURANCE_CLEAR"


@dataclass(frozen=True, slots=True)
class Placed:
    """An order in the books. `order_id` 0 means: not yet entered; `price` is 0 for market orders."""

    order_id: int
    symbol: str
    client_id: str
    side: Side
    position_side: PositionSide
    type: str
    time_in_force: str
    quantity: Decimal
    price: Decimal
    created: int
    updated: int
    reduce_only: bool = False
    good_till: int = 0
    status: str = "NEW"
    executed: Decimal = ZERO
    quote_executed: Decimal = ZERO
    original_type: str = ""

    @property
    def open(self) -> bool:
        """Whether it can still be filled."""
        return self.status in OPEN

    @property
    def remaining(self) -> Decimal:
        """What is not yet executed of it."""
        return self.quantity - self.executed


@dataclass(frozen=True, slots=True)
class Algo:
    """A conditional order. `extreme` is the best price that a trailing stop has seen, 0 before it is active."""

    algo_id: int
    symbol: str
    client_id: str
    side: Side
    position_side: PositionSide
    type: str
    time_in_force: str
    quantity: Decimal
    price: Decimal
    trigger: Decimal
    created: int
    updated: int
    reduce_only: bool = False
    close_position: bool = False
    working_type: str = "CONTRACT_PRICE"
    price_protect: bool = False
    activation: Decimal = ZERO
    callback: Decimal = ZERO
    extreme: Decimal = ZERO
    good_till: int = 0
    status: str = "NEW"
    triggered: int = 0
    order_id: int = 0


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill. `quote`, `realized` and `fee` are in the coin of the account."""

    trade_id: int
    symbol: str
    order_id: int
    side: Side
    position_side: PositionSide
    price: Decimal
    quantity: Decimal
    quote: Decimal
    realized: Decimal
    fee: Decimal
    time: int
    maker: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of the wallet."""

    tran_id: int
    symbol: str
    kind: Income
    amount: Decimal
    time: int
    trade_id: int = 0


@dataclass(frozen=True, slots=True)
class Fact:
    """A value by name: the wallet, when the market was last seen, the position mode."""

    name: str
    value: str


ORDERS = Table("orders", Placed, indexes=("symbol, client_id", "status", "created"))
ALGOS = Table("algos", Algo, indexes=("symbol, client_id", "status", "created"))
TRADES = Table("trades", Trade, indexes=("symbol, time", "order_id"))
ENTRIES = Table("entries", Entry, indexes=("time",))
POSITIONS = Table("positions", Position, key=2)
TERMS = Table("terms", Terms)
FACTS = Table("facts", Fact)
# Of what is listed: number and time.
_LISTED = {
    "orders": ("order_id", "created"), "algos": ("algo_id", "created"), "trades": ("trade_id", "time"),
    "entries": ("tran_id", "time"),
}  # fmt: skip
_TABLES: tuple[Table[Any], ...] = (ORDERS, ALGOS, TRADES, ENTRIES, POSITIONS, TERMS, FACTS)
# What was taken from the books of a moment is found by its time.
_LATER = ("CREATE INDEX trades_by_time ON trades (time)",)


@dataclass(frozen=True, slots=True)
class Range:
    """Which rows of a listing are wanted; bounds are inclusive, `newest` takes the last `limit` rows."""

    symbol: str | None = None
    limit: int = 500
    from_id: int = 0
    start: int = 0
    end: int = 2**62
    newest: bool = True


class Ledger:
    """The account's file. A new one starts with `start` in the wallet."""

    def __init__(self, path: Path | None, start: Decimal, now: int) -> None:
        self.db, new = open_account(path, [" ".join(table.schema for table in _TABLES), *_LATER])
        if new:
            with self.db.transaction():
                self.wallet = start
                self.seen = now
                self.dual = False

    def _fact(self, name: str) -> str:
        return FACTS.select(self.db, "name = ?", (name,))[0].value

    @property
    def wallet(self) -> Decimal:
        """The start and all income."""
        return Decimal(self._fact("wallet"))

    @wallet.setter
    def wallet(self, value: Decimal) -> None:
        """Set it, within a transaction that says why."""
        FACTS.put(self.db, Fact("wallet", format(value, "f")))

    @property
    def seen(self) -> int:
        """Up to when the market has been played, UTC ms."""
        return int(self._fact("seen"))

    @seen.setter
    def seen(self, value: int) -> None:
        """Remember it, within a transaction of what was played."""
        FACTS.put(self.db, Fact("seen", str(value)))

    @property
    def dual(self) -> bool:
        """Whether long and short positions are held side by side (hedge mode)."""
        return self._fact("dual") == "1"

    @dual.setter
    def dual(self, value: bool) -> None:
        """Set it; whether that may be is for `Settings` to say."""
        FACTS.put(self.db, Fact("dual", str(int(value))))

    def book(self, entry: Entry) -> None:
        """Enter income and change the wallet by it; nothing is not booked."""
        if entry.amount:
            ENTRIES.enter(self.db, entry)
            self.wallet += entry.amount

    def sent(self, since: int) -> int:
        """How many orders and algo orders the client has sent from a moment on."""
        own = "original_type = '' AND client_id NOT LIKE 'autoclose-%'"
        orders = f"SELECT count(*) FROM orders WHERE created >= ? AND {own}"  # noqa: S608
        algos = "SELECT count(*) FROM algos WHERE created >= ?"
        return int(self.db.rows(f"SELECT ({orders}) + ({algos})", (since, since))[0][0])

    def fresh(self, table: Table[Any]) -> str:
        """A client id for an order that has none: the same in every run, and never given twice."""
        found = self.db.rows("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,))
        return blake2b(f"{table.name}/{found[0][0] if found else None}".encode(), digest_size=11).hexdigest()

    def open_orders(self, symbol: str | None = None) -> list[Placed]:
        """Orders that can still be filled, oldest first."""
        return ORDERS.select(self.db, f"status IN {OPEN} AND symbol = coalesce(?, symbol)", (symbol,))

    def open_algos(self, symbol: str | None = None) -> list[Algo]:
        """Algo orders that wait for their price, oldest first."""
        return ALGOS.select(self.db, "status = 'NEW' AND symbol = coalesce(?, symbol)", (symbol,))

    def find(self, table: Table[R], symbol: str | None, number: int | None, client_id: str | None) -> R | None:
        """An order by either id or both, of any contract for None; of several with one client id the newest."""
        key, _ = _LISTED[table.name]
        where = f"symbol = coalesce(?, symbol) AND {key} = coalesce(?, {key}) AND client_id = coalesce(?, client_id)"
        rows = table.select(self.db, where, (symbol, number, client_id), f"ORDER BY {key} DESC LIMIT 1")
        return rows[0] if rows else None

    def listed(self, table: Table[R], wanted: Range, **also: Any) -> list[R]:
        """Rows of a range, oldest first; `also` are columns that must have a value (None: any)."""
        key, time = _LISTED[table.name]
        conditions = [f"symbol = coalesce(?, symbol) AND {key} >= ? AND {time} BETWEEN ? AND ?"]
        conditions += [f"{name} = coalesce(?, {name})" for name in also]
        bounds = (wanted.symbol, wanted.from_id, wanted.start, wanted.end, *also.values())
        rest = f"ORDER BY {key} {'DESC' if wanted.newest else 'ASC'} LIMIT {int(wanted.limit)}"
        rows = table.select(self.db, " AND ".join(conditions), bounds, rest)
        return rows[::-1] if wanted.newest else rows

    def taken(self, since: int, until: int) -> list[Taken]:
        """What orders took from the books with `since < time <= until`, of all contracts."""
        found = TRADES.select(self.db, "time > ? AND time <= ? AND NOT maker", (since, until))
        return [Taken(each.symbol, each.side, each.quantity, each.time) for each in found]

    def made(self, symbol: str, side: Side, since: int, before: int) -> Decimal:
        """How much orders of a side that rested got with `since <= time < before`."""
        where = "symbol = ? AND side = ? AND time >= ? AND time < ? AND maker"
        return sum((each.quantity for each in TRADES.select(self.db, where, (symbol, side, since, before))), ZERO)

    def positions(self) -> dict[tuple[str, PositionSide], Position]:
        """Positions that are not flat, by symbol and side."""
        return {(each.symbol, each.side): each for each in POSITIONS.select(self.db)}

    def hold(self, position: Position) -> None:
        """Keep a position as it is now; one that is flat is forgotten."""
        if position.amount:
            POSITIONS.put(self.db, position)
        else:
            POSITIONS.drop(self.db, position.symbol, position.side)

    def position(self, symbol: str, side: PositionSide) -> Position:
        """A position; a flat one where nothing is held."""
        found = POSITIONS.select(self.db, "symbol = ? AND side = ?", (symbol, side))
        return found[0] if found else Position(symbol, side)

    def terms(self, symbol: str) -> Terms:
        """Leverage and margin type of a contract."""
        found = TERMS.select(self.db, "symbol = ?", (symbol,))
        return found[0] if found else Terms(symbol)
