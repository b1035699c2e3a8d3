"""The tables of an account file, and how files of earlier versions become it."""

from __future__ import annotations

_FIRST = """
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
# Orders that rest, lists of orders, what happened in which order, and small numbers such as the time last seen.
_SECOND = """
ALTER TABLE orders ADD COLUMN stop_price TEXT NOT NULL DEFAULT '0';
ALTER TABLE orders ADD COLUMN working INTEGER NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN list_id INTEGER NOT NULL DEFAULT -1;
ALTER TABLE orders ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN strategy_id INTEGER;
ALTER TABLE orders ADD COLUMN strategy_type INTEGER;
UPDATE orders SET working = created;
CREATE INDEX trades_by_order ON trades (order_id);
CREATE INDEX orders_by_list ON orders (list_id) WHERE list_id >= 0;
CREATE TABLE lists (
    list_id INTEGER PRIMARY KEY AUTOINCREMENT, symbol TEXT NOT NULL, client_id TEXT NOT NULL, created INTEGER NOT NULL);
CREATE TABLE log (
    number INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, event TEXT NOT NULL, order_id INTEGER NOT NULL,
    status TEXT NOT NULL, executed TEXT NOT NULL, trade_id INTEGER NOT NULL);
CREATE TABLE notes (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
# What was taken from the books of a moment is found by its time.
_THIRD = "CREATE INDEX trades_by_time ON trades (time)"
STEPS = (_FIRST, _SECOND, _THIRD)
