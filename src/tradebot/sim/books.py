"""The exchange's books in SQLite: balances, orders and trades, amounts as decimal text."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from tradebot.errors import JournalError
from tradebot.market.venue import ZERO, Balance, Fill, OrderType, Side

VERSION = 1
OPEN = ("NEW", "PARTIALLY_FILLED", "PENDING_NEW")
_SCHEMA = """
CREATE TABLE balances (asset TEXT PRIMARY KEY, free TEXT NOT NULL, locked TEXT NOT NULL);
CREATE TABLE orders (
    order_id INTEGER PRIMARY KEY AUTOINCREMENT, symbol TEXT NOT NULL, client_id TEXT NOT NULL, side TEXT NOT NULL,
    type TEXT NOT NULL, status TEXT NOT NULL, quantity TEXT NOT NULL, quote_quantity TEXT NOT NULL,
    price TEXT NOT NULL, time_in_force TEXT NOT NULL, executed TEXT NOT NULL, quote_executed TEXT NOT NULL,
    created INTEGER NOT NULL, updated INTEGER NOT NULL);
CREATE UNIQUE INDEX open_client_ids ON orders (symbol, client_id)
    WHERE status IN ('NEW', 'PARTIALLY_FILLED', 'PENDING_NEW');
CREATE INDEX orders_by_symbol ON orders (symbol, created);
CREATE TABLE trades (
    trade_id INTEGER PRIMARY KEY AUTOINCREMENT, symbol TEXT NOT NULL, order_id INTEGER NOT NULL, side TEXT NOT NULL,
    price TEXT NOT NULL, quantity TEXT NOT NULL, fee TEXT NOT NULL, fee_asset TEXT NOT NULL, time INTEGER NOT NULL,
    maker INTEGER NOT NULL);
CREATE INDEX trades_by_symbol ON trades (symbol, time);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """An order in the books. `order_id` 0 means: not yet entered."""

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

    @property
    def open(self) -> bool:
        """Whether it can still be filled."""
        return self.status in OPEN


@dataclass(frozen=True, slots=True)
class Slice:
    """Which rows of a symbol are wanted: bounds are inclusive; `newest` takes the last `limit` rows."""

    symbol: str
    limit: int = 500
    from_id: int = 0
    start: int = 0
    end: int = 2**62
    newest: bool = True


def _as_text(value: Any) -> Any:
    return format(value, "f") if isinstance(value, Decimal) else value


