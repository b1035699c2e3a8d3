"""The trading state: facts that are only ever added, and the rows that follow from them.

SQLite in WAL mode: what `record` has returned from survives the process, and other processes can read at any
time. It survives a power cut too, but for what is about to be sent, which does so once `secure` has returned, and
for what the venue can tell again, whose orders would be looked up. Facts (`events`) are the truth; orders, positions
and fills are projections that the same transaction keeps up to date and that `rebuild` makes anew. Decimals are
stored as text, times are venue ms. There is one writer at a time (whoever holds the data folder's lock). Every
failure is a `JournalError`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import orjson
from pydantic import TypeAdapter

from tradebot.errors import JournalError
from tradebot.market.venue import Fill, Payment
from tradebot.trading import state_file
from tradebot.trading.facts import Audited, Fact, Filled, Funded, Intended, Judged, Released, Watched, Wiped, reader
from tradebot.trading.orders import ENTER, TOLD, Moved, OrderEvent, Outcome, plain
from tradebot.trading.positions import GONE, Position, PositionState
from tradebot.trading.risk.record import Record

ERA = 10**15
"""More trades than an account ever has: by so much the numbers of those before a wipe are moved out of the way."""

KEPT = 1_000
"""Rows that are not read from their text again: each is looked at several times between two changes."""

PROJECTIONS = ("orders", "positions", "fills", "payments")


T = TypeVar("T")

_OUTCOME, _POSITION, _FILL = TypeAdapter(Outcome), TypeAdapter(Position), TypeAdapter(Fill)
_RECORD = TypeAdapter(Record)


def _text(value: Any) -> str:
    """JSON of a dataclass, Decimals as digits; `TypeError` for what could not be read again."""
    return orjson.dumps(value, default=_digits).decode()


def _digits(value: Decimal) -> str:
    if not value.is_finite():
        raise TypeError(f"{value} is not a number")
    return plain(value)


class Journal:
    """The journal at `path`, made (mode 0600) if it is not there.

    A file that is not a journal, is damaged or comes from a newer version is a `JournalError` and
    stays as it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = state_file.opened(path)
        self._unsafe = False
        self._lost = ""
        self._synchronous = ""
        self._kept: dict[str, Any] = {}
        self._orders: dict[tuple[str, str], Outcome] = {}
        self._positions: dict[tuple[str, str], Position] = {}
        try:
            self._prepare()
        except JournalError:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. What was recorded is safe without it."""
        self._db.close()

    def _prepare(self) -> None:
        if self._db.rows("PRAGMA application_id") != [(state_file.APPLICATION,)]:
            raise JournalError(f"{self.path} is not a tradebot journal; move it away to begin with an empty one")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._insist("FULL")
        if 0 < self._db.migrate(state_file.SCHEMA) < len(state_file.SCHEMA):
            self.rebuild()
        self._db.execute(state_file.QUICKER)

    def record(self, account: str, time: int, *facts: Fact) -> None:
        """Add facts, in one transaction; `secure` makes safe what is to be sent because of them, all else is then.

        `ImpossibleTransition` and `JournalError` leave the journal as it was.
        """
        waits = all(map(_waits, facts))
        with self._looked_after():
            self._unsafe = self._unsafe or waits
            self._insist("NORMAL" if waits else "FULL")
            self._write(account, time, facts)

    def _write(self, account: str, time: int, facts: Sequence[Fact]) -> None:
        with self._projecting():
            for fact in facts:
                if self._project(account, time, fact):
                    kind = type(fact).__name__.lower()
                    self._db.execute(
                        "INSERT INTO events (account, time, kind, body) VALUES (?, ?, ?, ?)",
                        (account, time, kind, _text(fact)),
                    )

    def secure(self) -> None:
        """Have all that was recorded on disk: one write for however much that is, none where it is there already."""
        with self._looked_after():
            if self._unsafe:
                self._insist("FULL")
                # Any write takes along what was written before.
                self._db.execute(f"PRAGMA application_id = {state_file.APPLICATION}")
                self._unsafe = False

    def _insist(self, synchronous: str) -> None:
        """How the next transactions wait for the disk; said only where it changes."""
        if self._synchronous != synchronous:
            self._db.execute(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous

    @contextmanager
    def _looked_after(self) -> Iterator[None]:
        """A disk that failed to take what waits for it is not believed when it takes the next: that may be lost."""
        if self._lost:
            raise JournalError(self._lost)
        try:
            yield
        except JournalError as error:
            code = getattr(error.__cause__, "sqlite_errorcode", 0)
            if self._unsafe and code & 0xFF == sqlite3.SQLITE_IOERR:
                self._lost = str(error)
            raise

    @contextmanager
    def _projecting(self) -> Iterator[None]:
        """One transaction, which reads and writes a row once however many of its facts change it."""
        try:
            with self._db.transaction():
                yield
                for (account, client_id), order in self._orders.items():
                    self._db.execute(
                        "UPDATE orders SET settled = ?, body = ? WHERE account = ? AND client_id = ?",
                        (order.settled, self._row(order), account, client_id),
                    )
                for (account, identity), position in self._positions.items():
                    self._db.execute(
                        """INSERT INTO positions VALUES (?, ?, ?, ?, ?)
                           ON CONFLICT DO UPDATE SET gone = excluded.gone, body = excluded.body""",
                        (account, identity, position.symbol, position.state in GONE, self._row(position)),
                    )
        finally:
            self._orders.clear()
            self._positions.clear()

    def rebuild(self) -> None:
        """Make orders, positions and fills anew from the facts."""
        with self._db.transaction():
            for table in PROJECTIONS:
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608
            facts = self._db.rows("SELECT account, time, kind, body FROM events ORDER BY seq")
            for account, time, kind, body in facts:
                with self._projecting():  # or all orders of a position would be live, and read, until the end
                    self._project(account, time, reader(kind).validate_json(body))

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows that follow from the facts, by table."""
        return {table: self._db.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in PROJECTIONS}  # noqa: S608

    def _project(self, account: str, time: int, fact: Fact) -> bool:
        """Bring the rows up to date; False if the fact is known already."""
        match fact:
            case Intended(order, positions):
                self._add(account, order)
                for position in positions:
                    self._put_position(account, position)
            case Moved():
                self._move(account, time, fact)
            case Filled(client_id, fill):
                return self._book(account, client_id, fill)
            case Judged(position, event):
                self._put_position(account, self._position(account, position).step(event))
            case Released(position, left):
                self._put_position(account, self._position(account, position).released(left))
            case Wiped():
                self._db.execute("UPDATE fills SET trade_id = trade_id - ? WHERE account = ?", (ERA, account))
            case Funded(position, payment):
                return self._fund(account, position, payment)
            case Watched(position, best, stop):
                self._put_position(account, self._position(account, position).watched(best, stop))
        return True

    def _add(self, account: str, order: Outcome) -> None:
        self._db.execute(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?)",
            (account, order.client_id, order.symbol, order.settled, self._row(order)),
        )

    def _put_order(self, account: str, order: Outcome) -> None:
        self._orders[account, order.client_id] = order

    def _put_position(self, account: str, position: Position) -> None:
        self._positions[account, position.id] = position

    def _move(self, account: str, time: int, moved: Moved) -> None:
        order = self._order(account, moved.client_id).moved(moved, time)
        self._put_order(account, order)
        stored = self.live(account, order.position)
        live = [self._orders.get((account, each.client_id), each) for each in stored]
        before = self._position(account, order.position)
        if (after := before.followed((each.duty, each.state) for each in live if not each.settled)) is not before:
            self._put_position(account, after)

    def _book(self, account: str, client_id: str, fill: Fill) -> bool:
        new = self._db.execute(
            "INSERT OR IGNORE INTO fills VALUES (?, ?, ?, ?, ?)",
            (account, fill.symbol, fill.trade_id, client_id, self._row(fill)),
        )
        if not new.rowcount:
            self._same(account, client_id, fill)
            return False
        order = self._order(account, client_id).booked(fill)
        self._put_order(account, order)
        self._put_position(account, self._position(account, order.position).booked(fill))
        return True

    def _fund(self, account: str, position: str, payment: Payment) -> bool:
        new = self._db.execute(
            "INSERT OR IGNORE INTO payments VALUES (?, ?, ?, ?, ?)",
            (account, payment.id, payment.time, position, plain(payment.amount)),
        )
        if new.rowcount:
            self._put_position(account, self._position(account, position).funded(payment.amount))
        return bool(new.rowcount)

    def _same(self, account: str, client_id: str, fill: Fill) -> None:
        """A trade is booked once; another trade under its number means that the account is not the one we know."""
        where = (account, fill.symbol, fill.trade_id)
        known = self._db.rows("SELECT client_id FROM fills WHERE account = ? AND symbol = ? AND trade_id = ?", where)
        if known != [(client_id,)]:
            raise JournalError(
                f"{self.path}: trade {fill.trade_id} of {fill.symbol} is booked for another order: the account "
                f"'{account}' was made anew; move {self.path.name} away too, or bring the account back"
            )

    def _order(self, account: str, client_id: str) -> Outcome:
        found = self._orders.get((account, client_id)) or self.order(account, client_id)
        if found is None:
            raise JournalError(f"{self.path}: no order {client_id} in account {account}")
        return found

    def _position(self, account: str, identity: str) -> Position:
        found = self._positions.get((account, identity)) or self.position(account, identity)
        if found is None:
            raise JournalError(f"{self.path}: no position {identity} in account {account}")
        return found

    def _rows(self, kind: TypeAdapter[T], where: str, *values: object) -> list[T]:
        rows = self._db.rows(f"SELECT body FROM {where}", values)  # noqa: S608
        return [self._kept.get(body) or self._keep(body, kind.validate_json(body)) for (body,) in rows]

    def _row(self, value: object) -> str:
        """The text of a row, whose value is then at hand."""
        self._keep(body := _text(value), value)
        return body

    def _keep(self, body: str, value: T) -> T:
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[body] = value
        return value

    def accounts(self) -> list[str]:
        """Every account that something was ever recorded of."""
        return [name for (name,) in self._db.rows("SELECT DISTINCT account FROM events ORDER BY account")]

    def funded_until(self, account: str) -> int:
        """When the newest booked funding was paid (venue ms); 0: none is booked."""
        rows = self._db.rows("SELECT max(time) FROM payments WHERE account = ?", (account,))
        return int(rows[0][0] or 0)

    def identity(self, account: str) -> str | None:
        """The venue's own number of the account; None if it was never told."""
        found = self._last(account, "identified")
        return None if found is None else str(found.uid)

    def seal(self, account: str) -> str:
        """What the names of the account's orders are derived from too; empty for one that no other journal trades."""
        found = self._last(account, "identified")
        return "" if found is None else str(found.seal)

    def audit(self, account: str) -> Audited:
        """What the last comparison with the venue found."""
        found = self._last(account, "audited")
        return found or Audited({}, ())

    def _last(self, account: str, kind: str) -> Any:
        rows = self._db.rows(
            "SELECT body FROM events WHERE account = ? AND kind = ? ORDER BY seq DESC LIMIT 1", (account, kind)
        )
        return reader(kind).validate_json(rows[0][0]) if rows else None

    def order(self, account: str, client_id: str) -> Outcome | None:
        """One order; None if it was never intended."""
        found = self._rows(_OUTCOME, "orders WHERE account = ? AND client_id = ?", account, client_id)
        return found[0] if found else None

    def orders(self, account: str) -> list[Outcome]:
        """All orders, oldest first."""
        return self._rows(_OUTCOME, "orders WHERE account = ? ORDER BY rowid", account)

    def executed(self, account: str, before: int) -> Outcome | None:
        """The newest order, decided before `before` (venue ms), that the account has executed since it was made."""
        of = """orders WHERE account = ? AND settled AND json_extract(body, '$.created') < ? AND client_id IN
                (SELECT client_id FROM fills WHERE fills.account = orders.account AND trade_id >= 0)
                ORDER BY rowid DESC LIMIT 1"""
        found = self._rows(_OUTCOME, of, account, before)
        return found[0] if found else None

    def unresolved(self, account: str) -> list[Outcome]:
        """Orders that something can still come of, oldest first."""
        return self._rows(_OUTCOME, "orders WHERE account = ? AND NOT settled ORDER BY rowid", account)

    def doubtful(self, account: str) -> list[Position]:
        """Positions in doubt for another reason than an order whose outcome is awaited."""
        awaited = {order.position for order in self.unresolved(account)}
        held = self.positions(account)
        return [each for each in held if each.state is PositionState.IN_DOUBT and each.id not in awaited]

    def live(self, account: str, position: str) -> list[Outcome]:
        """Orders of a position that something can still come of, oldest first."""
        of = "orders WHERE account = ? AND json_extract(body, '$.position') = ? AND NOT settled ORDER BY rowid"
        return self._rows(_OUTCOME, of, account, position)

    def orders_of(self, account: str, position: str) -> list[Outcome]:
        """All orders of a position, oldest first."""
        of = "orders WHERE account = ? AND json_extract(body, '$.position') = ? ORDER BY rowid"
        return self._rows(_OUTCOME, of, account, position)

    def position(self, account: str, identity: str) -> Position | None:
        """One position, gone or not; None if it was never intended."""
        found = self._rows(_POSITION, "positions WHERE account = ? AND id = ?", account, identity)
        return found[0] if found else None

    def known(self, account: str, client_ids: Sequence[str]) -> frozenset[str]:
        """Those of `client_ids` that were ever intended."""
        marks = ",".join("?" * len(client_ids))
        rows = self._db.rows(
            f"SELECT client_id FROM orders WHERE account = ? AND client_id IN ({marks})",  # noqa: S608
            (account, *client_ids),
        )
        return frozenset(name for (name,) in rows)

    def entered(self, account: str, bar_time: int) -> frozenset[str]:
        """Symbols of which an entry was ever intended on the bar that opened at `bar_time` (UTC ms)."""
        of = "account = ? AND json_extract(body, '$.bar_time') = ? AND json_extract(body, '$.intent') = ?"
        rows = self._db.rows(f"SELECT symbol FROM orders WHERE {of}", (account, int(bar_time), ENTER))  # noqa: S608
        return frozenset(symbol for (symbol,) in rows)

    def positions(self, account: str) -> list[Position]:
        """What is held or under way, dust included, oldest first."""
        return self._rows(_POSITION, "positions WHERE account = ? AND NOT gone ORDER BY rowid", account)

    def history(self, account: str) -> list[Position]:
        """What is no longer held, oldest entry first."""
        return self._rows(_POSITION, "positions WHERE account = ? AND gone ORDER BY rowid", account)

    def fills(self, account: str, client_id: str) -> list[Fill]:
        """The booked fills of an order, in the venue's order."""
        return self._rows(_FILL, "fills WHERE account = ? AND client_id = ? ORDER BY trade_id", account, client_id)

    def all_fills(self, account: str) -> dict[str, list[Fill]]:
        """All booked fills by the client id of their order, in the venue's order."""
        found: dict[str, list[Fill]] = {}
        for name, body in self._db.rows(
            "SELECT client_id, body FROM fills WHERE account = ? ORDER BY symbol, trade_id", (account,)
        ):
            found.setdefault(name, []).append(_FILL.validate_json(body))
        return found

    def record_of(self, account: str) -> Record:
        """What the past had brought when that was last written down."""
        newest = "SELECT body FROM events WHERE account = ? AND kind = 'record' ORDER BY seq DESC LIMIT 1"
        found = self._db.rows(newest, (account,))
        return _RECORD.validate_json(found[0][0]) if found else Record()

    def newest(self) -> int:
        """Number of the newest fact, of whatever account; 0 without any."""
        return int(self._db.rows("SELECT ifnull(max(seq), 0) FROM events")[0][0])

    def filled_since(self, account: str, seq: int) -> list[tuple[int, Filled]]:
        """The fills booked after fact number `seq`, each with its own number, in that order."""
        later = "SELECT seq, body FROM events WHERE seq > ? AND account = ? AND kind = 'filled' ORDER BY seq"
        return [(number, reader("filled").validate_json(body)) for number, body in self._db.rows(later, (seq, account))]

    def booked(self, account: str, symbol: str) -> frozenset[int]:
        """Trade ids of a symbol's booked fills."""
        rows = self._db.rows("SELECT trade_id FROM fills WHERE account = ? AND symbol = ?", (account, symbol))
        return frozenset(trade for (trade,) in rows)


def _waits(fact: Fact) -> bool:
    """Whether it need not be on disk at once: nothing is sent before `secure`, or the venue can tell it again."""
    return isinstance(fact, Intended | Filled) or (isinstance(fact, Moved) and fact.event in {OrderEvent.SEND, *TOLD})
