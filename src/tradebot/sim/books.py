"""The exchange's books in SQLite: balances, orders and trades, amounts as decimal text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

from tradebot.market.venue import ZERO, Balance, Fill, OrderType, Side
from tradebot.sim.footprint import Taken
from tradebot.sim.schema import STEPS
from tradebot.sim.tables import open_account

OPEN = ("NEW", "PARTIALLY_FILLED", "PENDING_NEW")
WAITS = -1  # `working` of a stop that has not been triggered
ALONE = -1  # `list_id` of an order that is in no list


@dataclass(frozen=True, slots=True)
class Entry:
    """An order in the books. `order_id` 0 means: not yet entered.

    `working` is since when it can be filled (UTC ms) or `WAITS`; `reason` why it expired; `updated`
    when it last changed.
    """

    order_id: int
    symbol: str
    client_id: str
    side: Side
    type: OrderType
    status: str
    quantity: Decimal
    quote_quantity: Decimal
    price: Decimal
    time_in_force: str
    executed: Decimal
    quote_executed: Decimal
    created: int
    updated: int
    stop_price: Decimal = ZERO
    working: int = 0
    list_id: int = ALONE
    reason: str = ""
    strategy_id: int | None = None
    strategy_type: int | None = None

    @property
    def open(self) -> bool:
        """Whether it can still be filled."""
        return self.status in OPEN

    @property
    def left(self) -> Decimal:
        """What is not executed of its quantity."""
        return self.quantity - self.executed


@dataclass(frozen=True, slots=True)
class OrderList:
    """Orders of which one excludes the other (OCO)."""

    list_id: int
    symbol: str
    client_id: str
    created: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an order: NEW, TRIGGERED, TRADE (`fill` says which), CANCELED or EXPIRED.

    `status` and `executed` are the order's after it.
    """

    number: int
    time: int
    event: str
    order_id: int
    status: str
    executed: Decimal
    fill: Fill | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """Which rows of a symbol are wanted: bounds are inclusive; `newest` takes the last `limit` rows."""

    symbol: str
    limit: int = 500
    from_id: int = 0
    start: int = 0
    end: int = 2**62
    newest: bool = True