class Books:
    """One account file; None keeps it in memory. `JournalError` if it cannot be read or written."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        with self._translated():
            if path is not None:
                # Made here, so that nobody else can read it even for a moment; SQLite's own files follow its mode.
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise JournalError(f"account {path} was written by a newer tradebot; use that one, or another file")
            self.new = version == 0
            if self.new:
                self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")

    def close(self) -> None:
        """Release the file; its write-ahead log is merged."""
        self._db.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"account {self.path or 'in memory'}: {error}") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block or nothing."""
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._translated():
            return self._db.execute(sql, values).fetchall()

    def balances(self) -> Mapping[str, Balance]:
        """Every asset that was ever held."""
        rows = self._rows("SELECT asset, free, locked FROM balances ORDER BY asset")
        return {asset: Balance(Decimal(free), Decimal(locked)) for asset, free, locked in rows}

    def balance(self, asset: str) -> Balance:
        """What is held of one asset."""
        rows = self._rows("SELECT free, locked FROM balances WHERE asset = ?", (asset,))
        return Balance(*map(Decimal, rows[0])) if rows else Balance()

    def change(self, asset: str, free: Decimal, locked: Decimal = ZERO) -> None:
        """Add to what is free and locked of an asset; call it within a transaction."""
        held = self.balance(asset)
        values = (asset, _as_text(held.free + free), _as_text(held.locked + locked))
        self._rows("INSERT OR REPLACE INTO balances VALUES (?, ?, ?)", values)

    def _insert(self, table: str, row: Entry | Fill) -> int:
        names = [field.name for field in fields(row)][1:] if isinstance(row, Entry) else _TRADE[1:]
        values = [_as_text(getattr(row, name)) for name in names]
        marks = ", ".join("?" * len(names))
        with self._translated():
            cursor = self._db.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", values)  # noqa: S608
        return int(cursor.lastrowid or 0)

    def enter(self, entry: Entry) -> int:
        """Enter a new order; its id."""
        return self._insert("orders", entry)

    def book(self, fill: Fill) -> int:
        """Enter a trade; its id."""
        return self._insert("trades", fill)

    def close_order(self, order_id: int, status: str, now: int) -> None:
        """Give an order its last status."""
        self._rows("UPDATE orders SET status = ?, updated = ? WHERE order_id = ?", (status, now, order_id))

    def order(self, symbol: str, order_id: int | None, client_id: str | None) -> Entry | None:
        """An order by either id or both; of several with one client id the open one, else the newest."""
        wanted = [("symbol", symbol), ("order_id", order_id), ("client_id", client_id)]
        given = [(name, value) for name, value in wanted if value is not None]
        where = " AND ".join(f"{name} = ?" for name, _ in given)
        newest = "ORDER BY status IN ('NEW', 'PARTIALLY_FILLED', 'PENDING_NEW') DESC, order_id DESC LIMIT 1"
        rows = self._rows(f"SELECT * FROM orders WHERE {where} {newest}", [value for _, value in given])  # noqa: S608
        return _entry(rows[0]) if rows else None

    def open_orders(self, symbol: str | None = None) -> list[Entry]:
        """Orders that can still be filled, oldest first."""
        sql = f"SELECT * FROM orders WHERE status IN {OPEN} AND symbol = coalesce(?, symbol) ORDER BY order_id"  # noqa: S608
        return [_entry(row) for row in self._rows(sql, (symbol,))]

    def orders(self, wanted: Slice) -> list[Entry]:
        """Orders of a symbol, oldest first."""
        return [_entry(row) for row in self._slice("orders", "order_id", "created", wanted)]

    def trades(self, wanted: Slice, order_id: int | None = None) -> list[Fill]:
        """Trades of a symbol or of one of its orders, oldest first."""
        return [_fill(row) for row in self._slice("trades", "trade_id", "time", wanted, order_id)]

    def _slice(
        self, table: str, key: str, time: str, wanted: Slice, order_id: int | None = None
    ) -> list[tuple[Any, ...]]:
        where = f"symbol = ? AND {key} >= ? AND {time} BETWEEN ? AND ? AND order_id = coalesce(?, order_id)"
        order = "DESC" if wanted.newest else "ASC"
        values = (wanted.symbol, wanted.from_id, wanted.start, wanted.end, order_id, wanted.limit)
        rows = self._rows(f"SELECT * FROM {table} WHERE {where} ORDER BY {key} {order} LIMIT ?", values)  # noqa: S608
        return rows[::-1] if wanted.newest else rows


_TRADE = ("trade_id", "symbol", "order_id", "side", "price", "quantity", "fee", "fee_asset", "time", "maker")


def _entry(row: tuple[Any, ...]) -> Entry:
    order_id, symbol, client_id, side, kind, status, *rest = row
    quantity, quote_quantity, price = map(Decimal, rest[:3])
    executed, quote_executed = map(Decimal, rest[4:6])
    return Entry(
        order_id, symbol, client_id, Side(side), OrderType(kind), status, quantity, quote_quantity, price, rest[3],
        executed, quote_executed, rest[6], rest[7],
    )  # fmt: skip


def _fill(row: tuple[Any, ...]) -> Fill:
    trade_id, symbol, order_id, side, price, quantity, fee, fee_asset, time, maker = row
    return Fill(
        trade_id,
        symbol,
        order_id,
        Side(side),
        Decimal(price),
        Decimal(quantity),
        Decimal(fee),
        fee_asset,
        time,
        bool(maker),
    )
