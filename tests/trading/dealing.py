"""A venue's account as a double: real balances and trades, outcomes by script."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from tradebot.clock import SteppedClock
from tradebot.config import Settings
from tradebot.errors import OrderRejected, OrderUnknown, VenueBusy, VenueUnreachable
from tradebot.market.venue import ZERO, Balance, Fill, Instrument, Order, OrderReport, Side
from tradebot.trading.desk import Desk
from tradebot.trading.journal import Journal
from tradebot.trading.risk import Prediction

START = 1_516_406_400_000  # 2018-01-20
MINUTE = 60_000
LATEST = 15_000  # recvWindow and the time that the venue gives its own engine
ACCOUNT = "double-paper"


def instrument(symbol: str, **rules: str) -> Instrument:
    """`XUSDT`-like symbols; 0.001 steps and a least notional of 5 unless said otherwise."""
    given = {"step": "0.001", "min_quantity": "0.001", "min_notional": "5", **rules}
    return Instrument(symbol, symbol.removesuffix("USDT"), "USDT", **{k: Decimal(v) for k, v in given.items()})


class ScriptedBroker:
    """Executes market orders at `prices`, as the next word of `script` says (`fill` when it is empty).

    fill · bare (no fills in the reply) · half (EXPIRED with half executed) · open (accepted only) ·
    odd (executed, a status nobody knows) · reject · refused (connection) · busy · lost (executed,
    reply lost) · vanished (never arrived, reply lost) · late (reply lost, arrives with `deliver`) ·
    hang (executed, no reply until cancelled) · crash (executed, then a bug on our side)
    """

    def __init__(self, clock: SteppedClock, prices: Mapping[str, Decimal], *, fee_asset: str = "base") -> None:
        self.clock = clock
        self.prices = dict(prices)
        self.fee_asset = fee_asset
        self.fee = Decimal("0.001")
        self.held: Counter[str] = Counter({"USDT": Decimal(10_000), "BNB": Decimal(10)})  # type: ignore[dict-item]
        self.script: deque[str] = deque()
        self.reports: dict[str, OrderReport] = {}
        self.fills: list[Fill] = []
        self.received: list[Order] = []
        self.waiting: list[tuple[int, Order]] = []
        self.blind: set[str] = set()
        self.hidden: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.hanging = asyncio.Event()
        self.locked: dict[str, Decimal] = {}
        self.trades_delay = 0

    async def _answer(self, what: str) -> None:
        self.asked[what] += 1
        await asyncio.sleep(0)
        if what in self.blind:
            raise VenueUnreachable(f"{what}: no answer")

    async def balances(self) -> Mapping[str, Balance]:
        await self._answer("balances")
        locked = self.locked
        return {a: Balance(amount - locked.get(a, ZERO), locked.get(a, ZERO)) for a, amount in self.held.items()}

    async def order(self, symbol: str, client_id: str) -> OrderReport | None:
        await self._answer("order")
        report = None if client_id in self.hidden else self.reports.get(client_id)
        return None if report is None else replace(report, fills=())

    async def open_orders(self) -> list[OrderReport]:
        await self._answer("open_orders")
        return [replace(r, fills=()) for r in self.reports.values() if r.status in {"NEW", "PARTIALLY_FILLED"}]

    async def trades(self, symbol: str, since: int) -> list[Fill]:
        await self._answer("trades")
        if self.trades_delay:
            self.trades_delay -= 1
            return []
        return [fill for fill in self.fills if fill.symbol == symbol and fill.time >= since]

    async def cancel(self, symbol: str, client_id: str) -> OrderReport:
        raise NotImplementedError

    async def submit(self, order: Order) -> OrderReport:
        word = self.script.popleft() if self.script else "fill"
        await asyncio.sleep(0)
        if word in {"refused", "busy", "reject"}:
            raise {
                "refused": VenueUnreachable("connection refused", sent=False),
                "busy": VenueBusy("too many requests", wait_ms=1000, status=429),
                "reject": OrderRejected("insufficient balance", code=-2010),
            }[word]
        self.received.append(order)
        if word in {"vanished", "late"}:
            self.waiting += [(self.clock.now(), order)] if word == "late" else []
            raise OrderUnknown("read timed out")
        report = self.execute(order, word)
        if word == "lost":
            raise OrderUnknown("read timed out")
        if word == "crash":
            raise ZeroDivisionError("a bug")
        if word == "hang":
            self.hanging.set()
            await asyncio.Event().wait()
        return replace(report, fills=()) if word == "bare" else report

    def deliver(self) -> None:
        """What was on its way arrives; the venue turns away what is older than its windows allow."""
        for sent, order in self.waiting:
            if self.clock.now() <= sent + LATEST:
                self.execute(order, "fill")
        self.waiting.clear()

    def finish(self, client_id: str) -> None:
        """An accepted order is filled."""
        report = self.reports[client_id]
        order = Order(report.symbol, report.side, client_id, quantity=report.quantity)
        self.execute(order, "fill", report.order_id)

    def execute(self, order: Order, word: str, order_id: int | None = None) -> OrderReport:
        quantity = order.quantity
        assert quantity is not None
        executed = {"half": quantity / 2, "open": ZERO}.get(word, quantity)
        status = {"half": "EXPIRED", "open": "NEW", "odd": "SETTLED_ELSEWHERE"}.get(word, "FILLED")
        identity = len(self.reports) + 1000 if order_id is None else order_id
        fills = [self._fill(order, identity, share) for share in (executed / 4, executed - executed / 4) if share]
        report = OrderReport(
            symbol=order.symbol,
            client_id=order.client_id,
            order_id=identity,
            side=order.side,
            type=str(order.type),
            status=status,
            quantity=quantity,
            executed=executed,
            quote_executed=sum((f.price * f.quantity for f in fills), ZERO),
            price=ZERO,
            time=self.clock.now(),
            fills=tuple(fills),
        )
        self.reports[order.client_id] = report
        return report

    def _fill(self, order: Order, order_id: int, quantity: Decimal) -> Fill:
        base, price = order.symbol.removesuffix("USDT"), self.prices[order.symbol]
        way = 1 if order.side is Side.BUY else -1
        got = base if way == 1 else "USDT"
        asset = {"base": got, "BNB": "BNB"}[self.fee_asset]
        fee = (quantity if got == base else quantity * price) * self.fee if asset == got else Decimal("0.0001")
        self.held[base] += way * quantity  # type: ignore[assignment]
        self.held["USDT"] -= way * quantity * price  # type: ignore[assignment]
        self.held[asset] -= fee  # type: ignore[assignment]
        assert self.held[base] >= 0, f"sold more {base} than was there"
        fill = Fill(
            len(self.fills) + 1, order.symbol, order_id, order.side, price, quantity, fee, asset, self.clock.now()
        )
        self.fills.append(fill)
        return fill

    def executed_orders(self) -> Counter[str]:
        """How often each client id was received."""
        return Counter(order.client_id for order in self.received)


class Office:
    """A desk with its venue, clock and journal; `restart` makes desk and journal anew from the file."""

    def __init__(
        self, folder: Path, *symbols: str, price: str = "100", fee_asset: str = "base", **trading: object
    ) -> None:
        names = symbols or ("AUSDT", "BUSDT", "CUSDT")
        self.path = folder / "state.db"
        self.clock = SteppedClock(START)
        self.marks = dict.fromkeys(names, Decimal(price))
        self.broker = ScriptedBroker(self.clock, self.marks, fee_asset=fee_asset)
        self.instruments = {name: instrument(name) for name in names}
        self.settings = Settings.model_validate(
            {"trading": {"protect": "monitor", **trading}, "risk": {"cool_down_s": 0}}
        )
        self.restart()

    def restart(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
        self.journal = Journal(self.path)
        self.desk = Desk(self.broker, self.journal, self.clock, self.settings, self.instruments, "USDT", ACCOUNT)

    def wait(self, ms: int = MINUTE) -> None:
        self.clock.advance(self.clock.now() + ms)

    def price(self, symbol: str, value: str) -> None:
        self.marks[symbol] = self.broker.prices[symbol] = Decimal(value)

    async def buy(self, *symbols: str, bar: int = START):
        """Enter these symbols with probability 0.9 on the bar of `bar`."""
        predictions = [Prediction(symbol, Side.BUY, bar, 0.9, 0.5) for symbol in symbols]
        return await self.desk.enter(predictions, self.marks, 0.55)

    async def monitor(self):
        return await self.desk.monitor(self.marks)

    def state(self, symbol: str) -> str | None:
        return next((str(p.state) for p in self.desk.positions() if p.symbol == symbol), None)

    def rows(self) -> list[object]:
        """All projections, row by row."""
        tables = ("orders", "positions", "fills")
        return [row for t in tables for row in self.journal._db.execute(f"SELECT * FROM {t} ORDER BY 1, 2, 3")]