class Books:
    """One account file; None keeps it in memory. `JournalError` if it cannot be read or written."""

    def __init__(self, path: Path | None) -> None:
        self._db, self.new = open_account(path, STEPS)

    def close(self) -> None:
        """Release the file; its write-ahead log is merged."""
        self._db.close()

    def transaction(self) -> AbstractContextManager[None]:
        """All of the block or nothing."""
        return self._db.transaction()

    def balances(self) -> Mapping[str, Balance]:
        """Every asset that was ever held."""
        rows = self._db.rows("SELECT asset, free, locked FROM balances ORDER BY asset")
        return {asset: Balance(Decimal(free), Decimal(locked)) for asset, free, locked in rows}

    def balance(self, asset: str) -> Balance:
        """What is held of one asset."""
        rows = self._db.rows("SELECT free, locked FROM balances WHERE asset = ?", (asset,))
        return Balance(*map(Decimal, rows[0])) if rows else Balance()

    def change(self, asset: str, free: Decimal, locked: Decimal = ZERO) -> None:
        """Add to what is free and locked of an asset; call it within a transaction."""
        held = self.balance(asset)
        values = (asset, held.free + free, held.locked + locked)
        self._db.rows("INSERT OR REPLACE INTO balances VALUES (?, ?, ?)", values)

    def _insert(self, table: str, names: Sequence[str], row: object) -> int:
        values = [getattr(row, name) for name in names]
        marks = ", ".join("?" * len(names))
        cursor = self._db.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", values)  # noqa: S608
        return int(cursor.lastrowid or 0)

    def enter(self, entry: Entry) -> int:
        """Enter a new order; its id."""
        return self._insert("orders", _ORDER[1:], entry)

    def book(self, fill: Fill) -> int:
        """Enter a trade; its id."""
        return self._insert("trades", _TRADE[1:], fill)

    def amend(self, entry: Entry) -> None:
        """Write down how an order changed."""
        changed = ("status", "executed", "quote_executed", "updated", "working", "reason")
        values = [getattr(entry, name) for name in (*changed, "order_id")]
        self._db.rows(f"UPDATE orders SET {', '.join(f'{name} = ?' for name in changed)} WHERE order_id = ?", values)  # noqa: S608

    def enter_list(self, made: OrderList) -> int:
        """Enter a list of orders; its id."""
        return self._insert("lists", _LIST[1:], made)

    def tell(self, entry: Entry, event: str, trade_id: int = 0) -> None:
        """Add to the log what happened to an order."""
        values = (entry.updated, event, entry.order_id, entry.status, entry.executed, trade_id)
        self._db.rows(
            "INSERT INTO log (time, event, order_id, status, executed, trade_id) VALUES (?, ?, ?, ?, ?, ?)", values
        )

    def notes(self) -> dict[str, int]:
        """All numbers that were kept, by name."""
        return dict(self._db.rows("SELECT name, value FROM notes"))

    def keep(self, notes: Mapping[str, int]) -> None:
        """Keep numbers under their names."""
        marks = ", ".join(["(?, ?)"] * len(notes))
        self._db.rows(f"INSERT OR REPLACE INTO notes VALUES {marks}", [*chain(*notes.items())])  # noqa: S608

    def last_id(self, table: str) -> int:
        """The highest id that was given out in a table, ever."""
        rows = self._db.rows("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,))
        return int(rows[0][0]) if rows else 0

    def order(self, symbol: str, order_id: int | None, client_id: str | None) -> Entry | None:
        """An order by either id or both; of several with one client id the open one, else the newest."""
        wanted = [("symbol", symbol), ("order_id", order_id), ("client_id", client_id)]
        given = [(name, value) for name, value in wanted if value is not None]
        where = " AND ".join(f"{name} = ?" for name, _ in given)
        newest = f"ORDER BY status IN {OPEN} DESC, order_id DESC LIMIT 1"
        rows = self._db.rows(f"SELECT * FROM orders WHERE {where} {newest}", [value for _, value in given])  # noqa: S608
        return _entry(rows[0]) if rows else None

    def open_orders(self, symbol: str | None = None) -> list[Entry]:
        """Orders that can still be filled, oldest first."""
        sql = f"SELECT * FROM orders WHERE status IN {OPEN} AND symbol = coalesce(?, symbol) ORDER BY order_id"  # noqa: S608
        return [_entry(row) for row in self._db.rows(sql, (symbol,))]

    def load(self, symbol: str | None = None) -> tuple[int, int, int]:
        """How many orders can still be filled, how many of them wait for a price, and how many lists they are in."""
        counts = f"count(*), coalesce(sum(working = {WAITS}), 0), count(DISTINCT nullif(list_id, {ALONE}))"
        sql = f"SELECT {counts} FROM orders WHERE status IN {OPEN} AND symbol = coalesce(?, symbol)"  # noqa: S608
        ((orders, waiting, lists),) = self._db.rows(sql, (symbol,))
        return orders, waiting, lists

    def legs(self, list_id: int) -> list[Entry]:
        """The orders of a list, oldest first."""
        rows = self._db.rows("SELECT * FROM orders WHERE list_id = ? ORDER BY order_id", (list_id,))
        return [_entry(row) for row in rows]

    def order_list(self, list_id: int | None, client_id: str | None) -> OrderList | None:
        """A list by either id or both, the newest of several."""
        where = "list_id = coalesce(?, list_id) AND client_id = coalesce(?, client_id)"
        rows = self._db.rows(f"SELECT * FROM lists WHERE {where} ORDER BY list_id DESC LIMIT 1", (list_id, client_id))  # noqa: S608
        return OrderList(*rows[0]) if rows else None

    def lists(self, wanted: Slice) -> list[OrderList]:
        """Lists of all symbols, oldest first."""
        return [OrderList(*row) for row in self._slice("lists", "list_id", "created", wanted, anywhere=True)]

    def open_lists(self) -> list[OrderList]:
        """Lists with an order that can still be filled, oldest first."""
        going = f"SELECT list_id FROM orders WHERE status IN {OPEN}"  # noqa: S608
        rows = self._db.rows(f"SELECT * FROM lists WHERE list_id IN ({going}) ORDER BY list_id")  # noqa: S608
        return [OrderList(*row) for row in rows]

    def orders(self, wanted: Slice) -> list[Entry]:
        """Orders of a symbol, oldest first."""
        return [_entry(row) for row in self._slice("orders", "order_id", "created", wanted)]

    def trades(self, wanted: Slice, order_id: int | None = None) -> list[Fill]:
        """Trades of a symbol or of one of its orders, oldest first."""
        return [_fill(row) for row in self._slice("trades", "trade_id", "time", wanted, order_id)]

    def fills(self, order_id: int) -> list[Fill]:
        """The trades of an order, oldest first."""
        rows = self._db.rows("SELECT * FROM trades WHERE order_id = ? ORDER BY trade_id", (order_id,))
        return [_fill(row) for row in rows]

    def taken(self, since: int, until: int) -> list[Taken]:
        """What orders took from the books with `since < time <= until`, of all symbols."""
        sql = "SELECT symbol, side, quantity, time FROM trades WHERE time > ? AND time <= ? AND NOT maker"
        return [
            Taken(symbol, Side(side), Decimal(size), at)
            for symbol, side, size, at in self._db.rows(sql, (since, until))
        ]

    def made(self, symbol: str, side: Side, since: int, before: int) -> Decimal:
        """How much orders of a side that rested got with `since <= time < before`."""
        sql = "SELECT quantity FROM trades WHERE symbol = ? AND side = ? AND time >= ? AND time < ? AND maker"
        return sum((Decimal(size) for (size,) in self._db.rows(sql, (symbol, side, since, before))), ZERO)

    def log(self) -> list[tuple[Event, Entry]]:
        """Everything that happened, in order, each with its order as it is now."""
        sql = (
            "SELECT log.number, log.time, log.event, log.order_id, log.status, log.executed, log.trade_id, orders.* "
            "FROM log JOIN orders ON orders.order_id = log.order_id ORDER BY log.number"
        )
        trades = {row[0]: _fill(row) for row in self._db.rows("SELECT * FROM trades")}
        events = []
        for number, time, event, order_id, status, executed, trade_id, *order in self._db.rows(sql):
            told = Event(number, time, event, order_id, status, Decimal(executed), trades.get(trade_id))
            events.append((told, _entry(order)))
        return events

    def _slice(
        self, table: str, key: str, time: str, wanted: Slice, order_id: int | None = None, *, anywhere: bool = False
    ) -> list[tuple[Any, ...]]:
        where = f"{key} >= ? AND {time} BETWEEN ? AND ?"
        values: list[Any] = [wanted.from_id, wanted.start, wanted.end]
        for name, value in (("symbol", None if anywhere else wanted.symbol), ("order_id", order_id)):
            if value is not None:
                where += f" AND {name} = ?"
                values.append(value)
        order = "DESC" if wanted.newest else "ASC"
        sql = f"SELECT * FROM {table} WHERE {where} ORDER BY {key} {order} LIMIT ?"  # noqa: S608
        rows = self._db.rows(sql, (*values, wanted.limit))
        return rows[::-1] if wanted.newest else rows


_ORDER = tuple(field.name for field in fields(Entry))
_LIST = tuple(field.name for field in fields(OrderList))
_TRADE = ("trade_id", "symbol", "order_id", "side", "price", "quantity", "fee", "fee_asset", "time", "maker")
_AMOUNTS = {"quantity", "quote_quantity", "price", "executed", "quote_executed", "stop_price"}


def _entry(row: Sequence[Any]) -> Entry:
    values: dict[str, Any] = {
        name: Decimal(value) if name in _AMOUNTS else value for name, value in zip(_ORDER, row, strict=True)
    }
    values["side"], values["type"] = Side(values["side"]), OrderType(values["type"])
    return Entry(**values)


def _fill(row: tuple[Any, ...]) -> Fill:
    trade_id, symbol, order_id, side, price, quantity, fee, fee_asset, time, maker = row
    return Fill(
        trade_id, symbol, order_id, Side(side), Decimal(price), Decimal(quantity), Decimal(fee), fee_asset, time,
        bool(maker),
    )  # fmt: skip
